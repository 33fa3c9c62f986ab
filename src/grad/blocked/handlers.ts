/** How each operator is computed in blocked layout. A handler that returns false leaves its node to the plain way. */
import { floatAttribute, intAttribute } from '../../graph/walk.ts'
import type { Node } from '../../model.ts'
import { convGeometry } from '../../ops/grad/conv.ts'
import { mul, neg, reshape, type Shape, sameShape } from '../../ops/grad/emit.ts'
import { fakeQuantize, fakeQuantizeGrad } from '../../ops/grad/fake-quantize.ts'
import {
  type Activation,
  blockedConv,
  denseGradW,
  denseGradX,
  depthwiseGradW,
  depthwiseGradX,
  firstGradW,
  scaleChannels,
  sumToChannels,
} from './kernels.ts'
import { padTo, type WeightKind } from './layout.ts'
import type { Handler, Lowering } from './lowering.ts'
import { batchNormTrain, batchNormTrainGrad } from './norm.ts'
import { expand, globalAveragePool, maxPool, maxPoolGrad, sliceRows } from './pooling.ts'

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

/** Sums over all but the channels. */
const reduceSum: Handler = (l, node) => {
  const [x, axes] = node.inputs
  if (l.shape(x).length !== 4 || !l.isBlocked(x) || intAttribute(node, 'keepdims', 1) !== 0) return false
  const over = l.integers(axes ?? '')?.map((axis) => (axis < 0 ? axis + 4 : axis))
  if (!over || !sameShape(over.sort(), [0, 2, 3])) return false
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

/** A quantiser of one step works on any layout, and gives 0 for the zeros of padded channels. */
const hasOneStep = (l: Lowering, { inputs: [x, p] }: Node): boolean =>
  l.shape(x).length === 4 && l.isBlocked(x) && l.shape(p).every((d) => d === 1)

const fakeQuantized: Handler = (l, node) => {
  if (!hasOneStep(l, node)) return false
  const [x, p] = node.inputs
  l.setBlocked(node.outputs[0], fakeQuantize(l.g, node, [l.blocked(x), l.plain(p)]))
  return true
}

const fakeQuantizedGrad: Handler = (l, node) => {
  if (!hasOneStep(l, node)) return false
  const [x, p, y, dy] = node.inputs
  const of = [l.blocked(x), l.plain(p), l.blocked(y), l.blocked(dy)]
  const [dx, dp] = fakeQuantizeGrad(l.g, { node, shape: l.shape(x) }, of)
  l.setBlocked(node.outputs[0], dx)
  l.setPlain(node.outputs[1], dp)
  return true
}

export const handlers: Readonly<Record<string, Handler>> = {
  Conv: conv,
  'coppice.ConvGradX': convGradX,
  'coppice.ConvGradW': convGradW,
  'coppice.BatchNormTrain': batchNormTrain,
  'coppice.BatchNormTrainGrad': batchNormTrainGrad,
  'coppice.ClipGrad': clipGrad,
  'coppice.FakeQuantize': fakeQuantized,
  'coppice.FakeQuantizeGrad': fakeQuantizedGrad,
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
