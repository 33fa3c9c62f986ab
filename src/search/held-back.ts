/** What compressing may look at: calibration and validation samples, both of the training part. */

import { subset } from '../data/batches.ts'
import type { Dataset } from '../data/dataset.ts'
import { type BoundData, type DataHandle, dataHandle, drawSamples, usualTake } from '../data/handle.ts'

const validationSamples = 5000

export interface HeldBack {
  readonly data: DataHandle
  /** How many samples the handle takes. */
  readonly samples: number
  readonly validation: Dataset
}

/** How many samples of a set are calibrated on, and how many validated on. */
export function holdBackCounts(length: number): { readonly calibrated: number; readonly validated: number } {
  const calibrated = Math.min(usualTake.samples, Math.max(1, Math.floor(length * 0.4)))
  return { calibrated, validated: Math.min(length - calibrated, validationSamples) }
}

/** At most 512 samples to calibrate on and 5,000 others to validate on; of a small set two fifths and the rest. */
export function holdBack({ splits: { train }, batcher }: BoundData, seed: number): HeldBack {
  const { calibrated: samples } = holdBackCounts(train.length)
  const [, others] = drawSamples(train, samples, seed)
  if (others.length === 0) throw new Error(`${train.id}: ${train.length} samples; expected 2 or more to compress with`)
  return {
    data: dataHandle({ train, batcher }, { seed, usual: { samples } }),
    samples,
    validation: others.length > validationSamples ? firstOf(others, validationSamples) : others,
  }
}

function firstOf(set: Dataset, count: number): Dataset {
  return subset(
    set,
    Uint32Array.from({ length: count }, (_, i) => i),
  )
}
