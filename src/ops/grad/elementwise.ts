/** Backward rules of elementwise operators, broadcasting included. */
import { floatAttribute, stringAttribute } from '../../graph/walk.ts'
import { add, cast, div, type Emitter, indicator, mul, neg, scale, shift, unbroadcast } from './emit.ts'
import { type At, type GradRule, macroDomain } from './rule.ts'

interface Unary {
  readonly x: string
  readonly y: string
  readonly dy: string
  readonly at: At
}

const unary =
  (rule: (g: Emitter, u: Unary) => string): GradRule =>
  (g, at) => [rule(g, { x: at.x[0], y: at.y[0], dy: at.dy, at })]

/** Gradients of a broadcasting operator: each is summed to its input's shape, and only made where it is needed. */
const broadcasting =
  (rule: (g: Emitter, at: At) => readonly (() => string)[]): GradRule =>
  (g, at) =>
    rule(g, at).map((make, i) => (at.needs(i) ? unbroadcast(g, make(), g.shape(at.x[i])) : undefined))

/** max and min: the winner takes the gradient; of equals, the first. */
const extreme =
  (wins: 'GreaterOrEqual' | 'LessOrEqual', beats: 'Greater' | 'Less'): GradRule =>
  (g, at) =>
    at.x.map((x, i) => {
      if (!at.needs(i)) return undefined
      let gradient = at.dy
      at.x.forEach((other, j) => {
        if (j !== i) gradient = mul(g, gradient, indicator(g, j < i ? beats : wins, x, other))
      })
      return unbroadcast(g, gradient, g.shape(x))
    })

const passOn: GradRule = (_, at) => [at.dy]
const sumOf: GradRule = (g, at) => at.x.map((x, i) => (at.needs(i) ? unbroadcast(g, at.dy, g.shape(x)) : undefined))

/**
 * The slope of max(0, x), from the output: 1 where it is above 0.
 * clamp(2^100 y, 0, 1) is one vectorised pass where a comparison and a cast are several times slower.
 */
const positive = (g: Emitter, y: string): string =>
  g.dtype(y) === 'float32'
    ? g.op('HardSigmoid', [y], {
        attributes: { alpha: { type: 'float', value: 2 ** 100 }, beta: { type: 'float', value: 0 } },
      })
    : indicator(g, 'Greater', y, g.constant(0, g.dtype(y)))

/** 1 where lo < x < hi. */
function within(g: Emitter, x: string, lo: number, hi: number): string {
  const above = indicator(g, 'Greater', x, g.constant(lo, g.dtype(x)))
  return mul(g, above, indicator(g, 'Less', x, g.constant(hi, g.dtype(x))))
}

/** d/dx of Gelu. exact: Φ(x) + x φ(x); tanh: by the chain rule on its approximation. */
function geluSlope(g: Emitter, x: string, approximate: string): string {
  if (approximate === 'tanh') {
    const c = Math.sqrt(2 / Math.PI)
    const square = mul(g, x, x)
    const inner = scale(g, mul(g, x, shift(g, scale(g, square, 0.044715), 1)), c)
    const t = g.op('Tanh', [inner])
    const dInner = scale(g, shift(g, scale(g, square, 3 * 0.044715), 1), c)
    const slope = mul(g, mul(g, x, shift(g, neg(g, mul(g, t, t)), 1)), dInner)
    return scale(g, add(g, shift(g, t, 1), slope), 0.5)
  }
  const cdf = scale(g, shift(g, g.op('Erf', [scale(g, x, Math.SQRT1_2)]), 1), 0.5)
  const density = scale(g, g.op('Exp', [scale(g, mul(g, x, x), -0.5)]), 1 / Math.sqrt(2 * Math.PI))
  return add(g, cdf, mul(g, x, density))
}

function leakySlope(g: Emitter, x: string, slope: number): string {
  return shift(g, scale(g, indicator(g, 'Greater', x, g.constant(0, g.dtype(x))), 1 - slope), slope)
}

