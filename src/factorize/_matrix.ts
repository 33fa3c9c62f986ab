/**
 * Matrices as factorisations need them: eigenvectors of symmetric matrices, square roots, orthonormal rows. Matrices up to a few
 * hundred rows are decomposed whole (tensor/linalg.ts); of larger ones only the leading part is computed, by subspace iteration
 * from a random start (Halko, Martinsson & Tropp 2011, arXiv:0909.4061). ONNX Runtime computes the products.
 */
import { CholeskyDecomposition, EigenvalueDecomposition, Matrix as MlMatrix } from 'ml-matrix'
import { inverseCholesky, symmetricEigen } from '../tensor/linalg.ts'
import { random } from '../tensor/random.ts'
import { type Matrix, multiply } from './_product.ts'

export { type Matrix, multiply } from './_product.ts'

export function matrix(rows: number, columns: number, data: Float64Array = new Float64Array(rows * columns)): Matrix {
  return { rows, columns, data }
}

export function transposed({ rows, columns, data }: Matrix): Matrix {
  const out = matrix(columns, rows)
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out.data[c * rows + r] = data[r * columns + c]
  return out
}

/** The first rows. */
export function firstRows({ columns, data }: Matrix, count: number): Matrix {
  return matrix(count, columns, data.slice(0, count * columns))
}

/** A tensor [a, b, c] with its axes in another order, `order` naming the old ones. */
export function permuted(
  data: Float64Array,
  dims: readonly [number, number, number],
  order: readonly [number, number, number],
): Float64Array {
  const strides = [dims[1] * dims[2], dims[2], 1]
  const [n0, n1, n2] = order.map((axis) => dims[axis])
  const [s0, s1, s2] = order.map((axis) => strides[axis])
  const out = new Float64Array(data.length)
  let at = 0
  for (let i = 0; i < n0; i++)
    for (let j = 0; j < n1; j++) for (let k = 0, from = i * s0 + j * s1; k < n2; k++, from += s2) out[at++] = data[from]
  return out
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}

export const sumOfSquares = (data: Float64Array): number => dot(data, data)

/** A symmetric positive semidefinite n x n matrix that may be too large to be written out. */
export interface Symmetric {
  readonly n: number
  /** The sum of its eigenvalues. */
  readonly trace: number
  /** Its products with vectors, which are the rows of a matrix. */
  apply(rows: Matrix): Promise<Matrix>
  /** All of it. */
  written(): Promise<Matrix>
}

/** A·Aᵀ, n x n for an A of n rows. */
export function gram(a: Matrix): Symmetric {
  return {
    n: a.rows,
    trace: sumOfSquares(a.data),
    apply: async (rows) => multiply(await multiply(rows, a), a, 'nt'),
    written: () => multiply(a, a, 'nt'),
  }
}

export function dense(g: Matrix): Symmetric {
  let trace = 0
  for (let i = 0; i < g.rows; i++) trace += g.data[i * g.rows + i]
  return { n: g.rows, trace, apply: (rows) => multiply(rows, g), written: () => Promise.resolve(g) }
}

export interface Eigen {
  /** Descending, none below 0. */
  readonly values: Float64Array
  /** Unit vectors, a row for each value. */
  readonly vectors: Matrix
}

/** The leading eigenvalues and vectors of a matrix; what anyone asked for so far is kept. */
export interface Spectral {
  readonly n: number
  readonly trace: number
  /** The largest eigenvalues, descending, none below 0: `count` at least. */
  values(count: number): Promise<Float64Array>
  /** The first eigenvectors, as orthonormal rows. */
  basis(count: number): Promise<Matrix>
}

/** Up to this size a matrix is decomposed whole, and so it is where more than this share of its vectors is asked for. */
const small = { size: 512, share: 0.6 }
/** Vectors beside those asked for, which make the last of them converge sooner. */
const spare = 16
/** Rounds of subspace iteration end once the eigenvalues' sum grows by less than this share, or after so many. */
const growth = 1e-4
const mostRounds = 8
/** A matrix is written out up to this size for each vector asked for: then its products take less. */
const sizePerVector = 8

