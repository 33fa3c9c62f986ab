/** Dense linear algebra on row-major Float64Arrays: only what compression needs. */
import { random } from './random.ts'

/**
 * The upper factor U with inverse(H) = UᵀU, for a symmetric positive definite H (k x k).
 * Throws where H is not positive definite to working precision (add to its diagonal first), or not finite.
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
    if (!Number.isFinite(row[i]))
      throw new Error(`linalg: the matrix holds numbers that are not finite (row ${i} of ${k})`)
    if (row[i] <= 0) throw new Error(`linalg: the matrix is not positive definite (pivot ${i} of ${k})`)
    diagonal[i] = Math.sqrt(row[i])
  }
  return { diagonal, columns }
}

/** The eigenvalues of a symmetric k x k matrix, and unit eigenvectors on demand. */
export interface SymmetricEigen {
  /** All of them, descending, to within rounding of the largest in magnitude. */
  readonly values: Float64Array
  /**
   * Those of the first `count` values, one after the other (count x k). Vectors of values that are nearly equal are independent of
   * each other, and need not be orthogonal.
   */
  vectors(count: number): Float64Array
}

/**
 * Of a matrix whose lower triangle is read: Householder's tridiagonalisation, then implicit QL for the values and inverse
 * iteration for the vectors (Golub & Van Loan, Matrix Computations, 8.2-8.3). Throws where an entry is not finite.
 */
export function symmetricEigen(symmetric: Float64Array, k: number): SymmetricEigen {
  let largest = 0
  for (let i = 0; i < k * k; i++) {
    if (!Number.isFinite(symmetric[i]))
      throw new Error('linalg: the matrix has NaN or infinity; expected finite numbers')
    largest = Math.max(largest, Math.abs(symmetric[i]))
  }
  // A power of two, which rounds nothing: squares must neither overflow nor vanish.
  const scale = 2 ** Math.floor(Math.log2(largest || 1))
  const a = new Float64Array(k * k)
  for (let i = 0; i < k * k; i++) a[i] = symmetric[i] / scale
  const reduced = tridiagonal(a, k)
  const scaled = reduced.diagonal.slice()
  implicitQl(scaled, reduced.beside.slice())
  scaled.sort().reverse()
  return {
    values: scaled.map((v) => v * scale),
    vectors(count) {
      const rows = tridiagonalVectors(reduced, scaled.subarray(0, count))
      turnBack(rows, reduced)
      return rows.slice(0, count * k)
    },
  }
}

/** A tridiagonal matrix, and how it came of another. */
interface Tridiagonal {
  readonly diagonal: Float64Array
  /** What is beside the diagonal; the last entry is 0. */
  readonly beside: Float64Array
  /** Row i starts with the i entries of the vector v of a reflection I - twice[i] v vᵀ, of the first i axes. */
  readonly reflections: Float64Array
  readonly twice: Float64Array
}

/** The matrix is used up. */
function tridiagonal(a: Float64Array, k: number): Tridiagonal {
  const [diagonal, beside, twice] = [0, 1, 2].map(() => new Float64Array(k))
  // A step takes v wᵀ + w vᵀ off what is left of the matrix. It is taken off when the next step reads it, so that each step goes
  // through the matrix once.
  let [v, w, lastV, lastW] = [0, 1, 2, 3].map(() => new Float64Array(k))
  for (let i = k - 1; i > 0; i--) {
    const row = a.subarray(i * k, i * k + i + 1)
    for (let c = 0; c <= i; c++) row[c] -= lastV[i] * lastW[c] + lastW[i] * lastV[c]
    diagonal[i] = row[i]
    let rest = 0
    for (let c = 0; c < i - 1; c++) rest += row[c] * row[c]
    const near = row[i - 1]
    const length = rest > 0 ? Math.sqrt(near * near + rest) * (near > 0 ? -1 : 1) : near
    beside[i - 1] = length
    row[i - 1] -= length
    twice[i] = rest > 0 ? 2 / (rest + row[i - 1] * row[i - 1]) : 0
    for (let c = 0; c < i; c++) v[c] = row[c]
    w.fill(0)
    updatedProduct({ a, k, size: i }, { v, w, lastV, lastW })
    let dot = 0
    for (let c = 0; c < i; c++) dot += v[c] * w[c]
    for (let c = 0; c < i; c++) w[c] = twice[i] * (w[c] - 0.5 * twice[i] * dot * v[c])
    ;[v, w, lastV, lastW] = [lastV, lastW, v, w]
  }
  if (k > 0) diagonal[0] = a[0] - 2 * lastV[0] * lastW[0]
  return { diagonal, beside, reflections: a, twice }
}

