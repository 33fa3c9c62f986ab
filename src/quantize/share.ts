/**
 * Weight sharing: each tensor, or several together, keeps k values, found from its non-zero weights.
 * Zero is kept exactly, in addition to the k values, so that pruned weights stay zero.
 *
 * By k-means (CWS) as in Deep Compression (Han, Mao, Dally 2016, arXiv:1510.00149, section 3), or in one of the ways that
 * Marinò et al. 2021 compare with it: probabilistic (PWS), uniform (UQ), entropy-constrained (ECSQ). Their "unified" codebooks,
 * one for all convolutions and one for all dense layers, are `scope: kind`.
 */
import { replaceTensors, type WeightTensor, weightTensors } from '../graph/weights.ts'
import { defineMethod } from '../method.ts'
import type { Tensor } from '../model.ts'
import type { OptionsOf } from '../options.ts'
import { floats, sizeOf, tensorOfFloats } from '../tensor/dtype.ts'
import { type KmeansStart, kmeans1d, kmeansStarts, nearest } from '../tensor/kmeans.ts'
import { type Random, random } from '../tensor/random.ts'
import { shareByBits } from './_share-bits.ts'
import { entropyStarts, shareByEntropy } from './_share-entropy.ts'
import { shareProbabilistically } from './_share-probabilistic.ts'
import { shareUniformly } from './_share-uniform.ts'

/** The shared value of a weight that is not zero. */
export type Sharer = (w: number) => number

interface SharerOptions {
  readonly start?: KmeansStart
  readonly rng: Random
}

/** Each takes the weights that are not zero, ascending, and k. */
const sharers: Record<string, (sorted: Float64Array, k: number, options: SharerOptions) => Sharer> = {
  'k-means': (sorted, k, { start, rng }) => {
    const codebook = Float32Array.from(kmeans1d(sorted, k, { start, rng }))
    return (w) => codebook[nearest(codebook, w)]
  },
  probabilistic: (sorted, k, { rng }) => shareProbabilistically(sorted, k, rng),
  uniform: shareUniformly,
  entropy: (sorted, k, { start }) => shareByEntropy(sorted, k, start === 'linear' ? start : 'density'),
}

const options = {
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
    help: 'how the values are found: nearest mean (CWS), unbiased random rounding (PWS), even steps (UQ), or fewest bits for the error (ECSQ)',
  },
  start: {
    type: 'choice',
    of: kmeansStarts,
    optional: true,
    help: 'for k-means: the first means lie evenly over the range (linear, the default), at quantiles (density), at random weights, or far apart (k-means++); exact: the least squared error there is, whatever the start; for entropy: linear or density (the default)',
  },
  scope: {
    type: 'choice',
    of: ['layer', 'kind', 'global'],
    default: 'layer',
    help: 'a codebook per tensor, one for all convolutions and one for all dense layers, or one for all',
  },
  bits: {
    type: 'number',
    optional: true,
    min: 0.01,
    max: 16,
    help: 'bits per weight on average: each tensor keeps as many values as suit it best within that, a power of two and at most `values`',
  },
  sensitivity: {
    type: 'choice',
    of: ['outputs', 'fisher'],
    default: 'outputs',
    onlyWith: { bits: 'given' },
    help: 'for bits: how much a tensor matters is measured on the outputs with that tensor alone shared, or estimated by the Fisher matrix (squared gradients)',
  },
  minElements: {
    type: 'number',
    was: 'minSize',
    default: 256,
    min: 1,
    integer: true,
    help: 'tensors with fewer elements are left alone',
  },
  exclude: { type: 'strings', default: [], help: 'names of weights to leave alone' },
} as const

