/** What the data says the outputs should be. */
import type { Dataset } from '../data/dataset.ts'
import { sizeOf } from '../tensor/dtype.ts'
import { isYesOrNo, type OutputTask } from './task.ts'

export interface Answers {
  /** A class per sample. */
  readonly labels?: Int32Array
  /** A row of numbers per sample, of `width` each. */
  readonly rows?: { readonly data: Float32Array; readonly width: number }
}

/** The answers of the first `count` samples of `indices`. */
export function answersFor({ labels, targets }: Dataset, indices: ArrayLike<number>, count: number): Answers {
  if (labels) return { labels: Int32Array.from({ length: count }, (_, s) => labels[indices[s]]) }
  if (!targets) return {}
  const width = sizeOf(targets.shape)
  const data = Float32Array.from(
    { length: count * width },
    (_, i) => targets.data[indices[Math.floor(i / width)] * width + (i % width)],
  )
  return { rows: { data, width } }
}

/**
 * The class that each decision should be, of `positions` per sample. Several labels and masks of one score are 1 from one half
 * on; of classes per position a negative one marks a position that does not count, as padding is marked. Undefined where the
 * answers are not as many as the decisions.
 */
export function labelAt(
  { labels, rows }: Answers,
  task: OutputTask,
  positions: number,
): ((i: number) => number | undefined) | undefined {
  if (labels) return positions === 1 ? (i) => labels[i] : undefined
  if (rows?.width !== positions) return undefined
  const { data } = rows
  return isYesOrNo(task) ? (i) => (data[i] > 0.5 ? 1 : 0) : (i) => (data[i] >= 0 ? data[i] : undefined)
}
