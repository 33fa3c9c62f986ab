/**
 * Rate-distortion optimised scalar quantisation of one weight matrix, with error feedback.
 *
 * Columns are quantised in order. Each weight takes the integer q that minimises
 *   ((w - q·step) / d_j)² + lambda · bits(q)
 * and its error is fed to the columns not yet quantised: w_j' -= (w - q·step) / d_j · U_jj', where U is the upper
 * Cholesky factor of the inverse of H = E[x xᵀ] over the layer's inputs and d_j = U_jj. That sum of squares is the mean squared error
 * of the layer's output (Optimal Brain Surgeon: Hassibi, Stork 1993; in this order: Frantar et al. 2022, arXiv:2210.17323).
 * bits(q) is what an adaptive coder would pay: a discretised Laplacian around the running mean magnitudes of the row
 * and the column.
 *
 * What is exactly zero stays zero, and a matrix without negative weights (a filter bank, of whose products a logarithm may be
 * taken) gets none, whatever errors are fed to them.
 */

/** What is known of a layer's inputs: U (k x k, upper, row-major), or only its diagonal where no input was seen. */
export interface InputFactor {
  readonly u?: Float32Array | Float64Array
  readonly diagonal: Float64Array
}

export interface QuantizedMatrix {
  /** Row-major, as the weights were. */
  readonly levels: Int32Array
  /** Sum over rows of the mean squared output error. */
  readonly error: number
  /** Estimated bits. */
  readonly bits: number
}

/**
 * Quantises `weights` (rows x k, row-major, not changed).
 * `step` > 0; `lambda` >= 0 in squared output error a bit; levels are kept within [-maxLevel, maxLevel].
 */
export function quantizeMatrix(
  weights: ArrayLike<number>,
  rows: number,
  factor: InputFactor,
  options: { readonly step: number; readonly lambda: number; readonly maxLevel: number },
): QuantizedMatrix {
  const { u, diagonal } = factor
  const { step, lambda, maxLevel } = options
  const k = diagonal.length
  const levels = new Int32Array(rows * k)
  // Column-major work copy, so that a column's update runs over contiguous rows.
  const w = new Float64Array(rows * k)
  for (let r = 0; r < rows; r++) for (let j = 0; j < k; j++) w[j * rows + r] = weights[r * k + j]
  const isZero = Uint8Array.from(w, (v) => (v === 0 ? 1 : 0))
  const [least, most] = [w.some((v) => v < 0) ? -maxLevel : 0, w.some((v) => v > 0) ? maxLevel : 0]
  /** Of the columns that go together. */
  const errors = new Float64Array(together * rows)
  const rowSum = new Float64Array(rows)
  let tensorSum = 0
  let tensorCount = 0
  for (let i = 0; i < w.length; i++) tensorSum += Math.abs(w[i])
  const guess = Math.max(0.02, (0.8 * tensorSum) / Math.max(1, w.length) / step)
  tensorSum = guess * 32
  tensorCount = 32
  let error = 0
  let bits = 0
  for (let j = 0; j < k; j++) {
    const at = j * rows
    const weight = 1 / (diagonal[j] * diagonal[j])
    const mean = tensorSum / tensorCount
    let columnSum = 4 * mean
    for (let r = 0; r < rows; r++) {
      const x = w[at + r] / step
      const rowMean = (rowSum[r] + 6 * mean) / (j + 6)
      const expected = rowMean * Math.sqrt(columnSum / (r + 4) / mean)
      const price = bitTable[bucketOf(expected)]
      const limit = isZero[at + r] ? 0 : x < 0 ? -least : most
      const q = choose(x, weight * step * step, lambda, price, limit)
      const magnitude = q < 0 ? -q : q
      levels[r * k + j] = q
      bits += price[magnitude < tableSize ? magnitude : tableSize - 1]
      rowSum[r] += magnitude
      columnSum += magnitude
      const e = ((x - q) * step) / diagonal[j]
      errors[(j % together) * rows + r] = e
      error += e * e
    }
    tensorSum += columnSum - 4 * mean
    tensorCount += rows
    if (!u) continue
    const end = Math.min(k, j - (j % together) + together)
    feedBack(w, { u, errors, rows, k }, { j, end })
    if (j === end - 1) feedBackAll(w, { u, errors, rows, k }, { from: end - ((end - 1) % together) - 1, end })
  }
  return { levels, error, bits }
}