export const share = defineMethod({
  id: 'share',
  help: 'lets the weights of a tensor share a few values (a codebook); zero stays zero',
  data: 'with `bits`: calibration inputs, for how much sharing each tensor changes the outputs; without them errors count alike',
  options,
  async run(model, { values: k, method, start, scope, bits, sensitivity, minElements, exclude }, context) {
    checkStart(method, start)
    const { seed = 0, warn } = context
    const chosen = weightTensors(model).filter((w) => !exclude.includes(w.name) && sizeOf(w.tensor.dims) >= minElements)
    const rng = random(seed)
    const sharedWith = (weights: readonly WeightTensor[], count: number): Float32Array[] => {
      const sorted = nonZeroWeights(weights)
      const sharer = sorted.length > 0 ? sharers[method](sorted, count, { start, rng }) : undefined
      return weights.map(({ tensor }) => floats(tensor).map((v) => (v === 0 || !sharer ? v : sharer(v))))
    }
    const shared = new Map<Tensor, Tensor>()
    const store = ({ tensor }: WeightTensor, values: Float32Array): void => {
      shared.set(tensor, tensorOfFloats(tensor.name, tensor.dtype, tensor.dims, values))
    }
    if (bits !== undefined) {
      if (scope !== 'layer') throw new Error(`share: bits with scope ${scope}; expected scope layer`)
      const options = {
        bits,
        sensitivity,
        most: k,
        shared: (w: WeightTensor, count: number) => sharedWith([w], count)[0],
      }
      for (const [weight, values] of await shareByBits(model, chosen, options, context)) store(weight, values)
      return replaceTensors(model, shared)
    }
    const short: string[] = []
    for (const weights of codebooks(chosen, scope)) {
      const used = new Set<number>()
      for (const [i, values] of sharedWith(weights, k).entries()) {
        for (const v of values) if (v !== 0) used.add(v)
        store(weights[i], values)
      }
      if (used.size > 0 && used.size < k) short.push(`${nameOf(weights)} ${used.size}`)
    }
    if (short.length > 0) warn?.(shortfall(short, k))
    return replaceTensors(model, shared)
  },
})

/** Throws where the method has no such start. */
function checkStart(method: string, start: KmeansStart | undefined): void {
  const has: readonly string[] = method === 'k-means' ? kmeansStarts : method === 'entropy' ? entropyStarts : []
  if (start === undefined || has.includes(start)) return
  throw new Error(
    `share: start ${start} with method ${method}; expected ${has.join(' or ') || 'none, as it has no start'}`,
  )
}

/** The weights that have a codebook together. */
function codebooks(chosen: readonly WeightTensor[], scope: OptionsOf<typeof options>['scope']): WeightTensor[][] {
  if (scope === 'layer') return chosen.map((w) => [w])
  if (scope === 'global') return [[...chosen]]
  const isConvolution = ({ uses }: WeightTensor): boolean => uses.some(({ node }) => /^Conv/.test(node.op))
  return [chosen.filter(isConvolution), chosen.filter((w) => !isConvolution(w))]
}

function nameOf([first, ...more]: readonly WeightTensor[]): string {
  return more.length > 0 ? `"${first.name}" and ${more.length} more` : `"${first.name}"`
}

function shortfall([first, second, ...more]: readonly string[], k: number): string {
  const which = [first, ...(second ? [second] : []), ...(more.length > 0 ? [`${more.length} more below that`] : [])]
  return `share: fewer than ${k} values are in use: ${which.join(', ')}`
}

/** Ascending. Throws where one is not finite. */
function nonZeroWeights(weights: readonly WeightTensor[]): Float64Array {
  const all = weights.map(({ tensor }) => floats(tensor).filter((v) => v !== 0))
  const sorted = new Float64Array(all.reduce((n, values) => n + values.length, 0))
  let at = 0
  for (const values of all) {
    sorted.set(values, at)
    at += values.length
  }
  sorted.sort()
  const [first, last] = [sorted[0] ?? 0, sorted[sorted.length - 1] ?? 0]
  if (!Number.isFinite(first) || !Number.isFinite(last))
    throw new Error(`share: weights from ${first} to ${last}; expected finite ones; in ${nameOf(weights)}`)
  return sorted
}
