/** Pooling, the ways back from it, and strided slices in blocked layout. Handlers as in handlers.ts. */
import type { Node } from '../../model.ts'
import { concat, mul, reshape, type Shape, sameShape, scale, sub } from '../../ops/grad/emit.ts'
import { poolWindow } from '../../ops/grad/pool.ts'
import { scaleChannels } from './kernels.ts'
import { blockedDomain } from './layout.ts'
import type { Handler } from './lowering.ts'

export const globalAveragePool: Handler = (l, node) => {
  const [x] = node.inputs
  if (!l.isBlocked(x)) return false
  const value = l.blocked(x)
  const [n, c, h, w] = l.g.shape(value)
  const pooled =
    h * w === 1 ? value : l.g.op('GlobalAveragePool', [value], { domain: blockedDomain, shape: [n, c, 1, 1] })
  l.setBlocked(node.outputs[0], pooled)
  return true
}

/** The way back of a global pool: one value per channel over the whole map. */
export const expand: Handler = (l, node) => {
  const [from, to] = [l.shape(node.inputs[0]), l.shape(node.outputs[0])]
  const pooled = to.length === 4 && sameShape(from, [to[0], to[1], 1, 1])
  if (!pooled || to[2] * to[3] === 1) return false
  const value = l.blocked(node.inputs[0])
  const [n, c] = l.g.shape(value)
  const rows = [n, c / l.block, to[2] * to[3], l.block]
  const wide = l.g.op('Expand', [reshape(l.g, value, [n, c / l.block, 1, l.block]), l.g.ints(rows)], { shape: rows })
  l.setBlocked(node.outputs[0], reshape(l.g, wide, [n, c, to[2], to[3]]))
  return true
}

/** Every s-th row and column from the first: a pointwise depthwise convolution of ones with that stride. */
export const sliceRows: Handler = (l, node) => {
  const [x, starts, , axes, steps] = node.inputs
  const shape = l.shape(x)
  const [from, along, by] = [starts, axes, steps].map((name) => l.integers(name ?? ''))
  if (shape.length !== 4 || !l.isBlocked(x) || !from || !along || !by) return false
  const strides = [1, 1]
  for (let i = 0; i < along.length; i++) {
    if (from[i] !== 0 || along[i] < 2 || by[i] < 1) return false
    strides[along[i] - 2] = by[i]
  }
  const out = l.shape(node.outputs[0])
  if (out[2] !== Math.ceil(shape[2] / strides[0]) || out[3] !== Math.ceil(shape[3] / strides[1])) return false
  const value = l.blocked(x)
  const one = l.g.constant(1, 'float32', [l.g.shape(value)[1]])
  l.setBlocked(node.outputs[0], scaleChannels(l.g, value, one, { strides }))
  return true
}

export const maxPool: Handler = (l, node) => {
  const [x] = node.inputs
  const [y, indices] = node.outputs
  if (l.shape(x).length !== 4 || indices) return false
  // Windows that tile are worth a change of layout: plain kernels are slow at telling where the maximum was.
  if (!l.isBlocked(x) && !isTiling(node, l.shape(x), l.shape(y))) return false
  const { kernel, strides, dilations, pads } = poolWindow(node, l.shape(x), l.shape(y))
  if (dilations.some((d) => d !== 1)) return false
  const value = l.blocked(x)
  const [n, c] = l.g.shape(value)
  const shape = [n, c, ...l.shape(y).slice(2)]
  if (isTiling(node, l.shape(x), l.shape(y))) {
    const attributes = { kernel_shape: kernel, strides, pads, dilations }
    l.setBlocked(y, l.g.op('MaxPool', [value], { domain: blockedDomain, attributes, shape }))
    return true
  }
  // In three dimensions, lanes last, the standard kernel works on blocked memory and gives blocked indices.
  const image = reshape(l.g, value, [1, (n * c) / l.block, ...l.shape(x).slice(2), l.block])
  const [, , oh, ow] = shape
  const pooled = [1, (n * c) / l.block, oh, ow, l.block]
  const attributes = {
    kernel_shape: [...kernel, 1],
    strides: [...strides, 1],
    pads: [pads[0], pads[1], 0, pads[2], pads[3], 0],
  }
  const [best, where] = l.g.ops(
    'MaxPool',
    [image],
    [
      { dtype: 'float32', shape: pooled },
      { dtype: 'int64', shape: pooled },
    ],
    { attributes },
  )
  l.setBlocked(y, reshape(l.g, best, shape))
  l.notes.set(y, [where])
  return true
}

/** Windows that neither overlap nor leave anything out. */
function isTiling(node: Node, x: Shape, y: Shape): boolean {
  const { kernel, strides, pads } = poolWindow(node, x, y)
  return kernel.every((k, i) => k === strides[i] && x[i + 2] === k * y[i + 2]) && pads.every((p) => p === 0)
}

export const maxPoolGrad: Handler = (l, node) => {
  const [x, y, dy] = node.inputs
  if (l.shape(x).length !== 4 || !l.isBlocked(y)) return false
  const { g } = l
  const [best, gradient] = [l.blocked(y), l.blocked(dy)]
  const shape = g.shape(l.blocked(x))
  const kept = l.notes.get(y)
  if (kept) {
    const size = shape.reduce((n, d) => n * d, 1)
    const count = g.shape(best).reduce((n, d) => n * d, 1)
    const target = g.op('Expand', [g.constant(0, 'float32', [1]), g.ints([size])], { shape: [size] })
    const inputs = [target, reshape(g, kept[0], [count]), reshape(g, gradient, [count])]
    const flat = g.op('ScatterElements', inputs, { attributes: { axis: 0, reduction: 'add' }, shape: [size] })
    l.setBlocked(node.outputs[0], reshape(g, flat, shape))
    return true
  }
  if (!isTiling(node, l.shape(x), l.shape(y))) return false
  // 1 where x is its window's maximum: clamp(2^90·(x - max) + 1, 0, 1). Equal winners share the gradient.
  const { kernel } = poolWindow(node, l.shape(x), l.shape(y))
  const [n, c, oh, ow] = g.shape(best)
  const rows = (n * c * oh) / l.block
  const lanes = ow * kernel[1] * l.block
  /** Each column `kw` times, as rows that broadcast over the window's height. */
  const widen = (v: string): string => {
    const columns = Array<string>(kernel[1]).fill(reshape(g, v, [rows * ow, l.block]))
    return reshape(g, concat(g, columns, 1), [rows, 1, lanes])
  }
  const below = sub(g, reshape(g, l.blocked(x), [rows, kernel[0], lanes]), widen(best))
  const winners = scaleChannels(g, reshape(g, below, shape), g.constant(2 ** 90, 'float32', [c]), {
    shift: g.constant(1, 'float32', [c]),
    activation: { kind: 'Clip', params: [0, 1] },
  })
  const pool = { kernel_shape: kernel, strides: kernel, pads: [0, 0, 0, 0], dilations: [1, 1], count_include_pad: 1 }
  const share = g.op('AveragePool', [winners], { domain: blockedDomain, attributes: pool, shape: g.shape(best) })
  const each = g.op('Div', [scale(g, gradient, 1 / (kernel[0] * kernel[1])), share])
  const spread = mul(g, reshape(g, winners, [rows, kernel[0], lanes]), widen(each))
  l.setBlocked(node.outputs[0], reshape(g, spread, shape))
  return true
}