/** Takes the last step off the leading part of a matrix, in its lower triangle, and adds the product of that part with v to w. */
function updatedProduct(
  { a, k, size }: { a: Float64Array; k: number; size: number },
  { v, w, lastV, lastW }: Readonly<Record<'v' | 'w' | 'lastV' | 'lastW', Float64Array>>,
): void {
  // Two rows at once: what both need is read once.
  for (let r = size % 2; r < size; r += 2) {
    const [upper, lower] = [r * k, (r + 1) * k]
    const [v0, v1, p0, p1, q0, q1] = [v[r], v[r + 1], lastV[r], lastV[r + 1], lastW[r], lastW[r + 1]]
    let sum0 = 0
    let sum1 = 0
    for (let c = 0; c < r; c++) {
      const p = lastV[c]
      const q = lastW[c]
      const above = a[upper + c] - p0 * q - q0 * p
      const below = a[lower + c] - p1 * q - q1 * p
      a[upper + c] = above
      a[lower + c] = below
      sum0 += above * v[c]
      sum1 += below * v[c]
      w[c] += above * v0 + below * v1
    }
    const corner = a[upper + r] - 2 * p0 * q0
    const between = a[lower + r] - p1 * q0 - q1 * p0
    const end = a[lower + r + 1] - 2 * p1 * q1
    a[upper + r] = corner
    a[lower + r] = between
    a[lower + r + 1] = end
    w[r] += sum0 + corner * v0 + between * v1
    w[r + 1] += sum1 + between * v0 + end * v1
  }
  if (size % 2 === 1) {
    a[0] -= 2 * lastV[0] * lastW[0]
    w[0] += a[0] * v[0]
  }
}

/** Of one eigenvalue; a few are enough. */
const mostSweeps = 60

/** Turns the diagonal of a tridiagonal matrix into its eigenvalues. */
function implicitQl(diagonal: Float64Array, beside: Float64Array): void {
  const k = diagonal.length
  for (let from = 0; from < k; from++) {
    for (let sweep = 0; ; sweep++) {
      let to = from
      while (to < k - 1 && !isNothing(beside[to], diagonal[to], diagonal[to + 1])) to++
      if (to === from) break
      if (sweep === mostSweeps)
        throw new Error(`linalg: eigenvalue ${from} of ${k} was not found in ${mostSweeps} sweeps`)
      // Wilkinson's shift.
      const half = (diagonal[from + 1] - diagonal[from]) / (2 * beside[from])
      const shift = diagonal[from] - beside[from] / (half + Math.sign(half || 1) * Math.sqrt(half * half + 1))
      let g = diagonal[to] - shift
      let s = 1
      let c = 1
      let p = 0
      for (let i = to - 1; i >= from; i--) {
        const f = s * beside[i]
        const b = c * beside[i]
        const r = Math.sqrt(f * f + g * g)
        beside[i + 1] = r
        if (r === 0) {
          // It falls into two.
          diagonal[i + 1] -= p
          beside[to] = 0
          break
        }
        s = f / r
        c = g / r
        g = diagonal[i + 1] - p
        const t = (diagonal[i] - g) * s + 2 * c * b
        p = s * t
        diagonal[i + 1] = g + p
        g = c * t - b
        if (i === from) {
          diagonal[from] -= p
          beside[from] = g
          beside[to] = 0
        }
      }
    }
  }
}

/** Whether a number beside the diagonal is lost in the rounding of the two that it is between. */
const isNothing = (beside: number, before: number, after: number): boolean =>
  Math.abs(beside) <= Number.EPSILON * (Math.abs(before) + Math.abs(after))

/** Solutions of inverse iteration, one after the other: the first is near already. */
const inverseSteps = 3

