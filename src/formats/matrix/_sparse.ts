/** The entries of a matrix that are not +0, column by column; and the parts of a sparse body that formats share. */
import { type FieldReader, type FieldWriter, type Ints, widthFor } from './_fields.ts'
import type { ColumnMajor } from './matrix.ts'

export interface Sparse {
  /** How many entries each column has. */
  readonly counts: Uint32Array
  readonly rows: Uint32Array
  readonly bits: Uint32Array
}

export function sparseOf({ rows, columns, bits }: ColumnMajor): Sparse {
  let total = 0
  for (let i = 0; i < bits.length; i++) if (bits[i] !== 0) total++
  const sparse = { counts: new Uint32Array(columns), rows: new Uint32Array(total), bits: new Uint32Array(total) }
  for (let column = 0, at = 0, i = 0; column < columns; column++) {
    const before = at
    for (let row = 0; row < rows; row++, i++) {
      if (bits[i] === 0) continue
      sparse.rows[at] = row
      sparse.bits[at++] = bits[i]
    }
    sparse.counts[column] = at - before
  }
  return sparse
}

/** Sums from the start: one longer than `counts`. */
export function startsOf(counts: ArrayLike<number>): Float64Array {
  const starts = new Float64Array(counts.length + 1)
  for (let i = 0; i < counts.length; i++) starts[i + 1] = starts[i] + counts[i]
  return starts
}

/** An array at the least width that holds it, after a byte that tells the width. */
export function writeArray(out: FieldWriter, values: Uint32Array): void {
  let max = 0
  for (let i = 0; i < values.length; i++) max = Math.max(max, values[i])
  const width = widthFor(max)
  out.u8(width)
  out.ints(values, width)
}

export function readArray(input: FieldReader, count: number): Uint32Array {
  return input.wide(count, input.width())
}

/** Row numbers at the width that `rows` needs; within each column they must ascend. */
export function readRows(
  input: FieldReader,
  { rows, counts, total }: { rows: number; counts: Uint32Array; total: number },
): Ints {
  const indices = input.ints(total, widthFor(rows))
  for (let column = 0, at = 0; column < counts.length; column++) {
    let previous = -1
    for (let i = 0; i < counts[column]; i++, at++) {
      if (indices[at] <= previous || indices[at] >= rows)
        throw input.fail(`row ${indices[at]} after row ${previous} in column ${column} of ${rows} rows`)
      previous = indices[at]
    }
  }
  return indices
}
