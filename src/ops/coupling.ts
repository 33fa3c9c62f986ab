/**
 * How operators tie the channels (axis 1) of their inputs to those of their outputs: what must go together where a
 * channel is removed, and which stored tensors are cut with it. An operator without a row keeps all its channels.
 *
 * After DepGraph (Fang et al. 2023, arXiv:2301.12900), with the shuffle as a Gather and Split's sizes as data.
 */
import { intAttribute, intsAttribute } from '../graph/walk.ts'
import type { Node, Tensor } from '../model.ts'
import { integers, sizeOf } from '../tensor/dtype.ts'

/** Sizes from axis 1 on: the number of channels, and sizes that may not be known. */
export type ChannelDims = readonly [number, ...(number | undefined)[]]

export interface CouplingContext {
  /** Of a value or a stored tensor; undefined where it has no channels or their number is not known. */
  dims(name: string): ChannelDims | undefined
  constant(name: string): Tensor | undefined
}

/** Channel k of `output` is channel `from[k]` of `input`; -1 where it is of another input. */
export interface Tie {
  readonly input: string
  readonly output: string
  readonly from: Int32Array
}

/** Axis `axis` of the stored tensor at input `at` counts the channels of the value `follows`. */
export interface Cut {
  readonly at: number
  readonly axis: number
  readonly follows: string
}

/** A layer: mixes all channels of `input` into `output` by the stored tensor at input 1. */
export interface Mix {
  readonly input: string
  readonly output: string
  readonly inputAxis: number
  readonly outputAxis: number
}

export interface Coupling {
  readonly ties: readonly Tie[]
  readonly cuts: readonly Cut[]
  readonly mix?: Mix
}

type Row = (node: Node, context: CouplingContext) => Coupling | undefined

const identity = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i)

function tied(node: Node, { dims }: CouplingContext, cuts: readonly Cut[] = []): Coupling | undefined {
  const [input] = node.inputs
  const [output] = node.outputs
  const [a, b] = [dims(input), dims(output)]
  if (!a || !b || a[0] !== b[0]) return undefined
  return { ties: [{ input, output, from: identity(a[0]) }], cuts }
}

const unary: Row = (node, context) => tied(node, context)

const convolution: Row = (node, { dims, constant }) => {
  const [input, weight, bias] = node.inputs
  const [output] = node.outputs
  const w = constant(weight)
  const channels = dims(input)?.[0]
  if (!w || channels === undefined || !dims(output) || (bias && !constant(bias))) return undefined
  const group = intAttribute(node, 'group', 1)
  const cuts = [{ at: 1, axis: 0, follows: output }, ...(bias ? [{ at: 2, axis: 0, follows: output }] : [])]
  if (group === 1) {
    const mix = { input, output, inputAxis: 1, outputAxis: 0 }
    return { ties: [], cuts: [...cuts, { at: 1, axis: 1, follows: input }], mix }
  }
  // Depthwise: a channel in is a channel out. Other groups would have to lose channels in equal numbers.
  if (group !== channels || w.dims[0] !== channels) return undefined
  return { ties: [{ input, output, from: identity(channels) }], cuts }
}

const dense: Row = (node, { dims, constant }) => {
  const [input, weight, bias] = node.inputs
  const [output] = node.outputs
  const w = constant(weight)
  if (w?.dims.length !== 2 || dims(input)?.length !== 1 || dims(output)?.length !== 1) return undefined
  if (intAttribute(node, 'transA', 0) === 1) return undefined
  const outputAxis = node.op === 'Gemm' && intAttribute(node, 'transB', 0) === 1 ? 0 : 1
  const mix = { input, output, inputAxis: 1 - outputAxis, outputAxis }
  const cuts: Cut[] = [
    { at: 1, axis: outputAxis, follows: output },
    { at: 1, axis: 1 - outputAxis, follows: input },
  ]
  if (bias) {
    const b = constant(bias)
    if (!b || b.dims.length > 2 || (b.dims.length === 2 && b.dims[0] !== 1)) return undefined
    if (sizeOf(b.dims) > 1) cuts.push({ at: 2, axis: b.dims.length - 1, follows: output })
  }
  return { ties: [], cuts, mix }
}

const batchNormalization: Row = (node, context) => {
  if (node.outputs.filter((o) => o).length > 1 || !node.inputs.slice(1).every((n) => context.constant(n)))
    return undefined
  const cuts = [1, 2, 3, 4].map((at) => ({ at, axis: 0, follows: node.outputs[0] }))
  return tied(node, context, cuts)
}

