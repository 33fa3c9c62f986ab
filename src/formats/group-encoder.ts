/** The two tasks of packing that other threads can do: choosing codings of tensors, and coding a group of them. */

import { crc32 } from '../checksum.ts'
import { bitWriter } from './bits.ts'
import { chooseCoding } from './choose-coding.ts'
import type { Coded, TensorData } from './coding/coding.ts'
import { encoders } from './coding/encoders.ts'
import { floatsEncoder } from './coding/floats.ts'
import { writeTensor } from './coding/write-stream.ts'
import { type Group, groupSize } from './container.ts'
import { beginEncoding, type Mode } from './entropy/integer-coder.ts'
import { sampleOf } from './find-beside.ts'
import { keysOf } from './find-earlier.ts'
import { marksOf } from './find-runs.ts'
import { unorderedSum } from './permuted-copies.ts'

/** How a part is coded, as plain data: without its integers, which `encodeGroup` makes again from the data. */
export interface Description {
  /** Its place in `codings` and `encoders`. */
  readonly coding: number
  readonly coded: Omit<Coded, 'integers'>
  /** CRC-32 of the data, by which equal parts find each other. */
  readonly check: number
  /** By which those find each other that are equal but for the order of dimensions. */
  readonly sum?: number
  /** By which those find each other that share a run of elements. */
  readonly marks: Uint32Array
  /** By which those find each other that are close. */
  readonly sample: Int32Array
  /** By which those find each other that have elements in common. */
  readonly keys: Uint32Array
  /** About as many as the coding takes. */
  readonly bits: number
}

/** The cheapest coding of each. */
export function chooseCodings(parts: readonly TensorData[]): Description[] {
  return parts.map(({ info, data }) => {
    const { encoder, coded, bits } = chooseCoding(info, data)
    const { integers: _, ...rest } = coded
    const found = {
      check: crc32(data),
      sum: unorderedSum(info, data),
      marks: marksOf(info, data),
      sample: sampleOf(info, data),
      keys: keysOf({ info, data }, encoder.coding),
    }
    return { coding: encoders.indexOf(encoder), coded: rest, bits, ...found }
  })
}

export interface GroupToEncode {
  readonly mode: Mode
  readonly parts: readonly (TensorData & Pick<Description, 'coding' | 'coded'>)[]
}

/** A group, and about how many of its bytes each part takes. */
export interface EncodedGroup extends Group {
  readonly partBytes: readonly number[]
}

/** Codes the parts of a group. */
export function encodeGroup({ mode: asked, parts }: GroupToEncode): EncodedGroup {
  const mode = modeOf(asked, parts)
  const integers = beginEncoding({ mode })
  const bits = bitWriter()
  const length = (): number => integers.length + bits.length
  const partBytes: number[] = []
  for (const [i, { info, data, coding, coded }] of parts.entries()) {
    const before = length()
    const encoder = encoders[coding]
    const values = encoder.coding.hasIntegers ? encoder.encode(info, data)?.coded.integers : undefined
    const earlier = (distance: number) => parts[i - distance]?.data
    writeTensor({ encoder, info, data, coded: { ...coded, integers: values }, earlier }, integers, bits)
    partBytes.push(length() - before)
  }
  return { mode, integers: integers.finish(), raw: bits.finish(), partBytes }
}

/**
 * The exponents of floats are all but independent of each other: the stronger modes gain a thousandth of the file by them, for
 * several times the time. So large groups of floats are coded as in fast.
 */
function modeOf(asked: Mode, parts: GroupToEncode['parts']): Mode {
  let all = 0
  let exponents = 0
  for (const { info, coding } of parts) {
    all += info.size
    if (encoders[coding] === floatsEncoder) exponents += info.size
  }
  return all >= groupSize && exponents > 0.9 * all ? 'fast' : asked
}
