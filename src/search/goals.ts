/** The knobs that `compress` turns for each goal, in this order. */
import type { OpenSearch } from './knob.ts'
import { openBitPrice } from './knobs/bit-price.ts'
import { openFloatLayers } from './knobs/float-layers.ts'

export const goals = {
  size: [openBitPrice],
  speed: [openFloatLayers],
} as const satisfies Record<string, readonly OpenSearch[]>

export type Goal = keyof typeof goals
