/** What sizes are compared with: density, distinct values and the entropy of a matrix. */
import { alphabetOf, entropyOf } from './_alphabet.ts'
import type { Matrix, MatrixStatistics } from './matrix.ts'

export interface MeasuredStatistics extends MatrixStatistics {
  /** Bits an entry that no code of single entries, zeros among them, can go below (its table not counted). */
  readonly entropy: number
}

/** Density, distinct values and entropy; values told apart by their bits. */
export function statisticsOf({ rows, columns, values }: Matrix): MeasuredStatistics {
  const { bits, counts } = alphabetOf(new Uint32Array(values.buffer, values.byteOffset, values.length))
  const zero = bits.indexOf(0)
  const zeros = zero < 0 ? 0 : counts[zero]
  return {
    rows,
    columns,
    density: values.length === 0 ? 0 : 1 - zeros / values.length,
    distinct: bits.length - (zero < 0 ? 0 : 1),
    entropy: entropyOf(counts),
  }
}
