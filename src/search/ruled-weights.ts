/**
 * Weights that follow a rule, or are of values that come again and again: masks, matrices of 0 and 1, transforms, tables of positions.
 * Stored as they are they take less than one bit per weight, and less than with the errors of any steps, which hide the rule.
 */
import { chooseCoding } from '../formats/choose-coding.ts'
import { Distinct } from '../formats/distinct.ts'
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
function repeats({ dtype, data }: Tensor): boolean {
  const width = dataTypes[dtype].bits / 8
  if (!isFloat(dtype) || !Number.isInteger(width)) return false
  const distinct = new Distinct()
  let looked = 0
  for (let end = width; end <= data.length; end += width) {
    let key = data[end - 1] & 0x7f
    for (let b = 2; b <= width; b++) key = (Math.imul(key, 0x1000193) + data[end - b]) | 0
    if (key === 0 || Math.imul(key, 0x85ebca6b) >>> 0 >= 2 ** 32 / oneIn) continue
    distinct.add(key >>> 0)
    looked++
  }
  return distinct.size <= mostDistinct * looked
}

function bitsAsIs({ dtype, dims, data }: Tensor): number {
  const size = sizeOf(dims)
  return chooseCoding({ dtype, dims, size, byteLength: data.length }, data).bits / Math.max(1, size)
}