/** Columns whose errors go to the columns after them together: so far each column is read once, not once per error. */
const together = 32

/** Moves the error of column j onto the columns up to `end`. */
function feedBack(
  w: Float64Array,
  { u, errors, rows, k }: { u: Float32Array | Float64Array; errors: Float64Array; rows: number; k: number },
  { j, end }: { j: number; end: number },
): void {
  const e = (j % together) * rows
  for (let next = j + 1; next < end; next++) {
    const factor = u[j * k + next]
    const to = next * rows
    for (let r = 0; r < rows; r++) w[to + r] -= errors[e + r] * factor
  }
}

/** Moves the errors of the columns `from` to `end` onto all columns after them, in their order. */
function feedBackAll(
  w: Float64Array,
  { u, errors, rows, k }: { u: Float32Array | Float64Array; errors: Float64Array; rows: number; k: number },
  { from, end }: { from: number; end: number },
): void {
  for (let next = end; next < k; next++) {
    const to = next * rows
    let j = from
    for (; j + 4 <= end; j += 4) {
      const [f0, f1, f2, f3] = [u[j * k + next], u[(j + 1) * k + next], u[(j + 2) * k + next], u[(j + 3) * k + next]]
      const e0 = (j % together) * rows
      const [e1, e2, e3] = [e0 + rows, e0 + 2 * rows, e0 + 3 * rows]
      for (let r = 0; r < rows; r++)
        w[to + r] = w[to + r] - errors[e0 + r] * f0 - errors[e1 + r] * f1 - errors[e2 + r] * f2 - errors[e3 + r] * f3
    }
    for (; j < end; j++) {
      const factor = u[j * k + next]
      const e = (j % together) * rows
      for (let r = 0; r < rows; r++) w[to + r] -= errors[e + r] * factor
    }
  }
}

/** The cheapest of the two integers around x, the next one towards zero, and zero. */
function choose(x: number, weight: number, lambda: number, price: Float64Array, maxLevel: number): number {
  const sign = x < 0 ? -1 : 1
  const a = x * sign
  let best = 0
  let bestCost = a * a * weight + lambda * price[0]
  const top = Math.min(Math.floor(a) + 1, maxLevel)
  for (let q = Math.max(1, top - 2); q <= top; q++) {
    const cost = (a - q) * (a - q) * weight + lambda * price[q < tableSize ? q : tableSize - 1]
    if (cost < bestCost) {
      bestCost = cost
      best = q
    }
  }
  return best * sign
}

const tableSize = 256
const bucketCount = 96

/** Buckets are an eighth of an octave of expected magnitude wide, from 2^-6. */
function bucketOf(expected: number): number {
  const b = Math.floor((Math.log2(expected) + 6) * 8)
  return b < 0 ? 0 : b >= bucketCount ? bucketCount - 1 : b
}

/** Bits of a magnitude (and its sign) under a two-sided geometric distribution of each bucket's mean magnitude. */
const bitTable: readonly Float64Array[] = Array.from({ length: bucketCount }, (_, b) => {
  const mean = 2 ** ((b + 0.5) / 8 - 6)
  // P(0) = (1-t)/(1+t), P(±n) = P(0)·tⁿ: mean magnitude 2t/(1-t²).
  const t = (Math.sqrt(1 + mean * mean) - 1) / mean
  const table = new Float64Array(tableSize)
  const zero = -Math.log2((1 - t) / (1 + t))
  const more = -Math.log2(t)
  // A floor of the price of a zero: no adaptive coder gets below it.
  for (let q = 0; q < tableSize; q++) table[q] = Math.max(0.01, zero) + q * more
  return table
})
