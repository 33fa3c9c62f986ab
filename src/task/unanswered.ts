/**
 * Samples that a model has no finite answer for: a missing number in the data, the logarithm of nothing. One of them makes every
 * mean, gradient and score of its batch NaN, so whatever learns from data is given the data without them. Judging leaves them out
 * as well (judge-on-data.ts), of the samples that it judges on.
 */
import { subset } from '../data/batches.ts'
import type { Batcher, Dataset } from '../data/dataset.ts'
import { fedBatches } from '../data/fed-batches.ts'
import { type BoundData, type DataHandle, dataHandle, drawSamples, type Take, usualTake } from '../data/handle.ts'
import { stopIfAborted } from '../errors.ts'
import { graphsOf } from '../graph/walk.ts'
import type { Context } from '../method.ts'
import { isOnnxDomain, type Model } from '../model.ts'
import { count } from '../numbers.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { guessTask } from './guess.ts'
import { judgedModel } from './judged-model.ts'
import { type BatchOutput, samplesOf } from './samples.ts'

/** Samples that are left out for it, of so many that were looked at. */
export interface LeftOut {
  readonly samples: number
  readonly of: number
}

/** Up to this share they are left out: where they are most, NaN and infinity are what such a model gives. */
const mostLeftOut = 0.5

/** What methods are given of a training set: a handle on it without the samples that the model has no finite answer for. */
export async function answeredHandle(
  model: Model,
  data: BoundData,
  {
    seed,
    usual,
    signal,
    warn,
  }: Pick<Context, 'signal' | 'warn'> & { readonly seed: number; readonly usual?: Partial<Take> },
): Promise<DataHandle> {
  const { data: answered, leftOut } = await answeredData(model, data, { seed, usual, signal })
  for (const warning of leftOutInWords([leftOut])) warn?.(warning)
  return dataHandle({ train: answered.splits.train, batcher: data.batcher }, { seed, usual })
}

/** The data without the training samples that the model has no finite answer for, and how many those are. */
export async function answeredData(
  model: Model,
  data: BoundData,
  { seed, usual, signal }: Pick<Context, 'signal'> & { readonly seed: number; readonly usual?: Partial<Take> },
): Promise<{ readonly data: BoundData; readonly leftOut: LeftOut }> {
  const { batcher, splits } = data
  // To look at all takes a run of each, so a part of them says whether it is needed.
  const some = drawSamples(splits.train, Math.max(usualTake.samples, usual?.samples ?? 0), seed)
  const { batchSize } = { ...usualTake, ...usual }
  const found = await answeredSamples(model, { batcher, dataset: some, batchSize }, signal)
  if (found.dataset === some) return { data, leftOut: found.leftOut }
  const { dataset: train, leftOut } = await answeredSamples(
    model,
    { batcher, dataset: splits.train, batchSize },
    signal,
  )
  return { data: { ...data, splits: { ...splits, train } }, leftOut }
}

/** A data set without the samples that the model has no finite answer for: itself where none lacks one, or most do. */
export async function answeredSamples(
  model: Model,
  looked: LookedAt,
  signal?: AbortSignal,
): Promise<{ readonly dataset: Dataset; readonly leftOut: LeftOut }> {
  return withoutSamples(looked.dataset, await unansweredSamples(model, looked, signal))
}

interface LookedAt {
  readonly batcher: Batcher
  readonly dataset: Dataset
  /** Samples per call; default 100. */
  readonly batchSize?: number
}

/** One sentence about the sets that samples were left out of; nothing where none was. */
export function leftOutInWords(parts: readonly LeftOut[]): string[] {
  const cut = parts.filter((part) => part.samples > 0)
  if (cut.length === 0) return []
  const samples = cut.reduce((sum, part) => sum + part.samples, 0)
  const of = cut.reduce((sum, part) => sum + part.of, 0)
  return [`for ${count(samples)} of ${count(of)} samples the model itself gives NaN or infinity: they are left out`]
}

/** A data set without the samples `unanswered`, where those are few enough. */
export function withoutSamples(
  dataset: Dataset,
  unanswered: ReadonlySet<number>,
): { readonly dataset: Dataset; readonly leftOut: LeftOut } {
  const of = dataset.length
  if (unanswered.size === 0 || unanswered.size > mostLeftOut * of) return { dataset, leftOut: { samples: 0, of } }
  const answered = Uint32Array.from({ length: of }, (_, i) => i).filter((i) => !unanswered.has(i))
  return { dataset: subset(dataset, answered), leftOut: { samples: unanswered.size, of } }
}

async function unansweredSamples(
  model: Model,
  { batcher, dataset, batchSize }: LookedAt,
  signal?: AbortSignal,
): Promise<ReadonlySet<number>> {
  const found = new Set<number>()
  if (!mayLackAnswers(model, dataset)) return found
  const task = guessTask(model, { dataset })
  const judged = task.outputs.filter((o) => o.kind !== 'ignored')
  if (judged.length === 0) return found
  await withSession(
    () => openSession(judgedModel(model, task)),
    async (session) => {
      for (const { feeds, fed, count: counted, indices } of fedBatches(batcher, dataset, batchSize)) {
        stopIfAborted(signal, 'data')
        const values = await session.run(feeds)
        for (const { output, batchAxis } of judged) {
          const out = samplesOf(values[output], { fed, count: counted, axis: batchAxis })
          for (const s of unansweredIn(out, { fed, count: counted, indices })) found.add(s)
        }
      }
    },
  )
  return found
}

/**
 * Which samples of the data set an output gives NaN or infinity for. Minus infinity may be an answer, of a logarithm or behind a
 * mask, beside others that are finite.
 */
export function* unansweredIn(
  out: BatchOutput,
  {
    indices,
    fed = 1,
    count = fed,
  }: { readonly indices?: ArrayLike<number>; readonly fed?: number; readonly count?: number },
): Generator<number> {
  if (!indices || !out.float || out.samples !== count) return
  for (let s = 0; s < out.samples; s++) {
    let [isUnfit, isAnswered] = [false, out.size === 0]
    for (let j = 0; j < out.size; j++) {
      const v = out.data[out.at(s, j)]
      if (Number.isFinite(v)) isAnswered = true
      else if (v !== Number.NEGATIVE_INFINITY) isUnfit = true
    }
    if (isUnfit || !isAnswered) yield indices[s]
  }
}

/** Operators that have no finite answer for some everyday numbers. */
const partial = new Set([
  ...['Acos', 'Acosh', 'Asin', 'Atanh', 'Cosh', 'Div', 'Exp', 'Log', 'LpNormalization', 'Mod', 'Pow', 'Reciprocal'],
  ...['ReduceLogSum', 'Sinh', 'Sqrt', 'Tan'],
])

/** Whether a sample without an answer is to be expected: one that holds none of its numbers, or operators that have none for some. */
function mayLackAnswers(model: Model, { fields }: Dataset): boolean {
  const isPartial = [
    ...[...graphsOf(model)].flatMap(({ nodes }) => nodes),
    ...(model.functions ?? []).flatMap((fn) => fn.nodes),
  ].some((n) => isOnnxDomain(n.domain) && partial.has(n.op))
  return isPartial || Object.values(fields).some(({ data, kind }) => kind !== 'image' && !isAllFinite(data))
}

function isAllFinite(data: ArrayLike<number | bigint>): boolean {
  for (let i = 0; i < data.length; i++) {
    const v = data[i]
    if (typeof v === 'number' && !Number.isFinite(v)) return false
  }
  return true
}
