/**
 * Entropy-constrained scalar quantisation (ECSQ; Chou, Lookabaugh, Gray 1989; as Marinò et al. 2021 use it): a weight w
 * goes to the value c_j, of share p_j, that makes (w - c_j)² - λ ln p_j least; values become the means of their weights.
 * Starts from 3k bins, of equal counts as in the papers (density) or of equal width (linear); rare values die out. λ is the smallest, of a ladder of factors of 1.25, that leaves
 * at most k. (The published code walks fixed λ and stops a run as soon as k are left, converged or not.)
 */
import { lowerBound } from '../tensor/search.ts'
import type { Sharer } from './share.ts'

const mostRounds = 2000
const settled = 1e-10
const factor = 1.25

interface Quantizer {
  readonly centres: Float64Array
  /** The weight from which on centre i + 1 is taken. */
  readonly edges: Float64Array
}

export const entropyStarts = ['density', 'linear'] as const

/**
 * `sorted` ascending, not empty. From bins of equal width it comes to the uniform steps of the theory, 0.255 bits above
 * Shannon's bound (Gish, Pierce 1968); from equal counts the same k keep more bits and a smaller error.
 */
export function shareByEntropy(
  sorted: Float64Array,
  k: number,
  start: (typeof entropyStarts)[number] = 'density',
): Sharer {
  const prefix = new Float64Array(sorted.length + 1)
  let squares = 0
  for (let i = 0; i < sorted.length; i++) {
    prefix[i + 1] = prefix[i] + sorted[i]
    squares += sorted[i] ** 2
  }
  // Between these a few values are left, or as good as all 3k.
  let low = 0
  let high = 128
  const at = (rung: number, bins = 3 * k): Quantizer =>
    converge(sorted, prefix, {
      cuts: cutsOf(sorted, bins, start),
      lambda: (squares / sorted.length) * 1e-8 * factor ** rung,
    })
  let best = at(high)
  // Bins of one weight each are equally rare, so none dies out: few weights start from k bins.
  if (best.centres.length > k) best = at((high = low), k)
  while (low < high) {
    const middle = (low + high) >> 1
    const quantizer = at(middle)
    if (quantizer.centres.length <= k) {
      best = quantizer
      high = middle
    } else low = middle + 1
  }
  const values = Float32Array.from(best.centres)
  return (w) => values[lowerBound(best.edges, w)]
}

/** Where the first bins begin and end. */
function cutsOf(sorted: Float64Array, bins: number, start: (typeof entropyStarts)[number]): number[] {
  const n = sorted.length
  if (start === 'density') {
    const count = Math.min(bins, n)
    return Array.from({ length: count + 1 }, (_, i) => Math.round((i * n) / count))
  }
  const width = (sorted[n - 1] - sorted[0]) / bins
  return Array.from({ length: bins + 1 }, (_, i) => (i === bins ? n : lowerBound(sorted, sorted[0] + i * width)))
}

function converge(
  sorted: Float64Array,
  prefix: Float64Array,
  given: { readonly cuts: readonly number[]; readonly lambda: number },
): Quantizer {
  const n = sorted.length
  const { lambda } = given
  let { cuts } = given
  let quantizer: Quantizer = { centres: new Float64Array(0), edges: new Float64Array(0) }
  for (let round = 0, before = Number.POSITIVE_INFINITY; round < mostRounds; round++) {
    const centres: number[] = []
    const rates: number[] = []
    let cost = 0
    for (let i = 0; i + 1 < cuts.length; i++) {
      const count = cuts[i + 1] - cuts[i]
      if (count === 0) continue
      const sum = prefix[cuts[i + 1]] - prefix[cuts[i]]
      centres.push(sum / count)
      rates.push(-lambda * Math.log(count / n))
      // What the squares of the weights do not change: -count * mean² + count * rate.
      cost += count * rates[rates.length - 1] - (sum * sum) / count
    }
    quantizer = envelope(centres, rates)
    if (before - cost <= settled * Math.abs(cost)) break
    before = cost
    cuts = [0, ...Array.from(quantizer.edges, (edge) => lowerBound(sorted, edge)), n]
  }
  return quantizer
}

/** Which centre is cheapest where: the lower envelope of the lines c² - 2wc + rate. Centres ascend. */
function envelope(centres: readonly number[], rates: readonly number[]): Quantizer {
  const kept: number[] = []
  const edges: number[] = []
  for (let j = 0; j < centres.length; j++) {
    if (kept.length > 0 && centres[j] === centres[kept[kept.length - 1]]) continue
    const edgeTo = (i: number): number =>
      (centres[j] + centres[i]) / 2 + (rates[j] - rates[i]) / (2 * (centres[j] - centres[i]))
    while (edges.length > 0 && edgeTo(kept[kept.length - 1]) <= edges[edges.length - 1]) {
      kept.pop()
      edges.pop()
    }
    if (kept.length > 0) edges.push(edgeTo(kept[kept.length - 1]))
    kept.push(j)
  }
  return { centres: Float64Array.from(kept, (j) => centres[j]), edges: Float64Array.from(edges) }
}
