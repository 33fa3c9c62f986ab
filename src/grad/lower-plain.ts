/**
 * Expands coppice's macro-operators into standard ONNX operators: runs on every runtime, browsers included, and is what
 * the faster lowerings are checked against.
 */
import { UnsupportedError } from '../errors.ts'
import { nameSource } from '../graph/build.ts'
import { describe, floatAttribute, intAttribute, intsAttribute } from '../graph/walk.ts'
import type { Node } from '../model.ts'
import { type ConvGeometry, conv, convGeometry } from '../ops/grad/conv.ts'
import {
  add,
  createEmitter,
  type Emitter,
  expand,
  flip,
  indicator,
  mul,
  pad,
  reshape,
  type Shape,
  transpose,
} from '../ops/grad/emit.ts'
import { fakeQuantize, fakeQuantizeGrad } from '../ops/grad/fake-quantize.ts'
import { scatterAdd } from '../ops/grad/layout.ts'
import { batchNormGrad } from '../ops/grad/norm.ts'
import { macroDomain } from '../ops/grad/rule.ts'
import type { TypedGraph } from './backward.ts'

/** Emits what a node computes, and gives the values of its outputs. */
export type Expansion = (g: Emitter, node: Node) => readonly string[]

/** The same graph without macros; every value keeps its name. */
export function lowerPlain(source: TypedGraph): TypedGraph {
  return expandNodes(source, (node) => (node.domain === macroDomain ? expandMacro : undefined))
}

/** The graph with some nodes written out; every value keeps its name. */
export function expandNodes(
  { graph, types }: TypedGraph,
  expansionOf: (node: Node) => Expansion | undefined,
): TypedGraph {
  const g = createEmitter(types, nameSource(graph))
  for (const node of graph.nodes) {
    const expansion = expansionOf(node)
    if (!expansion) {
      g.nodes.push(node)
      continue
    }
    expansion(g, node).forEach((result, i) => {
      if (node.outputs[i]) renameOutput(g, result, node.outputs[i])
    })
  }
  const initializers = new Map([...graph.initializers, ...g.initializers])
  return { graph: { ...graph, nodes: g.nodes, initializers }, types: g.types }
}

/** Emits one macro with standard operators; gives the values of its outputs. */
export function expandMacro(g: Emitter, node: Node): readonly string[] {
  const expansion = expansions[node.op]
  if (!expansion) throw new UnsupportedError(`${describe(node)}: the plain lowering does not know it`)
  return expansion(g, node)
}

/** Lets the node that makes `from` make `to` instead. (An Identity where an expansion gives a value that existed.) */
function renameOutput(g: Emitter, from: string, to: string): void {
  const index = g.nodes.findLastIndex((n) => n.outputs.includes(from))
  const used = g.nodes.some((n) => n.inputs.includes(from))
  if (index < 0 || used) {
    g.nodes.push({ op: 'Identity', inputs: [from], outputs: [to], attributes: {} })
    return
  }
  const made = g.nodes[index]
  g.nodes[index] = { ...made, outputs: made.outputs.map((o) => (o === from ? to : o)) }
}

/** Weights of the transposed convolution: [O, I/group, k...] to [I, O/group, k...], each kernel turned round. */
function turnedWeights(g: Emitter, w: string, group: number): string {
  const [o, i, ...kernel] = g.shape(w)
  const spatial = kernel.map((_, axis) => axis)
  const turned = flip(
    g,
    w,
    spatial.map((axis) => axis + 2),
  )
  const grouped = reshape(g, turned, [group, o / group, i, ...kernel])
  const swapped = transpose(g, grouped, [0, 2, 1, ...spatial.map((axis) => axis + 3)])
  return reshape(g, swapped, [group * i, o / group, ...kernel])
}

/**
 * dx of a convolution: a convolution of dy with the turned kernels where that is about as much work as the forward one
 * (stride 1, maps of about one size), else ConvTranspose.
 */
