/**
 * What a search found, as files: the ONNX file, the packed one and the recipe. Where no smaller ONNX file came out they are
 * those of the tidied model, or, if that is no smaller either, of the file as it was.
 */
import { packModelOn } from '../formats/pack.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import type { Recipe, Step } from '../recipe.ts'
import type { Found } from '../search/knob.ts'
import { whyRandomStays } from '../simplify/remarks.ts'
import type { Prepared } from './prepare.ts'
import type { Compressed } from './result.ts'
import { asWritten, type Settings } from './settings.ts'

export type Encoded = Pick<Compressed, 'model' | 'onnx' | 'packed' | 'recipe' | 'notes' | 'kept' | 'otherwise'>

/** What is to be written, before it is packed. */
interface Chosen extends Omit<Encoded, 'packed' | 'recipe'> {
  readonly steps: readonly Step[]
}

export async function encode(
  found: Found,
  prepared: Prepared,
  { model, settings }: { readonly model: Model; readonly settings: Settings },
): Promise<Encoded> {
  const progress = settings.outlook.begin('packing', 'packing')
  const { steps, ...chosen } = choose(found, prepared, { model, settings })
  const written = asWritten(chosen.model, settings)
  const { mode, workers } = settings
  const packed = await packModelOn(written, { mode, workers, progress })
  return { ...chosen, model: written, packed, recipe: recipeOf(steps, prepared, settings) }
}

function choose(
  found: Found,
  { tidied }: Prepared,
  { model, settings }: { readonly model: Model; readonly settings: Settings },
): Chosen {
  const { original, goal } = settings
  const onnx = writeModel(asWritten(found.model, settings))
  if (goal === 'speed' || onnx.byteLength < original.byteLength) {
    const steps = [...tidied.steps, ...found.steps]
    const notes = [...tidied.notes, ...found.notes]
    return { model: found.model, onnx, steps, notes, kept: found.kept, otherwise: found.otherwise }
  }
  const isQuantised = found.steps.length > 0
  const random = whyRandomStays(model)
  const { kept } = found
  const otherwise = isQuantised ? (random ?? 'quantising it did not make the .onnx smaller') : found.otherwise
  const tidiedOnnx = writeModel(asWritten(tidied.model, settings))
  if (tidiedOnnx.byteLength < original.byteLength && tidied.notes.length > 0) {
    const why = random ?? 'quantising did not make the .onnx smaller, so the weights keep their precision'
    const notes = [...tidied.notes, ...(isQuantised ? [why] : found.notes)]
    return { model: tidied.model, onnx: tidiedOnnx, steps: tidied.steps, notes, kept, otherwise }
  }
  const notes = [...(isQuantised ? [] : found.notes), 'no smaller .onnx came out, so the original file is kept']
  return { model, onnx: original, steps: [], notes, kept, otherwise }
}

function recipeOf(steps: readonly Step[], { task, calibration }: Prepared, { goal, max, seed }: Settings): Recipe {
  return {
    coppice: 1,
    made: `compress --goal ${goal} --max-loss ${max.text}`,
    seed,
    ...(calibration ? { calibration } : {}),
    task,
    steps,
  }
}
