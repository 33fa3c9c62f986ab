/** Backward rules of matrix products. */
import { floatAttribute, intAttribute } from '../../graph/walk.ts'
import { type Emitter, matMul, reshape, scale, transpose, unbroadcast } from './emit.ts'
import type { GradRule } from './rule.ts'

/** The last two axes swapped. */
function swap(g: Emitter, a: string): string {
  const rank = g.shape(a).length
  return transpose(g, a, [...Array.from({ length: rank - 2 }, (_, i) => i), rank - 1, rank - 2])
}

/** Y = alpha · A' · B' + beta · C, where ' is an optional transpose. (An explicit Transpose is faster than Gemm's own.) */
const gemm: GradRule = (g, at) => {
  const [a, b, c] = at.x
  const transA = intAttribute(at.node, 'transA', 0) === 1
  const transB = intAttribute(at.node, 'transB', 0) === 1
  const dy = scale(g, at.dy, floatAttribute(at.node, 'alpha', 1))
  const dA = () => (transA ? matMul(g, transB ? swap(g, b) : b, swap(g, dy)) : matMul(g, dy, transB ? b : swap(g, b)))
  const dB = () => (transB ? matMul(g, swap(g, dy), transA ? swap(g, a) : a) : matMul(g, transA ? a : swap(g, a), dy))
  return [
    at.needs(0) ? dA() : undefined,
    at.needs(1) ? dB() : undefined,
    c && at.needs(2) ? scale(g, unbroadcast(g, at.dy, g.shape(c)), floatAttribute(at.node, 'beta', 1)) : undefined,
  ]
}

/** NumPy's matmul: 1-D operands are a row or a column, leading axes broadcast. */
const matmul: GradRule = (g, at) => {
  const [sa, sb] = [g.shape(at.x[0]), g.shape(at.x[1])]
  const a = sa.length === 1 ? reshape(g, at.x[0], [1, ...sa]) : at.x[0]
  const b = sb.length === 1 ? reshape(g, at.x[1], [...sb, 1]) : at.x[1]
  const [ra, rb] = [g.shape(a), g.shape(b)]
  const lead = g.shape(at.y[0]).slice(0, g.shape(at.y[0]).length - (sa.length > 1 ? 1 : 0) - (sb.length > 1 ? 1 : 0))
  const dy = reshape(g, at.dy, [...lead, ra[ra.length - 2], rb[rb.length - 1]])
  const dB = (): string => {
    // One long product instead of many short ones that are then summed, where only A has leading axes.
    if (rb.length === 2 && ra.length > 2) {
      const flatten = (v: string) => reshape(g, v, [rows(g.shape(v)), last(g.shape(v))])
      return matMul(g, swap(g, flatten(a)), flatten(dy))
    }
    return unbroadcast(g, matMul(g, swap(g, a), dy), rb)
  }
  return [
    at.needs(0) ? reshape(g, unbroadcast(g, matMul(g, dy, swap(g, b)), ra), sa) : undefined,
    at.needs(1) ? reshape(g, dB(), sb) : undefined,
  ]
}

const last = (shape: readonly number[]): number => shape[shape.length - 1]
const rows = (shape: readonly number[]): number => shape.slice(0, -1).reduce((n, d) => n * d, 1)

export const matmulRules: Readonly<Record<string, GradRule>> = { Gemm: gemm, MatMul: matmul }
