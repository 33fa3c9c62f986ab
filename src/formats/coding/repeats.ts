/**
 * float32 tensors whose magnitudes repeat (Fourier bases, filter banks, mirrored weights): each element is either the one
 * that followed the last time (integer 0: sign as it was against then, 1: the other sign), or a new magnitude (2, all
 * bits raw), or one seen before (3, its number in order of first appearance raw).
 */
import { Distinct } from '../distinct.ts'
import { type BitReader, type BitWriter, type Coding, damaged } from './coding.ts'

const minSize = 256
/** With more magnitudes than this it is not tried. */
const maxDistinct = 2 ** 24

interface Step {
  readonly kind: number
  /** Raw bits and how many. */
  readonly value: number
  readonly bits: number
}

export const repeats: Coding = {
  name: 'repeats',
  parameterCount: 0,
  hasTable: false,
  hasIntegers: true,
  encode({ dtype, size }, data) {
    if (dtype !== 'float32' || size < minSize) return undefined
    const words = new Uint32Array(new Uint8Array(data).buffer)
    const distinct = new Distinct()
    const most = Math.min(size / 2, maxDistinct)
    for (const w of words) {
      distinct.add(w & 0x7fffffff)
      if (distinct.size > most) return undefined
    }
    const integers = new Int32Array(size)
    let bits = 0
    const counts = [0, 0, 0, 0]
    walk(words, (i, step) => {
      integers[i] = step.kind
      bits += step.bits
      counts[step.kind]++
    })
    for (const n of counts) if (n > 0) bits += n * Math.log2(size / n)
    return { coded: { parameters: [], integers }, bits: bits + 32 }
  },
  writeRaw(_info, data, _coded, out: BitWriter) {
    walk(new Uint32Array(new Uint8Array(data).buffer), (_i, { value, bits }) => out.write(value, bits))
  },
  decode({ dtype, size }, { integers }, raw: BitReader) {
    if (!integers || dtype !== 'float32') throw damaged('repeats without integers')
    const words = new Uint32Array(size)
    const memory = remember()
    for (let i = 0; i < size; i++) {
      const kind = integers[i]
      if (kind === 0 || kind === 1) {
        const from = memory.predicted(i)
        if (from < 0) throw damaged('a repeat of nothing')
        words[i] = (words[from] ^ ((memory.flip() ^ kind) << 31)) >>> 0
      } else if (kind === 2) words[i] = raw.read(32)
      else if (kind === 3) {
        const sign = raw.read(1)
        const number = raw.read(memory.width())
        if (number >= memory.seen.size) throw damaged('a repeat of an unknown number')
        words[i] = (memory.seen.keys[number] | (sign << 31)) >>> 0
      } else throw damaged(`a repeat of kind ${kind}`)
      memory.add(words, i, kind)
    }
    return new Uint8Array(words.buffer)
  },
}

function walk(words: Uint32Array, visit: (i: number, step: Step) => void): void {
  const memory = remember()
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
      step =
        known < 0 || width > 30
          ? { kind: 2, value: word, bits: 32 }
          : { kind: 3, value: ((word >>> 31) * 2 ** width + known) >>> 0, bits: width + 1 }
    }
    visit(i, step)
    memory.add(words, i, step.kind)
  }
}

/** What both sides know of the elements so far. */
function remember() {
  /** Distinct magnitudes in order of first appearance, with the last place of each. */
  const seen = new Distinct()
  let next = -1
  let flipped = 0
  return {
    seen,
    /** Bits that name a magnitude. */
    width: () => (seen.size < 2 ? 0 : 32 - Math.clz32(seen.size - 1)),
    /** The element that this one is expected to repeat, or -1. */
    predicted: (i: number) => (next < i ? next : -1),
    /** 1 where signs are the other way round than they were. */
    flip: () => flipped,
    add(all: Uint32Array, i: number, kind: number): void {
      const { size } = seen
      const number = seen.add(all[i] & 0x7fffffff)
      if (kind < 2) {
        flipped ^= kind
        next++
      } else if (number === size) next = -1
      else {
        const before = seen.notes[number]
        next = before + 1
        flipped = (all[before] ^ all[i]) >>> 31
      }
      seen.notes[number] = i
    },
  }
}
