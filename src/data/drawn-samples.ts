/**
 * The samples of a training set that a method may look at, drawn by the seed: a set may come class by class, as a folder of
 * images does. A smaller draw is the beginning of a larger one.
 */
import type { Feeds, LabelledFeeds } from '../method.ts'
import { permutation, random } from '../tensor/random.ts'
import type { BoundBatcher } from './batcher.ts'
import { subset } from './batches.ts'
import type { Dataset } from './dataset.ts'
import { fedBatches } from './fed-batches.ts'

export interface Draw {
  /** At most so many; all that there are, of a smaller set. */
  readonly samples: number
  readonly batchSize: number
  readonly seed: number
}

/** The drawn samples, and all others. */
export function drawSamples(train: Dataset, { samples, seed }: Omit<Draw, 'batchSize'>): [Dataset, Dataset] {
  const order = permutation(train.length, random(seed))
  return [subset(train, order.subarray(0, samples)), subset(train, order.subarray(samples))]
}

/** What a method's context is given of them. Reading the labelled ones throws where the model takes more samples per call. */
export function drawnFeeds(
  train: Dataset,
  batcher: BoundBatcher,
  draw: Draw,
): { calibration(): Iterable<Feeds>; labelled?(): Iterable<LabelledFeeds> } {
  const [drawn] = drawSamples(train, draw)
  const { labels } = drawn
  return {
    *calibration() {
      for (const { feeds } of fedBatches(batcher, drawn, draw.batchSize)) yield feeds
    },
    ...(labels && {
      *labelled() {
        if (drawn.length < (batcher.batchSize ?? 1))
          throw new Error(
            `${train.id}: ${drawn.length} samples; expected at least ${batcher.batchSize}, which the model takes per call`,
          )
        for (const { feeds, indices } of fedBatches(batcher, drawn, draw.batchSize))
          yield { feeds, labels: indices.map((i) => labels[i]) }
      },
    }),
  }
}
