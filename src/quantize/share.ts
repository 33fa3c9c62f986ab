/**
 * Weight sharing: each tensor (or all of them together) keeps k values, found from its non-zero weights.
 * Zero is kept exact and beside the k, so that what pruning won is not lost.
 * By k-means as in Deep Compression (Han, Mao, Dally 2016, arXiv:1510.00149, section 3), or in one of the ways that
 * Marinò et al. 2021 compare with it: probabilistic, uniform, entropy-constrained.
 */
import { replaceTensors, weightTensors } from '../graph/weights.ts'
import { defineMethod } from '../method.ts'
import type { Tensor } from '../model.ts'
import { floats, sizeOf, tensorOfFloats } from '../tensor/dtype.ts'
import { kmeans1d, nearest } from '../tensor/kmeans.ts'
import { type Random, random } from '../tensor/random.ts'
import { shareByEntropy } from './_share-entropy.ts'
import { shareProbabilistically } from './_share-probabilistic.ts'
import { shareUniformly } from './_share-uniform.ts'

/** The shared value of a weight that is not zero. */
export type Sharer = (w: number) => number

/** Each takes the weights that are not zero, ascending, and k. */
const sharers: Record<string, (sorted: Float64Array, k: number, rng: Random) => Sharer> = {
  'k-means': (sorted, k) => {
    const codebook = Float32Array.from(kmeans1d(sorted, k))
    return (w) => codebook[nearest(codebook, w)]
  },
  probabilistic: shareProbabilistically,
  uniform: shareUniformly,
  entropy: shareByEntropy,
}

export const share = defineMethod({
  id: 'share',
  help: 'lets the weights of a tensor share a few values (a codebook); zero stays zero',
  options: {
    values: {
      type: 'number',
      default: 32,
      min: 1,
      max: 65535,
      integer: true,
      help: 'distinct values per codebook, zero not counted',
    },
    method: {
      type: 'choice',
      of: ['k-means', 'probabilistic', 'uniform', 'entropy'],
      default: 'k-means',
      help: 'how the values are found: nearest mean, unbiased random rounding, even steps, or fewest bits for the error',
    },
    scope: {
      type: 'choice',
      of: ['layer', 'global'],
      default: 'layer',
      help: 'one codebook per tensor, or one for all',
    },
    minElements: {
      type: 'number',
      was: 'minSize',
      default: 256,
      min: 1,
      integer: true,
      help: 'tensors with fewer elements are left alone',
    },
    exclude: { type: 'strings', default: [], help: 'weights to leave alone, by name' },
  },
  run(model, { values: k, method, scope, minElements, exclude }, { seed = 0 }) {
    const chosen = weightTensors(model)
      .filter((w) => !exclude.includes(w.name) && sizeOf(w.tensor.dims) >= minElements)
      .map((w) => w.tensor)
    const rng = random(seed)
    const sharerOf = (tensors: readonly Tensor[]): Sharer | undefined => {
      const sorted = nonZeroWeights(tensors)
      return sorted.length === 0 ? undefined : sharers[method](sorted, k, rng)
    }
    const common = scope === 'global' ? sharerOf(chosen) : undefined
    const shared = new Map<Tensor, Tensor>()
    for (const tensor of chosen) {
      const sharer = common ?? sharerOf([tensor])
      const values = floats(tensor).map((v) => (v === 0 || !sharer ? v : sharer(v)))
      shared.set(tensor, tensorOfFloats(tensor.name, tensor.dtype, tensor.dims, values))
    }
    return replaceTensors(model, shared)
  },
})

/** Ascending. Throws where one is not finite. */
function nonZeroWeights(tensors: readonly Tensor[]): Float64Array {
  const values: number[] = []
  for (const tensor of tensors) for (const v of floats(tensor)) if (v !== 0) values.push(v)
  const sorted = Float64Array.from(values).sort()
  const [first, last] = [sorted[0] ?? 0, sorted[sorted.length - 1] ?? 0]
  if (!Number.isFinite(first) || !Number.isFinite(last))
    throw new Error(`share: weights from ${first} to ${last}; expected finite ones; in "${tensors[0].name}"`)
  return sorted
}
