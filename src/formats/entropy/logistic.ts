/**
 * Tables for logistic mixing, in integers: stretch(p) = ln(p / (1 - p)) and its inverse, squash (Mahoney, PAQ).
 *
 * Made with additions, multiplications and divisions of doubles alone, which IEEE 754 rounds in one way everywhere;
 * Math.exp and Math.log may differ between engines.
 */

/** Stretched probabilities are in 1/256 and lie within ±stretchLimit (±12). */
export const stretchLimit = 3071

/** `squash[x + stretchLimit]`: the probability, in 1..65535 of 65536, of a stretched x. */
export const squashTable = makeSquash()
/** `stretch[p >> 4]`: a 16-bit probability, stretched. */
export const stretchTable = makeStretch()
/** `reciprocal[n]`: 2^14 / (n + 1.6), the adaptation rate of a probability that was updated n times. */
export const reciprocalTable = Int32Array.from({ length: 1024 }, (_, n) => Math.floor(163840 / (10 * n + 16)))

/**
 * Moves a probability (22 bits, above 10 of how often it was moved) towards a bit, by 1 / (count + 1.6). The count goes up to
 * `limit`, 1023 at most.
 */
export function adapt(table: Int32Array, at: number, bit: number, limit = 255): void {
  const state = table[at]
  const n = state & 1023
  const p = state >>> 10
  const moved = p + (Math.imul(((bit ? 4194303 : 0) - p) >> 5, reciprocalTable[n]) >> 9)
  table[at] = (moved << 10) | (n < limit ? n + 1 : n)
}

function makeSquash(): Uint16Array {
  const root = 1.0039138893383475 // e^(1/256)
  const table = new Uint16Array(2 * stretchLimit + 1)
  for (let x = 0, power = 1; x <= stretchLimit; x++, power *= root) {
    const p = Math.floor((65536 * power) / (1 + power) + 0.5)
    table[stretchLimit + x] = Math.min(p, 65535)
    table[stretchLimit - x] = Math.max(65536 - p, 1)
  }
  return table
}

function makeStretch(): Int16Array {
  const table = new Int16Array(4096)
  for (let i = 0, x = -stretchLimit; i < 4096; i++) {
    while (x < stretchLimit && squashTable[x + stretchLimit] < i * 16 + 8) x++
    table[i] = x
  }
  return table
}
