/**
 * float32 tensors whose magnitudes repeat (Fourier bases, filter banks, mirrored weights). Each element has an integer: 0, it is
 * the next one of those that were there before, with the sign as it was against those; 1, with the other sign; 2 or 3, its
 * magnitude was seen before, and what follows it (2) or came before it (3) is next; 4 and above, it is new, and the integer
 * tells its exponent. Parameter: the largest exponent.
 */
import { Distinct } from '../distinct.ts'
import { type BitReader, type Coding, damaged, type Encoder } from './coding.ts'

const minSize = 256
/** With more magnitudes than this it is not tried. */
const maxDistinct = 2 ** 24
/** The share of elements that must repeat. */
const leastRepeated = 0.2
/** Elements looked at to tell which way a repeat goes. */
const lookAhead = 256

const forward = 2
const backward = 3
const fresh = 4

export const repeats: Coding = {
  name: 'repeats',
  parameterCount: 1,
  hasTable: false,
  hasIntegers: true,
  hasRaw: true,
  decode({ dtype, size }, { integers, parameters }, raw: BitReader) {
    const largest = parameters[0]
    const nothing = damaged('a repeat has nothing to repeat')
    if (!integers || dtype !== 'float32' || largest > 255) throw nothing
    const words = new Uint32Array(size)
    const memory = remember(words)
    for (let i = 0; i < size; i++) {
      const kind = integers[i]
      if (kind >= fresh) {
        const exponent = largest + fresh - kind
        if (exponent < 0) throw nothing
        const sign = raw.read(1)
        words[i] = ((sign << 31) | (exponent << 23) | raw.read(23)) >>> 0
      } else if (kind >= forward) {
        const sign = raw.read(1)
        const number = raw.read(memory.width())
        if (number >= memory.seen.size) throw nothing
        words[i] = (memory.seen.keys[number] | (sign << 31)) >>> 0
      } else {
        const from = memory.predicted(i)
        if (from < 0 || kind < 0) throw nothing
        words[i] = (words[from] ^ ((memory.flip() ^ kind) << 31)) >>> 0
      }
      memory.add(i, kind)
    }
    return new Uint8Array(words.buffer)
  },
}

/** What both sides know of the elements so far. */
function remember(words: Uint32Array) {
  /** Distinct magnitudes in order of first appearance, with the last place of each. */
  const seen = new Distinct()
  let next = -1
  let step = 1
  let flipped = 0
  return {
    seen,
    /** Bits that name a magnitude. */
    width: () => (seen.size < 2 ? 0 : 32 - Math.clz32(seen.size - 1)),
    /** The element that this one is expected to repeat, or -1. */
    predicted: (i: number) => (next < i ? next : -1),
    /** 1 where signs are the other way round than they were. */
    flip: () => flipped,
    add(i: number, kind: number): void {
      const number = seen.add(words[i] & 0x7fffffff)
      if (kind < forward) {
        flipped ^= kind
        next += step
      } else if (kind >= fresh) next = -1
      else {
        const before = seen.notes[number]
        step = kind === forward ? 1 : -1
        next = before + step
        flipped = (words[before] ^ words[i]) >>> 31
      }
      seen.notes[number] = i
    },
  }
}

interface Step {
  readonly kind: number
  /** Raw bits and how many. */
  readonly value: number
  readonly bits: number
}

export const repeatsEncoder: Encoder = {
  coding: repeats,
  encode({ dtype, size }, data) {
    if (dtype !== 'float32' || size < minSize) return undefined
    const words = new Uint32Array(new Uint8Array(data).buffer)
    if (!repeatsEnough(words)) return undefined
    let largest = 0
    for (const w of words) largest = Math.max(largest, (w >>> 23) & 255)
    const integers = new Int32Array(size)
    let bits = 0
    const counts = new Float64Array(fresh + 256)
    walk(words, largest, (i, step) => {
      integers[i] = step.kind
      bits += step.bits
      counts[step.kind]++
    })
    for (const n of counts) if (n > 0) bits += n * Math.log2(size / n)
    return { coded: { parameters: [largest], integers }, bits: bits + 64 }
  },
  writeRaw(_info, data, { parameters }, out) {
    walk(new Uint32Array(new Uint8Array(data).buffer), parameters[0], (_i, { value, bits }) => out.write(value, bits))
  },
}

/** Whether enough magnitudes come more than once; told by those alone whose hash is a multiple of 8. */
function repeatsEnough(words: Uint32Array): boolean {
  const distinct = new Distinct()
  let looked = 0
  for (const w of words) {
    const magnitude = w & 0x7fffffff
    // Another multiplier than that of Distinct, whose table they would fill in one place.
    if (Math.imul(magnitude, 0x85ebca6b) >>> 29 !== 0) continue
    looked++
    distinct.add(magnitude)
    if (distinct.size > maxDistinct / 8) return false
  }
  return distinct.size <= (1 - leastRepeated) * looked
}

function walk(words: Uint32Array, largest: number, visit: (i: number, step: Step) => void): void {
  const memory = remember(words)
  for (let i = 0; i < words.length; i++) {
    const word = words[i]
    const magnitude = word & 0x7fffffff
    const from = memory.predicted(i)
    let step: Step
    if (from >= 0 && (words[from] & 0x7fffffff) === magnitude) {
      step = { kind: ((words[from] ^ word) >>> 31) ^ memory.flip(), value: 0, bits: 0 }
    } else {
      const known = memory.seen.find(magnitude)
      const width = memory.width()
      if (known < 0)
        step = {
          kind: largest - (magnitude >>> 23) + fresh,
          value: ((word >>> 31) << 23) | (word & 0x7fffff),
          bits: 24,
        }
      else {
        const before = memory.seen.notes[known]
        const kind = runLength(words, i, before, 1) >= runLength(words, i, before, -1) ? forward : backward
        step = { kind, value: ((word >>> 31) * 2 ** width + known) >>> 0, bits: width + 1 }
      }
    }
    visit(i, step)
    memory.add(i, step.kind)
  }
}

/** How many magnitudes after `i` are those after (or before) an earlier place. */
function runLength(words: Uint32Array, i: number, from: number, step: number): number {
  let n = 1
  while (n < lookAhead && i + n < words.length && from + n * step >= 0) {
    if (((words[i + n] ^ words[from + n * step]) & 0x7fffffff) !== 0) break
    n++
  }
  return n
}
