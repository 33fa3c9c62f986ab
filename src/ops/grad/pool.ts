/** Backward rules of pooling and of local response normalisation. */

import { UnsupportedError } from '../../errors.ts'
import { describe, floatAttribute, intAttribute, intsAttribute } from '../../graph/walk.ts'
import type { Node } from '../../model.ts'
import { convGradX, type Window, windowOf } from './conv.ts'
import { div, type Emitter, expand, indicator, mul, reshape, type Shape, scale, shift, sub, sum } from './emit.ts'
import { type At, type GradRule, macroDomain } from './rule.ts'

/** A pooling node's window; ceil_mode is turned into wider end pads, so that every output has a whole window. */
export function poolWindow(node: Node, x: Shape, y: Shape): Window {
  const kernel = intsAttribute(node, 'kernel_shape')
  if (!kernel) throw new UnsupportedError(`${describe(node)}: it has no kernel_shape`)
  const window = windowOf(node, kernel, x.slice(2))
  const ends = kernel.map((k, i) => {
    const reach = (y[i + 2] - 1) * window.strides[i] + window.dilations[i] * (k - 1) + 1
    return Math.max(window.pads[i + kernel.length], reach - x[i + 2] - window.pads[i])
  })
  return { ...window, pads: [...window.pads.slice(0, kernel.length), ...ends] }
}

/** How many elements each output of an average pool is the mean of, along spatial axis `i`. */
function countsAlong(at: At, window: Window, i: number, { x, y }: { x: Shape; y: Shape }): number[] {
  const includePad = intAttribute(at.node, 'count_include_pad', 0) === 1
  // Rows that ceil_mode adds to the window's own pads are not counted.
  const declared = windowOf(at.node, window.kernel, x.slice(2)).pads[i + window.kernel.length]
  const size = x[i + 2]
  return Array.from({ length: y[i + 2] }, (_, o) => {
    let count = 0
    for (let k = 0; k < window.kernel[i]; k++) {
      const position = o * window.strides[i] + k * window.dilations[i] - window.pads[i]
      if (includePad ? position < size + declared : position >= 0 && position < size) count++
    }
    return count
  })
}

/** Each output's gradient over its count is spread by the transposed convolution with ones, channel by channel. */
const averagePool: GradRule = (g, at) => {
  const [xs, ys] = [g.shape(at.x[0]), g.shape(at.y[0])]
  const window = poolWindow(at.node, xs, ys)
  const rank = window.kernel.length
  const dtype = g.dtype(at.dy)
  let dy = at.dy
  for (let i = 0; i < rank; i++) {
    const inverse = countsAlong(at, window, i, { x: xs, y: ys }).map((n) => 1 / n)
    const shape = ys.map((d, axis) => (axis === i + 2 ? d : 1)).slice(2)
    dy = inverse.every((n) => n === inverse[0])
      ? scale(g, dy, inverse[0])
      : mul(g, dy, g.constant(inverse, dtype, shape))
  }
  const ones = g.constant(1, dtype, [xs[1], 1, ...window.kernel])
  return [convGradX(g, ones, dy, { ...window, group: xs[1], shape: xs })]
}

/**
 * LRN: y = x · s^-beta with s = bias + alpha/size · W(x²), W the sum over a window of channels.
 * dx = dy · s^-beta - 2 alpha beta / size · x · Wᵀ(dy · x · s^(-beta-1)).
 */
const lrn: GradRule = (g, at) => {
  const x = at.x[0]
  const size = intAttribute(at.node, 'size', 1)
  const alpha = floatAttribute(at.node, 'alpha', 0.0001)
  const beta = floatAttribute(at.node, 'beta', 0.75)
  const before = Math.floor((size - 1) / 2)
  const squares = windowSum(g, mul(g, x, x), before, size - 1 - before)
  const s = shift(g, scale(g, squares, alpha / size), floatAttribute(at.node, 'bias', 1))
  const power = (e: number): string => g.op('Pow', [s, g.constant(e, g.dtype(x))], { shape: g.shape(x) })
  const inner = windowSum(g, mul(g, mul(g, at.dy, x), power(-beta - 1)), size - 1 - before, before)
  return [sub(g, mul(g, at.dy, power(-beta)), scale(g, mul(g, x, inner), (2 * alpha * beta) / size))]
}

/** Sums over `before` channels before each, itself, and `after` after it. */
function windowSum(g: Emitter, a: string, before: number, after: number): string {
  const [n, c, ...rest] = g.shape(a)
  const size = before + after + 1
  const rows = rest.reduce((m, d) => m * d, 1)
  const attributes = { kernel_shape: [size, 1], strides: [1, 1], pads: [before, 0, after, 0], count_include_pad: 1 }
  const image = reshape(g, a, [n, 1, c, rows])
  const mean = g.op('AveragePool', [image], { attributes, shape: [n, 1, c, rows] })
  return reshape(g, scale(g, mean, size), [n, c, ...rest])
}

export const poolRules: Readonly<Record<string, GradRule>> = {
  MaxPool: (g, at) => {
    const [x, y] = [at.x[0], at.y[0]]
    const window = poolWindow(at.node, g.shape(x), g.shape(y))
    const { kernel, strides, dilations, pads } = window
    const attributes = { kernel_shape: kernel, strides, dilations, pads }
    return [g.op('MaxPoolGrad', [x, y, at.dy], { attributes, shape: g.shape(x), domain: macroDomain })]
  },
  AveragePool: averagePool,
  GlobalAveragePool: (g, at) => {
    const shape = g.shape(at.x[0])
    const area = shape.slice(2).reduce((n, d) => n * d, 1)
    return [expand(g, scale(g, at.dy, 1 / area), shape)]
  },
  GlobalMaxPool: (g, at) => {
    const winners = indicator(g, 'Equal', at.x[0], at.y[0])
    const axes = g
      .shape(at.x[0])
      .map((_, i) => i)
      .slice(2)
    return [mul(g, winners, div(g, at.dy, sum(g, winners, axes, true)))]
  },
  LRN: lrn,
}
