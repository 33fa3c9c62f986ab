/** Products of matrices in double precision: ONNX Runtime computes large ones on all its threads, in Node and in browsers. */
import { model, node, valueInfo } from '../graph/build.ts'
import { openSession, type Session } from '../runtime/session.ts'

/** Row-major. */
export interface Matrix {
  readonly rows: number
  readonly columns: number
  readonly data: Float64Array
}

/** Multiply-adds below which a call takes longer than the product. */
const worthACall = 20_000

const sessions = new Map<string, Promise<Session>>()

/** A·B, either of them transposed where `of` says so: 'n' as it is, 't' transposed. */
export async function multiply(a: Matrix, b: Matrix, of: 'nn' | 'nt' | 'tn' = 'nn'): Promise<Matrix> {
  const [rows, inner] = of[0] === 't' ? [a.columns, a.rows] : [a.rows, a.columns]
  const [from, columns] = of[1] === 't' ? [b.columns, b.rows] : [b.rows, b.columns]
  if (inner !== from)
    throw new Error(`product: ${rows}x${inner} times ${from}x${columns}; expected inner sizes that are equal`)
  if (rows * inner * columns < worthACall) return plainly(a, b, { of, rows, inner, columns })
  const session = await opened(of)
  const value = ({ rows, columns, data }: Matrix) => ({ dtype: 'float64', dims: [rows, columns], data })
  const { y } = await session.run({ a: value(a), b: value(b) })
  return { rows, columns, data: y.data as Float64Array }
}

function opened(of: string): Promise<Session> {
  const found = sessions.get(of)
  if (found) return found
  const session = openSession(
    model({
      nodes: [node('Gemm', ['a', 'b'], ['y'], { transA: Number(of[0] === 't'), transB: Number(of[1] === 't') })],
      initializers: new Map(),
      inputs: [valueInfo('a', 'float64', ['m', 'n']), valueInfo('b', 'float64', ['k', 'l'])],
      outputs: [valueInfo('y', 'float64', ['r', 'c'])],
    }),
  )
  sessions.set(of, session)
  return session
}

interface Sizes {
  readonly of: string
  readonly rows: number
  readonly inner: number
  readonly columns: number
}

function plainly(a: Matrix, b: Matrix, { of, rows, inner, columns }: Sizes): Matrix {
  const data = new Float64Array(rows * columns)
  const [down, along] = of[0] === 't' ? [1, a.columns] : [a.columns, 1]
  const [into, across] = of[1] === 't' ? [1, b.columns] : [b.columns, 1]
  for (let r = 0; r < rows; r++) {
    for (let k = 0; k < inner; k++) {
      const factor = a.data[r * down + k * along]
      for (let c = 0; c < columns; c++) data[r * columns + c] += factor * b.data[k * into + c * across]
    }
  }
  return { rows, columns, data }
}