function convGradX(g: Emitter, node: Node): readonly string[] {
  const [w, dy] = node.inputs
  const shape = g.shape(node.outputs[0])
  const geometry = convGeometry(node, shape, g.shape(w))
  const { kernel, strides, dilations, pads, group } = geometry
  const rank = kernel.length
  const reach = kernel.map((k, i) => dilations[i] * (k - 1))
  const area = (v: Shape): number => v.slice(2).reduce((n, d) => n * d, 1)
  if (strides.every((s) => s === 1) && area(shape) < 1.5 * area(g.shape(dy))) {
    const turnedPads = [...reach, ...reach].map((r, i) => r - pads[i])
    return [conv(g, dy, turnedWeights(g, w, group), { ...geometry, pads: turnedPads, shape })]
  }
  // Rows of x beyond the last window get no gradient: output_padding where they are fewer than a stride, else padding.
  const natural = kernel.map((_, i) => (g.shape(dy)[i + 2] - 1) * strides[i] + reach[i] + 1 - pads[i])
  const whole = natural.map((n, i) => Math.max(n, shape[i + 2]))
  const attributes = {
    kernel_shape: kernel,
    strides,
    dilations,
    group,
    pads: [...pads.slice(0, rank), ...kernel.map(() => 0)],
  }
  const extra = whole.map((n, i) => Math.min(n - natural[i], strides[i] - 1))
  const begins = pads.slice(0, rank)
  const cropBegins = begins.map((p) => Math.min(0, p)) // a negative pad of the convolution read x from further in
  const open = begins.map((p) => Math.max(0, p))
  const outShape = [...shape.slice(0, 2), ...natural.map((n, i) => n + extra[i] + cropBegins[i])]
  const y = g.op('ConvTranspose', [dy, w], {
    attributes: { ...attributes, pads: [...open, ...kernel.map(() => 0)], output_padding: extra },
    shape: outShape,
  })
  const after = shape.slice(2).map((d, i) => d - outShape[i + 2] + cropBegins[i])
  return [pad(g, y, [0, 0, ...cropBegins.map((c) => -c), 0, 0, ...after])]
}

/**
 * dw of a convolution: a convolution of x with dy, batch and channels swapped, strides and dilations swapped.
 * x is seen as [I/group, group·N, ...], dy as [O, N, ...]; the result is [I/group, O, k...].
 */
function convGradW(g: Emitter, node: Node): readonly string[] {
  const [x, dy] = node.inputs
  const [n, c, ...size] = g.shape(x)
  const shape = g.shape(node.outputs[0])
  const { kernel, strides, dilations, pads, group }: ConvGeometry = convGeometry(node, [n, c, ...size], shape)
  const out = g.shape(dy)
  const spatial = size.map((_, i) => i)
  const rank = size.length
  // End pads such that exactly k positions come out; where x has rows that no window reads, they are cropped.
  const ends = spatial.map(
    (i) => dilations[i] * (kernel[i] - 1) + strides[i] * (out[i + 2] - 1) + 1 - size[i] - pads[i],
  )
  const all = [...pads.slice(0, rank), ...ends]
  const crop = all.map((p) => Math.min(0, p))
  const trimmed = pad(g, x, [0, 0, ...crop.slice(0, rank), 0, 0, ...crop.slice(rank)])
  const left = g.shape(trimmed).slice(2)
  const grouped = reshape(g, trimmed, [n, group, c / group, ...left])
  const turned = transpose(g, grouped, [2, 1, 0, ...spatial.map((i) => i + 3)])
  const image = reshape(g, turned, [c / group, group * n, ...left])
  const kernels = transpose(g, dy, [1, 0, ...spatial.map((i) => i + 2)])
  const result = conv(g, image, kernels, {
    kernel: out.slice(2),
    strides: dilations,
    dilations: strides,
    pads: all.map((p) => Math.max(0, p)),
    group,
    shape: [c / group, out[1], ...kernel],
  })
  return [transpose(g, result, [1, 0, ...spatial.map((i) => i + 2)])]
}

/** Adds each output's gradient to the element that won, whose index MaxPool itself tells. */
function maxPoolGrad(g: Emitter, node: Node): readonly string[] {
  const [x, y, dy] = node.inputs
  const shape = g.shape(x)
  const size = shape.reduce((a, d) => a * d, 1)
  const count = g.shape(y).reduce((a, d) => a * d, 1)
  const indices = winnersOf(g, node, x, y)
  const target = expand(g, g.constant(0, g.dtype(dy), [1]), [size])
  return [reshape(g, scatterAdd(g, [target, reshape(g, indices, [count]), reshape(g, dy, [count])], 0), shape)]
}

