/**
 * Compressed sparse columns: the values that are not zero (nz), their rows (ri) and where each column begins (cb).
 * Rows take 1, 2 or 4 bytes, whatever their number needs; cb has columns + 1 numbers.
 */
import { widthFor } from './_fields.ts'
import { readArray, readRows, sparseOf, startsOf, writeArray } from './_sparse.ts'
import { type ColumnMajor, defineFormat } from './matrix.ts'
import { openKernel } from './wasm/kernel.ts'

/** The three arrays, counted from 0. */
export function cscArrays(matrix: ColumnMajor): { nz: Uint32Array; ri: Uint32Array; cb: Uint32Array } {
  const { counts, rows, bits } = sparseOf(matrix)
  return { nz: bits, ri: rows, cb: Uint32Array.from(startsOf(counts)) }
}

export const csc = defineFormat({
  id: 'csc',
  code: 1,
  help: 'compressed sparse columns: values, their rows, and where each column begins',
  write(out, matrix) {
    const { nz, ri, cb } = cscArrays(matrix)
    writeArray(out, cb)
    out.ints(ri, widthFor(matrix.rows))
    out.ints(nz, 4)
  },
  read(input, { rows, columns }, { kernel }) {
    const cb = readArray(input, columns + 1)
    const counts = new Uint32Array(columns)
    for (let j = 0; j < columns; j++) {
      if (cb[0] !== 0 || cb[j + 1] < cb[j]) throw input.fail(`column ${j} begins at ${cb[j]} and ends at ${cb[j + 1]}`)
      counts[j] = cb[j + 1] - cb[j]
    }
    const ri = readRows(input, { rows, counts, total: cb[columns] })
    const bits = input.ints(cb[columns], 4) as Uint32Array
    const nz = new Float32Array(bits.buffer)
    const compiled = openKernel(kernel, { rows, columns }, () => ({ arrays: [bits, ri, cb] }))
    return {
      needsWalk: false,
      walk(entries, visit) {
        for (let column = 0; column < columns; column++) {
          entries.count = counts[column]
          for (let i = 0, at = cb[column]; i < entries.count; i++, at++) {
            entries.rows[i] = ri[at]
            entries.bits[i] = bits[at]
          }
          visit(column)
        }
      },
      matvec: (x) =>
        compiled?.run(x, (wasm, [nzAt, riAt, cbAt], y) => {
          const run = ri.BYTES_PER_ELEMENT === 1 ? wasm.csc8 : ri.BYTES_PER_ELEMENT === 2 ? wasm.csc16 : wasm.csc32
          run(nzAt, riAt, cbAt, y, columns)
        }) ?? cscProduct({ nz, ri, cb }, x, columns),
    }
  },
  bound({ rows, columns, density }) {
    const entries = rows * columns
    const pointerBits = 8 * widthFor(Math.round(density * entries))
    return density * (32 + 8 * widthFor(rows)) + (pointerBits * (columns + 1) + 8) / entries
  },
})

/** Two sums a column, of even and odd places, so that additions need not wait for each other; as the kernel does. */
function cscProduct(
  { nz, ri, cb }: { nz: Float32Array; ri: ArrayLike<number>; cb: Uint32Array },
  x: Float32Array,
  columns: number,
): Float32Array {
  const y = new Float32Array(columns)
  for (let column = 0; column < columns; column++) {
    let even = 0
    let odd = 0
    let at = cb[column]
    const end = cb[column + 1]
    for (; at + 1 < end; at += 2) {
      even += x[ri[at]] * nz[at]
      odd += x[ri[at + 1]] * nz[at + 1]
    }
    if (at < end) even += x[ri[at]] * nz[at]
    y[column] = even + odd
  }
  return y
}
