/**
 * Logarithmic bins of magnitudes in 2^-14: fine ones of 2/7 octave from 2^-7, coarse ones of 1/3 octave from 2^-6.
 * A bin follows from the position of the highest bit and the 4 bits below it.
 */

export const fineBins = 48
export const coarseBins = 28

export const fineTable = makeTable(1.2190136542044754, 128, fineBins) // 2^(2/7)
export const coarseTable = makeTable(1.2599210498948732, 64, coarseBins) // 2^(1/3)

/** Thresholds by repeated multiplication, which rounds the same everywhere. */
function makeTable(ratio: number, first: number, bins: number): Uint8Array {
  const table = new Uint8Array(32 * 16)
  for (let i = 0; i < table.length; i++) {
    const value = (2 ** (i >> 4) * (16 + (i & 15))) / 16
    let bin = 0
    for (let edge = 16384 / first; edge <= value && bin < bins - 1; edge *= ratio) bin++
    table[i] = bin
  }
  return table
}

export function fineBin(x: number): number {
  x = (x + 8) | 16
  const e = 31 - Math.clz32(x)
  return fineTable[(e << 4) | ((x >>> (e - 4)) & 15)]
}

export function coarseBin(x: number): number {
  x = (x + 33) | 16
  const e = 31 - Math.clz32(x)
  return coarseTable[(e << 4) | ((x >>> (e - 4)) & 15)]
}
