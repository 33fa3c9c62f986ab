/**
 * The bytes of an earlier tensor of the same type and size, with its dimensions in another order if need be. Parameters: how many
 * tensors back; the number of the order. Packing and unpacking do it.
 */
import { dataTypes } from '../../tensor/dtype.ts'
import { type Coding, damaged, type Encoder, type TensorInfo } from './coding.ts'

export const copy: Coding = {
  name: 'copy',
  parameterCount: 2,
  hasTable: false,
  hasIntegers: false,
  hasRaw: false,
  decode: () => {
    throw damaged('a copy of no tensor')
  },
}

export const copyEncoder: Encoder = { coding: copy, encode: () => undefined }

/** Dimensions that are put in another order, at most. */
export const maxPermutedRank = 8

/** The orders of `rank` dimensions are numbered as words of their letters are sorted; 0 is the order as it is. */
export function permutation(rank: number, number: number): number[] | undefined {
  const left = Array.from({ length: rank }, (_, i) => i)
  const order: number[] = []
  let orders = left.reduce((n, i) => n * (i + 1), 1)
  if (rank > maxPermutedRank || number >= orders) return undefined
  for (let n = rank; n > 0; n--) {
    orders /= n
    order.push(...left.splice(Math.floor(number / orders), 1))
    number %= orders
  }
  return order
}

/** A tensor's data with its dimensions in the order of this number. */
export function permuted(data: Uint8Array, { dtype, dims }: TensorInfo, number: number): Uint8Array {
  if (number === 0) return data
  const order = permutation(dims.length, number)
  const width = dataTypes[dtype].bits / 8
  if (!order || width < 1) throw damaged(`a copy with dimensions in order ${number}`)
  const strides = dims.map((_, i) => dims.slice(i + 1).reduce((a, b) => a * b, width))
  const out = new Uint8Array(data.length)
  const index = new Array<number>(order.length).fill(0)
  let from = 0
  for (let at = 0; at < out.length; at += width) {
    for (let b = 0; b < width; b++) out[at + b] = data[from + b]
    // The next index, the last dimension fastest.
    for (let i = order.length - 1; i >= 0; i--) {
      from += strides[order[i]]
      if (++index[i] < dims[order[i]]) break
      from -= strides[order[i]] * index[i]
      index[i] = 0
    }
  }
  return out
}
