/**
 * Fake quantisation: values are rounded to a grid going forward, and learn as if they were not.
 *
 * Two macros that models have only while they train (src/quantize/fake-quantise.ts puts them in):
 *
 *   FakeQuantize(x, p) = s · round(clip(x / s, low, high)),  s = p · factor;  with `signs` s · sign(x), low = -1, high = 1
 *   StraightThrough(x, y) = y, whose gradient goes to x
 *
 * p has one element, or one per channel along `axis`. What it learns says `learns`; with v = x / s:
 * - `step`: the step of LSQ (Esser et al. 2020, arXiv:1902.08153, equations 3 to 5). ds = Σ dy · (round(v) - v) within the
 *   range, Σ dy · low or high beyond, times 1 / sqrt(N · high), with the N elements per sample (or of the weight).
 * - `clip`: the end of the range of PACT (Choi et al. 2018, arXiv:1805.06085, equation 3). d(high·s) = Σ dy beyond.
 * - `none`: it gets a gradient of zero.
 *
 * x gets dy where low < v < high and 0 elsewhere (Bengio et al. 2013, arXiv:1308.3432); with `none`, whose range is no
 * limit but follows the values, also where v rounds to low or high. Signs have the same gradients, with sign(x) for round(v)
 * and that range whatever learns: for s = 1 dx = dy where |x| < 1 (Courbariaux et al. 2016, arXiv:1602.02830, equation 4;
 * Rastegari et al. 2016, arXiv:1603.05279).
 */
import { floatAttribute, intAttribute, stringAttribute } from '../../graph/walk.ts'
import type { Node } from '../../model.ts'
import { div, type Emitter, mul, reshape, type Shape, scale, sub, sum } from './emit.ts'
import { type GradRule, macroDomain } from './rule.ts'

/** What the nodes' attributes say. */
interface Setting {
  readonly low: number
  readonly high: number
  readonly factor: number
  readonly learns: string
  readonly axis: number
  /** Whether axis 0 counts samples. */
  readonly samples: boolean
  /** Whether a value keeps nothing but its sign; that of 0 is 0. */
  readonly signs: boolean
}

function settingOf(node: Node): Setting {
  return {
    low: floatAttribute(node, 'low', 0),
    high: floatAttribute(node, 'high', 255),
    factor: floatAttribute(node, 'factor', 1),
    learns: stringAttribute(node, 'learns', 'none'),
    axis: intAttribute(node, 'axis', 0),
    samples: intAttribute(node, 'samples', 0) === 1,
    signs: intAttribute(node, 'signs', 0) === 1,
  }
}

/** The step as something that broadcasts with x. */
function stepOf(g: Emitter, x: string, p: string, { factor, axis }: Setting): string {
  const size = g.shape(p).reduce((n, d) => n * d, 1)
  const shape = size === 1 ? [] : g.shape(x).map((_, i) => (i === axis ? size : 1))
  return scale(g, reshape(g, p, shape), factor)
}

/** Gives the rounded value, of x's shape. */
export function fakeQuantize(g: Emitter, node: Node, [x, p]: readonly string[]): string {
  const setting = settingOf(node)
  const s = stepOf(g, x, p, setting)
  if (setting.signs) return mul(g, g.op('Sign', [x]), s)
  const [low, high] = [g.constant(setting.low), g.constant(setting.high)]
  const level = g.op('Round', [g.op('Clip', [div(g, x, s), low, high], { shape: g.shape(x) })])
  return mul(g, level, s)
}

interface Differentiated {
  readonly node: Node
  /** The shape that x stands for; in some layouts it is padded. */
  readonly shape: Shape
}

/** Gives the gradients of x and p, from x, p, the rounded value and its gradient. */
export function fakeQuantizeGrad(
  g: Emitter,
  { node, shape }: Differentiated,
  [x, p, y, dy]: readonly string[],
): [string, string] {
  const setting = settingOf(node)
  const { low, high, learns, factor, signs } = setting
  const s = stepOf(g, x, p, setting)
  // 1 within the range, else 0: half its width less the distance from its middle, clamped.
  const reach = (high - low) / 2 + (learns === 'none' && !signs ? 0.5 : 0)
  const distance = g.op('Abs', [sub(g, x, scale(g, s, (low + high) / 2))])
  const inside = g.op('HardSigmoid', [sub(g, scale(g, s, reach), distance)], {
    attributes: { alpha: { type: 'float', value: 2 ** 100 }, beta: { type: 'float', value: 0 } },
  })
  const dx = mul(g, dy, inside)
  if (learns === 'none') return [dx, scale(g, p, 0)]
  // s · dy/ds: the rounded value, less x itself where it is within (LSQ) or what is there (PACT).
  const slope = sub(g, y, mul(g, inside, learns === 'clip' ? y : x))
  const total = div(g, totalOf(g, [dy, slope], { p, axis: setting.axis }), scale(g, p, factor))
  return [dx, scale(g, total, factor * (learns === 'step' ? stepScale(shape, setting) : 1))]
}

/** LSQ's 1 / sqrt(N · high). */
function stepScale(shape: Shape, { high, samples }: Setting): number {
  const elements = shape.slice(samples ? 1 : 0).reduce((n, d) => n * d, 1)
  return 1 / Math.sqrt(elements * Math.max(1, high))
}

/** Σ a·b over everything that shares an element of p, in p's shape. */
function totalOf(g: Emitter, [a, b]: readonly string[], { p, axis }: { p: string; axis: number }): string {
  const size = g.shape(p).reduce((n, d) => n * d, 1)
  if (size > 1) {
    const others = g.shape(a).flatMap((_, i) => (i === axis ? [] : [i]))
    return reshape(g, sum(g, mul(g, a, b), others), g.shape(p))
  }
  const elements = g.shape(a).reduce((n, d) => n * d, 1)
  const dot = g.op('MatMul', [reshape(g, a, [1, elements]), reshape(g, b, [elements, 1])], { shape: [1, 1] })
  return reshape(g, dot, g.shape(p))
}

export const fakeQuantizeRules: Readonly<Record<string, GradRule>> = {
  'coppice.FakeQuantize': (g, { node, x, y, dy }) => {
    const types = [x[0], x[1]].map((name) => ({ dtype: g.dtype(name), shape: g.shape(name) }))
    const inputs = [x[0], x[1], y[0], dy]
    return g.ops('FakeQuantizeGrad', inputs, types, { attributes: node.attributes, domain: macroDomain })
  },
  'coppice.StraightThrough': (_, { dy }) => [dy],
}