/** Values of the same shape tie channel by channel; a constant broadcasts over channels or is cut with them. */
const elementwise: Row = (node, { dims, constant }) => {
  const [output] = node.outputs
  const out = dims(output)
  // Before operator set 7 attributes said how to broadcast.
  if (!out || node.attributes.broadcast || node.attributes.axis) return undefined
  const ties: Tie[] = []
  const cuts: Cut[] = []
  for (const [at, name] of node.inputs.entries()) {
    const stored = constant(name)
    if (stored) {
      // Aligned from the right; the channels are the out.length-th axis from there.
      const axis = stored.dims.length - out.length
      if (axis > 1) return undefined
      if (axis >= 0 && stored.dims[axis] === out[0] && out[0] > 1) cuts.push({ at, axis, follows: output })
    } else {
      const shape = dims(name)
      if (!shape || shape.length !== out.length || shape[0] !== out[0]) return undefined
      ties.push({ input: name, output, from: identity(out[0]) })
    }
  }
  return ties.length > 0 ? { ties, cuts } : undefined
}

const concat: Row = (node, { dims }) => {
  const [output] = node.outputs
  const out = dims(output)
  const axis = intAttribute(node, 'axis', 1)
  if (!out || (axis !== 1 && axis !== -out.length)) return undefined
  let at = 0
  const ties: Tie[] = []
  for (const input of node.inputs) {
    const size = dims(input)?.[0]
    if (size === undefined) return undefined
    const start = at
    ties.push({ input, output, from: identity(out[0]).map((k) => (k >= start && k < start + size ? k - start : -1)) })
    at += size
  }
  return at === out[0] ? { ties, cuts: [] } : undefined
}

const split: Row = (node, { dims }) => {
  const [input] = node.inputs
  const shape = dims(input)
  const axis = intAttribute(node, 'axis', 0)
  if (!shape || (axis !== 1 && axis !== -shape.length)) return undefined
  let at = 0
  const ties: Tie[] = []
  for (const output of node.outputs) {
    const size = dims(output)?.[0]
    if (size === undefined) return undefined
    const start = at
    ties.push({ input, output, from: identity(size).map((k) => k + start) })
    at += size
  }
  return at === shape[0] ? { ties, cuts: [] } : undefined
}

const gather: Row = (node, { dims, constant }) => {
  const [input, list] = node.inputs
  const [output] = node.outputs
  const indices = constant(list)
  const size = dims(input)?.[0]
  if (indices?.dims.length !== 1 || size === undefined || intAttribute(node, 'axis', 0) !== 1) return undefined
  const from = Int32Array.from(integers(indices), (i) => (i < 0 ? i + size : i))
  return { ties: [{ input, output, from }], cuts: [] }
}

/** [N, C, ...] to [N, C * size]: a channel becomes its elements, one after the other. */
const flatten: Row = (node, { dims }) => {
  const [input] = node.inputs
  const [output] = node.outputs
  const [shape, out] = [dims(input), dims(output)]
  const places = shape?.slice(1)
  if (!shape || !places?.every((d) => d !== undefined) || out?.length !== 1) return undefined
  if (node.op === 'Flatten' && intAttribute(node, 'axis', 1) !== 1) return undefined
  const size = sizeOf(places)
  if (shape[0] * size !== out[0]) return undefined
  return { ties: [{ input, output, from: identity(out[0]).map((k) => Math.floor(k / size)) }], cuts: [] }
}

/** The mean over the image, channels kept where they are. */
const reduceMean: Row = (node, context) => {
  const list = node.inputs[1] ? context.constant(node.inputs[1]) : undefined
  const axes = list ? Array.from(integers(list)) : intsAttribute(node, 'axes')
  const rank = (context.dims(node.inputs[0])?.length ?? 0) + 1
  const resolved = axes?.map((a) => (a < 0 ? a + rank : a))
  return resolved?.length && resolved.every((a) => a >= 2) ? tied(node, context) : undefined
}

const rows: Readonly<Record<string, Row>> = {
  ...Object.fromEntries(
    [
      'Relu',
      'LeakyRelu',
      'Sigmoid',
      'Tanh',
      'Clip',
      'HardSigmoid',
      'HardSwish',
      'Elu',
      'Softplus',
      'Gelu',
      'Identity',
      'Dropout',
      'MaxPool',
      'AveragePool',
      'GlobalAveragePool',
      'GlobalMaxPool',
    ].map((op) => [op, unary]),
  ),
  Conv: convolution,
  Gemm: dense,
  MatMul: dense,
  BatchNormalization: batchNormalization,
  Add: elementwise,
  Sub: elementwise,
  Mul: elementwise,
  Div: elementwise,
  PRelu: elementwise,
  Concat: concat,
  Split: split,
  Gather: gather,
  Flatten: flatten,
  Reshape: flatten,
  Squeeze: flatten,
  ReduceMean: reduceMean,
}

/** How the node ties channels; undefined where it has no row or is not of a form that the row knows. */
export function couplingOf(node: Node, context: CouplingContext): Coupling | undefined {
  if (node.domain || (node.op === 'MaxPool' && node.outputs.length > 1)) return undefined
  if (node.op === 'Dropout' && node.outputs.length > 1) return undefined
  return Object.hasOwn(rows, node.op) ? rows[node.op](node, context) : undefined
}
