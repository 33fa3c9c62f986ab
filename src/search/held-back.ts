/** What compressing may look at: calibration and validation samples, both of the training part. */

import { subset } from '../data/batches.ts'
import type { Dataset } from '../data/dataset.ts'
import { type BoundData, type DataHandle, dataHandle, drawSamples, usualTake } from '../data/handle.ts'
import { permutation, random } from '../tensor/random.ts'

const validationSamples = 5000
/** Of a small set that is trained on. */
const validatedShare = 0.25

export interface HeldBack {
  readonly data: DataHandle
  /** How many samples the handle takes. */
  readonly samples: number
  readonly validation: Dataset
}

/** How many samples of a set are calibrated on, and how many validated on. */
export function holdBackCounts(
  length: number,
  trains = false,
): { readonly calibrated: number; readonly validated: number } {
  const calibrated = Math.min(usualTake.samples, Math.max(1, Math.floor(length * 0.4)))
  const spare = trains ? Math.ceil(length * validatedShare) : length
  return { calibrated, validated: Math.min(length - calibrated, validationSamples, spare) }
}

/** A training set without the samples that follow those to calibrate on, which a search judges by. */
export function withoutHeldBack(
  train: Dataset,
  { samples, heldBack, seed }: { readonly samples: number; readonly heldBack: number; readonly seed: number },
): Dataset {
  const order = permutation(train.length, random(seed))
  const left = [...order.subarray(0, samples), ...order.subarray(samples + heldBack)]
  return subset(train, Uint32Array.from(left))
}

/**
 * At most 512 samples to calibrate on and 5,000 others to validate on; of a small set two fifths and the rest. A search
 * that trains validates on a quarter at most, and sees no others than those that it does not validate on.
 */
export function holdBack(
  { splits: { train }, batcher }: BoundData,
  { seed, trains }: { readonly seed: number; readonly trains: boolean },
): HeldBack {
  const { calibrated: samples, validated } = holdBackCounts(train.length, trains)
  const [, others] = drawSamples(train, samples, seed)
  if (others.length === 0) throw new Error(`${train.id}: ${train.length} samples; expected 2 or more to compress with`)
  const validation = others.length > validated ? firstOf(others, validated) : others
  const seen = trains ? withoutHeldBack(train, { samples, heldBack: validation.length, seed }) : train
  return { data: dataHandle({ train: seen, batcher }, { seed, usual: { samples } }), samples, validation }
}

function firstOf(set: Dataset, count: number): Dataset {
  return subset(
    set,
    Uint32Array.from({ length: count }, (_, i) => i),
  )
}
