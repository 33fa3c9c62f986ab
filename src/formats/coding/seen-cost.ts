/** What coding a tensor by seen elements would take, told without coding it. */
import { dataTypes } from '../../tensor/dtype.ts'
import { Distinct } from '../distinct.ts'
import { hash } from '../entropy/context-mixer.ts'
import type { TensorInfo } from './coding.ts'
import { seenChoices } from './seen-choices.ts'
import { type ElementCoder, seenElements } from './seen-elements.ts'

/** Elements of tensors that are walked through without a look at whether they repeat. */
const fewElements = 1 << 14
/** The share of elements that must repeat, all over the tensor or within so many elements. */
const leastRepeated = 0.2
const windowSize = 512
/** Where the first elements take so many times what they may, the others are not looked at. */
const hopeless = 1.1
/** New elements that are coded for an estimate. */
const sampled = 1024

interface Given {
  /** The tensor's bytes, of each element the highest first. */
  readonly highestFirst: () => Uint8Array
  /** Bits of elements coded as bytes. */
  readonly bitsAsBytes: (info: TensorInfo, data: Uint8Array) => number
  /** Bits that it must take less than. */
  readonly most: number
}

/** Bits that a tensor takes by seen elements; undefined where too few repeat, or where it clearly takes more than it may. */
export function bitsBySeen(info: TensorInfo, data: Uint8Array, given: Given): number | undefined {
  const { dtype, size } = info
  const width = dataTypes[dtype].bits >> 3
  if (width < 2 || width > 8 || size < 16) return undefined
  if (size > fewElements && !repeatsEnough(data, width)) return undefined
  const counter = new BitCounter()
  const seen = seenElements(given.highestFirst(), info, seenChoices)
  const sample = new Uint8Array(sampled * width)
  let fresh = 0
  // Bits of the new ones are told by the first of them, coded as they would be, in one row.
  const bits = (): number => {
    const count = Math.min(fresh, sampled)
    const taken = { dtype, dims: [count], size: count, byteLength: count * width }
    const ofFresh = count > 0 ? given.bitsAsBytes(taken, sample.subarray(0, taken.byteLength)) / count : 0
    return counter.bits + fresh * ofFresh
  }
  for (let i = 0; i < size; i++) {
    if (i === fewElements && bits() > (hopeless * given.most * i) / size) return undefined
    if (i > 0) seen.add(i - 1)
    if (seen.code(i, counter) === undefined) continue
    if (fresh < sampled) sample.set(data.subarray(i * width, (i + 1) * width), fresh * width)
    fresh++
  }
  return bits()
}

/** Whether enough magnitudes come more than once: all over, told by those whose hash is a multiple of 8, or close together. */
function repeatsEnough(data: Uint8Array, width: number): boolean {
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
  // Of 16 bits there are so few that they repeat anyhow.
  return (width > 2 && all.size <= (1 - leastRepeated) * looked) || repeatedNear > leastRepeated * size
}

const slots = 1 << 12
/** Contexts of a decision, at most, and the sets of weights of all of them, from the first on. */
const mostContexts = 4
const setCount = 8

/** Counts bits as a coder would take them that knew of each kind of decision which of its contexts is the best. */
class BitCounter implements ElementCoder {
  private readonly ones = new Float32Array(mostContexts * slots).fill(0.5)
  private readonly counts = new Uint8Array(mostContexts * slots)
  private readonly sums = new Float64Array(mostContexts * setCount).fill(Number.POSITIVE_INFINITY)
  private plain = 0

  get bits(): number {
    let bits = this.plain
    for (let set = 0; set < setCount; set++) {
      const sums = this.sums.subarray(set * mostContexts, (set + 1) * mostContexts)
      const least = Math.min(...sums)
      if (least < Number.POSITIVE_INFINITY) bits += least
    }
    return bits
  }

  bit(value: number, contexts: readonly number[], node: number, set: number): number {
    const { ones, counts, sums } = this
    for (let j = 0; j < contexts.length; j++) {
      const at = j * slots + (hash(hash(contexts[j], node), set) & (slots - 1))
      const p = ones[at]
      const sum = (set % setCount) * mostContexts + j
      sums[sum] = (sums[sum] === Number.POSITIVE_INFINITY ? 0 : sums[sum]) - Math.log2(value ? p : 1 - p)
      if (counts[at] < 60) counts[at]++
      ones[at] = p + ((value ? 0.9999 : 0.0001) - p) / (counts[at] + 1.6)
    }
    return value
  }

  raw(value: number, count: number): number {
    this.plain += count
    return value
  }

  symbol(value: number, count: number, contexts: readonly number[], set: number): number {
    let node = 1
    for (let i = count - 1; i >= 0; i--) node = (node << 1) | this.bit((value >> i) & 1, contexts, node, set)
    return value
  }

  number(value: number, contexts: readonly number[], set: number): number {
    const length = 31 - Math.clz32(value + 1)
    for (let i = 0; i < length; i++) this.bit(1, contexts, i, set)
    this.bit(0, contexts, length, set)
    this.plain += length
    return value
  }
}
