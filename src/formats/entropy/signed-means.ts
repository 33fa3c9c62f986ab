/**
 * Which sign weights tend to have: running means of signed weights, in 2^-14, from which the sign of the next is predicted.
 * By the row, the place in the row, the input channel, the place in the kernel, what came last, and the place in the kernel
 * in this row.
 */
import { reciprocalTable } from './logistic.ts'

/** Means of places in a row, of channels and of places in this row's kernels move by at least this much of 2^14, */
const slowest = 492
/** and those of places in the kernel by this. */
const slowestTap = 164
export const signedMeanCount = 6

/** Where a weight is. */
export interface Position {
  readonly row: number
  /** In the row. */
  readonly place: number
  readonly column: number
  readonly tap: number
}

export class SignedMeans {
  private readonly places: Int32Array
  private readonly columns: Int32Array
  private readonly taps: Int32Array
  private readonly rowTaps: Int32Array
  private row = 0
  private recent = 0

  constructor({ columns, taps }: { readonly columns: number; readonly taps: number }) {
    this.places = new Int32Array(columns * taps)
    this.columns = new Int32Array(columns)
    this.taps = new Int32Array(taps)
    this.rowTaps = new Int32Array(taps)
  }

  startRow(): void {
    this.row = 0
    this.rowTaps.fill(0)
  }

  /** Writes the means as shares of the expected magnitude (see `share`), times 4, into `out` from `at` on. */
  write(out: Int32Array, at: number, { place, column, tap }: Position, inverse: number): void {
    out[at] = shareOf(this.row, inverse)
    out[at + 1] = shareOf(this.places[place], inverse)
    out[at + 2] = shareOf(this.columns[column], inverse)
    out[at + 3] = shareOf(this.taps[tap], inverse)
    out[at + 4] = shareOf(this.recent, inverse)
    out[at + 5] = this.taps.length > 1 ? shareOf(this.rowTaps[tap], inverse) : 0
  }

  /** `v` within ±255. */
  learn({ row, place, column, tap }: Position, v: number): void {
    const { places, columns, taps, rowTaps } = this
    this.row = moved(this.row, v, rate(place, 0))
    places[place] = moved(places[place], v, rate(row, slowest))
    columns[column] = moved(columns[column], v, rate(row * taps.length + tap, slowest))
    taps[tap] = moved(taps[tap], v, rate(row * columns.length + column, slowestTap))
    rowTaps[tap] = moved(rowTaps[tap], v, rate(column, slowest))
    this.recent += (((v << 14) - this.recent) * 3) >> 5
  }
}

/** Of a mean that was moved `n` times. */
function rate(n: number, least: number): number {
  return Math.max(least, reciprocalTable[Math.min(n + 4, 1023)])
}

function moved(mean: number, v: number, by: number): number {
  return mean + (Math.imul(((v << 14) - mean) >> 5, by) >> 9)
}

function shareOf(mean: number, inverse: number): number {
  return Math.max(-2048, Math.min(2048, Math.imul(mean >> 8, inverse) >> 12)) << 2
}
