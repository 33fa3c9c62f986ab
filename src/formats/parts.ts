/**
 * Large tensors are coded in parts of some of their rows, each as if it were a tensor: so that no more than a part need be in
 * memory, and threads can share the work.
 */
import { byteLengthOf, dataTypes } from '../tensor/dtype.ts'
import type { TensorInfo } from './coding/coding.ts'

/** Elements of a part: at most so many, unless a row has more. */
export const partSize = 1 << 22

/** The parts of a tensor, in order: the tensor itself where it is small. */
export function partsOf(info: TensorInfo): TensorInfo[] {
  const { dtype, dims, size } = info
  if (size <= partSize || dtype === 'string') return [info]
  const axis = dims.findIndex((d) => d > 1)
  const row = size / dims[axis]
  // Elements of less than a byte: rows by eights end with a byte.
  const unit = dataTypes[dtype].bits < 8 ? 8 : 1
  const rows = Math.max(unit, Math.floor(partSize / row / unit) * unit)
  const parts: TensorInfo[] = []
  for (let from = 0; from < dims[axis]; from += rows) {
    const count = Math.min(rows, dims[axis] - from)
    parts.push({
      dtype,
      dims: dims.map((d, i) => (i === axis ? count : d)),
      size: count * row,
      byteLength: byteLengthOf(dtype, count * row),
    })
  }
  return parts
}
