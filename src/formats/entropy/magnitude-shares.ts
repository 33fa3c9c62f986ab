/**
 * Codes the magnitude and sign of a weight that is not 0 in one step: magnitudes 1..14, and 15 for all others, under a
 * distribution for each bin of expected magnitudes that adapts to what it codes; the sign as it is.
 */
import { zeroTable } from './logarithm.ts'
import type { BinaryCoder } from './range-coder.ts'

const bins = 48
const lanes = 16
/** Shares stay this far apart, so that every magnitude can be coded. */
const gap = 8

export class MagnitudeShares {
  /** `shares[bin * 16 + m]`: how much of 2^15 belongs to magnitudes above m; 32767 for m = 0, and 0 for m = 15. */
  private readonly shares = new Int16Array(bins * lanes)
  private readonly counts = new Int32Array(bins)

  constructor() {
    for (let bin = 0; bin < bins; bin++) {
      // Geometric, as expected: the share of what is above falls by m / (1 + m) a step.
      const expected = Math.min(zeroTable.length - 1, (1792 + Math.floor(((bin << 8) + 128) / 3)) >> 4)
      const more = 65536 - zeroTable[expected]
      for (let m = 0, share = 32767; m < lanes; m++) {
        this.shares[bin * lanes + m] = share
        const next = Math.floor((share * more) / 65536)
        share = m === 14 ? 0 : Math.max(gap * (14 - m), Math.min(32767 - gap * (m + 1), next))
      }
    }
  }

  /** The value, its magnitude limited to 15. */
  code(coder: BinaryCoder, bin: number, value: number): number {
    const { shares, counts } = this
    const at = bin * lanes
    const coded = coder.codeSigned(value, shares, at)
    const m = Math.abs(coded)
    const rate = Math.floor(32768 / (counts[bin] + 12))
    for (let j = 0; j < lanes; j++) {
      const target = j < m ? 32767 - gap * j : gap * (lanes - 1 - j)
      shares[at + j] += (Math.imul(target - shares[at + j], rate) + 16384) >> 15
    }
    if (counts[bin] < 244) counts[bin]++
    return coded
  }
}
