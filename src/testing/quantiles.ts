/** Samples of a distribution without chance, for tests against theory. */

/** The middles of n equally likely parts of a density over [-16, 16], ascending; it need not be normed. */
export function quantiles(n: number, density: (x: number) => number): Float64Array {
  const cells = 2 ** 20
  const at = (i: number): number => -16 + (32 * (i + 0.5)) / cells
  let total = 0
  for (let i = 0; i < cells; i++) total += density(at(i))
  const values = new Float64Array(n)
  for (let i = 0, below = 0, found = 0; i < cells && found < n; i++) {
    below += density(at(i)) / total
    while (found < n && below >= (found + 0.5) / n) values[found++] = at(i)
  }
  return values
}

/** Densities of variance 1, and their differential entropy in bits. */
export const densities = {
  gauss: { density: (x: number) => Math.exp((-x * x) / 2), entropy: 0.5 * Math.log2(2 * Math.PI * Math.E) },
  laplace: { density: (x: number) => Math.exp(-Math.SQRT2 * Math.abs(x)), entropy: Math.log2(Math.SQRT2 * Math.E) },
} as const
