/** Logarithms of magnitudes, which are held in 2^-14, and what follows from them: integers, and the same everywhere. */

/** One, in running means of magnitudes. */
const one = 1 << 14

/** `log2Table[i]`: log2(1 + i / 256) in 1/256, rounded down. */
export const log2Table = makeLog2()
/** `zeroTable[l >> 4]`: 1 / (1 + m) in 2^-16 for a magnitude m with the logarithm l, for l below 22 * 256. */
export const zeroTable = makeZero()

/** log2(x) in 1/256, for x from 1 up to 2^31. */
export function log2(x: number): number {
  const zeros = Math.clz32(x)
  return ((31 - zeros) << 8) | log2Table[((x << zeros) >>> 23) & 255]
}

// Both tables come from repeated multiplication, which rounds the same everywhere.

function makeLog2(): Uint8Array {
  const root = 1.0027112750502025 // 2^(1/256)
  const table = new Uint8Array(256)
  for (let i = 0, steps = 0, power = root; i < 256; i++) {
    while (power <= 1 + i / 256) {
      power *= root
      steps++
    }
    table[i] = steps
  }
  return table
}

function makeZero(): Int32Array {
  const root = 1.0442737824274138 // 2^(1/16)
  const table = new Int32Array(22 * 16)
  for (let i = 0, magnitude = 1 / one; i < table.length; i++, magnitude *= root) {
    table[i] = Math.floor(65536 / (1 + magnitude))
  }
  return table
}
