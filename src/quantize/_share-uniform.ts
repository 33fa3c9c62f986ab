/**
 * Uniform quantisation as a way to share (UQ): a weight becomes step · round(weight / step), so 0 is a level, with the
 * smallest step that leaves at most k levels beside 0. Marinò et al. 2021, section 2, try steps on a fixed grid from
 * 1e-4 on; here each is 1 % above the one before, from the weights' own range on, so that their unit does not matter.
 */
import type { Sharer } from './share.ts'

/** `sorted` ascending, not empty, without zeros. Weights within half a step of 0 become 0. */
export function shareUniformly(sorted: Float64Array, k: number): Sharer {
  const range = Math.max(sorted[sorted.length - 1], 0) - Math.min(sorted[0], 0)
  let step = range / (k + 2)
  while (levels(sorted, step) > k) step *= 1.01
  return (w) => Math.fround(step * Math.round(w / step)) + 0
}

function levels(sorted: Float64Array, step: number): number {
  let count = 0
  let last = Number.NaN
  for (const w of sorted) {
    const level = Math.round(w / step)
    if (level !== last && level !== 0) count++
    last = level
  }
  return count
}
