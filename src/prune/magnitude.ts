/**
 * Magnitude pruning: the smallest weights become zero. Han et al. 2015, arXiv:1506.02626.
 *
 * With n weights competing, exactly round(sparsity * n) are zero afterwards; weights that were zero already count.
 * By quality (Han's threshold) a weight is removed where |w| < quality * standard deviation of its tensor.
 * By filter, kernel or stride (Anwar et al. 2015, arXiv:1512.08571) all weights of a unit are zeroed by their L1 or L2 norm; the
 * tensor keeps its shape.
 */
import type { WeightTensor } from '../graph/weights.ts'
import { defineMethod } from '../method.ts'
import { floats } from '../tensor/dtype.ts'
import { competingWeights, pruneBy, type Score, selectOptions } from './_select.ts'

export const magnitude = defineMethod({
  id: 'magnitude',
  help: 'zeroes the smallest weights',
  options: {
    ...selectOptions,
    quality: {
      type: 'number',
      default: 0,
      min: 0,
      max: 100,
      onlyWith: { sparsities: 'not given', unit: ['element'] },
      help: 'above 0: zeroes |w| below this many standard deviations of the tensor, instead of sparsity and scope',
    },
    norm: {
      type: 'choice',
      of: ['l1', 'l2'],
      default: 'l2',
      onlyWith: { unit: ['filter', 'kernel', 'stride'] },
      help: 'how a unit is measured',
    },
  },
  run(model, options, context) {
    const { quality } = options
    if (quality === 0) return bySize(model, options, context)
    const shares = sharesBelow(competingWeights(model, 'magnitude', options), quality)
    return bySize(model, { ...options, sparsities: shares }, context)
  },
})

/** A weight's size; filters are measured by their L1 or L2 norm. */
export const magnitudeScores: Score<{ readonly norm: string }> = ({ weights }, { norm }) => ({
  scores: weights.map((w) => floats(w.tensor)),
  pool: norm === 'l1' ? 'mean' : 'root-mean-square',
})

const bySize = pruneBy('magnitude', magnitudeScores)

/**
 * By name, the share of each weight that is zero or nearer to it than `quality` standard deviations of the tensor, as it is in
 * `dense`, of the same order: zeros make a deviation smaller.
 */
export function sharesBelow(
  weights: readonly WeightTensor[],
  quality: number,
  dense: readonly WeightTensor[] = weights,
): Record<string, number> {
  const shareOf = ({ tensor }: WeightTensor, i: number): number => {
    const [values, limit] = [floats(tensor), quality * deviation(floats(dense[i].tensor))]
    return values.reduce((n, v) => n + (v === 0 || Math.abs(v) < limit ? 1 : 0), 0) / values.length
  }
  return Object.fromEntries(weights.map((w, i) => [w.name, shareOf(w, i)]))
}

function deviation(values: Float32Array): number {
  const mean = values.reduce((a, v) => a + v, 0) / values.length
  return Math.sqrt(values.reduce((a, v) => a + (v - mean) ** 2, 0) / values.length)
}
