/**
 * What a search found, as files: the ONNX file, the packed one and the recipe. Where nothing smaller came out they are
 * those of the tidied model, or, if that is no smaller either, of the file as it was.
 */
import { packedSizeOn, packModelOn } from '../formats/pack.ts'
import type { Model, Tensor } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import type { Recipe, Step } from '../recipe.ts'
import type { Found } from '../search/knob.ts'
import { whyRandomStays } from '../simplify/remarks.ts'
import type { Prepared } from './prepare.ts'
import { teacherOf } from './recipe-teacher.ts'
import type { Compressed } from './result.ts'
import { asWritten, type Settings } from './settings.ts'

export type Encoded = Pick<
  Compressed,
  'model' | 'onnx' | 'packed' | 'tensorBytes' | 'recipe' | 'notes' | 'kept' | 'otherwise'
>

/** What is to be written, before it is packed. */
interface Chosen extends Omit<Encoded, 'packed' | 'tensorBytes' | 'recipe'> {
  readonly steps: readonly Step[]
}

export async function encode(
  found: Found,
  prepared: Prepared,
  { model, settings }: { readonly model: Model; readonly settings: Settings },
): Promise<Encoded> {
  const progress = settings.outlook.begin('packing', 'packing')
  const { mode, workers } = settings
  const { steps, ...chosen } = await choose(found, prepared, { model, settings })
  const written = asWritten(chosen.model, settings)
  const tensorBytes = new Map<Tensor, number>()
  const onTensor = (tensor: Tensor, bytes: number): void => void tensorBytes.set(tensor, bytes)
  const packed = await packModelOn(written, { mode, workers, progress, onTensor })
  return { ...chosen, model: written, packed, tensorBytes, recipe: recipeOf(steps, prepared, settings) }
}

/** An .onnx that is about as large as it was is worth a packed file that is so much smaller. */
const worthwhile = { onnx: 1.02, packed: 0.95 }

async function choose(
  found: Found,
  { tidied }: Prepared,
  { model, settings }: { readonly model: Model; readonly settings: Settings },
): Promise<Chosen> {
  const { original, goal, mode, workers } = settings
  const onnx = writeModel(asWritten(found.model, settings))
  const packedSize = (m: Model): Promise<number> => packedSizeOn(asWritten(m, settings), { mode, workers })
  const packsSmaller = async (): Promise<boolean> =>
    found.steps.length > 0 &&
    onnx.byteLength < worthwhile.onnx * original.byteLength &&
    (await packedSize(found.model)) < worthwhile.packed * (await packedSize(tidied.model))
  if (goal === 'speed' || onnx.byteLength < original.byteLength || (await packsSmaller())) {
    const steps = [...tidied.steps, ...found.steps]
    const notes = [...tidied.notes, ...found.notes]
    return { model: found.model, onnx, steps, notes, kept: found.kept, otherwise: found.otherwise }
  }
  const isQuantised = found.steps.length > 0
  const random = whyRandomStays(model)
  const { kept } = found
  const otherwise = isQuantised ? (random ?? 'quantising it made no file smaller') : found.otherwise
  const tidiedOnnx = writeModel(asWritten(tidied.model, settings))
  if (tidiedOnnx.byteLength < original.byteLength && tidied.notes.length > 0) {
    const why = random ?? 'quantising made no file smaller, so the weights keep their precision'
    const notes = [...tidied.notes, ...(isQuantised ? [why] : found.notes)]
    return { model: tidied.model, onnx: tidiedOnnx, steps: tidied.steps, notes, kept, otherwise }
  }
  const notes = [...(isQuantised ? [] : found.notes), 'nothing smaller came out, so the original file is kept']
  return { model, onnx: original, steps: [], notes, kept, otherwise }
}

function recipeOf(
  steps: readonly Step[],
  { task, calibration }: Prepared,
  { goal, max, seed, teacher }: Settings,
): Recipe {
  return {
    coppice: 1,
    made: `compress --goal ${goal} --max-loss ${max.text}`,
    seed,
    ...(calibration ? { calibration } : {}),
    ...teacherOf(steps, teacher),
    task,
    steps,
  }
}
