/**
 * Probabilistic weight sharing (PWS): the k values lie at equal quantiles, and a weight between two of them takes the
 * upper with the probability that keeps its mean: E[shared] = weight. Marinò et al. 2021, section 2.
 */
import type { Random } from '../tensor/random.ts'
import { lowerBound } from '../tensor/search.ts'
import type { Sharer } from './share.ts'

/** `sorted` ascending, not empty. Where quantiles fall together there are fewer than k values. One value: the mean. */
export function shareProbabilistically(sorted: Float64Array, k: number, rng: Random): Sharer {
  if (k === 1) {
    const mean = Math.fround(sorted.reduce((sum, v) => sum + v, 0) / sorted.length)
    return () => mean
  }
  const ends = Array.from({ length: k }, (_, i) => sorted[Math.round((i * (sorted.length - 1)) / (k - 1))])
  const values = Float64Array.from(new Set(ends))
  return (w) => {
    const above = lowerBound(values, w)
    if (values[above] === w) return w
    const [low, high] = [values[above - 1], values[above]]
    return rng.next() < (w - low) / (high - low) ? high : low
  }
}
