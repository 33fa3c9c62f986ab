/**
 * What every pruning method shares: which weights compete, which of them have the smallest scores, and zeroing those.
 *
 * Of n scores exactly round(share * n) are marked. Equal scores fall in the order in which they are stored, so the same
 * model gives the same bytes.
 */
import { didYouMean } from '../errors.ts'
import { replaceTensors, type WeightTensor, weightTensors } from '../graph/weights.ts'
import type { Model, Tensor } from '../model.ts'
import { dataTypes, floats, sizeOf } from '../tensor/dtype.ts'
import { lowerBound } from '../tensor/search.ts'

/** The options of every method that ranks single weights by a score. */
export const selectOptions = {
  sparsity: { type: 'number', default: 0.5, min: 0, max: 1, help: 'share of the weights that are zero afterwards' },
  scope: {
    type: 'choice',
    of: ['layer', 'global'],
    default: 'layer',
    help: 'where weights compete: within each tensor, or over all of them',
  },
  minElements: {
    type: 'number',
    default: 0,
    min: 0,
    integer: true,
    help: 'tensors with fewer elements are left alone',
  },
  exclude: { type: 'strings', default: [], help: 'names of weights to leave alone' },
} as const

/** The weights that a method may prune. Throws where `exclude` names none; `subject` (the method's id) begins the error. */
export function prunableWeights(
  model: Model,
  subject: string,
  { minElements, exclude }: { readonly minElements: number; readonly exclude: readonly string[] },
): WeightTensor[] {
  const all = weightTensors(model)
  checkNames(`${subject}: exclude`, all, exclude)
  return all.filter((w) => sizeOf(w.tensor.dims) >= minElements && !exclude.includes(w.name))
}

/** Throws where a name is no weight of the model. */
export function checkNames(subject: string, weights: readonly WeightTensor[], names: readonly string[]): void {
  const known = new Set(weights.map((w) => w.name))
  const wrong = names.find((name) => !known.has(name))
  if (wrong === undefined) return
  throw new Error(`${subject} names "${wrong}", which is no weight of the model${didYouMean(wrong, known)}`)
}

/** The model with the weights of the smallest scores zeroed; `scores` are non-negative, in the order of `weights`. */
export function pruneByScore(
  model: Model,
  { weights, scores }: { readonly weights: readonly WeightTensor[]; readonly scores: readonly Float32Array[] },
  { sparsity, scope }: { readonly sparsity: number; readonly scope: 'layer' | 'global' | string },
): Model {
  const masks =
    scope === 'global' ? smallest(scores, sparsity) : scores.map((s) => smallest([s], sparsity)[0] as Uint8Array)
  return replaceTensors(model, new Map(weights.map((w, i) => [w.tensor, zeroed(w.tensor, masks[i])])))
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
