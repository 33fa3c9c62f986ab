/**
 * One-dimensional k-means on sorted values, where clusters are intervals: Lloyd's rounds, each k binary searches, from one of
 * several starts; or the least squared error there is, whatever the start (exact-kmeans.ts).
 *
 * Starts of Han, Mao, Dally 2016, arXiv:1510.00149, section 3.2: linear (evenly between the least and the greatest value, which
 * keeps the rare large weights their own centres), density (at equal quantiles), random; and k-means++ (Arthur,
 * Vassilvitskii 2007: each centre drawn by its squared distance to those before).
 */
import { exactKmeans1d } from './exact-kmeans.ts'
import { type Random, random } from './random.ts'
import { lowerBound } from './search.ts'

export const kmeansStarts = ['linear', 'density', 'random', 'k-means++', 'exact'] as const
export type KmeansStart = (typeof kmeansStarts)[number]

export interface KmeansOptions {
  /** Default: linear. */
  readonly start?: KmeansStart
  /** For random and k-means++; default: seed 0. */
  readonly rng?: Random
  /** Default: 100. */
  readonly maxRounds?: number
}

/** At most k centres, ascending. Empty clusters are dropped. Throws where there are no values or they are not finite. */
export function kmeans1d(
  values: ArrayLike<number>,
  k: number,
  { start = 'linear', rng = random(0), maxRounds = 100 }: KmeansOptions = {},
): Float64Array {
  const sorted = Float64Array.from(values).sort()
  const n = sorted.length
  if (n === 0 || !Number.isFinite(sorted[0]) || !Number.isFinite(sorted[n - 1])) {
    throw new Error(`k-means: ${n} values; expected one or more, all finite`)
  }
  if (start === 'exact') return exactKmeans1d(sorted, k)
  const prefix = new Float64Array(n + 1)
  for (let i = 0; i < n; i++) prefix[i + 1] = prefix[i] + sorted[i]
  let centres = firstCentres[start](sorted, k, rng)
  for (let round = 0; round < maxRounds; round++) {
    const next: number[] = []
    let from = 0
    for (let c = 0; c < centres.length; c++) {
      const to = c + 1 < centres.length ? lowerBound(sorted, (centres[c] + centres[c + 1]) / 2) : n
      if (to > from) next.push((prefix[to] - prefix[from]) / (to - from))
      from = Math.max(from, to)
    }
    const settled = next.length === centres.length && next.every((c, i) => c === centres[i])
    centres = Float64Array.from(next)
    if (settled) break
  }
  return centres
}

const firstCentres: Record<
  Exclude<KmeansStart, 'exact'>,
  (sorted: Float64Array, k: number, rng: Random) => Float64Array
> = {
  linear(sorted, k) {
    const [low, high] = [sorted[0], sorted[sorted.length - 1]]
    return Float64Array.from({ length: k }, (_, i) => (k === 1 ? (low + high) / 2 : low + ((high - low) * i) / (k - 1)))
  },
  // In the middle of k parts of equal count.
  density: (sorted, k) =>
    distinct(Array.from({ length: k }, (_, i) => sorted[Math.floor(((2 * i + 1) * sorted.length) / (2 * k))])),
  random: (sorted, k, rng) => distinct(Array.from({ length: k }, () => sorted[rng.below(sorted.length)])),
  'k-means++': plusPlus,
}

function distinct(values: readonly number[]): Float64Array {
  return Float64Array.from(new Set(values)).sort()
}

/** Each centre is drawn by its squared distance to the nearest of those before. */
function plusPlus(sorted: Float64Array, k: number, rng: Random): Float64Array {
  const n = sorted.length
  const distance = new Float64Array(n).fill(Number.POSITIVE_INFINITY)
  const chosen: number[] = [sorted[rng.below(n)]]
  while (chosen.length < k) {
    const centre = chosen[chosen.length - 1]
    let total = 0
    for (let i = 0; i < n; i++) {
      distance[i] = Math.min(distance[i], (sorted[i] - centre) ** 2)
      total += distance[i]
    }
    if (!(total > 0)) break
    let left = rng.next() * total
    let at = 0
    while (at < n - 1 && left >= distance[at]) left -= distance[at++]
    chosen.push(sorted[at])
  }
  return distinct(chosen)
}

/** The index of the centre nearest to x (the lower one at a tie); centres ascending. */
export function nearest(centres: ArrayLike<number>, x: number): number {
  let low = 0
  let high = centres.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (x > (centres[middle] + centres[middle + 1]) / 2) low = middle + 1
    else high = middle
  }
  return low
}
