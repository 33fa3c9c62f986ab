/** What the data says the outputs should be. */
import type { Dataset } from '../data/dataset.ts'
import { sizeOf } from '../tensor/dtype.ts'

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
