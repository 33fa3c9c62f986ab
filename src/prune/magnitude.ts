/**
 * Magnitude pruning: the smallest weights become zero. Han et al. 2015, arXiv:1506.02626.
 *
 * With n weights competing, exactly round(sparsity * n) are zero afterwards; weights that were zero already count.
 * By quality (Han's threshold) a weight goes where |w| < quality * standard deviation of its tensor.
 * By filter, whole slices of the output axis are zeroed by their L1 or L2 norm; the tensor keeps its shape.
 */
import type { WeightTensor } from '../graph/weights.ts'
import { replaceTensors, weightTensors } from '../graph/weights.ts'
import { defineMethod } from '../method.ts'
import { floats, sizeOf } from '../tensor/dtype.ts'
import { checkNames, prunableWeights, selectOptions, smallest, zeroed } from './_select.ts'

export const magnitude = defineMethod({
  id: 'magnitude',
  help: 'zeroes the smallest weights',
  options: {
    ...selectOptions,
    sparsities: {
      type: 'numbers-by-name',
      default: {},
      help: 'share of zeros for each named weight, instead of sparsity and scope; weights without a name are left alone',
    },
    quality: {
      type: 'number',
      default: 0,
      min: 0,
      max: 100,
      help: 'above 0: zeroes |w| below this many standard deviations of the tensor, instead of sparsity and scope',
    },
    unit: {
      type: 'choice',
      of: ['element', 'filter'],
      default: 'element',
      help: 'what goes at once: single weights, or all weights of an output channel',
    },
    norm: { type: 'choice', of: ['l1', 'l2'], default: 'l2', help: 'how a filter is measured' },
  },
  run(model, { sparsity, scope, sparsities, quality, unit, norm, minElements, exclude }) {
    checkShares(weightTensors(model), sparsities)
    if (Object.keys(sparsities).length > 0 && quality > 0)
      throw new Error('magnitude: sparsities and quality are both given; expected one of them')
    if (unit === 'filter' && quality > 0)
      throw new Error('magnitude: quality is a threshold on single weights; expected unit element with it')
    const byName = Object.keys(sparsities).length > 0
    const weights = prunableWeights(model, 'magnitude', { minElements, exclude }).filter(
      (w) => !byName || w.name in sparsities,
    )
    const scores = weights.map((w) => (unit === 'filter' ? filterNorms(w, norm) : floats(w.tensor)))
    const groups = scope === 'global' && !byName ? [scores] : scores.map((s) => [s])
    const masks = groups.flatMap((group, i) => {
      if (quality > 0) return group.map((s) => below(s, quality * deviation(s)))
      return smallest(group, byName ? sparsities[weights[i].name] : sparsity)
    })
    return replaceTensors(
      model,
      new Map(weights.map((w, i) => [w.tensor, zeroed(w.tensor, unit === 'filter' ? spread(w, masks[i]) : masks[i])])),
    )
  },
})

function checkShares(weights: readonly WeightTensor[], sparsities: Readonly<Record<string, number>>): void {
  checkNames('magnitude: sparsities', weights, Object.keys(sparsities))
  for (const [name, share] of Object.entries(sparsities)) {
    if (!(share >= 0 && share <= 1))
      throw new Error(`magnitude: sparsities.${name} must be within [0, 1], got ${share}`)
  }
}

/** Marks (with 1) what is nearer to zero than `limit`, and what is zero. */
function below(values: Float32Array, limit: number): Uint8Array {
  return Uint8Array.from(values, (v) => (v === 0 || Math.abs(v) < limit ? 1 : 0))
}

function deviation(values: Float32Array): number {
  const mean = values.reduce((a, v) => a + v, 0) / values.length
  return Math.sqrt(values.reduce((a, v) => a + (v - mean) ** 2, 0) / values.length)
}

/** Strides of the output axis: element i is of filter floor(i / inner) % filters. */
function filtersOf({ tensor, outputAxis = 0 }: WeightTensor): { filters: number; inner: number } {
  return { filters: tensor.dims[outputAxis], inner: sizeOf(tensor.dims.slice(outputAxis + 1)) }
}

/** Mean |w| or root mean square of each filter, so that filters of different sizes compare. */
function filterNorms(w: WeightTensor, norm: 'l1' | 'l2' | string): Float32Array {
  const { filters, inner } = filtersOf(w)
  const values = floats(w.tensor)
  const sums = new Float64Array(filters)
  for (let i = 0; i < values.length; i++) {
    sums[Math.floor(i / inner) % filters] += norm === 'l1' ? Math.abs(values[i]) : values[i] ** 2
  }
  return Float32Array.from(sums, (s) => {
    const mean = (s * filters) / values.length
    return norm === 'l1' ? mean : Math.sqrt(mean)
  })
}

function spread(w: WeightTensor, mask: Uint8Array): Uint8Array {
  const { filters, inner } = filtersOf(w)
  return Uint8Array.from({ length: sizeOf(w.tensor.dims) }, (_, i) => mask[Math.floor(i / inner) % filters])
}
