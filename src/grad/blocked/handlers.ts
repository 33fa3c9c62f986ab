/** How each operator is computed in blocked layout. A handler that returns false leaves its node to the plain way. */
import { floatAttribute, intAttribute } from '../../graph/walk.ts'
import type { Node } from '../../model.ts'
import { convGeometry } from '../../ops/grad/conv.ts'
import { concat, mul, neg, reshape, type Shape, sameShape, scale, shift, sub } from '../../ops/grad/emit.ts'
import { poolWindow } from '../../ops/grad/pool.ts'
import {
  type Activation,
  blockedConv,
  denseGradW,
  denseGradX,
  depthwiseGradW,
  depthwiseGradX,
  dotToChannels,
  firstGradW,
  meanOfChannels,
  scaleChannels,
  sumToChannels,
} from './kernels.ts'
import { blockedDomain, padTo, type WeightKind } from './layout.ts'
import type { Handler, Lowering } from './lowering.ts'

/** Which form a convolution's weight takes, undefined where blocked kernels do not do it. */
function kindOf(l: Lowering, x: string, shapes: { x: Shape; w: Shape }, group: number): WeightKind | undefined {
  const [, c] = shapes.x
  const [o, perGroup] = shapes.w
  if (shapes.x.length !== 4) return undefined
  if (group === 1) return c < l.block && !l.isBlocked(x) ? 'first' : 'dense'
  return group === c && group === o && perGroup === 1 ? 'depthwise' : undefined
}

/**
 * Whether padding makes blocked kernels compute about twice what there is to compute, or more: then plain ones win.
 * (LeNet-5's 20 -> 50: twice the time forward, four times for dx.)
 */
function isWasteful(l: Lowering, [o, i]: Shape, kind: WeightKind): boolean {
  return kind === 'dense' && padTo(o, l.block) * padTo(i, l.block) > 1.9 * o * i
}

const conv: Handler = (l, node) => {
  const [x, w, b] = node.inputs
  const { strides, dilations, pads, group } = convGeometry(node, l.shape(x), l.shape(w))
  const kind = kindOf(l, x, { x: l.shape(x), w: l.shape(w) }, group)
  if (!kind || pads.some((p) => p < 0) || isWasteful(l, l.shape(w), kind)) return false
  const weight = l.stored(w, kind)
  const image = kind === 'first' ? l.plain(x) : l.blocked(x)
  const bias = b ? l.vector(b) : undefined
  const groups = kind === 'depthwise' ? l.g.shape(weight)[0] : 1
  l.setPending(node.outputs[0], {
    takesSum: true,
    emit: (sum, activation) =>
      blockedConv(l.g, image, weight, { bias, sum, activation, strides, pads, dilations, group: groups }),
  })
  return true
}

const convGradX: Handler = (l, node) => {
  const [w, dy] = node.inputs
  const shape = l.shape(node.outputs[0])
  const geometry = convGeometry(node, shape, l.shape(w))
  const { kernel, strides, dilations, pads, group } = geometry
  const [, c] = shape
  const known = l.storedKind(w)
  const kind = group === 1 ? 'dense' : group === c && l.shape(w)[0] === c ? 'depthwise' : undefined
  if (shape.length !== 4 || !kind || (known && known !== kind) || dilations.some((d) => d !== 1)) return false
  if (kernel.some((k, i) => k - 1 - pads[i] < 0) || isWasteful(l, l.shape(w), kind)) return false
  const { block } = l
  const padded = [shape[0], padTo(c, block), shape[2], shape[3]]
  const options = { kernel, strides, pads, shape: padded, block }
  const weight = l.stored(w, kind)
  const dx =
    kind === 'dense'
      ? denseGradX(l.g, weight, l.blocked(dy), options)
      : depthwiseGradX(l.g, weight, l.blocked(dy), options)
  if (!dx) return false
  l.setBlocked(node.outputs[0], dx)
  return true
}

const convGradW: Handler = (l, node) => {
  const [x, dy] = node.inputs
  const shape = l.shape(node.outputs[0])
  const { kernel, strides, dilations, pads, group } = convGeometry(node, l.shape(x), shape)
  const kind = kindOf(l, x, { x: l.shape(x), w: shape }, group)
  if (!kind || dilations.some((d) => d !== 1) || pads.some((p) => p < 0)) return false
  const options = { kernel, strides, pads, block: l.block }
  const make = { dense: denseGradW, depthwise: depthwiseGradW, first: firstGradW }[kind]
  const value = make(l.g, kind === 'first' ? l.plain(x) : l.blocked(x), l.blocked(dy), options)
  l.setStored(node.outputs[0], { value, kind })
  return true
}

