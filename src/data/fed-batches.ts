/** A data set as batches of a model's inputs, in order. */
import type { Feeds } from '../method.ts'
import type { BoundBatcher } from './batcher.ts'
import { batches } from './batches.ts'
import type { Dataset } from './dataset.ts'

export interface FedBatch {
  readonly feeds: Feeds
  /** How many samples of the batch count: the rest repeats the last one, to fill a model's fixed batch. */
  readonly count: number
  /** How many samples were fed. */
  readonly fed: number
  readonly indices: Uint32Array
}

/** Samples per call are `batchSize` (default 100), or the model's own number where it takes only one. */
export function* fedBatches(batcher: BoundBatcher, dataset: Dataset, batchSize = 100): Generator<FedBatch> {
  const fixed = batcher.batchSize
  for (const indices of batches(dataset, fixed ?? batchSize)) {
    const filled =
      fixed !== undefined && indices.length < fixed
        ? Uint32Array.from({ length: fixed }, (_, i) => indices[Math.min(i, indices.length - 1)])
        : indices
    yield { feeds: batcher(dataset, filled), count: indices.length, fed: filled.length, indices }
  }
}
