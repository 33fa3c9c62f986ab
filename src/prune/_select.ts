/**
 * What every pruning method shares: which weights compete, which units of them score least, and taking those out. A method is
 * its options and one function that scores single weights; units pool those scores (_units.ts).
 *
 * Of n scores exactly round(share * n) are marked. Equal scores fall in the order in which they are stored, so the same
 * model gives the same bytes.
 */
import { didYouMean } from '../errors.ts'
import { replaceTensors, type WeightTensor, weightTensors } from '../graph/weights.ts'
import type { Context } from '../method.ts'
import type { Model, Tensor } from '../model.ts'
import type { OptionsOf } from '../options.ts'
import { dataTypes, floats, sizeOf } from '../tensor/dtype.ts'
import { lowerBound } from '../tensor/search.ts'
import { type Pool, poolUnits, spreadUnits, unitKinds } from './_units.ts'

/** The options of every method that ranks weights by a score. */
export const selectOptions = {
  sparsity: {
    type: 'number',
    default: 0.5,
    min: 0,
    max: 1,
    onlyWith: { sparsities: 'not given', quality: 'not given' },
    help: 'share of the weights that are zero afterwards',
  },
  scope: {
    type: 'choice',
    of: ['layer', 'global'],
    default: 'layer',
    onlyWith: { sparsities: 'not given', quality: 'not given' },
    help: 'whether weights are ranked within each tensor or all together',
  },
  sparsities: {
    type: 'numbers-by-name',
    default: {},
    help: 'share of zeros for each named weight, instead of sparsity and scope; weights without a name are left alone',
  },
  minElements: {
    type: 'number',
    default: 0,
    min: 0,
    integer: true,
    help: 'tensors with fewer elements are left alone',
  },
  exclude: { type: 'strings', default: [], help: 'names of weights to leave alone' },
  unit: {
    type: 'choice',
    of: unitKinds,
    default: 'element',
    help: 'what is zeroed at once: single weights, all of an output channel, kernels between two channels, or every `stride`-th place in the kernels of an input channel',
  },
  stride: {
    type: 'number',
    default: 2,
    min: 2,
    integer: true,
    onlyWith: { unit: ['stride'] },
    help: 'with unit stride: distance of the places inside a kernel that form a unit',
  },
} as const

export interface SelectOptions extends OptionsOf<typeof selectOptions> {}

/** The weights that compete. */
export interface Competing {
  readonly model: Model
  readonly weights: readonly WeightTensor[]
}

export interface Scored {
  /** For each weight what its elements are worth; what is nearest to zero is removed first. */
  readonly scores: readonly Float32Array[]
  /** How scores of elements make one of a unit; default mean. */
  readonly pool?: Pool
  /** The i-th weight's tensor without what the mask marks; left out, that becomes zero and the others stay. */
  readonly remove?: (i: number, mask: Uint8Array) => Tensor
}

export type Score<O> = (competing: Competing, options: O, context: Context) => Scored | Promise<Scored>

/** The `run` of a method that zeroes what scores least; `subject` (the method's id) begins its errors. */
export function pruneBy<O>(subject: string, score: Score<O>) {
  return async (model: Model, options: O & SelectOptions, context: Context): Promise<Model> => {
    const weights = competingWeights(model, subject, options)
    if (weights.length === 0) return model
    const scored = await score({ model, weights }, options, context)
    const { scores, pool = 'mean', remove = (i, mask) => zeroed(weights[i].tensor, mask) } = scored
    const { unit: kind, stride } = options
    const isSingle = kind === 'element'
    const pooled = isSingle ? scores : weights.map((w, i) => poolUnits(w, scores[i], { kind, stride, pool }))
    const marked = select(weights, pooled, options)
    const masks = isSingle ? marked : weights.map((w, i) => spreadUnits(w, marked[i], { kind, stride }))
    return replaceTensors(model, new Map(weights.map(({ tensor }, i) => [tensor, remove(i, masks[i])])))
  }
}

/** The weights that a method may prune. Throws where a name is none of the model's or a share by name is none. */
export function competingWeights(
  model: Model,
  subject: string,
  { sparsities, minElements, exclude }: SelectOptions,
): WeightTensor[] {
  const all = weightTensors(model)
  const named = Object.entries(sparsities)
  checkNames(`${subject}: exclude`, all, exclude)
  checkNames(`${subject}: sparsities`, all, Object.keys(sparsities))
  for (const [name, share] of named) {
    if (!(share >= 0 && share <= 1))
      throw new Error(`${subject}: sparsities.${name} must be within [0, 1], got ${share}`)
  }
  return all.filter(
    ({ name, tensor }) =>
      sizeOf(tensor.dims) >= minElements && !exclude.includes(name) && (named.length === 0 || name in sparsities),
  )
}

/** Throws where a name is no weight of the model. */
function checkNames(subject: string, weights: readonly WeightTensor[], names: readonly string[]): void {
  const known = new Set(weights.map((w) => w.name))
  const wrong = names.find((name) => !known.has(name))
  if (wrong === undefined) return
  throw new Error(`${subject} names "${wrong}", which is no weight of the model${didYouMean(wrong, known)}`)
}

/** Marks what is removed, in each weight. */
function select(
  weights: readonly WeightTensor[],
  scores: readonly Float32Array[],
  { sparsity, scope, sparsities }: SelectOptions,
): Uint8Array[] {
  if (scope === 'global' && Object.keys(sparsities).length === 0) return smallest(scores, sparsity)
  return scores.flatMap((s, i) => smallest([s], sparsities[weights[i].name] ?? sparsity))
}

/**
 * A score for each weight, where what is zero already comes first of all: pruning never brings a weight back, and
 * counts the zeros that are there.
 */
export function zerosFirst(tensor: Tensor, score: (value: number, index: number) => number): Float32Array {
  // Scores of the others are kept above zero.
  return floats(tensor).map((v, i) => (v === 0 ? 0 : Math.max(score(v, i), 1e-45)))
}

/** Marks (with 1) the round(share * n) values that are nearest to zero among all arrays; NaN counts as the largest. */
export function smallest(arrays: readonly Float32Array[], share: number): Uint8Array[] {
  const count = arrays.reduce((n, a) => n + a.length, 0)
  const remove = Math.round(share * count)
  // Non-negative floats order as their bits do, so the k-th smallest is found on integers, without sorting indices.
  const keys = new Uint32Array(count)
  let at = 0
  for (const a of arrays) {
    const bits = new Uint32Array(a.buffer, a.byteOffset, a.length)
    for (let i = 0; i < bits.length; i++) keys[at++] = bits[i] & 0x7fffffff
  }
  const sorted = keys.slice().sort()
  const limit = remove > 0 ? sorted[remove - 1] : 0
  let ties = remove > 0 ? remove - lowerBound(sorted, limit) : 0
  at = 0
  return arrays.map((a) =>
    Uint8Array.from(a, () => {
      const key = keys[at++]
      if (remove === 0 || key > limit) return 0
      if (key < limit) return 1
      return ties-- > 0 ? 1 : 0
    }),
  )
}

/** The tensor, of the same type, with the marked elements zero (positive zero: every bit clear). */
export function zeroed(tensor: Tensor, mask: Uint8Array): Tensor {
  const width = dataTypes[tensor.dtype].bits / 8
  const data = Uint8Array.from(tensor.data)
  for (let i = 0; i < mask.length; i++) if (mask[i]) data.fill(0, i * width, (i + 1) * width)
  return { ...tensor, data }
}
