/** The words of a bit stream as a field of a format. */
import { maxBits } from './_bits.ts'
import type { FieldReader } from './_fields.ts'

/** Reads the words that `bits` bits fill. */
export function readWords(input: FieldReader, bits: number): Uint32Array {
  if (bits > maxBits) throw input.fail(`its stream takes ${bits} bits, more than ${maxBits}`)
  return input.ints(Math.ceil(bits / 32), 4) as Uint32Array
}
