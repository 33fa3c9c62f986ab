/** Dense linear algebra on row-major Float64Arrays: only what compression needs. */

/**
 * The upper factor U with inverse(H) = UᵀU, for a symmetric positive definite H (k x k).
 * Throws where H is not positive definite to working precision: add to its diagonal first.
 */
export function inverseCholesky(h: Float64Array, k: number): Float64Array {
  // With J the exchange matrix, chol(J H J) = L gives H = M Mᵀ for the upper M = J L J, so inverse(H) = M⁻ᵀ M⁻¹ and U = M⁻¹.
  // Sums run over whole rows, each term in the order of its index, so that memory is read in order.
  const { diagonal, columns } = cholesky(h, k)
  // Inverts L row by row: row i is what the rows before leave of the unit vector.
  const inverse = new Float64Array(k * k)
  for (let i = 0; i < k; i++) {
    const row = inverse.subarray(i * k, i * k + i + 1)
    let p = 0
    for (; p + 4 <= i; p += 4) {
      const f = [columns[p * k + i], columns[(p + 1) * k + i], columns[(p + 2) * k + i], columns[(p + 3) * k + i]]
      // Above its diagonal the inverse is 0.
      subtractFour(row, inverse, f, { at: p * k, k, from: 0, to: p + 4 })
    }
    for (; p < i; p++) {
      const factor = columns[p * k + i]
      for (let j = 0; j <= p; j++) row[j] -= factor * inverse[p * k + j]
    }
    for (let j = 0; j < i; j++) row[j] /= diagonal[i]
    row[i] = 1 / diagonal[i]
  }
  const u = new Float64Array(k * k)
  for (let i = 0; i < k; i++) for (let j = 0; j <= i; j++) u[(k - 1 - i) * k + (k - 1 - j)] = inverse[i * k + j]
  return u
}

/** Takes multiples of four rows of a matrix, the first at `at`, off a row, in columns `from` to `to`. */
function subtractFour(
  row: Float64Array,
  matrix: Float64Array,
  [f0, f1, f2, f3]: readonly number[],
  { at, k, from, to }: { at: number; k: number; from: number; to: number },
): void {
  const [a, b, c, d] = [at, at + k, at + 2 * k, at + 3 * k]
  for (let j = from; j < to; j++)
    row[j] = row[j] - f0 * matrix[a + j] - f1 * matrix[b + j] - f2 * matrix[c + j] - f3 * matrix[d + j]
}

/** L of J H J = L Lᵀ: its diagonal, and L's columns as rows. */
function cholesky(h: Float64Array, k: number): { diagonal: Float64Array; columns: Float64Array } {
  const diagonal = new Float64Array(k)
  const columns = new Float64Array(k * k)
  const row = new Float64Array(k)
  for (let i = 0; i < k; i++) {
    for (let j = 0; j <= i; j++) row[j] = h[(k - 1 - i) * k + (k - 1 - j)]
    let p = 0
    for (; p + 4 <= i; p += 4) {
      // Of the four, each needs what those before it take off it.
      const f = [0, 0, 0, 0]
      for (let a = 0; a < 4; a++) {
        let value = row[p + a]
        for (let b = 0; b < a; b++) value -= f[b] * columns[(p + b) * k + p + a]
        f[a] = value / diagonal[p + a]
        columns[(p + a) * k + i] = f[a]
      }
      subtractFour(row, columns, f, { at: p * k, k, from: p + 4, to: i + 1 })
    }
    for (; p < i; p++) {
      const factor = row[p] / diagonal[p]
      columns[p * k + i] = factor
      for (let j = p + 1; j <= i; j++) row[j] -= factor * columns[p * k + j]
    }
    if (!(row[i] > 0)) throw new Error(`linalg: the matrix is not positive definite (pivot ${i} of ${k})`)
    diagonal[i] = Math.sqrt(row[i])
  }
  return { diagonal, columns }
}
