/**
 * The rank of a noisy matrix by empirical variational Bayesian matrix factorisation: the global analytic solution of Nakajima,
 * Sugiyama, Babacan & Tomioka 2013 (JMLR 14, 1-37, theorem 2 and corollary 1). No rank, noise level or prior is given: the
 * noise's variance minimises the free energy, and the singular values above a threshold that follows from it are signal.
 */

/** Singular values of an L x M matrix with L <= M. */
export interface Spectrum {
  /** The squares of the largest ones, descending; all L of them, or the first few. */
  readonly squares: ArrayLike<number>
  /** The sum of all squares: the squared norm of the matrix. */
  readonly total: number
  readonly l: number
  readonly m: number
}

/** How many of the singular values are signal: 0 to the number of those given. */
export function evbmfRank(spectrum: Spectrum): number {
  const { squares, total, l, m } = spectrum
  if (!(total > 0)) return 0
  const alpha = l / m
  const tau = 2.5129 * Math.sqrt(alpha)
  const threshold = (1 + tau) * (1 + alpha / tau)
  // Values of 0, of a matrix without noise, would leave no variance to look for.
  const least = (1e-14 * total) / l
  const values = Float64Array.from(squares, (v) => Math.max(v, least))
  const rest = Math.max(0, total - values.reduce((a, b) => a + b, 0))
  const problem = { rest, alpha, threshold, l, m }
  const [low, high] = bounds(values, problem)
  const variance = lowest(freeEnergyOf(values, problem), low, high)
  return values.filter((v) => v > m * variance * threshold).length
}

interface Problem {
  /** The sum of all squares but those of the values. */
  readonly rest: number
  readonly alpha: number
  readonly threshold: number
  readonly l: number
  readonly m: number
}

/** Where the variance of the noise can lie (corollary 1). */
function bounds(values: Float64Array, { rest, alpha, threshold, l, m }: Problem): [number, number] {
  const most = Math.min(Math.ceil(l / (1 + alpha)) - 1, values.length - 1, l - 1)
  const after = Math.max(0, most)
  let tail = rest
  for (let i = after; i < values.length; i++) tail += values[i]
  const all = tail + values.subarray(0, after).reduce((a, b) => a + b, 0)
  const high = all / (l * m)
  const low = Math.max(values[after] / (m * threshold), tail / (m * Math.max(1, l - after)))
  return [Math.min(low, high), high]
}

/** The free energy as a function of the noise's variance (equation 25, up to a constant). */
function freeEnergyOf(values: Float64Array, { rest, alpha, threshold, l, m }: Problem): (variance: number) => number {
  const total = values.reduce((a, b) => a + b, rest)
  return (variance) => {
    let energy = total / (m * variance) + l * Math.log(variance)
    // Values descend: those below the threshold add no more.
    for (let i = 0; i < values.length && values[i] > threshold * m * variance; i++) {
      const x = values[i] / (m * variance)
      const centred = x - (1 + alpha)
      const tau = (centred + Math.sqrt(Math.max(0, centred ** 2 - 4 * alpha))) / 2
      energy += Math.log(tau + 1) - tau + alpha * Math.log(tau / alpha + 1)
    }
    return energy
  }
}

/** The lowest point of a function within bounds: the best of a grid in steps of equal ratio, refined by golden section. */
function lowest(of: (x: number) => number, low: number, high: number): number {
  if (!(high > low)) return high
  const steps = 256
  const at = (i: number): number => low * (high / low) ** (i / steps)
  let best = 0
  let bestValue = of(at(0))
  for (let i = 1; i <= steps; i++) {
    const value = of(at(i))
    if (value < bestValue) [best, bestValue] = [i, value]
  }
  const golden = (Math.sqrt(5) - 1) / 2
  let [a, b] = [at(Math.max(0, best - 1)), at(Math.min(steps, best + 1))]
  for (let i = 0; i < 40; i++) {
    const [c, d] = [b - golden * (b - a), a + golden * (b - a)]
    if (of(c) < of(d)) b = d
    else a = c
  }
  return (a + b) / 2
}
