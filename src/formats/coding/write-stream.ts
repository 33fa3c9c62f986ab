/** A tensor in coded form to the integer stream and the raw bits of a group. */
import type { IntegerEncoder } from '../entropy/integer-coder.ts'
import type { BitWriter, Coded, Earlier, Encoder, TensorData } from './coding.ts'
import { differences, plainForm } from './stream-form.ts'

export function writeTensor(
  { encoder, coded, earlier, ...tensor }: TensorData & { encoder: Encoder; coded: Coded; earlier: Earlier },
  integers: IntegerEncoder,
  bits: BitWriter,
): void {
  const { integers: values, form = plainForm } = coded
  if (values) {
    const rest = differences(values, form)
    integers.encodeTensor(form.lowBits > 0 ? rest.map((v) => v >> form.lowBits) : rest, tensor.info.dims)
    if (form.lowBits > 0) for (const v of rest) bits.write(v, form.lowBits)
  }
  encoder.writeRaw?.(tensor, coded, bits, earlier)
}