/** Statistics by sums over channels; y = x·a + shift with a = scale / sqrt(var + eps) is left pending. */
const batchNormTrain: Handler = (l, node) => {
  const [x, gamma, beta] = node.inputs
  if (l.shape(x).length !== 4 || !l.isBlocked(x)) return false
  const { g } = l
  const [n, c, h, w] = l.shape(x)
  const value = l.blocked(x)
  const m = n * h * w
  const mean = meanOfChannels(g, value)
  const square = scale(g, dotToChannels(g, value, value), 1 / m)
  const variance = g.op('Relu', [sub(g, square, mul(g, mean, mean))]) // rounding may take it below zero
  const epsilon = floatAttribute(node, 'epsilon', 1e-5)
  const inverse = g.op('Reciprocal', [g.op('Sqrt', [shift(g, variance, epsilon)])])
  const a = mul(g, l.vector(gamma), inverse)
  const offset = sub(g, l.vector(beta), mul(g, mean, a))
  const [y, meanName, varianceName] = node.outputs
  l.setPlain(meanName, l.cropVector(mean, c))
  l.setPlain(varianceName, l.cropVector(variance, c))
  l.notes.set(meanName, [mean, inverse, a])
  l.setPending(y, {
    takesSum: true,
    emit: (sum, activation) => scaleChannels(g, value, a, { shift: offset, sum, activation }),
  })
  return true
}

/** dx = dy·a + x·b + c with the coefficients that batchNormGrad (ops/grad/norm.ts) derives. */
const batchNormTrainGrad: Handler = (l, node) => {
  const [x, , meanName, , dyName] = node.inputs
  const kept = l.notes.get(meanName)
  if (!kept) return false
  const [mean, inverse, a] = kept
  const { g } = l
  const [n, c, h, w] = l.shape(x)
  const m = n * h * w
  const [value, dy] = [l.blocked(x), l.blocked(dyName)]
  // Means over the batch instead of sums: dBias/m and dScale/m.
  const bias = meanOfChannels(g, dy)
  const slope = mul(g, sub(g, scale(g, dotToChannels(g, value, dy), 1 / m), mul(g, mean, bias)), inverse)
  const b = mul(g, mul(g, a, inverse), slope)
  const [dx, dGamma, dBeta] = node.outputs
  const rest = scaleChannels(g, value, neg(g, b), { shift: sub(g, mul(g, b, mean), mul(g, a, bias)) })
  l.setBlocked(dx, scaleChannels(g, dy, a, { sum: rest }))
  const [dScale, dBias] = [scale(g, slope, m), scale(g, bias, m)]
  l.setPlain(dGamma, l.cropVector(dScale, c))
  l.setPlain(dBeta, l.cropVector(dBias, c))
  return true
}

/** Relu and Clip become part of the convolution or normalisation before them, where nothing else reads that. */
const activation =
  (read: (l: Lowering, node: Node) => Activation | undefined): Handler =>
  (l, node) => {
    const [x] = node.inputs
    if (!l.isBlocked(x)) return false
    const kind = read(l, node)
    const pending = kind && l.takePending(x)
    if (pending) {
      l.setBlocked(node.outputs[0], pending.emit(undefined, kind))
      return true
    }
    return elementwise(l, node)
  }

const clipBounds = (l: Lowering, lo: string, hi: string): readonly [number, number] | undefined => {
  const [low, high] = [lo ? l.constant(lo)?.[0] : -3.4e38, hi ? l.constant(hi)?.[0] : 3.4e38]
  return low === undefined || high === undefined ? undefined : [low, high]
}

/** Operators that give 0 for 0, so that padding stays zero. */
const keepsZero = new Set([
  'Relu',
  'Neg',
  'Abs',
  'Tanh',
  'Sign',
  'Erf',
  'LeakyRelu',
  'HardSwish',
  'Gelu',
  'Identity',
  'Sqrt',
])

