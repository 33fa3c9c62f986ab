/** What samples can show: intervals of shares, of means and of ratios, and losses of decisions estimated from margins. */

export interface Interval {
  readonly low: number
  readonly high: number
}

/** Standard normal quantiles: 95 % of the mass lies within ±1.96, 90 % below 1.2816. */
const within95 = 1.959964
export const below90 = 1.281552

/** The 95 % interval of a share of which `count` in `total` were seen (Wilson 1927). Both within [0, 1]. */
export function shareInterval(count: number, total: number): Interval {
  if (total === 0) return { low: 0, high: 1 }
  const z2 = within95 ** 2
  const p = count / total
  const centre = (p + z2 / (2 * total)) / (1 + z2 / total)
  const half = (within95 / (1 + z2 / total)) * Math.sqrt((p * (1 - p)) / total + z2 / (4 * total * total))
  return { low: Math.max(0, centre - half), high: Math.min(1, centre + half) }
}

/**
 * The 95 % interval of a loss in accuracy, of which `lost` samples became wrong and `gained` became right in a paired
 * comparison of `total`: Agresti and Min's adjusted Wald interval (2005), which adds half a count to each cell of the
 * table of changes and so holds its level where nothing or little changed. Shares of 1; negative is a gain.
 */
export function pairedInterval({ lost, gained, total }: { lost: number; gained: number; total: number }): Interval {
  const n = total + 2
  const [b, c] = [lost + 0.5, gained + 0.5]
  const centre = (b - c) / n
  const half = within95 * Math.sqrt(Math.max(0, b + c - (b - c) ** 2 / n) / (n * n))
  return { low: Math.max(-1, centre - half), high: Math.min(1, centre + half) }
}

/** The mean of values and its standard error. */
export function meanAndError(values: ArrayLike<number>): { readonly mean: number; readonly error: number } {
  const n = values.length
  let sum = 0
  for (let i = 0; i < n; i++) sum += values[i]
  const mean = sum / Math.max(1, n)
  let squares = 0
  for (let i = 0; i < n; i++) squares += (values[i] - mean) ** 2
  return { mean, error: n > 1 ? Math.sqrt(squares / (n - 1) / n) : Number.POSITIVE_INFINITY }
}

/** Σ a / Σ b over samples, and the relative standard error of that ratio (linearised). */
export function ratioAndError(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
): { readonly ratio: number; readonly error: number } {
  const n = a.length
  let above = 0
  let below = 0
  for (let i = 0; i < n; i++) {
    above += a[i]
    below += b[i]
  }
  const ratio = above / below
  let squares = 0
  for (let i = 0; i < n; i++) squares += (a[i] - ratio * b[i]) ** 2
  const error = n > 1 ? Math.sqrt((squares * n) / (n - 1)) / above : Number.POSITIVE_INFINITY
  return { ratio, error: above === 0 ? 0 : error }
}

/** Samples of about the same margin, whose noise stands for each other's. */
const neighbours = 64

/**
 * For each sample, the share of its decisions that noise is expected to turn from right to wrong (negative: from wrong to
 * right). `margins` are above 0 where the decision is right; `noise` is what was added to each. Counting the decisions
 * that did turn tells little where few did: here each sample is judged under the noise of the samples of about its own
 * margin (its 64 neighbours), which has the same mean and far less spread.
 */
export function expectedTurns(margins: ArrayLike<number>, noise: ArrayLike<number>): Float64Array {
  const n = margins.length
  const order = Uint32Array.from({ length: n }, (_, i) => i).sort((a, b) => margins[a] - margins[b] || a - b)
  const window = Math.min(neighbours, n)
  const turns = new Float64Array(n)
  for (let i = 0; i < n; i++) {
    const start = Math.max(0, Math.min(n - window, i - (window >> 1)))
    const margin = margins[order[i]]
    let right = 0
    for (let j = start; j < start + window; j++) if (margin + noise[order[j]] > 0) right++
    turns[order[i]] = (margin > 0 ? 1 : 0) - right / window
  }
  return turns
}
