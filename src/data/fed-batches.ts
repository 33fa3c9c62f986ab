/** A data set as batches of a model's inputs, in order. */
import type { Feeds } from '../method.ts'
import { bytesOf } from '../tensor/dtype.ts'
import { batches } from './batches.ts'
import type { Batcher, Dataset } from './dataset.ts'

export interface FedBatch {
  readonly feeds: Feeds
  /** How many samples of the batch count: the rest repeats the last one, to fill a model's fixed batch. */
  readonly count: number
  /** How many samples were fed. */
  readonly fed: number
  readonly indices: Uint32Array
}

/** Samples per call are `batchSize` (default 100), or the model's own number where it takes only one. */
export function* fedBatches(batcher: Batcher, dataset: Dataset, batchSize = 100): Generator<FedBatch> {
  const fixed = batcher.batchSize
  for (const indices of batches(dataset, fixed ?? batchSize)) {
    const filled =
      fixed !== undefined && indices.length < fixed
        ? Uint32Array.from({ length: fixed }, (_, i) => indices[Math.min(i, indices.length - 1)])
        : indices
    yield { feeds: batcher(dataset, filled), count: indices.length, fed: filled.length, indices }
  }
}

/** Inputs of a model up to so many bytes are kept by `againFed`. */
const mostKept = 2 ** 26

/** Batches that are fed many times: made once where they are not large, and else each time. */
export function againFed(make: () => Iterable<FedBatch>): () => Iterable<FedBatch> {
  let kept: readonly FedBatch[] | undefined
  let isLarge = false
  return function* again() {
    if (kept || isLarge) return yield* kept ?? make()
    const made: FedBatch[] = []
    let bytes = 0
    for (const batch of make()) {
      for (const { data } of Object.values(batch.feeds)) bytes += bytesOf(data).byteLength
      isLarge ||= bytes > mostKept
      if (isLarge) made.length = 0
      else made.push(batch)
      yield batch
    }
    if (!isLarge) kept = made
  }
}
