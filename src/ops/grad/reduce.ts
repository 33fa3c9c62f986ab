/** Backward rules of reductions and of softmax. */
import { intAttribute } from '../../graph/walk.ts'
import { div, type Emitter, expand, indicator, mul, reshape, scale, sub, sum } from './emit.ts'
import type { At, GradRule } from './rule.ts'

interface Reduced {
  readonly x: string
  /** The output and its gradient, with the reduced axes kept as 1. */
  readonly y: string
  readonly dy: string
  readonly axes: readonly number[]
  /** How many elements go into one: one where no axis is reduced, which still is |x| of a norm, x² of squares. */
  readonly count: number
}

const reduction =
  (rule: (g: Emitter, r: Reduced) => string): GradRule =>
  (g, at) => {
    const axes = reducedAxes(g, at)
    const from = g.shape(at.x[0])
    const kept = from.map((d, i) => (axes.includes(i) ? 1 : d))
    const count = axes.reduce((n, axis) => n * from[axis], 1)
    const gradient = rule(g, { x: at.x[0], y: reshape(g, at.y[0], kept), dy: reshape(g, at.dy, kept), axes, count })
    return [expand(g, gradient, from)]
  }

function reducedAxes(g: Emitter, at: At): number[] {
  const rank = g.shape(at.x[0]).length
  const axes = at.ints(1) ?? []
  if (axes.length === 0 && intAttribute(at.node, 'noop_with_empty_axes', 0) === 1) return []
  return axes.length === 0 ? Array.from({ length: rank }, (_, i) => i) : axes.map((a) => (a < 0 ? a + rank : a))
}

/** The winners share the gradient equally. */
const extreme = reduction((g, { x, y, dy, axes }) => {
  const winners = indicator(g, 'Equal', x, y)
  return mul(g, winners, div(g, dy, sum(g, winners, axes, true)))
})

const magnitude = (g: Emitter, { x, dy }: Reduced): string => mul(g, dy, g.op('Sign', [x]))

function softmaxAxis(g: Emitter, at: At): number {
  const axis = intAttribute(at.node, 'axis', -1)
  return axis < 0 ? axis + g.shape(at.x[0]).length : axis
}

export const reduceRules: Readonly<Record<string, GradRule>> = {
  ReduceSum: reduction((_, { dy }) => dy),
  ReduceMean: reduction((g, { dy, count }) => scale(g, dy, 1 / count)),
  ReduceMax: extreme,
  ReduceMin: extreme,
  ReduceProd: reduction((g, { x, y, dy, count }) => (count === 1 ? dy : div(g, mul(g, dy, y), x))),
  ReduceL1: reduction(magnitude),
  /** (A norm of zero passes nothing on, as in PyTorch.) */
  ReduceL2: reduction((g, r) => {
    if (r.count === 1) return magnitude(g, r)
    return mul(g, r.x, div(g, r.dy, g.op('Max', [r.y, g.constant(1e-30, g.dtype(r.y))])))
  }),
  ReduceSumSquare: reduction((g, { x, dy }) => mul(g, x, scale(g, dy, 2))),
  ReduceLogSum: reduction((g, { y, dy }) => div(g, dy, g.op('Exp', [y]))),
  ReduceLogSumExp: reduction((g, { x, y, dy }) => mul(g, dy, g.op('Exp', [sub(g, x, y)]))),
  Softmax: (g, at) => {
    const weighted = mul(g, at.dy, at.y[0])
    return [sub(g, weighted, mul(g, at.y[0], sum(g, weighted, [softmaxAxis(g, at)], true)))]
  },
  /** dx = the sum of what comes after (or before, in reverse), itself included unless exclusive. */
  CumSum: (g, at) => {
    const attributes = {
      exclusive: intAttribute(at.node, 'exclusive', 0),
      reverse: 1 - intAttribute(at.node, 'reverse', 0),
    }
    return [g.op('CumSum', [at.dy, at.x[1]], { attributes, shape: g.shape(at.dy) })]
  },
  LogSoftmax: (g, at) => {
    const total = sum(g, at.dy, [softmaxAxis(g, at)], true)
    return [sub(g, at.dy, mul(g, g.op('Exp', [at.y[0]]), total))]
  },
}
