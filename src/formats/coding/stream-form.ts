/**
 * The form in which a coding's integers go into the stream: less what is expected of each from those before it (ranges, index
 * tables, masks), less the most frequent difference, and without low bits that no model predicts.
 */
import { type BitReader, damaged } from './coding.ts'

export interface StreamForm {
  /** What is expected of an integer: for 0 nothing; for 2d - 1 the one d before; for 2d a plane through three before. */
  readonly predictor: number
  /** What is taken off each difference, 0 or more. */
  readonly offset: number
  /** Low bits of the differences that are among the raw bits. */
  readonly lowBits: number
}

/** The integers as they are in the stream. */
export const plainForm: StreamForm = { predictor: 0, offset: 0, lowBits: 0 }

/** Makes, in place, a coding's integers of those of the stream. */
export function fromStream(values: Int32Array, { predictor, offset, lowBits }: StreamForm, raw: BitReader): void {
  if (offset > 2 ** 31 - 1) throw damaged(`an integer offset of ${offset} is too large`)
  if (lowBits > 0) for (let i = 0; i < values.length; i++) values[i] = (values[i] << lowBits) | raw.read(lowBits)
  if (offset > 0) for (let i = 0; i < values.length; i++) values[i] += offset
  if (predictor === 0) return
  const distance = Math.ceil(predictor / 2)
  for (let i = 0; i < values.length; i++) values[i] += expected(values, i, distance, predictor % 2 === 0)
}

/** Integers before the first are 0; the sum may need 34 bits, of which 32 are kept where it is added. */
function expected(values: Int32Array, i: number, distance: number, plane: boolean): number {
  const up = i >= distance ? values[i - distance] : 0
  return plane ? up + (i > 0 ? values[i - 1] : 0) - (i > distance ? values[i - distance - 1] : 0) : up
}

/** The integers less what is expected and the offset, as what `fromStream` undoes; low bits are still in them. */
export function differences(values: Int32Array, { predictor, offset }: StreamForm): Int32Array {
  const out = values.slice()
  if (offset > 0) for (let i = 0; i < out.length; i++) out[i] -= offset
  if (predictor === 0) return out
  const distance = Math.ceil(predictor / 2)
  for (let i = 0; i < out.length; i++) out[i] -= expected(values, i, distance, predictor % 2 === 0)
  return out
}
