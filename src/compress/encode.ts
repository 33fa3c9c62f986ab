/**
 * What a search found, as files: the ONNX file, the packed one and the recipe. Where nothing smaller came out they are
 * those of the tidied model, or, if that is no smaller either, of the file as it was.
 */
import { packedSizeOn, packModelOn } from '../formats/pack.ts'
import { sparseParts } from '../graph/walk.ts'
import type { Model, Tensor } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { type Recipe, runSteps, type Step } from '../recipe.ts'
import type { Found } from '../search/knob.ts'
import { whyRandomStays } from '../simplify/remarks.ts'
import { judgedPart } from '../task/judged-model.ts'
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
/** Bytes of models that are packed in both forms, as nodes that make weights of integers may take more than they save there. */
const smallModel = 2 ** 16

/** A model that may be written, and how it came about. */
type Candidate = Pick<Chosen, 'model' | 'steps' | 'notes'>

async function choose(
  found: Found,
  { tidied, task }: Prepared,
  { model, settings }: { readonly model: Model; readonly settings: Settings },
): Promise<Chosen> {
  const { original, goal, mode, workers } = settings
  const steps = [...tidied.steps, ...found.steps]
  const changed = await sparseAgain({ model: found.model, steps, notes: [...tidied.notes, ...found.notes] })
  const plain = await sparseAgain(tidied)
  const isQuantised = found.steps.length > 0
  const onnx = writeModel(asWritten(changed.model, settings))
  const packedSize = (m: Model): Promise<number> => packedSizeOn(asWritten(m, settings), { mode, workers })
  const isAsLarge = onnx.byteLength < worthwhile.onnx * original.byteLength
  const packsSmaller = async (): Promise<boolean> =>
    isQuantised && isAsLarge && (await packedSize(changed.model)) < worthwhile.packed * (await packedSize(plain.model))
  const isSmaller = onnx.byteLength < original.byteLength
  // Where nothing was rounded, a smaller .onnx loses nothing.
  const isRounded = isQuantised && found.steps.some(([id]) => id !== 'compact')
  const packsNoSmaller = async (): Promise<boolean> =>
    isRounded &&
    original.byteLength <= smallModel &&
    (await packedSize(plain.model)) <= (await packedSize(changed.model))
  const isBest = goal === 'speed' || (isSmaller ? !(await packsNoSmaller()) : await packsSmaller())
  if (isBest) return { ...changed, onnx, kept: found.kept, otherwise: found.otherwise }
  const inVain = isSmaller
    ? 'the weights pack into fewer bytes as they are'
    : isAsLarge
      ? 'quantising made no file much smaller'
      : 'quantising would make the .onnx file larger'
  const random = whyRandomStays(judgedPart(model, task))
  const { kept } = found
  const otherwise = isQuantised ? (random ?? inVain) : found.otherwise
  const plainOnnx = writeModel(asWritten(plain.model, settings))
  if (plainOnnx.byteLength < original.byteLength && plain.notes.length > 0) {
    const why = random ?? `${inVain}, so the weights keep their precision`
    const notes = [...plain.notes, ...(isQuantised ? [why] : found.notes)]
    return { ...plain, onnx: plainOnnx, notes, kept, otherwise }
  }
  const why = isAsLarge && !isSmaller ? 'no smaller .onnx came out' : inVain
  const notes = [...(isQuantised ? [] : found.notes), `${why}: it is the original file`]
  return { model, onnx: original, steps: [], notes, kept, otherwise }
}

/** What came with sparse tensors has them again where they take fewer bytes: tidying made them dense, to be worked on. */
async function sparseAgain({ model, steps, notes }: Candidate): Promise<Candidate> {
  const step: Step = ['sparsify', {}]
  const sparse = steps.some(([id]) => id === 'densify') ? await runSteps(model, [step]) : model
  if (sparse === model) return { model, steps, notes }
  const { size } = sparseParts(sparse)
  const note = `stored ${size} ${size === 1 ? 'tensor' : 'tensors'} as sparse again, which takes fewer bytes`
  return { model: sparse, steps: [...steps, step], notes: [...notes, note] }
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
