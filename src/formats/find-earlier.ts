/**
 * Finds tensors whose elements are mostly those of an earlier one of their group, in another order: a window's sines beside its cosines, a
 * transform and its inverse.
 */
import { type DataType, dataTypes } from '../tensor/dtype.ts'
import { beside } from './coding/beside.ts'
import { behindEarlier, bytes } from './coding/bytes.ts'
import { codebook } from './coding/codebook.ts'
import type { Coding, TensorData } from './coding/coding.ts'
import { floats } from './coding/floats.ts'
import { runs } from './coding/runs.ts'
import { Distinct } from './distinct.ts'
import { hash } from './entropy/context-mixer.ts'
import { type CodedTensor, splitIntoGroups } from './tensor-coder.ts'

/** Distinct elements by which tensors are compared, of a tensor at most; fewer in common than the least say nothing. */
const mostKeys = 64
const leastKeys = 8
/** The share of these that must be in the earlier tensor. */
const leastShared = 0.5
/** Bytes of tensors that are looked at: where they do share elements, to see what it saves takes some seconds at most. */
const mostBytes = 1 << 22
/** The same where floats are all but new, as trained weights are: of large ones it only takes time. */
const mostFloatBytes = 1 << 18
/** A tensor is compared with so many earlier ones at most: the latest. */
const mostCompared = 64
/** It must take so much less than alone; and where it is not coded as bytes alone, which are slow, so much less. */
const worthwhile = 0.95
const worthTheTime = 0.7

/** A few of the distinct magnitudes, as hashes, ascending: the smallest, so that tensors with the same elements have the same. */
export function keysOf({ info, data }: TensorData, coding: Coding): Uint32Array {
  const { dtype, size, byteLength } = info
  const { bits } = dataTypes[dtype]
  const most = coding === floats ? mostFloatBytes : mostBytes
  if (bits < 16 || bits > 64 || size < leastKeys || byteLength > most) return new Uint32Array(0)
  const hashOf = magnitudeHashes(dtype, data)
  let distinct = new Distinct()
  let limit = 2 ** 32
  const smallest = (): Uint32Array => distinct.keys.slice(0, distinct.size).sort().slice(0, mostKeys)
  for (let i = 0; i < size; i++) {
    const key = hashOf(i)
    if (key >= limit) continue
    distinct.add(key)
    if (distinct.size < 8 * mostKeys) continue
    const kept = smallest()
    distinct = new Distinct()
    for (const each of kept) distinct.add(each)
    limit = kept[mostKeys - 1]
  }
  return smallest()
}

/** A hash, 0 to 2^32 - 1, of each element's magnitude, of types of 16 to 64 bits. */
export function magnitudeHashes(dtype: DataType, data: Uint8Array): (i: number) => number {
  const { bits, kind } = dataTypes[dtype]
  // A copy is aligned, which a part of a file need not be.
  const { buffer } = new Uint8Array(data)
  const words = bits === 16 ? new Int16Array(buffer) : new Int32Array(buffer)
  const isInteger = kind === 'int'
  const mask = bits === 16 ? 0x7fff : 0x7fffffff
  const mixed = (x: number): number => hash(x, 0) >>> 0
  if (bits < 64) return (i) => mixed(isInteger ? Math.abs(words[i]) : words[i] & mask)
  return (i) => {
    const [low, high] = [words[2 * i], words[2 * i + 1]]
    if (!isInteger) return mixed(Math.imul(high & mask, 0x9e3779b1) ^ low)
    const isNegative = high < 0
    const upper = isNegative ? ~high + (low === 0 ? 1 : 0) : high
    return mixed(Math.imul(upper, 0x9e3779b1) ^ (isNegative ? -low : low))
  }
}

interface Part extends CodedTensor {
  readonly read: () => Uint8Array
  readonly bits: number
}

/** Parts that take clearly less where the elements of an earlier one stand before them are coded so. `keys`: of each part. */
export function findEarlier<P extends Part>(parts: readonly P[], keys: ReadonlyMap<P, Uint32Array>): P[] {
  const found = new Map<P, P>()
  for (const group of splitIntoGroups(parts))
    for (const [here, part] of group.entries()) {
      const { info, coding, coded, bits } = part
      // Of 16 bits there are so few that all tensors have most of them.
      const isMeant =
        coding === bytes
          ? coded.parameters[0] < 3
          : (coding === floats || coding === codebook) && dataTypes[info.dtype].bits > 16
      const own = keys.get(part)
      if (!isMeant || !own) continue
      const limit = (coding === bytes ? worthwhile : worthTheTime) * bits
      const from = Math.max(0, here - mostCompared)
      const shares = group.slice(from, here).map((other) => {
        const fits = other.info.dtype === info.dtype && other.coding !== runs && other.coding !== beside
        return fits ? sharedOf(own, keys.get(other) ?? new Uint32Array(0)) : 0
      })
      const most = Math.max(0, ...shares)
      if (most < leastShared) continue
      const at = from + shares.lastIndexOf(most)
      const source = group[at].read()
      const kind = coding === bytes ? coded.parameters[0] : 0
      const better = behindEarlier({ info, data: part.read() }, { source, distance: here - at, kind, most: limit })
      if (better && better.bits < limit)
        found.set(part, { ...part, bits: better.bits, coding: bytes, coded: { parameters: [better.parameter] } })
    }
  return parts.map((part) => found.get(part) ?? part)
}

/** The share of a tensor's keys that are another's, too, of those that would be among the other's. */
function sharedOf(own: Uint32Array, other: Uint32Array): number {
  const limit = other.length === mostKeys ? other[mostKeys - 1] : 0xffffffff
  const comparable = own.filter((key) => key <= limit)
  return comparable.length < leastKeys ? 0 : comparable.filter((key) => other.includes(key)).length / comparable.length
}
