/** Measuring two models side by side for a report: sizes, accuracy on the whole test set, agreement, latency. */

import type { Dataset } from '../data/dataset.ts'
import { fedBatches } from '../data/fed-batches.ts'
import type { BoundData } from '../data/handle.ts'
import { inspectModel, type LayerInfo } from '../inspect/inspect.ts'
import type { Context, Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import { openSession, withSession } from '../runtime/session.ts'
import type { SpeedUp } from '../speed-up.ts'
import { sharedTask } from '../task/judged-model.ts'
import { type MaxLoss, parseMaxLoss } from '../task/max-loss.ts'
import { resolveTask } from '../task/resolve-task.ts'
import type { Task } from '../task/task.ts'
import { sameBytes } from '../tensor/dtype.ts'
import { dataWarnings } from './data-warnings.ts'
import { type FileParts, filePartsOf } from './file-parts.ts'
import { type Latency, type LatencyOptions, measureLatency, type Spread } from './latency.ts'
import { randomData } from './random-data.ts'
import { findRandomInputs } from './random-inputs.ts'
import { type Compressors, measureSizes } from './size.ts'
import { openTrial, type Trial } from './trial.ts'

/** What is measured of one of two models. */
export interface Side {
  readonly name: string
  /** Bytes of the .onnx as it is, and packed by coppice. */
  readonly bytes: number
  readonly packed: number
  /** What the bytes of the .onnx are. */
  readonly parts?: FileParts
  /** Bytes of the .onnx gzipped (level 9) and with brotli (level 11), where that was asked for. */
  readonly gzip?: number
  readonly brotli?: number
  readonly params: number
  /** Parameters that are not zero; null where zeros of some layer cannot be seen. */
  readonly nonZero: number | null
  /** Multiply-adds at batch 1; null where shapes are not known. */
  readonly macs: number | null
  /** Shares of 1, on the whole test set. */
  readonly top1?: number
  readonly top5?: number
  /** Milliseconds per call: median, 10th and 90th percentile. */
  readonly latencyMs?: Spread
  readonly layers: readonly LayerInfo[]
}

/** How two models' outputs agree. */
export interface Agreement {
  /** What the outputs were compared on. */
  readonly on: string
  /** Share of 1 with the same top class; left out where outputs are no class scores. */
  readonly top1?: number
  readonly snrDb: number
  readonly maxAbsDiff: number
}

export interface Subject {
  readonly name: string
  readonly model: Model
  /** The file's bytes. */
  readonly onnx: Uint8Array
  readonly packedBytes: number
}

export interface MeasureOptions extends Pick<Context, 'progress' | 'signal' | 'warn'> {
  readonly data?: BoundData
  readonly seed: number
  /** General compressors whose sizes are given for comparison: they may take minutes, so only where that was asked for. */
  readonly compressors?: Compressors
  readonly skipLatency?: boolean
  /** How long latency may be measured, in milliseconds; default: as `measureLatency` has it. */
  readonly latencyMs?: number
  /** The judgement of the second model by the first, where it was made already. */
  readonly trial?: Trial
  /** What the outputs mean, and what may be lost; guessed, and 0.5 points, where they are not given. */
  readonly task?: Task
  readonly max?: MaxLoss
  /** Whether other ways of feeding images are tried, and one that suits `before` better is warned of; default true. */
  readonly preprocessCheck?: boolean
}

export interface Comparison {
  readonly before: Side
  readonly after: Side
  readonly agreement: Agreement
  readonly trial: Trial
  readonly speedUp?: SpeedUp
  /** What a person should know about how much the comparison shows; also told at once, to `warn`. */
  readonly warnings: readonly string[]
}

export async function compareModels(before: Subject, after: Subject, options: MeasureOptions): Promise<Comparison> {
  const { progress, signal, data } = options
  const warnings = data ? await dataWarnings(before.model, data, options) : []
  // Where the trial was made already, nothing but latency takes long.
  const judged = options.trial ? 0 : 0.85
  const trial = options.trial ?? (await compare(before, after, options))
  if (!options.trial) for (const warning of trial.warnings) options.warn?.(warning)
  const accuracies = accuraciesOf(trial)
  let latency: Latency[] | undefined
  if (!options.skipLatency) {
    // The same file takes the same time, whatever two runs of it would say.
    const different = sameBytes(before.onnx, after.onnx) ? [before.onnx] : [before.onnx, after.onnx]
    const times = await latencyOf(different, await oneCall(before.model, options), {
      maxMs: options.latencyMs,
      signal,
      progress: (done, what) => progress?.(judged + (1 - judged) * done, what),
    })
    latency = [times[0], times[1] ?? times[0]]
  }
  const sides = [before, after].map(async (subject, i) => ({
    ...(await sideOf(subject, options)),
    ...accuracies[i],
    ...(latency ? { latencyMs: latency[i].latencyMs } : {}),
  }))
  const [sideBefore, sideAfter] = await Promise.all(sides)
  return {
    before: sideBefore,
    after: sideAfter,
    agreement: agreementOf(trial),
    trial,
    ...(latency ? { speedUp: latency[1].speedUp } : {}),
    warnings: [...warnings, ...trial.warnings],
  }
}

/** Judges the second model by the first on test data, or on random inputs where there is none. */
async function compare(before: Subject, after: Subject, options: MeasureOptions): Promise<Trial> {
  const { data, seed, signal, max = parseMaxLoss('0.5') } = options
  const taskFor = async (dataset?: Dataset): Promise<Task> =>
    sharedTask(options.task ?? (await resolveTask(before.model, { dataset })), before.model, after.model)
  if (data) {
    const task = await taskFor(data.splits.test)
    return (await openTrial(before.model, { data }, { task, max, signal }))(after.model)
  }
  const random = await randomData(before.model, seed)
  const task = await taskFor()
  const samples = Math.min(64, random.mostSamples)
  return (await openTrial(before.model, { random, samples }, { task, max, signal }))(after.model)
}

/** Accuracy of both on the labels that judge the first such output. */
function accuraciesOf({ judgements }: Trial): [before: Accuracies, after: Accuracies] {
  const right =
    judgements.find((j) => j.right && j.task.axis !== undefined)?.right ?? judgements.find((j) => j.right)?.right
  if (!right) return [{}, {}]
  const { before, after, top5 } = right
  return [
    { top1: before, ...(top5 ? { top5: top5.before } : {}) },
    { top1: after, ...(top5 ? { top5: top5.after } : {}) },
  ]
}

type Accuracies = Pick<Side, 'top1' | 'top5'>

function agreementOf({ on, judgements }: Trial): Agreement {
  const valued = judgements.filter((j) => j.varies && j.snrDb !== undefined)
  const decided = judgements.find(
    (j) => j.changed && !j.group && (j.task.kind === 'classes' || j.task.kind === 'binary'),
  )
  return {
    on,
    snrDb: Math.min(Number.POSITIVE_INFINITY, ...valued.map((j) => j.snrDb as number)),
    maxAbsDiff: Math.max(0, ...valued.map((j) => j.maxAbsDiff as number)),
    ...(decided?.changed ? { top1: 1 - decided.changed.share } : {}),
  }
}

/** Latency at batch 1 of models that take the same input, in turn on one. */
export async function latencyOf(
  models: readonly (Model | Uint8Array)[],
  feeds: Feeds,
  options: LatencyOptions,
): Promise<Latency[]> {
  const contenders = models.map((model, i) => ({
    name: String(i),
    feeds,
    open: () => openSession(model, { restful: true }),
  }))
  return measureLatency(contenders, options)
}

/** Inputs of one call: the first test sample, or random ones that the model takes. */
export async function oneCall(model: Model, { data, seed }: { data?: BoundData; seed: number }): Promise<Feeds> {
  if (data) {
    const [{ feeds }] = fedBatches(data.batcher, data.splits.test, 1)
    return feeds
  }
  return withSession(
    () => openSession(model),
    async (session) => (await findRandomInputs(model, session)).make(seed),
  )
}

async function sideOf({ name, model, onnx, packedBytes }: Subject, { compressors }: MeasureOptions): Promise<Side> {
  const { layers, totals } = inspectModel(model)
  const zeros = layers.reduce<number | null>((sum, l) => (sum === null || l.zeros === null ? null : sum + l.zeros), 0)
  const { rawBytes, gzipBytes: gzip, brotliBytes: brotli } = await measureSizes(onnx, compressors)
  return {
    name,
    bytes: rawBytes,
    ...(gzip === undefined ? {} : { gzip }),
    ...(brotli === undefined ? {} : { brotli }),
    packed: packedBytes,
    parts: filePartsOf(model, totals.bytes),
    params: totals.params,
    nonZero: zeros === null ? null : totals.params - zeros,
    macs: totals.macs,
    layers,
  }
}
