/**
 * How many bits each weight tensor gets, by Taylor score: what rounding to b bits is expected to change in the loss, to first order,
 *
 *   Σ |g_i| · |Q_b(w_i) - w_i|
 *
 * with |g| averaged over batches, as Taylor pruning averages it (Yu et al. 2020, arXiv:2010.01892, score both stages so). Tensors
 * get their bits so that the sum is least for a mean number of bits per weight that is not zero.
 */
import { spendBits } from './_bits-where-they-matter.ts'
import { bestStep } from './_weight-quantisers.ts'

export interface ScoredWeight {
  readonly name: string
  readonly values: Float32Array
  /** |g| of each, averaged. */
  readonly gradients: Float32Array
}

/** Numbers of bits to choose from. */
const choices = [2, 3, 4, 5, 6, 7, 8] as const

/** By name; throws where `meanBits` is below 2. */
export function bitsByTaylor(weights: readonly ScoredWeight[], meanBits: number): Record<string, number> {
  const counts = weights.map(({ values }) => values.reduce((n, v) => n + (v === 0 ? 0 : 1), 0))
  const costs = weights.map((weight, i) =>
    choices.map((bits) => ({ bits: bits * counts[i], cost: costOf(weight, bits) })),
  )
  // Rounding of sums must not leave the least bits of all above the budget.
  const budget = meanBits * counts.reduce((a, b) => a + b, 0) * (1 + 1e-9)
  const chosen = spendBits(costs, budget)
  return Object.fromEntries(weights.map(({ name }, i) => [name, choices[chosen[i]]]))
}

/** Zero stays zero whatever the bits. */
function costOf({ values, gradients }: ScoredWeight, bits: number): number {
  const [low, high] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
  const step = bestStep(values, [low, high])
  return values.reduce((sum, v, i) => {
    const rounded = step * Math.max(low, Math.min(high, Math.round(v / step)))
    return sum + gradients[i] * Math.abs(rounded - v)
  }, 0)
}