/** Unit eigenvectors of a tridiagonal matrix by inverse iteration from random starts: a row for each value, and rows of 0 up to a multiple of four. */
function tridiagonalVectors({ diagonal, beside }: Tridiagonal, values: Float64Array): Float64Array {
  const k = diagonal.length
  const rng = random(1)
  let largest = 0
  for (let i = 0; i < k; i++) largest = Math.max(largest, Math.abs(diagonal[i]), Math.abs(beside[i]))
  // Stands for a pivot of 0: less than this is rounding.
  const least = Number.EPSILON * (largest || 1)
  const out = new Float64Array(4 * Math.ceil(values.length / 4) * k)
  // Of the rows of the upper factor: the diagonal, and the two entries after it.
  const [pivots, next, after, factors] = [0, 1, 2, 3].map(() => new Float64Array(k))
  const swapped = new Uint8Array(k)
  for (const [r, value] of values.entries()) {
    let pivot = diagonal[0] - value
    let right = beside[0]
    for (let i = 0; i < k; i++) {
      const below = beside[i]
      swapped[i] = Number(Math.abs(below) > Math.abs(pivot))
      const [lower, beyond] = i + 1 < k ? [diagonal[i + 1] - value, beside[i + 1]] : [0, 0]
      if (swapped[i]) {
        factors[i] = pivot / below
        pivots[i] = below
        next[i] = lower
        after[i] = beyond
        pivot = right - factors[i] * lower
        right = -factors[i] * beyond
      } else {
        pivots[i] = Math.abs(pivot) < least ? least : pivot
        factors[i] = below / pivots[i]
        next[i] = right
        after[i] = 0
        pivot = lower - factors[i] * right
        right = beyond
      }
    }
    const x = out.subarray(r * k, (r + 1) * k)
    for (let i = 0; i < k; i++) x[i] = rng.normal()
    for (let step = 0; step < inverseSteps; step++) {
      for (let i = 0; i + 1 < k; i++) {
        const above = swapped[i] ? x[i + 1] : x[i]
        x[i + 1] = (swapped[i] ? x[i] : x[i + 1]) - factors[i] * above
        x[i] = above
      }
      for (let i = k - 1; i >= 0; i--) {
        const known = (i + 1 < k ? next[i] * x[i + 1] : 0) + (i + 2 < k ? after[i] * x[i + 2] : 0)
        x[i] = (x[i] - known) / pivots[i]
      }
      let squares = 0
      for (let i = 0; i < k; i++) squares += x[i] * x[i]
      const scale = 1 / Math.sqrt(squares)
      for (let i = 0; i < k; i++) x[i] *= scale
    }
  }
  return out
}

/** Turns eigenvectors of a tridiagonal matrix, as a multiple of four rows, into those of the matrix that it came of. */
function turnBack(rows: Float64Array, { diagonal, reflections, twice }: Tridiagonal): void {
  const k = diagonal.length
  // Four at once, so that a reflection is read once for all of them.
  const fours = Array.from({ length: Math.floor(rows.length / (4 * k)) }, (_, f) =>
    [0, 1, 2, 3].map((r) => rows.subarray((4 * f + r) * k, (4 * f + r + 1) * k)),
  )
  for (let i = 1; i < k; i++) {
    if (twice[i] === 0) continue
    const v = reflections.subarray(i * k, i * k + i)
    for (const four of fours) reflectFour(four, v, twice[i])
  }
}

/** Each x - twice (v·x) v, of its first entries. */
function reflectFour([x0, x1, x2, x3]: readonly Float64Array[], v: Float64Array, twice: number): void {
  let dot0 = 0
  let dot1 = 0
  let dot2 = 0
  let dot3 = 0
  for (let c = 0; c < v.length; c++) {
    dot0 += v[c] * x0[c]
    dot1 += v[c] * x1[c]
    dot2 += v[c] * x2[c]
    dot3 += v[c] * x3[c]
  }
  for (let c = 0; c < v.length; c++) {
    const part = twice * v[c]
    x0[c] -= part * dot0
    x1[c] -= part * dot1
    x2[c] -= part * dot2
    x3[c] -= part * dot3
  }
}
