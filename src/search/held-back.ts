/** What compressing may look at: calibration and validation samples, both of the training part unless the model is trained. */

import { subset } from '../data/batches.ts'
import type { Dataset } from '../data/dataset.ts'
import { type BoundData, type DataHandle, dataHandle, drawApart, usualTake } from '../data/handle.ts'

const validationSamples = 5000

export interface HeldBack {
  readonly data: DataHandle
  /** How many samples the handle takes. */
  readonly samples: number
  readonly validation: Dataset
  /** The model was not trained on what it is validated on. */
  readonly isNew?: boolean
}

/** How many samples of a set are calibrated on, and how many validated on. */
export function holdBackCounts(length: number): { readonly calibrated: number; readonly validated: number } {
  const calibrated = Math.min(usualTake.samples, Math.max(1, Math.floor(length * 0.4)))
  return { calibrated, validated: Math.min(length - calibrated, validationSamples) }
}

/**
 * At most 512 samples to calibrate on and 5,000 others to validate on; of a small set two fifths and the rest. `ofTest`: what a
 * search that trains is validated on instead.
 */
export function holdBack({ splits: { train }, batcher }: BoundData, seed: number, ofTest?: Dataset): HeldBack {
  const { calibrated: samples } = holdBackCounts(train.length)
  const data = dataHandle({ train, batcher }, { seed, usual: { samples } })
  if (ofTest) return { data, samples, validation: ofTest, isNew: true }
  const [, others] = drawApart(train, samples, seed)
  if (others.length === 0) throw new Error(`${train.id}: ${train.length} samples; expected 2 or more to compress with`)
  return { data, samples, validation: others.length > validationSamples ? firstOf(others, validationSamples) : others }
}

/**
 * What a search that trains validates on, and the data without it: half of the test part, at most 5,000 samples. Of the training
 * part the model knows the samples from before, and forgets some while it trains, which would look like a loss.
 */
export function holdBackOfTest(
  data: BoundData,
  seed: number,
): { readonly validation: Dataset; readonly data: BoundData } {
  const { splits } = data
  const { test } = splits
  const half = Math.min(validationSamples, Math.floor(test.length / 2))
  if (half === 0) throw new Error(`${test.id}: ${test.length} samples; expected 2 or more to judge training by`)
  const [validation, others] = drawApart(test, half, seed)
  return {
    validation: { ...validation, id: `${test.id}, a part to choose by` },
    data: { ...data, splits: { ...splits, test: { ...others, id: `${test.id}, the other part` } } },
  }
}

function firstOf(set: Dataset, count: number): Dataset {
  return subset(
    set,
    Uint32Array.from({ length: count }, (_, i) => i),
  )
}
