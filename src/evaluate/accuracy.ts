/** Top-1 and top-5 accuracy of a model over a whole labelled set. */

import type { BoundBatcher } from '../data/batcher.ts'
import type { Dataset } from '../data/dataset.ts'
import { fedBatches } from '../data/fed-batches.ts'
import { AbortError } from '../errors.ts'
import type { Value } from '../method.ts'
import type { Session } from '../runtime/session.ts'

export interface EvaluateOptions {
  /** Samples a call; default 100. Models that take one batch size get that. */
  readonly batchSize?: number
  /** The output with the class scores; default: the first. */
  readonly output?: string
  /** Keeps every sample's scores. */
  readonly keepLogits?: boolean
  readonly progress?: (done: number, what: string) => void
  readonly signal?: AbortSignal
}

export interface Accuracy {
  /** Shares of 1. Ties go to the class that comes first; a sample whose scores are not numbers counts as wrong. */
  readonly top1: number
  /** Left out where there are no more than 5 classes. */
  readonly top5?: number
  readonly correct: number
  readonly count: number
  /** [count, classes], where they were asked for. */
  readonly logits?: Float32Array
}

/** Runs the whole set. Throws one sentence where there are no labels or the output does not fit the classes. */
export async function evaluateAccuracy(
  session: Session,
  batcher: BoundBatcher,
  dataset: Dataset,
  options: EvaluateOptions = {},
): Promise<Accuracy> {
  const { labels, classes = 0, length } = dataset
  if (!labels) throw new Error(`${dataset.id}: it has no labels; expected a class for each sample to measure accuracy`)
  const output = options.output ?? session.outputNames[0]
  let correct = 0
  let within5 = 0
  let logits: Float32Array | undefined
  let done = 0
  for (const { feeds, count, indices } of fedBatches(batcher, dataset, options.batchSize)) {
    if (options.signal?.aborted) throw new AbortError('evaluate: stopped')
    const scores = (await session.run(feeds, [output]))[output]
    const width = scoreWidth(scores, output, classes)
    if (options.keepLogits) logits ??= new Float32Array(length * width)
    for (let i = 0; i < count; i++) {
      const rank = rankOf(scores.data, i * width, width, labels[indices[i]])
      if (rank === 0) correct++
      if (rank < 5) within5++
      if (logits) for (let c = 0; c < width; c++) logits[(done + i) * width + c] = Number(scores.data[i * width + c])
    }
    done += count
    options.progress?.(done / length, 'evaluating')
  }
  return {
    top1: correct / length,
    ...(classes > 5 ? { top5: within5 / length } : {}),
    correct,
    count: length,
    ...(logits ? { logits } : {}),
  }
}

/** The number of scores a sample; throws where the output is not one score a class. */
function scoreWidth({ dims, data }: Value, output: string, classes: number): number {
  const width = dims.length > 0 && dims[0] > 0 ? data.length / dims[0] : 0
  const atLeast = dims.slice(1).filter((d) => d > 1).length <= 1
  if (!atLeast || width < Math.max(2, classes)) {
    throw new Error(
      `evaluate: output "${output}" has shape [${dims.join(',')}]; expected [batch, classes] with at least ${classes} classes`,
    )
  }
  return width
}

/** How many classes score higher than `label` (ties: the earlier class counts as higher). */
function rankOf(data: Value['data'], from: number, width: number, label: number): number {
  const own = data[from + label]
  let rank = 0
  for (let c = 0; c < width; c++) {
    const score = data[from + c]
    if (Number.isNaN(score)) return width
    if (score > own || (score === own && c < label)) rank++
  }
  return rank
}
