/** How many of some numbers are zero, and how many differ: of constants, sparse tensors, and lists that learners have. */
import { bytesOfList } from '../graph/walk.ts'
import type { Node, SparseTensor } from '../model.ts'
import { dataTypes, floats, sizeOf } from '../tensor/dtype.ts'
import { storedNumbers } from './_numbers.ts'

export interface Spread {
  /** Share of zeros; null where the numbers are not known. */
  readonly sparsity: number | null
  /** Distinct values; null where they are not known, or more than 65,536. */
  readonly distinct: number | null
}

export const unknownSpread: Spread = { sparsity: null, distinct: null }

/** Beyond this a weight is as good as continuous, and counting on is slow. */
const maxDistinct = 65_536

export function spreadOf(numbers: ArrayLike<number> | undefined): Spread {
  if (!numbers || numbers.length === 0) return unknownSpread
  const seen = new Set<number>()
  for (let i = 0; i < numbers.length && seen.size <= maxDistinct; i++) seen.add(numbers[i])
  return { sparsity: zerosIn(numbers) / numbers.length, distinct: seen.size <= maxDistinct ? seen.size : null }
}

/** Of a sparse tensor: what it does not store is zero. */
export function sparseSpread({ values, dims }: SparseTensor): Spread {
  const stored = spreadOf(storedNumbers(values))
  const [size, count] = [sizeOf(dims), sizeOf(values.dims)]
  if (stored.sparsity === null || count > size || size === 0) return unknownSpread
  const zeros = size - count + stored.sparsity * count
  const more = stored.sparsity === 0 && count < size ? 1 : 0
  return { sparsity: zeros / size, distinct: stored.distinct === null ? null : stored.distinct + more }
}

interface Learnt {
  readonly params: number
  readonly zeros: number
  readonly bytes: number
  readonly spread: Spread
}

/** What a learner (trees, linear models, vocabularies) has learnt lies in its attributes: floats are parameters, ints say where. */
export function learntBy(node: Node): Learnt {
  const lists: ArrayLike<number>[] = []
  let bytes = 0
  for (const a of Object.values(node.attributes)) {
    bytes += bytesOfList(a)
    const tensor = a.type === 'tensor' && dataTypes[a.value.dtype].kind === 'float' ? a.value : undefined
    if (a.type === 'floats') lists.push(a.value)
    else if (tensor) lists.push(floats(tensor))
  }
  const numbers = lists.flatMap((list) => Array.from(list))
  return { params: numbers.length, zeros: zerosIn(numbers), bytes, spread: spreadOf(numbers) }
}

function zerosIn(numbers: ArrayLike<number>): number {
  let zeros = 0
  for (let i = 0; i < numbers.length; i++) if (numbers[i] === 0) zeros++
  return zeros
}
