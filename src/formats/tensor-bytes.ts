/** What a tensor costs in a packed file. */
import type { Tensor } from '../model.ts'
import { sizeOf } from '../tensor/dtype.ts'
import { bitWriter } from './bits.ts'
import { chooseCoding } from './choose-coding.ts'
import { writeTensor } from './coding/write-stream.ts'
import { beginEncoding } from './entropy/integer-coder.ts'

/** A tensor whose data is at hand, so that it can be sent to a thread. */
export type PlainTensor = Pick<Tensor, 'dtype' | 'dims' | 'data' | 'strings'>

/** Bytes of the tensor's data coded alone. In a file the coder has learnt from the tensors before, so it takes a little less. */
export function packedTensorBytes(tensor: PlainTensor): number {
  if (tensor.strings) return tensor.strings.reduce((sum, s) => sum + s.byteLength, 0)
  const info = { dtype: tensor.dtype, dims: tensor.dims, size: sizeOf(tensor.dims), byteLength: tensor.data.byteLength }
  const chosen = chooseCoding(info, tensor.data)
  const integers = beginEncoding({ mode: 'default' })
  const bits = bitWriter()
  writeTensor({ ...chosen, data: tensor.data }, integers, bits)
  return (chosen.coded.table?.byteLength ?? 0) + integers.finish().byteLength + bits.finish().byteLength
}
