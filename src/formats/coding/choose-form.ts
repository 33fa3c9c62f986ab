/** Chooses the form in which integers go into the stream. */
import { Distinct } from '../distinct.ts'
import { estimateBits } from './coding.ts'
import { differences, plainForm, type StreamForm } from './stream-form.ts'

/** Integers that predictors are chosen by. */
const sampleSize = 1 << 14
/** A predictor must save so much by an estimate that knows less of neighbours than the coder does. */
const worthwhile = 0.85

export function chooseForm(values: Int32Array, dims: readonly number[]): StreamForm {
  const predictor = choosePredictor(values, dims)
  const rest = differences(values, { ...plainForm, predictor })
  const most = mode(rest)
  // Differences must stay within 32 bits, and what lies evenly around 0 (exponents with signs) is known best as it is.
  const offset = most > 0 && bounds(rest)[0] - most >= -(2 ** 31) && !isEven(rest, most) ? most : 0
  if (offset > 0) for (let i = 0; i < rest.length; i++) rest[i] -= offset
  return { predictor, offset, lowBits: lowBitsOf(rest) }
}

function choosePredictor(values: Int32Array, dims: readonly number[]): number {
  if (values.length < 16) return 0
  const row = dims[dims.length - 1] ?? 1
  const plane = row * (dims[dims.length - 2] ?? 1)
  const distances = new Set([1, 2, 3, 4, row + 1, row, plane].filter((d) => d >= 1 && 2 * d <= values.length))
  const sample = values.subarray(0, Math.min(values.length, Math.max(sampleSize, 4 * row)))
  let best = 0
  // As they would be coded: around the most frequent.
  const most = mode(sample)
  const centred = most > 0 ? sample.map((v) => v - most) : sample
  let least = Math.min(estimateBits(sample), estimateBits(centred)) * worthwhile
  for (const d of distances) {
    for (const predictor of d === 1 ? [1] : [2 * d - 1, 2 * d]) {
      const bits = estimateBits(differences(sample, { ...plainForm, predictor }))
      if (bits < least) {
        least = bits
        best = predictor
      }
    }
  }
  return best
}

function bounds(values: Int32Array): [number, number] {
  let low = values[0]
  let high = values[0]
  for (const v of values) {
    if (v < low) low = v
    if (v > high) high = v
  }
  return [low, high]
}

/** Whether a value's negative is about as frequent. */
function isEven(values: Int32Array, value: number): boolean {
  let balance = 0
  let count = 0
  for (const v of values) {
    if (v === value) count++
    else if (v === -value) balance++
  }
  return 2 * balance > count
}

/** The most frequent value; of values that range over more than 2^20, the first. */
function mode(values: Int32Array): number {
  const [low, high] = bounds(values)
  if (!(high - low < 1 << 20)) return values[0] ?? 0
  const counts = new Int32Array(high - low + 1)
  for (const v of values) counts[v - low]++
  let best = 0
  for (let i = 1; i < counts.length; i++) if (counts[i] > counts[best]) best = i
  return best + low
}

/**
 * Low bits not worth modelling: so many that the rest has a mean magnitude of about 8, unless the values are uneven.
 * Wide integers (int8 weights of the full range, fine steps) have low bits that no model predicts: those are stored as they
 * are, which is as small and several times faster.
 */
function lowBitsOf(values: Int32Array): number {
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

/** Zero-order entropy of the values without their low bits, bits per value. */
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
