/** The main job: a model in; a smaller or faster model, its packed form and the recipe that makes them, out. */

import type { Mode } from '../formats/entropy/integer-coder.ts'
import { packModel } from '../formats/pack.ts'
import { type InputShapes, withInputShapes } from '../graph/input-shapes.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import type { CalibrationSpec, Recipe, Step } from '../recipe.ts'
import { makeFaster } from './faster.ts'
import { type BoundData, calibrationBatch, calibrationSamples, holdBack } from './held-back.ts'
import { accuracyScorer, agreementScorer, randomScorer, type Scorer } from './score.ts'
import { makeSmall } from './small.ts'

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
  /** Median times of models from one interleaved run (goal speed). */
  readonly latency: (models: readonly Model[]) => Promise<readonly number[]>
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
  const found: Found =
    goal === 'size'
      ? await makeSmall(model, scorer, { ...context, maxLoss })
      : await makeFaster(model, scorer, { ...context, maxLoss })
  const asWritten = (m: Model): Model => withInputShapes(m, options.writtenInputs ?? new Map())
  const written = writeModel(asWritten(found.model))
  const grew = written.byteLength >= original.byteLength
  const notes = [...found.notes]
  if (grew && goal === 'size') notes.push('no smaller .onnx came out, so the original file is kept')
  const keep = grew && goal === 'size'
  const limit = scorer.limitOf(maxLoss)
  const loss = keep ? await scorer.lossOf(model) : found.loss
  if (loss > limit)
    options.warn?.(`${scorer.what}: ${loss.toFixed(2)} ${scorer.unit}, more than the limit of ${limit.toFixed(2)}`)
  return {
    model: asWritten(keep ? model : found.model),
    onnx: keep ? original : written,
    packed: packModel(asWritten(keep ? model : found.model), { mode: options.packMode }),
    recipe: recipeOf(found.steps, keep, options),
    heldBack: { what: scorer.what, unit: scorer.unit, loss, limit },
    floatForm: found.floatForm,
    sensitivity: found.sensitivity,
    notes,
  }
}

interface Found {
  readonly model: Model
  readonly steps: readonly Step[]
  readonly loss: number
  readonly floatForm: Model
  readonly sensitivity: ReadonlyMap<string, number>
  readonly notes: readonly string[]
}

function recipeOf(
  steps: readonly Step[],
  kept: boolean,
  { goal, maxLoss, seed, calibration }: CompressOptions,
): Recipe {
  return {
    coppice: 1,
    made: `compress --goal ${goal} --max-loss ${maxLoss}`,
    seed,
    ...(calibration
      ? { calibration: { ...calibration, samples: calibrationSamples, batchSize: calibrationBatch } }
      : {}),
    steps: kept ? [] : steps,
  }
}
