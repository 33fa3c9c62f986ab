/**
 * Which sign weights tend to have: running means of signed weights, in 2^-14, from which the sign of the next is predicted.
 * By the place in the row and what came last; in max also by the row, the input channel, the place in the kernel, and the place
 * in the kernel in this row.
 */
import type { Layout } from './integer-model.ts'
import { reciprocalTable } from './logistic.ts'

/** How many means there are: in default, and in max. */
export const signedMeanCounts = { default: 2, max: 6 }
/** They move by at least this much of 2^14. */
const slowest = [492, 1536, 0, 492, 164, 492]
/** So often was moved what is as slow as it will be. */
const often = 1023

export class SignedMeans {
  private readonly layout: Layout
  private readonly means: readonly Int32Array[]
  /** Which of each the present weight moves. */
  private readonly at = new Int32Array(6)
  /** How often it was moved before. */
  private readonly moved = new Int32Array(6)

  constructor(layout: Layout, count: number) {
    const { columns, taps } = layout
    this.layout = layout
    this.means = [columns * taps, 1, 1, columns, taps, taps].slice(0, count).map((n) => new Int32Array(n))
  }

  startRow(): void {
    this.means[2]?.fill(0)
    this.means[5]?.fill(0)
  }

  /** Writes the means of a weight as shares of the expected magnitude (see `share`), times 4, into `out` from `from` on. */
  write(out: Int32Array, from: number, row: number, column: number, tap: number, inverse: number): void {
    const { at, moved, means } = this
    const { columns, taps } = this.layout
    const place = column * taps + tap
    at[0] = place
    at[3] = column
    at[4] = at[5] = tap
    moved[0] = row
    moved[1] = often
    moved[2] = place
    moved[3] = row * taps + tap
    moved[4] = row * columns + column
    moved[5] = column
    for (let j = 0; j < means.length; j++)
      out[from + j] = Math.max(-1024, Math.min(1024, Math.imul(means[j][at[j]] >> 8, inverse) >> 12)) << 2
  }

  /** The weight that `write` was called for, within ±255. */
  learn(v: number): void {
    const { at, moved, means } = this
    for (let j = 0; j < means.length; j++) {
      const rate = Math.max(slowest[j], reciprocalTable[Math.min(moved[j] + 4, often)])
      const mean = means[j][at[j]]
      means[j][at[j]] = mean + (Math.imul(((v << 14) - mean) >> 5, rate) >> 9)
    }
  }
}
