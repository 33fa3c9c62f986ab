/** What a tensor costs in a packed file. */
import type { Tensor } from '../model.ts'
import { sizeOf } from '../tensor/dtype.ts'
import { bitWriter } from './bits.ts'
import { beginEncoding, type Mode } from './entropy/integer-coder.ts'
import { chooseCoding } from './tensor-coder.ts'

/** Bytes of the tensor's data coded alone. In a file the coder has learnt from the tensors before, so it takes a little less. */
export function packedTensorBytes(tensor: Tensor, mode: Mode = 'default'): number {
  if (tensor.strings) return tensor.strings.reduce((sum, s) => sum + s.byteLength, 0)
  const info = { dtype: tensor.dtype, dims: tensor.dims, size: sizeOf(tensor.dims), byteLength: tensor.data.byteLength }
  const { coding, coded } = chooseCoding(info, tensor.data)
  let bytes = coded.table?.byteLength ?? 0
  if (coded.integers) {
    const encoder = beginEncoding({ mode })
    const { integers, lowBits = 0 } = coded
    encoder.encodeTensor(lowBits > 0 ? integers.map((v) => v >> lowBits) : integers, info.dims)
    bytes += encoder.finish().byteLength + Math.ceil((integers.length * lowBits) / 8)
  }
  if (coding.writeRaw) {
    const bits = bitWriter()
    coding.writeRaw(info, tensor.data, coded, bits)
    bytes += bits.finish().byteLength
  }
  return bytes
}
