/**
 * Weights that follow a rule, or are of values that come again and again: masks, matrices of 0 and 1, transforms, tables of positions.
 * Stored as they are they take less than one bit per weight, and less than with the errors of any steps, which hide the rule.
 */
import { chooseCoding } from '../formats/choose-coding.ts'
import { Distinct } from '../formats/distinct.ts'
import { magnitudeHashes } from '../formats/find-earlier.ts'
import type { WeightTensor } from '../graph/weights.ts'
import type { Tensor } from '../model.ts'
import { dataTypes, isFloat, sizeOf } from '../tensor/dtype.ts'

/** The share of the weights that are not zero which may be of a value of their own: of trained ones nearly all are. */
const mostDistinct = 0.3
/** Of these, one in so many is looked at, by a hash of its value. */
const oneIn = 8
const mostBits = 1

/** Bits per weight that a tensor takes as it is, by the weight's name, of those that are better left so. */
export function ruledWeights(weights: readonly WeightTensor[]): Map<string, number> {
  return new Map(
    weights.flatMap(({ name, tensor }) => {
      const bits = repeats(tensor) ? bitsAsIs(tensor) : Number.POSITIVE_INFINITY
      return bits <= mostBits ? [[name, bits] as const] : []
    }),
  )
}

/** Whether few of the weights that are not zero are of a magnitude of their own. */
function repeats({ dtype, dims, data }: Tensor): boolean {
  if (!isFloat(dtype) || dataTypes[dtype].bits < 16) return false
  const hashOf = magnitudeHashes(dtype, data)
  const ofZero = magnitudeHashes(dtype, new Uint8Array(8))(0)
  const size = sizeOf(dims)
  const distinct = new Distinct()
  let looked = 0
  for (let i = 0; i < size; i++) {
    const key = hashOf(i)
    if (key === ofZero || key >= 2 ** 32 / oneIn) continue
    distinct.add(key)
    looked++
  }
  return distinct.size <= mostDistinct * looked
}

function bitsAsIs({ dtype, dims, data }: Tensor): number {
  const size = sizeOf(dims)
  return chooseCoding({ dtype, dims, size, byteLength: data.length }, data).bits / Math.max(1, size)
}
