/**
 * One-dimensional k-means (Lloyd) on sorted values: assignments are intervals, so a round costs k binary searches.
 * Centres start evenly between the least and the greatest value, which keeps the rare large weights their own centres
 * (Han, Mao, Dally 2016, arXiv:1510.00149, section 3.2).
 */
import { lowerBound } from './search.ts'

/** At most k centres, ascending. Empty clusters are dropped. Throws where there are no values or they are not finite. */
export function kmeans1d(values: ArrayLike<number>, k: number, maxRounds = 100): Float64Array {
  const sorted = Float64Array.from(values).sort()
  const n = sorted.length
  if (n === 0 || !Number.isFinite(sorted[0]) || !Number.isFinite(sorted[n - 1])) {
    throw new Error(`k-means: ${n} values; expected one or more, all finite`)
  }
  const prefix = new Float64Array(n + 1)
  for (let i = 0; i < n; i++) prefix[i + 1] = prefix[i] + sorted[i]
  const [low, high] = [sorted[0], sorted[n - 1]]
  let centres = Float64Array.from({ length: k }, (_, i) =>
    k === 1 ? (low + high) / 2 : low + ((high - low) * i) / (k - 1),
  )
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
