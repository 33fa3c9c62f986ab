/**
 * The bytes of an earlier tensor of the same type and size, with its dimensions in another order if need be. Parameters: how many
 * tensors back; the number of the order. Packing and unpacking do it.
 */
import { dataTypes } from '../../tensor/dtype.ts'
import { type Coding, damaged, type Encoder, type TensorInfo } from './coding.ts'

export const copy: Coding = {
  name: 'copy',
  parameterCount: 2,
  decode: () => {
    throw damaged('a tensor takes data from one that is not there')
  },
}

export const copyEncoder: Encoder = { coding: copy, encode: () => undefined }

/**
 * A tensor's data with its dimensions in another order: digit i of the number, in base 8 from the lowest, is the dimension that
 * becomes dimension i. 0 leaves the data as it is.
 */
export function permuted(data: Uint8Array, { dtype, dims }: TensorInfo, number: number): Uint8Array {
  if (number === 0) return data
  const order = dims.map((_, i) => Math.floor(number / 8 ** i) % 8)
  const width = dataTypes[dtype].bits / 8
  if (width < 1 || !dims.every((_, i) => order.includes(i)))
    throw damaged('a tensor takes data from one that is not there')
  const strides = order.map((axis) => dims.slice(axis + 1).reduce((a, b) => a * b, width))
  const out = new Uint8Array(data.length)
  const index = order.map(() => 0)
  let from = 0
  for (let at = 0; at < out.length; at += width) {
    for (let b = 0; b < width; b++) out[at + b] = data[from + b]
    // The next index, the last dimension fastest.
    for (let i = order.length - 1; i >= 0; i--) {
      from += strides[i]
      if (++index[i] < dims[order[i]]) break
      from -= strides[i] * index[i]
      index[i] = 0
    }
  }
  return out
}
