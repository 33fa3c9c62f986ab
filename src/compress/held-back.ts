/** The data that compressing may look at: calibration and validation samples, both cut from the training part. */
import type { BoundBatcher } from '../data/batcher.ts'
import { subset } from '../data/batches.ts'
import type { Dataset, Splits } from '../data/dataset.ts'
import { fedBatches } from '../data/fed-batches.ts'
import type { Feeds } from '../method.ts'
import { permutation, random } from '../tensor/random.ts'

export interface BoundData {
  readonly splits: Splits
  readonly batcher: BoundBatcher
}

export const calibrationSamples = 512
export const calibrationBatch = 128
const validationSamples = 5000

export interface HeldBack {
  readonly calibration: () => Iterable<Feeds>
  readonly validation: Dataset
}

/** At most 512 samples to calibrate on and 5,000 others to validate on; of a small set two fifths and the rest. */
export function holdBack({ splits, batcher }: BoundData, seed: number): HeldBack {
  const { train } = splits
  const { calibration, rest } = divide(train, seed)
  if (rest.length === 0) throw new Error(`${train.id}: ${train.length} samples; expected 2 or more to compress with`)
  return {
    validation: subset(train, rest.subarray(0, validationSamples)),
    calibration: () => feedsOf(subset(train, calibration), batcher),
  }
}

/** The calibration batches alone, the same as `holdBack` takes. */
export function calibrationFeeds({ splits, batcher }: BoundData, seed: number): Iterable<Feeds> {
  return feedsOf(subset(splits.train, divide(splits.train, seed).calibration), batcher)
}

function divide(train: Dataset, seed: number): { calibration: Uint32Array; rest: Uint32Array } {
  const order = permutation(train.length, random(seed))
  const count = Math.min(calibrationSamples, Math.max(1, Math.floor(train.length * 0.4)))
  return { calibration: order.subarray(0, count), rest: order.subarray(count) }
}

function* feedsOf(calibration: Dataset, batcher: BoundBatcher): Generator<Feeds> {
  for (const { feeds } of fedBatches(batcher, calibration, calibrationBatch)) yield feeds
}
