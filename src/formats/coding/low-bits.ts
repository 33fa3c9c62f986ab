/**
 * Wide integers (int8 weights of the full range, fine steps) have low bits that no model predicts: those are stored as
 * they are, which is as small and several times faster.
 */
import { Distinct } from '../distinct.ts'

/** Low bits not worth modelling: so many that the rest has a mean magnitude of about 8, unless the values are uneven. */
export function lowBitsOf(values: Int32Array): number {
  let sum = 0
  for (const v of values) sum += Math.abs(v)
  const mean = sum / values.length
  if (!(mean >= 16)) return 0
  const bits = Math.min(24, Math.floor(Math.log2(mean / 8)))
  const whole = entropy(values, 0)
  const split = entropy(values, bits) + bits
  // Where values are few for their range, the whole's entropy is too low an estimate.
  return split > whole * 1.01 && values.length > 8 * mean ? 0 : bits
}

/** Zero-order entropy of the values without their low bits, bits a value. */
function entropy(values: Int32Array, bits: number): number {
  let total = 0
  for (const n of countsOf(values, bits)) if (n > 0) total += n * Math.log2(values.length / n)
  return total / values.length
}

/** How often each value occurs; a plain array where the range allows it, which is many times faster. */
function countsOf(values: Int32Array, bits: number): Uint32Array {
  let low = 0
  let high = 0
  for (const v of values) {
    if (v < low) low = v
    if (v > high) high = v
  }
  low >>= bits
  high >>= bits
  if (high - low < 1 << 20) {
    const counts = new Uint32Array(high - low + 1)
    for (const v of values) counts[(v >> bits) - low]++
    return counts
  }
  const seen = new Distinct()
  for (const v of values) {
    const number = seen.add((v >> bits) >>> 0)
    seen.notes[number]++
  }
  return seen.notes
}
