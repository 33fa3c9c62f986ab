/** What coding a tensor by seen elements would take, told without coding it. */
import { dataTypes } from '../../tensor/dtype.ts'
import { Distinct } from '../distinct.ts'
import { BitCounter } from '../entropy/bit-counter.ts'
import { ContextMixer } from '../entropy/context-mixer.ts'
import type { TensorInfo } from './coding.ts'
import { seenChoices } from './seen-choices.ts'
import { seenElements } from './seen-elements.ts'

/** Elements of tensors that are walked through without a look at whether they repeat. */
const fewElements = 1 << 14
/** The share of elements that must repeat, all over the tensor or within so many elements. */
const leastRepeated = 0.2
const windowSize = 512
/** Where the second half of the first elements takes so many times what it may, the others are not looked at. */
const hopeless = 1.1
/** New elements that are coded for an estimate. */
const sampled = 1024

interface Given {
  /** Whether these are signs and magnitudes. */
  readonly isSigned: boolean
  /** The tensor's bytes, of each element the highest first, behind `start` elements that stand before it (0 unless said). */
  readonly highestFirst: () => Uint8Array
  readonly start?: number
  /** Bits of elements coded as bytes. */
  readonly bitsAsBytes: (info: TensorInfo, data: Uint8Array) => number
  /** Bits that it must take less than. */
  readonly most: number
}

/** Bits that a tensor takes by seen elements; undefined where too few repeat, or where it clearly takes more than it may. */
export function bitsBySeen(info: TensorInfo, data: Uint8Array, given: Given): number | undefined {
  const { dtype, size } = info
  const width = dataTypes[dtype].bits >> 3
  if (width < 1 || width > 8 || size < 16) return undefined
  const { isSigned, start = 0 } = given
  // Of tensors behind others it is known, of bytes and of few elements it is not asked.
  const isLooked = start === 0 && size > fewElements && width > 1
  const shareNew = isLooked ? newShare(data, width) : 1
  if (shareNew === undefined) return undefined
  const counter = new BitCounter()
  const mixer = new ContextMixer(counter, {
    slotBits: Math.max(10, Math.min(16, 34 - Math.clz32(info.byteLength))),
    limit: 1023,
  })
  const seen = seenElements(given.highestFirst(), info, { isSigned, choicesOf: seenChoices })
  const sample = new Uint8Array(sampled * width)
  let fresh = 0
  // Bits of the new ones are told by the first of them, coded as they would be, in one row.
  const bits = (): number => {
    const count = Math.min(fresh, sampled)
    const taken = { dtype, dims: [count], size: count, byteLength: count * width }
    const ofFresh = count > 0 ? given.bitsAsBytes(taken, sample.subarray(0, taken.byteLength)) / count : 0
    return counter.bits + fresh * ofFresh
  }
  let half = 0
  let freshInHalf = 0
  for (let i = 0; i < size; i++) {
    if (2 * i === fewElements) {
      half = bits()
      freshInHalf = fresh
    }
    if (i === fewElements) {
      // Of the first elements, more are new than of all.
      const shareHere = (2 * (fresh - freshInHalf)) / fewElements
      const perElement = (2 * (bits() - half) * Math.min(1, shareNew / shareHere)) / fewElements
      if (perElement * size > hopeless * given.most) return undefined
    }
    if (seen(start + i, mixer) === undefined) continue
    if (fresh < sampled) sample.set(data.subarray(i * width, (i + 1) * width), fresh * width)
    fresh++
  }
  return bits()
}

/**
 * The share of elements whose magnitude was not there before, told by those whose hash is a multiple of 8; undefined where too few come
 * again, all over or close together.
 */
function newShare(data: Uint8Array, width: number): number | undefined {
  const all = new Distinct()
  let near = new Distinct()
  let looked = 0
  let repeatedNear = 0
  const size = data.length / width
  for (let i = 0; i < size; i++) {
    const at = (i + 1) * width
    let key = data[at - 1] & 0x7f
    for (let b = 2; b <= width; b++) key = (Math.imul(key, 0x1000193) + data[at - b]) | 0
    if (i % windowSize === 0) {
      repeatedNear += i === 0 ? 0 : windowSize - near.size
      near = new Distinct()
    }
    near.add(key >>> 0)
    if (Math.imul(key, 0x85ebca6b) >>> 29 !== 0) continue
    looked++
    all.add(key >>> 0)
  }
  const share = looked === 0 ? 1 : all.size / looked
  // Of 16 bits there are so few that they repeat anyhow.
  const isEnough = (width > 2 && share <= 1 - leastRepeated) || repeatedNear > leastRepeated * size
  return isEnough ? share : undefined
}
