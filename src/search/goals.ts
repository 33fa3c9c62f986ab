/** The knobs that `compress` turns for each goal, in this order. */
import type { OpenSearch } from './knob.ts'
import { openBitPrice } from './knobs/bit-price.ts'
import { openFloatLayers } from './knobs/float-layers.ts'
import { openTrainedSize, type TrainedSizeOptions } from './knobs/trained-size.ts'
import { smallestOf } from './smallest-of.ts'

export const goals = {
  size: [openBitPrice],
  speed: [openFloatLayers],
} as const satisfies Record<string, readonly OpenSearch[]>

export type Goal = keyof typeof goals

/** For size, where the model may be trained. What is found without is taken where it is no larger. */
export function trainedSize(options: TrainedSizeOptions): readonly [OpenSearch] {
  return [smallestOf([openBitPrice, openTrainedSize(options)])]
}