/**
 * The indices of the forward pool's winners: its own second output, which it gets if it had none; those of another pool
 * where it counts column by column.
 */
function winnersOf(g: Emitter, node: Node, x: string, y: string): string {
  const byRows = (n: Node): boolean => intAttribute(n, 'storage_order', 0) === 0
  const at = g.nodes.findIndex((n) => n.op === 'MaxPool' && n.outputs[0] === y && byRows(n))
  const type = { dtype: 'int64', shape: g.shape(y) } as const
  if (at < 0) {
    const attributes = Object.fromEntries(
      ['kernel_shape', 'strides', 'dilations', 'pads'].map((name) => [name, intsAttribute(node, name)]),
    )
    return g.ops('MaxPool', [x], [{ dtype: g.dtype(x), shape: g.shape(y) }, type], { attributes })[1]
  }
  const pool = g.nodes[at]
  if (pool.outputs[1]) return pool.outputs[1]
  const indices = g.fresh('indices')
  g.types.set(indices, type)
  g.nodes[at] = { ...pool, outputs: [y, indices] }
  return indices
}

/** The gradient where lo < y < hi, else 0. clamp(±2^100 (y - bound), 0, 1) is exact and vectorised. */
function clipGrad(g: Emitter, node: Node): readonly string[] {
  const [y, dy, lo, hi] = node.inputs
  const float = g.dtype(y) === 'float32'
  const mask = (bound: string, side: 'Greater' | 'Less'): string => {
    if (!float) return indicator(g, side, y, bound)
    const attributes = {
      alpha: { type: 'float', value: 2 ** 100 },
      beta: { type: 'float', value: 0 },
    } as const
    const distance = side === 'Greater' ? g.op('Sub', [y, bound]) : g.op('Sub', [bound, y])
    return g.op('HardSigmoid', [distance], { attributes, shape: g.shape(y) })
  }
  let gradient = dy
  if (lo) gradient = mul(g, gradient, mask(lo, 'Greater'))
  if (hi) gradient = mul(g, gradient, mask(hi, 'Less'))
  return [gradient]
}

/**
 * With momentum 0 the running statistics that training_mode gives out are the batch's. ONNX Runtime
 * writes those over the inputs that they continue, so each input is a value of its own, and no constant.
 */
function batchNormTrain(g: Emitter, node: Node): readonly string[] {
  const [x, gamma, beta] = node.inputs
  const vector = { dtype: g.dtype(gamma), shape: g.shape(gamma) }
  const zero = g.constant(0, vector.dtype)
  const [meanIn, varianceIn] = [mul(g, gamma, zero), mul(g, beta, zero)]
  const attributes = {
    training_mode: 1,
    momentum: { type: 'float', value: 0 },
    epsilon: { type: 'float', value: floatAttribute(node, 'epsilon', 1e-5) },
  } as const
  const outputs = [{ dtype: g.dtype(x), shape: g.shape(x) }, vector, vector]
  return g.ops('BatchNormalization', [x, gamma, beta, meanIn, varianceIn], outputs, { attributes })
}

const expansions: Readonly<Record<string, Expansion>> = {
  ConvGradX: convGradX,
  ConvGradW: convGradW,
  MaxPoolGrad: maxPoolGrad,
  ClipGrad: clipGrad,
  BatchNormTrain: batchNormTrain,
  BatchNormTrainGrad: (g, node) => {
    const [x, gamma, mean, variance, dy] = node.inputs
    return batchNormGrad(g, { x, gamma, mean, variance, dy, epsilon: floatAttribute(node, 'epsilon', 1e-5) })
  },
  FakeQuantize: (g, node) => [fakeQuantize(g, node, node.inputs)],
  FakeQuantizeGrad: (g, node) => fakeQuantizeGrad(g, { node, shape: g.shape(node.inputs[0]) }, node.inputs),
  StraightThrough: (_, node) => [node.inputs[1]],
  /** a·x + y with a scalar a. */
  Axpy: (g, node) => [add(g, mul(g, node.inputs[1], node.inputs[0]), node.inputs[2])],
}
