/**
 * Data as methods are given it: samples of a training set, bound to a model's inputs. Which samples those are is said here
 * alone. They are drawn by the seed, since a set may come class by class, as a folder of images does, and a smaller draw is
 * the beginning of a larger one.
 */
import type { Feeds, LabelledFeeds } from '../method.ts'
import { permutation, random } from '../tensor/random.ts'
import type { BoundBatcher } from './batcher.ts'
import { subset } from './batches.ts'
import type { Dataset, Preprocess, Splits } from './dataset.ts'
import { fedBatches } from './fed-batches.ts'

/** A data set whose fields are bound to a model's inputs; its test part is only to report on. */
export interface BoundData {
  readonly splits: Splits
  readonly batcher: BoundBatcher
  /** How images become inputs, where there are some. */
  readonly preprocess?: Preprocess
}

export interface Take {
  /** At most so many; all that there are, of a smaller set. */
  readonly samples: number
  /** Samples per batch, where the model takes any number. */
  readonly batchSize: number
}

/** Random inputs that are alike. */
export interface InputGroup {
  /** The range of their values, for people: `0..255`. */
  readonly range: string
  /** All their numbers are independent, which those of real inputs are not. */
  readonly isNoise: boolean
  /** A network for images is fed in one range, and the others leave its outputs nearly constant. */
  readonly isImage?: boolean
  /** Neither pictures, maps nor sounds, but features in no order. */
  readonly isVector?: boolean
  /** The length of sequences, where the model leaves that open and these are short ones. */
  readonly length?: number
}

export interface DataHandle {
  /** What methods train on; absent where inputs are random or given as batches. Never test data. */
  readonly train?: Dataset
  readonly batcher?: BoundBatcher
  /** How many samples are taken where a method does not say. */
  readonly usual?: Partial<Take>
  /** Batches of inputs. The same call gives the same ones. */
  calibration(take?: Partial<Take>): Iterable<Feeds>
  /** Batches of inputs with the class of each sample; absent without labels. Throws where the model takes more samples per call than there are. */
  labelled?(take?: Partial<Take>): Iterable<LabelledFeeds>
  /** Where inputs are random: what each batch is of. Values are compared within a group, and every group counts alike. */
  readonly groups?: readonly InputGroup[]
}

export const usualTake: Take = { samples: 512, batchSize: 128 }

/** A handle on a training set; `seed` draws the samples, `usual` says how many where a method does not. */
export function dataHandle(
  { train, batcher }: { readonly train: Dataset; readonly batcher: BoundBatcher },
  { seed, usual = usualTake }: { readonly seed: number; readonly usual?: Partial<Take> },
): DataHandle {
  const drawn = (take: Partial<Take> = {}) => {
    const { samples, batchSize } = { ...usualTake, ...usual, ...take }
    const set = drawSamples(train, samples, seed)
    return { set, batches: fedBatches(batcher, set, batchSize) }
  }
  const { labels } = train
  return {
    train,
    batcher,
    usual,
    *calibration(take) {
      for (const { feeds } of drawn(take).batches) yield feeds
    },
    ...(labels && {
      *labelled(take?: Partial<Take>) {
        const { set, batches } = drawn(take)
        if (set.length < (batcher.batchSize ?? 1))
          throw new Error(
            `${train.id}: ${set.length} samples; expected at least ${batcher.batchSize}, which the model takes per call`,
          )
        for (const { feeds, indices } of batches)
          yield { feeds, labels: indices.map((i) => (set.labels as ArrayLike<number>)[i]) }
      },
    }),
  }
}

/** The first `samples` of a set that is shuffled by the seed. */
export function drawSamples(set: Dataset, samples: number, seed: number): Dataset {
  return subset(set, permutation(set.length, random(seed)).subarray(0, samples))
}

/** The same, and all others. */
export function drawApart(set: Dataset, samples: number, seed: number): [drawn: Dataset, others: Dataset] {
  const order = permutation(set.length, random(seed))
  return [subset(set, order.subarray(0, samples)), subset(set, order.subarray(samples))]
}
