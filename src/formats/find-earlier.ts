/**
 * Finds tensors whose elements are mostly those of an earlier one of their group, in another order: a window's sines beside its cosines, a
 * transform and its inverse.
 */
import { dataTypes, isFloat } from '../tensor/dtype.ts'
import { beside } from './coding/beside.ts'
import { byElements, bySigns } from './coding/byte-model.ts'
import { behindEarlier, bytes, prepared } from './coding/bytes.ts'
import { codebook } from './coding/codebook.ts'
import type { TensorInfo } from './coding/coding.ts'
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
/** A tensor is compared with so many earlier ones at most: the latest. */
const mostCompared = 64
/** It must take so much less than alone; and where it is not coded as bytes alone, which are slow, so much less. */
const worthwhile = 0.95
const worthTheTime = 0.7

/** A few of the distinct magnitudes, as hashes, ascending: the smallest, so that tensors with the same elements have the same. */
export function keysOf({ dtype, size, byteLength }: TensorInfo, data: Uint8Array): Uint32Array {
  const width = dataTypes[dtype].bits >> 3
  if (width < 2 || width > 8 || size < leastKeys || byteLength > mostBytes) return new Uint32Array(0)
  const elements = prepared(data, width, isFloat(dtype) ? byElements : bySigns)
  const distinct = new Distinct()
  for (let at = 0; at < byteLength; at += width) {
    let key = elements[at] & 0x7f
    for (let b = 1; b < width; b++) key = Math.imul(key, 0x9e3779b1) ^ elements[at + b]
    distinct.add(hash(key, 1) >>> 0)
  }
  return distinct.keys.slice(0, distinct.size).sort().slice(0, mostKeys)
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