export const elementwiseRules: Readonly<Record<string, GradRule>> = {
  Add: sumOf,
  Sum: sumOf,
  Sub: broadcasting((g, { dy }) => [() => dy, () => neg(g, dy)]),
  Mul: broadcasting((g, { x, dy }) => [() => mul(g, dy, x[1]), () => mul(g, dy, x[0])]),
  Div: broadcasting((g, { x, y, dy }) => [() => div(g, dy, x[1]), () => neg(g, div(g, mul(g, dy, y[0]), x[1]))]),
  Pow: broadcasting((g, { x, y, dy }) => [
    () => {
      const exponent = cast(g, x[1], g.dtype(x[0]) as 'float32')
      return mul(g, dy, mul(g, exponent, g.op('Pow', [x[0], shift(g, exponent, -1)])))
    },
    () => mul(g, dy, mul(g, y[0], g.op('Log', [x[0]]))),
  ]),
  Max: extreme('GreaterOrEqual', 'Greater'),
  Min: extreme('LessOrEqual', 'Less'),
  Mean: (g, at) => sumOf(g, { ...at, dy: scale(g, at.dy, 1 / at.x.length) }),
  Where: broadcasting((g, { x, dy }) => {
    const zero = g.constant(0, g.dtype(dy))
    return [
      () => dy,
      () => g.op('Where', [x[0], dy, zero], { dtype: g.dtype(dy) }),
      () => g.op('Where', [x[0], zero, dy], { dtype: g.dtype(dy) }),
    ]
  }),
  Identity: passOn,
  CastLike: (g, { x, dy }) => (g.dtype(x[0]).startsWith('float') ? [cast(g, dy, g.dtype(x[0]))] : []),
  Cast: (g, { x, dy }) => (g.dtype(x[0]).startsWith('float') ? [cast(g, dy, g.dtype(x[0]))] : []),
  Neg: unary((g, { dy }) => neg(g, dy)),
  Abs: unary((g, { x, dy }) => mul(g, dy, g.op('Sign', [x]))),
  Sqrt: unary((g, { y, dy }) => div(g, scale(g, dy, 0.5), y)),
  Exp: unary((g, { y, dy }) => mul(g, dy, y)),
  Log: unary((g, { x, dy }) => div(g, dy, x)),
  Reciprocal: unary((g, { y, dy }) => neg(g, mul(g, dy, mul(g, y, y)))),
  Sin: unary((g, { x, dy }) => mul(g, dy, g.op('Cos', [x]))),
  Cos: unary((g, { x, dy }) => neg(g, mul(g, dy, g.op('Sin', [x])))),
  Tan: unary((g, { y, dy }) => mul(g, dy, shift(g, mul(g, y, y), 1))),
  Sinh: unary((g, { x, dy }) => mul(g, dy, g.op('Cosh', [x]))),
  Cosh: unary((g, { x, dy }) => mul(g, dy, g.op('Sinh', [x]))),
  Atan: unary((g, { x, dy }) => div(g, dy, shift(g, mul(g, x, x), 1))),
  Asinh: unary((g, { x, dy }) => div(g, dy, g.op('Sqrt', [shift(g, mul(g, x, x), 1)]))),
  Atanh: unary((g, { x, dy }) => div(g, dy, shift(g, neg(g, mul(g, x, x)), 1))),
  /** Of a constant divisor: its remainder moves with x. */
  Mod: (g, { x, dy }) => [unbroadcast(g, dy, g.shape(x[0]))],
  Relu: unary((g, { y, dy }) => mul(g, dy, positive(g, y))),
  LeakyRelu: unary((g, { x, dy, at }) => mul(g, dy, leakySlope(g, x, floatAttribute(at.node, 'alpha', 0.01)))),
  PRelu: broadcasting((g, { x, dy }) => {
    const above = indicator(g, 'Greater', x[0], g.constant(0, g.dtype(dy)))
    const below = shift(g, neg(g, above), 1)
    return [() => mul(g, dy, add(g, above, mul(g, below, x[1]))), () => mul(g, mul(g, dy, x[0]), below)]
  }),
  Elu: unary((g, { x, y, dy, at }) => {
    const above = indicator(g, 'Greater', x, g.constant(0, g.dtype(x)))
    const below = shift(g, neg(g, above), 1)
    return mul(g, dy, add(g, above, mul(g, below, shift(g, y, floatAttribute(at.node, 'alpha', 1)))))
  }),
  /** Below 0: alpha·(exp(x / alpha) - 1), whose slope is y / alpha + 1. */
  Celu: unary((g, { x, y, dy, at }) => {
    const above = indicator(g, 'Greater', x, g.constant(0, g.dtype(x)))
    const below = mul(g, shift(g, neg(g, above), 1), shift(g, scale(g, y, 1 / floatAttribute(at.node, 'alpha', 1)), 1))
    return mul(g, dy, add(g, above, below))
  }),
  /** gamma·x above 0, gamma·alpha·(exp(x) - 1) below, whose slope is y + gamma·alpha. */
  Selu: unary((g, { x, y, dy, at }) => {
    const gamma = floatAttribute(at.node, 'gamma', 1.0507009873554805)
    const alpha = floatAttribute(at.node, 'alpha', 1.6732632423543772)
    const above = indicator(g, 'Greater', x, g.constant(0, g.dtype(x)))
    const below = mul(g, shift(g, neg(g, above), 1), shift(g, y, gamma * alpha))
    return mul(g, dy, add(g, scale(g, above, gamma), below))
  }),
  ThresholdedRelu: unary((g, { x, dy, at }) =>
    mul(g, dy, indicator(g, 'Greater', x, g.constant(floatAttribute(at.node, 'alpha', 1), g.dtype(x)))),
  ),
  Shrink: unary((g, { x, dy, at }) =>
    mul(
      g,
      dy,
      indicator(g, 'Greater', g.op('Abs', [x]), g.constant(floatAttribute(at.node, 'lambd', 0.5), g.dtype(x))),
    ),
  ),
  /** x·tanh(softplus(x)): t + x·(1 - t²)·sigmoid(x). */
  Mish: unary((g, { x, dy }) => {
    const t = g.op('Tanh', [g.op('Softplus', [x])])
    const slope = mul(g, mul(g, x, shift(g, neg(g, mul(g, t, t)), 1)), g.op('Sigmoid', [x]))
    return mul(g, dy, add(g, t, slope))
  }),
  Clip: (g, { x, y, dy }) => [
    g.op('ClipGrad', [y[0], dy, x[1] ?? '', x[2] ?? ''], { domain: macroDomain, shape: g.shape(y[0]) }),
  ],
  'coppice.ClipGrad': (g, { x, dy }) => [
    undefined,
    g.op('ClipGrad', [x[0], dy, x[2], x[3]], { domain: macroDomain, shape: g.shape(x[0]) }),
  ],
  Sigmoid: unary((g, { y, dy }) => mul(g, dy, mul(g, y, shift(g, neg(g, y), 1)))),
  Tanh: unary((g, { y, dy }) => mul(g, dy, shift(g, neg(g, mul(g, y, y)), 1))),
  HardSigmoid: unary((g, { y, dy, at }) =>
    mul(g, dy, scale(g, within(g, y, 0, 1), floatAttribute(at.node, 'alpha', 0.2))),
  ),
  /** x · clamp(x/6 + 1/2): 0 below -3, 1 above 3, x/3 + 1/2 between. */
  HardSwish: unary((g, { x, dy }) => {
    const between = within(g, x, -3, 3)
    const above = indicator(g, 'GreaterOrEqual', x, g.constant(3, g.dtype(x)))
    return mul(g, dy, add(g, above, mul(g, between, shift(g, scale(g, x, 1 / 3), 0.5))))
  }),
  Gelu: unary((g, { x, dy, at }) => mul(g, dy, geluSlope(g, x, stringAttribute(at.node, 'approximate', 'none')))),
  Erf: unary((g, { x, dy }) => mul(g, dy, scale(g, g.op('Exp', [neg(g, mul(g, x, x))]), 2 / Math.sqrt(Math.PI)))),
  Softplus: unary((g, { x, dy }) => mul(g, dy, g.op('Sigmoid', [x]))),
  Softsign: unary((g, { x, dy }) => {
    const d = shift(g, g.op('Abs', [x]), 1)
    return div(g, dy, mul(g, d, d))
  }),
  Dropout: unary((g, { dy, at }) => {
    const mask = at.y[1]
    if (!mask) return dy // inference form: the identity
    const keep = shift(g, neg(g, at.x[1] ? at.x[1] : g.constant(0.5, g.dtype(dy))), 1)
    return div(g, mul(g, dy, cast(g, mask, g.dtype(dy) as 'float32')), keep)
  }),
}
