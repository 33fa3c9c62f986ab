/** Every value as a float32, column by column. The reference that the other formats are measured against. */
import { defineFormat } from './matrix.ts'
import { openKernel } from './wasm/kernel.ts'

export const dense = defineFormat({
  id: 'dense',
  code: 0,
  help: 'every value as a float32',
  write(out, { bits }) {
    out.ints(bits, 4)
  },
  read(input, { rows, columns }, { kernel }) {
    const bits = input.ints(rows * columns, 4) as Uint32Array
    const values = new Float32Array(bits.buffer)
    const compiled = openKernel(kernel, { rows, columns }, () => ({ arrays: [bits] }))
    return {
      needsWalk: false,
      walk(entries, visit) {
        for (let column = 0, from = 0; column < columns; column++, from += rows) {
          entries.count = 0
          for (let row = 0; row < rows; row++) {
            if (bits[from + row] === 0) continue
            entries.rows[entries.count] = row
            entries.bits[entries.count++] = bits[from + row]
          }
          visit(column)
        }
      },
      matvec: (x) =>
        compiled?.run(x, (wasm, [at], y) => wasm.dense(at, y, rows, columns)) ??
        denseProduct(values, x, { rows, columns }),
    }
  },
  bound: () => 32,
})

/**
 * Products in float32, as the SIMD kernel adds them: 16 sums side by side (4 vectors of 4 lanes), then the vectors
 * (0 + 1) + (2 + 3), then the lanes (0 + 1) + (2 + 3), then the rows past the last multiple of 16 one by one.
 */
function denseProduct(
  values: Float32Array,
  x: Float32Array,
  { rows, columns }: { rows: number; columns: number },
): Float32Array {
  const y = new Float32Array(columns)
  const sums = new Float32Array(16)
  const whole = rows - (rows % 16)
  const { fround } = Math
  for (let column = 0, from = 0; column < columns; column++, from += rows) {
    sums.fill(0)
    for (let row = 0; row < whole; row += 16) {
      for (let lane = 0; lane < 16; lane++) sums[lane] += fround(x[row + lane] * values[from + row + lane])
    }
    for (let lane = 0; lane < 4; lane++)
      sums[lane] = fround(sums[lane] + sums[lane + 4]) + fround(sums[lane + 8] + sums[lane + 12])
    let sum = fround(fround(sums[0] + sums[1]) + fround(sums[2] + sums[3]))
    for (let row = whole; row < rows; row++) sum = fround(sum + fround(x[row] * values[from + row]))
    y[column] = sum
  }
  return y
}