export function spectral(g: Symmetric, seed: number): Spectral {
  let whole: Promise<Spectral> | undefined
  let part: { readonly count: number; readonly found: Promise<Eigen> } | undefined
  const of = async (count: number): Promise<Spectral> => {
    const wanted = Math.min(count, g.n)
    if (whole || g.n <= small.size || wanted + spare > small.share * g.n) {
      whole ??= g.written().then(decomposed)
      return whole
    }
    if (!part || part.count < wanted) part = { count: wanted, found: leading(g, wanted, seed) }
    const { values, vectors } = await part.found
    return { ...g, values: async () => values, basis: async (count) => firstRows(vectors, count) }
  }
  return {
    n: g.n,
    trace: g.trace,
    values: async (count) => (await of(count)).values(count),
    basis: async (count) => (await of(count)).basis(count),
  }
}

/** All of a matrix: its values at once, its vectors as they are asked for. */
function decomposed(g: Matrix): Spectral {
  const found = symmetricEigen(g.data, g.rows)
  const { n, trace, apply } = dense(g)
  const values = found.values.map((v) => Math.max(0, v))
  return {
    n,
    trace,
    values: async () => values,
    async basis(count) {
      const rows = await orthonormal(matrix(count, n, found.vectors(count)))
      // Each must be what its value says; otherwise the decomposition that is never in doubt is worth its time.
      const images = await apply(rows)
      for (let r = 0; r < count; r++)
        if (!(Math.abs(dot(row(rows, r), row(images, r)) - found.values[r]) <= 1e-10 * Math.abs(found.values[0])))
          return firstRows(eigen(g).vectors, count)
      return rows
    },
  }
}

/** The `count` largest eigenvalues and their vectors, by subspace iteration. */
async function leading(given: Symmetric, count: number, seed: number): Promise<Eigen> {
  const g = given.n <= sizePerVector * count ? dense(await given.written()) : given
  const rng = random(seed)
  const start = matrix(count + spare, g.n)
  for (let i = 0; i < start.data.length; i++) start.data[i] = rng.normal()
  let basis = await orthonormal(start)
  let images = await g.apply(basis)
  let reached = 0
  for (let round = 0; round < mostRounds; round++) {
    basis = await orthonormal(images)
    images = await g.apply(basis)
    // The trace of the matrix on the subspace.
    const sum = dot(basis.data, images.data)
    if (sum - reached < growth * sum) break
    reached = sum
  }
  const within = decomposed(await multiply(basis, images, 'nt'))
  const values = (await within.values(count)).slice(0, count)
  return { values, vectors: await multiply(await within.basis(count), basis) }
}

/** All eigenvalues of a symmetric matrix and their vectors, by ml-matrix: QL with all vectors, which takes several times as long. */
function eigen({ rows: n, data }: Matrix): Eigen {
  const found = new EigenvalueDecomposition(MlMatrix.from1DArray(n, n, data), { assumeSymmetric: true })
  const columns = found.eigenvectorMatrix
  const order = [...found.realEigenvalues.keys()].sort((a, b) => found.realEigenvalues[b] - found.realEigenvalues[a])
  const vectors = matrix(n, n)
  for (const [k, from] of order.entries()) for (let i = 0; i < n; i++) vectors.data[k * n + i] = columns.get(i, from)
  return { values: Float64Array.from(order, (k) => Math.max(0, found.realEigenvalues[k])), vectors }
}

/** Orthonormal rows that span what the rows span; what depends on others becomes a zero row. */
export async function orthonormal(given: Matrix): Promise<Matrix> {
  return (await byCholesky(given)) ?? byGramSchmidt(given)
}

/** How far from the unit matrix, in its norm, the products of rows may be for a few steps of Newton to make them orthonormal. */
const nearUnit = 0.1

/**
 * By the Cholesky factor of the rows' products, which takes hardly more than products of matrices; Newton-Schulz steps take off
 * what rounding leaves (Cholesky QR; Yamamoto et al. 2015, ETNA 44). Undefined where rows depend too much on one another for that.
 */
