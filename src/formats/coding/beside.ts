/**
 * A tensor close to an earlier one of its type and size, as averages of weights over training are beside the weights: the
 * difference of the elements' bits, taken as whole numbers that wrap. Parameter: how many tensors back. Packing finds the other
 * tensor and takes the differences; unpacking adds them up.
 */
import type { DataType } from '../../tensor/dtype.ts'
import { type Coding, damaged, type Encoder, type TensorInfo } from './coding.ts'
import { integers, integersEncoder } from './integers.ts'

/** What differences are integers of. */
const types: Partial<Record<DataType, DataType>> = { float32: 'int32', float16: 'int16', bfloat16: 'int16' }

/** A tensor of differences; undefined where none are taken of its type. */
export function differencesInfo(info: TensorInfo): TensorInfo | undefined {
  const dtype = types[info.dtype]
  return dtype && { ...info, dtype }
}

export const beside: Coding = {
  name: 'beside',
  parameterCount: 1,
  hasIntegers: true,
  decode(info, coded, raw) {
    const as = differencesInfo(info)
    if (!as) throw damaged(`no differences are taken of type ${info.dtype}`)
    return integers.decode(as, coded, raw)
  },
}

/** Codes differences, not the tensor's own data. */
export const besideEncoder: Encoder = {
  coding: beside,
  encode(info, differences) {
    const as = differencesInfo(info)
    return as && integersEncoder.encode(as, differences)
  },
}

/** Adds the elements of `source` to those of `data`, in place; `sign` -1 takes them off. */
export function addElements(data: Uint8Array, source: Uint8Array, width: number, sign = 1): void {
  let carry = 0
  for (let at = 0; at < data.length; at++) {
    if (at % width === 0) carry = 0
    carry += data[at] + sign * source[at]
    data[at] = carry
    carry >>= 8
  }
}
