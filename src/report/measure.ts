/** Measuring two models side by side for a report: sizes, accuracy on the whole test set, agreement, latency. */
import type { BoundData } from '../compress/held-back.ts'
import { fedBatches } from '../data/fed-batches.ts'
import { evaluateAccuracy } from '../evaluate/accuracy.ts'
import { measureAgreement } from '../evaluate/agreement.ts'
import { type Latency, type LatencyOptions, measureLatency } from '../evaluate/latency.ts'
import { findRandomInputs } from '../evaluate/random-inputs.ts'
import { type Compressors, measureSizes } from '../evaluate/size.ts'
import { inspectModel } from '../inspect.ts'
import type { Context, Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import { openSession, type Session, withSession } from '../runtime/session.ts'
import type { SpeedUp } from '../speed-up.ts'
import { sameBytes } from '../tensor/dtype.ts'
import type { Agreement, Side } from './report.ts'

export interface Subject {
  readonly name: string
  readonly model: Model
  /** The file's bytes. */
  readonly onnx: Uint8Array
  readonly packedBytes: number
}

export interface MeasureOptions extends Pick<Context, 'progress' | 'signal'> {
  readonly data?: BoundData
  readonly seed: number
  /** General compressors whose sizes are told for comparison: they may take minutes, so only where that was asked for. */
  readonly compressors?: Compressors
  readonly skipLatency?: boolean
}

export interface Comparison {
  readonly before: Side
  readonly after: Side
  readonly agreement: Agreement
  readonly speedUp?: SpeedUp
}

export async function compareModels(before: Subject, after: Subject, options: MeasureOptions): Promise<Comparison> {
  const { data, progress, signal } = options
  const opener =
    ({ name, onnx }: Subject) =>
    () =>
      openSession(onnx, { name })
  const openers = [before, after].map(opener)
  const [a, b] = [await openers[0](), await openers[1]()]
  let accuracies: Awaited<ReturnType<typeof accuracyOf>>[] = []
  let agreement: Agreement
  try {
    if (data?.splits.test.labels)
      accuracies = [await accuracyOf(a, data, options, 0), await accuracyOf(b, data, options, 0.4)]
    agreement = await agreementOf(before.model, { a, b }, options)
  } finally {
    await a.release()
    await b.release()
  }
  let latency: Latency[] | undefined
  if (!options.skipLatency) {
    // The same file takes the same time, whatever two runs of it would say.
    const different = sameBytes(before.onnx, after.onnx) ? [before.onnx] : [before.onnx, after.onnx]
    const times = await latencyOf(different, await oneCall(before.model, options), {
      maxMs: 20_000,
      signal,
      progress: (done, what) => progress?.(0.85 + 0.15 * done, what),
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
    agreement,
    ...(latency ? { speedUp: latency[1].speedUp } : {}),
  }
}

async function accuracyOf(
  session: Session,
  { splits, batcher }: BoundData,
  { progress, signal }: MeasureOptions,
  from: number,
) {
  const { top1, top5 } = await evaluateAccuracy(session, batcher, splits.test, {
    batchSize: 250,
    signal,
    progress: (done, what) => progress?.(from + 0.4 * done, what),
  })
  return { top1, ...(top5 === undefined ? {} : { top5 }) }
}

const agreementSamples = 2000

async function agreementOf(
  model: Model,
  { a, b }: { a: Session; b: Session },
  { data, seed, signal }: MeasureOptions,
): Promise<Agreement> {
  let on: string
  let inputs: Iterable<{ feeds: Feeds; count?: number }>
  if (data) {
    const { test } = data.splits
    const batches = [...fedBatches(data.batcher, test, 250)]
    const per = batches[0].count
    inputs = batches.slice(0, Math.ceil(agreementSamples / per))
    on = `${Math.min(test.length, Math.ceil(agreementSamples / per) * per)} test samples`
  } else {
    const random = await findRandomInputs(model, a)
    inputs = Array.from({ length: 8 }, (_, i) => ({ feeds: random.make(seed + 1000 + i) }))
    on = '8 random inputs'
  }
  const { outputs } = await measureAgreement(a, b, inputs, { signal })
  const worst = outputs.reduce((w, o) => (o.snrDb < w.snrDb ? o : w))
  return {
    on,
    snrDb: worst.snrDb,
    maxAbsDiff: Math.max(...outputs.map((o) => o.maxAbsDiff)),
    ...(data && outputs[0].top1 !== undefined ? { top1: outputs[0].top1 } : {}),
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
  const zeros = layers.reduce((sum, l) => sum + (l.sparsity ?? 0) * l.params, 0)
  const { rawBytes, gzipBytes: gzip, brotliBytes: brotli } = await measureSizes(onnx, compressors)
  return {
    name,
    bytes: rawBytes,
    ...(gzip === undefined ? {} : { gzip }),
    ...(brotli === undefined ? {} : { brotli }),
    packed: packedBytes,
    params: totals.params,
    nonZero: Math.round(totals.params - zeros),
    macs: totals.macs,
    layers,
  }
}