async function byCholesky(given: Matrix): Promise<Matrix | undefined> {
  const n = given.rows
  const products = (await multiply(given, given, 'nt')).data
  const scales = Float64Array.from({ length: n }, (_, i) => 1 / Math.sqrt(products[i * n + i]))
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) products[i * n + j] *= scales[i] * scales[j]
  let factor: Float64Array
  try {
    factor = inverseCholesky(products, n)
  } catch {
    return undefined
  }
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) factor[i * n + j] *= scales[j]
  const rows = await multiply(matrix(n, n, factor), given)
  for (let step = 0; step < 3; step++) {
    const { data } = await multiply(rows, rows, 'nt')
    for (let i = 0; i < n; i++) data[i * n + i] -= 1
    const away = Math.sqrt(sumOfSquares(data))
    if (!(away < nearUnit)) return undefined
    const off = (await multiply(matrix(n, n, data), rows)).data
    for (let i = 0; i < off.length; i++) rows.data[i] -= off[i] / 2
    // A step squares the distance.
    if (away < 1e-8) break
  }
  return rows
}

/** Rows that are taken off one another one by one; against all before them they are multiplied as matrices. */
const blockRows = 64

/** By block Gram-Schmidt, twice. */
async function byGramSchmidt(given: Matrix): Promise<Matrix> {
  const { rows, columns: n } = given
  const done = matrix(rows, n)
  for (let from = 0; from < rows; from += blockRows) {
    const count = Math.min(blockRows, rows - from)
    let block = matrix(count, n, given.data.slice(from * n, (from + count) * n))
    const norms = Array.from({ length: count }, (_, i) => Math.sqrt(sumOfSquares(row(block, i))))
    for (let pass = 0; pass < 2; pass++) {
      if (from > 0) block = await without(block, firstRows(done, from))
      for (let i = 0; i < count; i++) {
        const own = row(block, i)
        for (let j = 0; j < i; j++) takeOff(own, row(block, j))
        const norm = Math.sqrt(sumOfSquares(own))
        // Of a row that others make up only rounding is left.
        const scale = norm > 1e-10 * norms[i] ? 1 / norm : 0
        for (let k = 0; k < n; k++) own[k] *= scale
        norms[i] = 1
      }
    }
    done.data.set(block.data, from * n)
  }
  return done
}

const row = ({ columns, data }: Matrix, i: number): Float64Array => data.subarray(i * columns, (i + 1) * columns)

function takeOff(own: Float64Array, unit: Float64Array): void {
  const along = dot(own, unit)
  for (let k = 0; k < own.length; k++) own[k] -= along * unit[k]
}

/** The rows without their parts along unit rows. */
async function without(block: Matrix, units: Matrix): Promise<Matrix> {
  const { data } = await multiply(await multiply(block, units, 'nt'), units)
  for (let i = 0; i < data.length; i++) data[i] = block.data[i] - data[i]
  return matrix(block.rows, block.columns, data)
}

/**
 * Added to a diagonal, as a share of its mean: inputs that never vary, and sums in single precision, leave matrices that are not
 * positive definite. The least that is enough is taken.
 */
const ridges = [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]

/** What `use` makes of a symmetric matrix with as small a ridge as it takes; `use` throws where it needs a larger one. */
function ridged<T>({ rows: n, data }: Matrix, use: (ridged: Float64Array) => T): T {
  let trace = 0
  for (let i = 0; i < n; i++) trace += Math.abs(data[i * n + i])
  let refused: unknown
  for (const ridge of ridges) {
    const added = Math.max(1e-30, (ridge * trace) / n)
    const out = data.slice()
    for (let i = 0; i < n; i++) out[i * n + i] += added
    try {
      return use(out)
    } catch (error) {
      refused = error
    }
  }
  throw refused
}

/** The lower triangular L of C = L·Lᵀ. */
export function squareRoot(c: Matrix): Matrix {
  const n = c.rows
  return ridged(c, (data) => {
    const found = new CholeskyDecomposition(MlMatrix.from1DArray(n, n, data))
    const l = Float64Array.from(found.lowerTriangularMatrix.to1DArray())
    if (!found.isPositiveDefinite() || !l.every(Number.isFinite)) throw new Error('matrix: it is not positive definite')
    return matrix(n, n, l)
  })
}

/** X·C⁻¹, for a symmetric positive semidefinite C. */
export async function overSymmetric(x: Matrix, c: Matrix): Promise<Matrix> {
  const n = c.rows
  const u = matrix(
    n,
    n,
    ridged(c, (data) => inverseCholesky(data, n)),
  )
  return multiply(await multiply(x, u, 'nt'), u)
}
