/** Dense linear algebra on row-major Float64Arrays: only what compression needs. */

/**
 * The upper factor U with inverse(H) = UᵀU, for a symmetric positive definite H (k x k).
 * Throws where H is not positive definite to working precision: add to its diagonal first.
 */
export function inverseCholesky(h: Float64Array, k: number): Float64Array {
  // With J the exchange matrix, chol(J H J) = L gives H = M Mᵀ for the upper M = J L J, so inverse(H) = M⁻ᵀ M⁻¹ and U = M⁻¹.
  const l = new Float64Array(k * k)
  for (let i = 0; i < k; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = h[(k - 1 - i) * k + (k - 1 - j)]
      const a = i * k
      const b = j * k
      for (let p = 0; p < j; p++) sum -= l[a + p] * l[b + p]
      if (i === j) {
        if (!(sum > 0)) throw new Error(`linalg: the matrix is not positive definite (pivot ${i} of ${k})`)
        l[a + i] = Math.sqrt(sum)
      } else l[a + j] = sum / l[b + j]
    }
  }
  // Invert the lower L in place of a fresh matrix, then exchange rows and columns.
  const inverse = new Float64Array(k * k)
  for (let j = 0; j < k; j++) {
    inverse[j * k + j] = 1 / l[j * k + j]
    for (let i = j + 1; i < k; i++) {
      let sum = 0
      for (let p = j; p < i; p++) sum -= l[i * k + p] * inverse[p * k + j]
      inverse[i * k + j] = sum / l[i * k + i]
    }
  }
  const u = new Float64Array(k * k)
  for (let i = 0; i < k; i++) for (let j = 0; j <= i; j++) u[(k - 1 - i) * k + (k - 1 - j)] = inverse[i * k + j]
  return u
}
