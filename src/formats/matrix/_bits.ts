/**
 * Bit streams in 32-bit words, the highest bit of a word first, the last word padded with zeros: the layout of HAC and
 * sHAC (Marinò et al. 2021). Positions are bit numbers below 2^32.
 */
import { grown } from '../memory.ts'

export const maxBits = 2 ** 32 - 64

export interface WordWriter {
  /** The number of bits written so far. */
  readonly length: number
  /** Appends the low `bits` bits of `value`; bits within [0, 32]. */
  write(value: number, bits: number): void
  /** The words, without padding words. Nothing can be written after. */
  finish(): Uint32Array
}

export function wordWriter(): WordWriter {
  let words = new Uint32Array(1024)
  let used = 0
  let pending = 0
  let free = 32
  const put = (word: number): void => {
    if (used === words.length) words = grown(words)
    words[used++] = word
  }
  return {
    get length() {
      return used * 32 + 32 - free
    },
    write(value, bits) {
      if (bits === 0) return
      if (bits < free) {
        free -= bits
        pending |= value << free
        return
      }
      const rest = bits - free
      put(pending | (value >>> rest))
      free = 32 - rest
      pending = rest === 0 ? 0 : value << free
    },
    finish() {
      if (free < 32) put(pending)
      return words.slice(0, used)
    },
  }
}

/** Words with one zero word more than `bits` bits fill, so that `peek` at the last bit stays inside. */
export function padded(words: Uint32Array): Uint32Array {
  const out = new Uint32Array(words.length + 2)
  out.set(words)
  return out
}

/** The 32 bits from bit `at` on, as an unsigned number; `words` padded. */
export function peek(words: Uint32Array, at: number): number {
  const word = at >>> 5
  const shift = at & 31
  return shift === 0 ? words[word] : ((words[word] << shift) | (words[word + 1] >>> (32 - shift))) >>> 0
}

/** The least number of bits that tells `count` things apart: 0 for one. */
export function bitsFor(count: number): number {
  return count <= 1 ? 0 : 32 - Math.clz32(count - 1)
}
