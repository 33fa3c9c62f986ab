/** Guesses of how long the parts of packing take, in milliseconds on one core: for progress alone. */
import { isFloat } from '../tensor/dtype.ts'
import type { TensorInfo } from './coding/coding.ts'
import type { CodedTensor } from './tensor-coder.ts'

/** Codings are tried on samples of so many elements, whatever the size of the tensor. */
const sampled = 1 << 14

/** What the first batch of each of two threads takes longer: until then the engine has not compiled the code. */
export const msToWarmUp = 1250

/** Choosing a tensor's coding. */
export function msToChoose({ size }: TensorInfo): number {
  return 0.1 + 45 * Math.min(1, size / sampled) + 1.4e-4 * size
}

/** Looking for runs of its elements in earlier tensors: on one thread, where the rest is on several. */
export function msToFindShared({ size }: TensorInfo): number {
  return 0.01 + 2e-5 * size
}

/** Milliseconds per bit, of codings that model each: bytes, and integers. Those of floats mostly copy. */
const perBit: Readonly<Record<string, number>> = {
  bytes: 1e-3,
  runs: 1e-3,
  integers: 8e-5,
  grid: 8e-5,
  codebook: 8e-5,
}

/** Coding it: as it was chosen, or where that is not known yet. */
export function msToCode(
  { size, dtype }: TensorInfo,
  chosen?: { readonly coding: CodedTensor['coding']; readonly bits: number },
): number {
  const known = chosen && perBit[chosen.coding.name]
  return 0.01 + (known ? known * chosen.bits : (isFloat(dtype) ? 1.3e-4 : 5e-4) * size)
}

/** Packing a tensor. */
export function msToPack(info: TensorInfo): number {
  return msToChoose(info) + msToFindShared(info) + msToCode(info)
}
