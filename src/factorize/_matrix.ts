/**
 * Matrices as factorisations need them: eigenvectors of symmetric matrices, square roots, orthonormal rows. Decompositions of
 * small matrices are ml-matrix's; of large ones only the leading part is computed, by subspace iteration from a random start
 * (Halko, Martinsson & Tropp 2011, arXiv:0909.4061), whose products ONNX Runtime computes.
 */
import { CholeskyDecomposition, EigenvalueDecomposition, Matrix as MlMatrix } from 'ml-matrix'
import { inverseCholesky } from '../tensor/linalg.ts'
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
    for (let j = 0; j < n1; j++) for (let k = 0; k < n2; k++) out[at++] = data[i * s0 + j * s1 + k * s2]
  return out
}

export function sumOfSquares(data: Float64Array): number {
  let sum = 0
  for (const v of data) sum += v * v
  return sum
}

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

/** Up to this size all eigenvectors are computed at once, and so they are where more than this share of them is asked for. */
const small = { size: 192, share: 0.6 }
/** Vectors beside those asked for, which make the last of them converge sooner. */
const spare = 16
/** Rounds of subspace iteration end once the eigenvalues' sum grows by less than this share, or after so many. */
const growth = 1e-4
const mostRounds = 8

/** The `count` largest eigenvalues and their vectors at least; all of them where the matrix is small. */
async function leading(g: Symmetric, count: number, seed: number): Promise<Eigen> {
  if (g.n <= small.size || count + spare > small.share * g.n) return eigen(await g.written())
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
    let sum = 0
    for (let i = 0; i < basis.data.length; i++) sum += basis.data[i] * images.data[i]
    if (sum - reached < growth * sum) break
    reached = sum
  }
  const { values, vectors } = eigen(await multiply(basis, images, 'nt'))
  return { values: values.slice(0, count), vectors: await multiply(firstRows(vectors, count), basis) }
}

/** The leading eigenvalues and vectors of a matrix, as many as anyone asked for so far. */
export interface Spectral {
  readonly n: number
  readonly trace: number
  of(count: number): Promise<Eigen>
}

export function spectral(g: Symmetric, seed: number): Spectral {
  let found: Eigen | undefined
  return {
    n: g.n,
    trace: g.trace,
    async of(count) {
      const wanted = Math.min(count, g.n)
      if (!found || found.values.length < wanted) found = await leading(g, wanted, seed)
      return found
    },
  }
}

/** The first eigenvectors, as rows. */
export async function basisOf(of: Spectral, count: number): Promise<Matrix> {
  return firstRows((await of.of(count)).vectors, count)
}

/** All eigenvalues of a symmetric matrix, descending, those below 0 as 0. */
function eigen({ rows: n, data }: Matrix): Eigen {
  const found = new EigenvalueDecomposition(MlMatrix.from1DArray(n, n, data), { assumeSymmetric: true })
  const columns = found.eigenvectorMatrix
  const order = [...found.realEigenvalues.keys()].sort((a, b) => found.realEigenvalues[b] - found.realEigenvalues[a])
  const vectors = matrix(n, n)
  for (const [k, from] of order.entries()) for (let i = 0; i < n; i++) vectors.data[k * n + i] = columns.get(i, from)
  return { values: Float64Array.from(order, (k) => Math.max(0, found.realEigenvalues[k])), vectors }
}

/** Rows that are taken off one another one by one; against all before them they are multiplied as matrices. */
const blockRows = 64

/** Orthonormal rows that span what the rows span (block Gram-Schmidt, twice); what depends on others becomes a zero row. */
export async function orthonormal(given: Matrix): Promise<Matrix> {
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
  let dot = 0
  for (let k = 0; k < own.length; k++) dot += own[k] * unit[k]
  for (let k = 0; k < own.length; k++) own[k] -= dot * unit[k]
}

/** The rows without their parts along unit rows. */
async function without(block: Matrix, units: Matrix): Promise<Matrix> {
  const parts = await multiply(await multiply(block, units, 'nt'), units)
  return matrix(
    block.rows,
    block.columns,
    block.data.map((v, i) => v - parts.data[i]),
  )
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