/** Whether padded channels still are zero after it, or there are none. */
function isSafe(l: Lowering, node: Node): boolean {
  if (l.shape(node.outputs[0])[1] % l.block === 0) return true
  if (node.op === 'HardSigmoid') return floatAttribute(node, 'beta', 0.2) === 0
  if (node.op === 'Clip') {
    const bounds = clipBounds(l, node.inputs[1], node.inputs[2])
    return bounds !== undefined && bounds[0] <= 0 && bounds[1] >= 0
  }
  return keepsZero.has(node.op)
}

/** clamp(alpha·x, 0, 1), as a convolution: quicker than the operator. */
function clamped(l: Lowering, x: string, alpha: number): string {
  const slope = l.g.constant(alpha, 'float32', [l.g.shape(x)[1]])
  return scaleChannels(l.g, x, slope, { activation: { kind: 'Clip', params: [0, 1] } })
}

const elementwise: Handler = (l, node) => {
  const [x, ...others] = node.inputs
  if (l.shape(x).length !== 4 || !l.isBlocked(x) || !isSafe(l, node)) return false
  const alpha = floatAttribute(node, 'alpha', 0.2)
  if (node.op === 'HardSigmoid' && floatAttribute(node, 'beta', 0.5) === 0) {
    l.setBlocked(node.outputs[0], clamped(l, l.blocked(x), alpha))
    return true
  }
  const inputs = [l.blocked(x), ...others.map((o) => (o ? l.plain(o) : ''))]
  const value = l.g.op(node.op, inputs, { attributes: node.attributes, shape: l.g.shape(inputs[0]) })
  l.setBlocked(node.outputs[0], value)
  return true
}

/** Sums and products of tensors of one shape, with a number, or with a value for each channel. */
const binary: Handler = (l, node) => {
  const [a, b] = node.inputs
  const [sa, sb] = [l.shape(a), l.shape(b)]
  if (sa.length === 4 && sameShape(sa, sb) && (l.isBlocked(a) || l.isBlocked(b))) return sameShapes(l, node)
  if (sa.length !== 4 || !l.isBlocked(a) || !sameShape(sa, l.shape(node.outputs[0]))) return false
  const isNumber = sb.every((d) => d === 1)
  const even = sa[1] % l.block === 0
  if (isNumber && (even || node.op === 'Mul' || node.op === 'Div') && sb.length <= 4) {
    const x = l.blocked(a)
    l.setBlocked(node.outputs[0], l.g.op(node.op, [x, reshape(l.g, l.plain(b), [])], { shape: l.g.shape(x) }))
    return true
  }
  const perChannel = sb.length >= 3 && sb[sb.length - 3] === sa[1] && sb.reduce((n, d) => n * d, 1) === sa[1]
  if (!perChannel || node.op === 'Div') return false
  const x = l.blocked(a)
  const c = l.g.shape(x)[1]
  const plain = reshape(l.g, l.plain(b), [sa[1]])
  const vector = c === sa[1] ? plain : l.g.op('Pad', [plain, l.g.ints([0, c - sa[1]])], { shape: [c] })
  const one = l.g.constant(1, 'float32', [c])
  const offset = node.op === 'Sub' ? neg(l.g, vector) : vector
  const value = node.op === 'Mul' ? scaleChannels(l.g, x, vector) : scaleChannels(l.g, x, one, { shift: offset })
  l.setBlocked(node.outputs[0], value)
  return true
}

const sameShapes: Handler = (l, node) => {
  const [a, b] = node.inputs
  if (node.op === 'Div' && l.shape(a)[1] % l.block !== 0) return false
  if (node.op === 'Add') {
    for (const [taken, other] of [
      [a, b],
      [b, a],
    ]) {
      const pending = taken === other ? undefined : l.takePending(taken)
      if (!pending) continue
      if (!pending.takesSum) {
        l.setPending(taken, pending)
        continue
      }
      const sum = l.blocked(other)
      l.setPending(node.outputs[0], { takesSum: false, emit: (_, kind) => pending.emit(sum, kind) })
      return true
    }
  }
  l.setBlocked(node.outputs[0], l.g.op(node.op, [l.blocked(a), l.blocked(b)]))
  return true
}

