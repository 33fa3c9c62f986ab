/** The main job: a model in; a smaller or faster model, its packed form and the recipe that makes them, out. */

import type { Mode } from '../formats/entropy/integer-coder.ts'
import { packModel } from '../formats/pack.ts'
import { type InputShapes, withInputShapes } from '../graph/input-shapes.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import type { CalibrationSpec, Recipe, Step } from '../recipe.ts'
import type { SpeedUp } from '../speed-up.ts'
import { makeFaster } from './faster.ts'
import { type BoundData, calibrationBatch, calibrationSamples, holdBack } from './held-back.ts'
import { accuracyScorer, agreementScorer, randomScorer, type Scorer } from './score.ts'
import { makeSmall } from './small.ts'
import { type Tidied, tidy } from './tidy.ts'

export interface CompressOptions extends Pick<Context, 'progress' | 'warn' | 'signal'> {
  readonly goal: 'size' | 'speed'
  /** Allowed loss in points: of top-1 accuracy, or of agreement without labels. */
  readonly maxLoss: number
  readonly seed: number
  readonly data?: BoundData
  /** How the recipe names the data. */
  readonly calibration?: Omit<CalibrationSpec, 'samples' | 'batchSize'>
  readonly packMode?: Mode
  /** Shapes that the inputs have in what is written; default: those of the model. */
  readonly writtenInputs?: InputShapes
  /** Keep exporters' notes and graphs of training; default false. */
  readonly keepMetadata?: boolean
  /** How much faster `after` is than `before`, from one interleaved run (goal speed). */
  readonly compareSpeed: (before: Model, after: Model) => Promise<SpeedUp>
}

export interface Compressed {
  readonly model: Model
  /** The file; the original's bytes where nothing smaller came out. */
  readonly onnx: Uint8Array
  readonly packed: Uint8Array
  readonly recipe: Recipe
  /** Loss on held-back data and its limit. */
  readonly heldBack: { readonly what: string; readonly unit: string; readonly loss: number; readonly limit: number }
  /** The model with its BatchNormalization folded and its weights in float: whose weights `sensitivity` names. */
  readonly floatForm: Model
  /** Divergence of the output by layer, where it was measured. */
  readonly sensitivity: ReadonlyMap<string, number>
  /** Why a node's weight stayed as it was, by the node's name; and why any other did. */
  readonly kept: ReadonlyMap<string, string>
  readonly otherwise: string
  readonly notes: readonly string[]
}

/** Compresses a model that was read from `original`, the file's bytes. */
export async function compress(model: Model, original: Uint8Array, options: CompressOptions): Promise<Compressed> {
  const { goal, seed, data, maxLoss } = options
  const heldBack = data && holdBack(data, seed)
  const scorer: Scorer =
    !data || !heldBack
      ? await randomScorer(model, seed)
      : heldBack.validation.labels
        ? await accuracyScorer(model, data.batcher, heldBack.validation)
        : await agreementScorer(model, data.batcher, heldBack.validation)
  const samples = heldBack?.validation.length ?? 0
  if (scorer.unit !== 'dB of noise' && 100 / samples > scorer.limitOf(maxLoss)) {
    options.warn?.(
      `only ${samples} samples are held back to judge the loss: one of them is ${(100 / samples).toFixed(2)} points`,
    )
  }
  const context = { ...options, seed, calibration: heldBack?.calibration }
  const tidied = await tidy(model, options)
  const search = goal === 'size' ? makeSmall : makeFaster
  const found = await search(tidied.model, scorer, { ...context, maxLoss })
  const quantized: Candidate = {
    ...found,
    steps: [...tidied.steps, ...found.steps],
    notes: [...tidied.notes, ...found.notes],
  }
  const asWritten = (m: Model): Model => withInputShapes(m, options.writtenInputs ?? new Map())
  const write = (m: Model): Uint8Array => writeModel(asWritten(m))
  const written = write(found.model)
  const isSmaller = goal === 'speed' || written.byteLength < original.byteLength
  const chosen = isSmaller
    ? { ...quantized, onnx: written }
    : await fallback({ model, original, tidied, scorer, write })
  const limit = scorer.limitOf(maxLoss)
  if (chosen.loss > limit)
    options.warn?.(
      `${scorer.what}: ${chosen.loss.toFixed(2)} ${scorer.unit}, more than the limit of ${limit.toFixed(2)}`,
    )
  return {
    model: asWritten(chosen.model),
    onnx: chosen.onnx,
    packed: packModel(asWritten(chosen.model), { mode: options.packMode }),
    recipe: recipeOf(chosen.steps, options),
    heldBack: { what: scorer.what, unit: scorer.unit, loss: chosen.loss, limit },
    floatForm: tidied.model,
    sensitivity: found.sensitivity,
    kept: found.kept,
    otherwise: isSmaller ? found.otherwise : 'no smaller .onnx came of quantising it',
    notes: chosen.notes,
  }
}

interface Candidate {
  readonly model: Model
  readonly steps: readonly Step[]
  readonly loss: number
  readonly notes: readonly string[]
}

/** Where quantising makes no smaller file: the tidied model, or if that is no smaller either, the file as it was. */
async function fallback({
  model,
  original,
  tidied,
  scorer,
  write,
}: {
  readonly model: Model
  readonly original: Uint8Array
  readonly tidied: Tidied
  readonly scorer: Scorer
  readonly write: (model: Model) => Uint8Array
}): Promise<Candidate & { readonly onnx: Uint8Array }> {
  const onnx = write(tidied.model)
  if (onnx.byteLength < original.byteLength && tidied.notes.length > 0) {
    const notes = [...tidied.notes, 'no smaller .onnx came of quantising, so the weights keep their precision']
    return { model: tidied.model, onnx, steps: tidied.steps, loss: await scorer.lossOf(tidied.model), notes }
  }
  const notes = ['no smaller .onnx came out, so the original file is kept']
  return { model, onnx: original, steps: [], loss: await scorer.lossOf(model), notes }
}

function recipeOf(steps: readonly Step[], { goal, maxLoss, seed, calibration }: CompressOptions): Recipe {
  return {
    coppice: 1,
    made: `compress --goal ${goal} --max-loss ${maxLoss}`,
    seed,
    ...(calibration
      ? { calibration: { ...calibration, samples: calibrationSamples, batchSize: calibrationBatch } }
      : {}),
    steps,
  }
}