/** Bounds 0 and `hi`, up to 8: the exact mask of 0 < y < hi in two fused passes. */
const clipGrad: Handler = (l, node) => {
  const [y, dy, lo, hi] = node.inputs
  const bounds = clipBounds(l, lo, hi)
  if (!l.isBlocked(y) || l.shape(y).length !== 4 || !bounds || bounds[0] !== 0 || !(bounds[1] >= 1 && bounds[1] < 8))
    return false
  const { g } = l
  const value = l.blocked(y)
  const c = g.shape(value)[1]
  const constant = (v: number): string => g.constant(v, 'float32', [c])
  // Below hi floats are at least `step` apart: (hi - y)·2^39/step is 0 at hi, else 2^39 or more.
  const step = 2 ** (Math.ceil(Math.log2(bounds[1])) - 24)
  const steep = 2 ** 39 / step
  const below = scaleChannels(g, value, constant(-steep), {
    shift: constant(bounds[1] * steep - 2 ** 39),
    activation: { kind: 'Clip', params: [-(2 ** 39), 0] },
  })
  const mask = scaleChannels(g, value, constant(2 ** 36), {
    sum: below,
    activation: { kind: 'Clip', params: [0, 1] },
  })
  l.setBlocked(node.outputs[0], mul(g, l.blocked(dy), mask))
  return true
}

const globalAveragePool: Handler = (l, node) => {
  const [x] = node.inputs
  if (!l.isBlocked(x)) return false
  const value = l.blocked(x)
  const [n, c, h, w] = l.g.shape(value)
  const pooled =
    h * w === 1 ? value : l.g.op('GlobalAveragePool', [value], { domain: blockedDomain, shape: [n, c, 1, 1] })
  l.setBlocked(node.outputs[0], pooled)
  return true
}

/** The way back of a global pool: one value a channel over the whole map. */
const expand: Handler = (l, node) => {
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

const reduceSum: Handler = (l, node) => {
  const [x, axes] = node.inputs
  if (l.shape(x).length !== 4 || !l.isBlocked(x) || intAttribute(node, 'keepdims', 1) !== 0) return false
  if (!sameShape(l.shape(node.outputs[0]), [l.shape(x)[1]]) || !axes) return false
  l.setPlain(node.outputs[0], l.cropVector(sumToChannels(l.g, l.blocked(x)), l.shape(x)[1]))
  return true
}

const concatChannels: Handler = (l, node) => {
  const axis = intAttribute(node, 'axis', 0)
  const even = node.inputs.every((x) => l.shape(x).length === 4 && l.shape(x)[1] % l.block === 0)
  if (!even || (axis !== 1 && axis !== -3) || !node.inputs.some((x) => l.isBlocked(x))) return false
  const value = l.g.op(
    'Concat',
    node.inputs.map((x) => l.blocked(x)),
    {
      attributes: { axis: 1 },
      shape: l.shape(node.outputs[0]),
    },
  )
  l.setBlocked(node.outputs[0], value)
  return true
}

/** Every s-th row and column from the first: a pointwise depthwise convolution of ones with that stride. */
const sliceRows: Handler = (l, node) => {
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

const maxPool: Handler = (l, node) => {
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

const maxPoolGrad: Handler = (l, node) => {
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

export const handlers: Readonly<Record<string, Handler>> = {
  Conv: conv,
  'coppice.ConvGradX': convGradX,
  'coppice.ConvGradW': convGradW,
  'coppice.BatchNormTrain': batchNormTrain,
  'coppice.BatchNormTrainGrad': batchNormTrainGrad,
  'coppice.ClipGrad': clipGrad,
  'coppice.MaxPoolGrad': maxPoolGrad,
  Relu: activation(() => ({ kind: 'Relu' })),
  Clip: activation((l, node) => {
    const bounds = clipBounds(l, node.inputs[1], node.inputs[2])
    return bounds && bounds[0] <= 0 && bounds[1] >= 0 ? { kind: 'Clip', params: bounds } : undefined
  }),
  ...Object.fromEntries(
    [
      'HardSigmoid',
      'Neg',
      'Abs',
      'Tanh',
      'Sign',
      'Erf',
      'LeakyRelu',
      'HardSwish',
      'Gelu',
      'Identity',
      'Sigmoid',
      'Exp',
      'Softplus',
    ].map((op) => [op, elementwise]),
  ),
  ...Object.fromEntries(['Add', 'Sub', 'Mul', 'Div'].map((op) => [op, binary])),
  GlobalAveragePool: globalAveragePool,
  Expand: expand,
  ReduceSum: reduceSum,
  Concat: concatChannels,
  MaxPool: maxPool,
  Slice: sliceRows,
}
