/**
 * How operators tie the channels of their inputs to those of their outputs: what must be removed together with a channel, and
 * which stored tensors are cut with it. Channels lie along axis 1, or along the last axis where matrices
 * multiply sequences. An operator without a row keeps all its channels.
 *
 * After DepGraph (Fang et al. 2023, arXiv:2301.12900), with the shuffle as a Gather and Split's sizes as data.
 */
import { intAttribute, intsAttribute, stringAttribute } from '../graph/walk.ts'
import type { Node, Tensor } from '../model.ts'
import { integers, sizeOf } from '../tensor/dtype.ts'
import { listOf } from './operator-sets.ts'

/** Sizes without the batch: the number of channels, then the others in order, which may not be known. */
export type ChannelDims = readonly [number, ...(number | undefined)[]]

export interface CouplingContext {
  /** Of a value or a stored tensor; undefined where it has no channels or their number is not known. */
  dims(name: string): ChannelDims | undefined
  /** The axis of a value along which its channels lie: 1, or the last. */
  axis(name: string): number
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
  /** Where the axis counts the channels of one group: how many groups there are, all alike. */
  readonly groups?: number
  /** Where the axis counts all channels several times over, as the gates of recurrent layers do: how often. */
  readonly repeats?: number
}

/** A layer: mixes all channels of `input` into `output` by the stored tensor at input 1. */
export interface Mix {
  readonly input: string
  readonly output: string
  readonly inputAxis: number
  readonly outputAxis: number
  /** Each group of outputs reads its own group of inputs, and the tensor's input axis counts one group's; default 1. */
  readonly groups?: number
}

export interface Coupling {
  readonly ties: readonly Tie[]
  readonly cuts: readonly Cut[]
  /** Values of one channel that all others meet: they stay, and tie nothing. */
  readonly shared?: readonly string[]
  readonly mix?: Mix
  /** A recurrent layer: what it makes depends on all channels that it reads, and on its own. */
  readonly recurrence?: { readonly reads: string; readonly makes: readonly string[] }
}

type Row = (node: Node, context: CouplingContext) => Coupling | undefined

const identity = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i)

function tied(node: Node, { dims, axis }: CouplingContext, cuts: readonly Cut[] = []): Coupling | undefined {
  const [input] = node.inputs
  const [output] = node.outputs
  const [a, b] = [dims(input), dims(output)]
  if (!a || !b || a[0] !== b[0] || (axis(input) === 1) !== (axis(output) === 1)) return undefined
  return { ties: [{ input, output, from: identity(a[0]) }], cuts }
}

const unary: Row = (node, context) => tied(node, context)

/** Channels at the same place of each group go together, so that groups stay of one size. */
function alikeInGroups(name: string, count: number, groups: number): Tie {
  return { input: name, output: name, from: identity(count).map((k) => (k + count / groups) % count) }
}

const convolution: Row = (node, { dims, constant }) => {
  const [input, weight, bias] = node.inputs
  const [output] = node.outputs
  const w = constant(weight)
  const channels = dims(input)?.[0]
  const made = dims(output)?.[0]
  if (!w || channels === undefined || !made || (bias && !constant(bias))) return undefined
  const groups = intAttribute(node, 'group', 1)
  const isTransposed = node.op === 'ConvTranspose'
  const biasCuts = bias ? [{ at: 2, axis: 0, follows: output }] : []
  // Depthwise: each channel in makes its own channels out.
  if (!isTransposed && groups > 1 && groups === channels && made % groups === 0) {
    const from = identity(made).map((k) => Math.floor((k * groups) / made))
    return { ties: [{ input, output, from }], cuts: [{ at: 1, axis: 0, follows: output }, ...biasCuts] }
  }
  if (groups > 1 && (isTransposed || channels % groups !== 0 || made % groups !== 0)) return undefined
  const [inputAxis, outputAxis] = isTransposed ? [0, 1] : [1, 0]
  const mix = { input, output, inputAxis, outputAxis, ...(groups > 1 ? { groups } : {}) }
  const ties = groups > 1 ? [alikeInGroups(input, channels, groups), alikeInGroups(output, made, groups)] : []
  const outputCut: Cut = { at: 1, axis: outputAxis, follows: output }
  const inputCut: Cut = { at: 1, axis: inputAxis, follows: input, ...(groups > 1 ? { groups } : {}) }
  return { ties, cuts: [outputCut, ...biasCuts, inputCut], mix }
}

const dense: Row = (node, { dims, axis, constant }) => {
  const [input, weight, bias] = node.inputs
  const [output] = node.outputs
  const w = constant(weight)
  const [inner, made] = [dims(input)?.length, dims(output)?.length]
  // Vectors to multiply lie along the last axis.
  if (w?.dims.length !== 2 || !inner || !made || axis(input) !== inner || axis(output) !== made) return undefined
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

/** Values of as many channels tie channel by channel, and one of a single channel meets all; a constant broadcasts over channels or is cut with them. */
const elementwise: Row = (node, { dims, axis: axisOf, constant }) => {
  const [output] = node.outputs
  const out = dims(output)
  // In old sets attributes said how to broadcast (operator-sets.ts).
  if (!out || node.attributes.broadcast || node.attributes.axis) return undefined
  const ties: Tie[] = []
  const cuts: Cut[] = []
  const shared: string[] = []
  for (const [at, name] of node.inputs.entries()) {
    const stored = constant(name)
    if (stored) {
      // Aligned from the right.
      const axis = stored.dims.length - (out.length + 1) + axisOf(output)
      if (stored.dims.length > out.length + 1) return undefined
      if (axis >= 0 && stored.dims[axis] === out[0] && out[0] > 1) cuts.push({ at, axis, follows: output })
    } else {
      const shape = dims(name)
      if (!shape || shape.length !== out.length || axisOf(name) !== axisOf(output)) return undefined
      if (shape[0] === 1 && out[0] > 1) {
        shared.push(name)
        continue
      }
      if (shape[0] !== out[0]) return undefined
      ties.push({ input: name, output, from: identity(out[0]) })
    }
  }
  return ties.length > 0 ? { ties, cuts, ...(shared.length > 0 ? { shared } : {}) } : undefined
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

/** Reduced over the image, channels kept where they are. */
const reduce: Row = (node, context) => {
  const axes = listOf(node, 'axes', (i) => {
    const stored = context.constant(node.inputs[i])
    return stored && Array.from(integers(stored))
  })
  const rank = (context.dims(node.inputs[0])?.length ?? 0) + 1
  const resolved = axes?.map((a) => (a < 0 ? a + rank : a))
  return resolved?.length && resolved.every((a) => a >= 2) ? tied(node, context) : undefined
}

/** A run of the channels, or all of them and some of the image. */
const slice: Row = (node, context) => {
  const { dims, constant } = context
  const [input] = node.inputs
  const [output] = node.outputs
  const [shape, out] = [dims(input), dims(output)]
  const lists = node.inputs.slice(1).map((name) => (name ? constant(name) : undefined))
  if (!shape || !out || lists.length < 2 || node.inputs.some((name, i) => i > 0 && name && !constant(name)))
    return undefined
  const [starts, , axes, steps] = lists.map((l) => l && Array.from(integers(l)))
  const cut = axes?.map((a) => (a < 0 ? a + shape.length + 1 : a)) ?? starts?.map((_, i) => i)
  if (!starts || !cut?.includes(1)) return tied(node, context)
  if (cut.length > 1 || (steps?.[0] ?? 1) !== 1) return undefined
  const first = starts[0] < 0 ? Math.max(0, starts[0] + shape[0]) : starts[0]
  return { ties: [{ input, output, from: identity(out[0]).map((k) => first + k) }], cuts: [] }
}

/** Padding of the image, and of the channels where their numbers are stored: channels that nothing else makes. */
const pad: Row = (node, context) => {
  const [input] = node.inputs
  const [output] = node.outputs
  const stored = node.inputs[1] ? context.constant(node.inputs[1]) : undefined
  const pads = stored ? Array.from(integers(stored)) : intsAttribute(node, 'pads')
  const [a, b] = [context.dims(input), context.dims(output)]
  if (!pads || node.inputs[3] || !a || !b) return undefined
  const [before, after] = [pads[1], pads[1 + pads.length / 2]]
  if (before === 0 && after === 0) return tied(node, context)
  if (!stored || before < 0 || after < 0 || stringAttribute(node, 'mode', 'constant') !== 'constant') return undefined
  const from = identity(b[0]).map((k) => (k >= before && k < before + a[0] ? k - before : -1))
  return { ties: [{ input, output, from }], cuts: [] }
}

/** By factors, or to sizes that are stored. */
const resize: Row = (node, context) =>
  node.inputs[3] && !context.constant(node.inputs[3]) ? undefined : tied(node, context)

/** A normalisation of each channel alone. */
const instanceNormalization: Row = (node, context) => {
  if (!node.inputs.slice(1).every((n) => context.constant(n))) return undefined
  const cuts = [1, 2].map((at) => ({ at, axis: 0, follows: node.outputs[0] }))
  return tied(node, context, cuts)
}

/** Hidden units of a recurrent layer: each has its rows for every gate, a column for the others, and its place in every state. */
const recurrent: Row = (node, { dims, axis, constant }) => {
  const [input, ...rest] = node.inputs
  const makes = node.outputs.filter((name) => name)
  const isLast = (name: string): boolean => dims(name) !== undefined && axis(name) === dims(name)?.length
  const [weights, states] = [
    [0, 1, 2, 6],
    [4, 5],
  ]
  if (makes.length === 0 || ![input, ...makes].every(isLast) || intAttribute(node, 'layout', 0) === 1) return undefined
  if (weights.some((i) => rest[i] && !constant(rest[i]))) return undefined
  const gates = { GRU: 3, LSTM: 4, RNN: 1 }[node.op] ?? 1
  const [follows, ...others] = makes
  const cuts: Cut[] = [
    { at: 1, axis: 1, follows, repeats: gates },
    { at: 1, axis: 2, follows: input },
    { at: 2, axis: 1, follows, repeats: gates },
    { at: 2, axis: 2, follows },
    ...(rest[2] ? [{ at: 3, axis: 1, follows, repeats: 2 * gates }] : []),
    ...(rest[6] ? [{ at: 7, axis: 1, follows, repeats: 3 }] : []),
  ]
  const same = dims(follows)?.[0] ?? 0
  const tieTo = (name: string): Tie => ({ input: name, output: follows, from: identity(same) })
  const ties = others.map(tieTo)
  for (const i of states) {
    const name = rest[i]
    if (name && constant(name)) cuts.push({ at: i + 1, axis: 2, follows })
    else if (name && isLast(name) && dims(name)?.[0] === same) ties.push(tieTo(name))
    else if (name) return undefined
  }
  return { ties, cuts, recurrence: { reads: input, makes } }
}

/** Axes in another order: the channels are where the values before and after say. */
const transpose: Row = (node, { dims, axis }) => {
  const [input] = node.inputs
  const [output] = node.outputs
  const shape = dims(input)
  if (!shape || !dims(output)) return undefined
  const perm = intsAttribute(node, 'perm') ?? identity(shape.length + 1).reverse()
  if (perm.indexOf(axis(input)) !== axis(output)) return undefined
  return { ties: [{ input, output, from: identity(shape[0]) }], cuts: [] }
}

/** Axes of one place left out: of channels along the last axis those before it, of images as Flatten does. */
const squeeze: Row = (node, context) => {
  const { dims, axis } = context
  const [input] = node.inputs
  const [output] = node.outputs
  const [shape, out] = [dims(input), dims(output)]
  if (shape && axis(input) === 1) return flatten(node, context)
  if (!shape || !out || shape[0] !== out[0] || axis(output) !== out.length) return undefined
  return { ties: [{ input, output, from: identity(shape[0]) }], cuts: [] }
}

/** The row for each of several operators. */
const alike = (ops: string, row: Row): Record<string, Row> =>
  Object.fromEntries(ops.split(/\s+/).map((op) => [op, row]))

/** Rows that hold wherever channels lie. */
const anywhere: Readonly<Record<string, Row>> = {
  ...alike(
    `Relu LeakyRelu Sigmoid Tanh Clip HardSigmoid HardSwish Elu Softplus Gelu Identity Dropout Abs Ceil Celu Erf Exp
    Floor Log Mish Neg Reciprocal Round Selu Sign Softsign Sqrt Swish ThresholdedRelu`,
    unary,
  ),
  ...alike('Add Sub Mul Div PRelu Pow Max Min Sum', elementwise),
}

/** Rows that see for themselves where channels lie. */
const placed: Readonly<Record<string, Row>> = {
  ...alike('Gemm MatMul', dense),
  ...alike('GRU LSTM RNN', recurrent),
  Squeeze: squeeze,
  Transpose: transpose,
}

/** Rows for channels along axis 1. */
const images: Readonly<Record<string, Row>> = {
  ...alike('MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool', unary),
  ...alike('Conv ConvTranspose', convolution),
  ...alike('Flatten Reshape', flatten),
  ...alike('ReduceMean ReduceMax ReduceMin ReduceSum ReduceL1 ReduceL2', reduce),
  ...alike('Resize Upsample', resize),
  BatchNormalization: batchNormalization,
  InstanceNormalization: instanceNormalization,
  Concat: concat,
  Split: split,
  Slice: slice,
  Gather: gather,
  Pad: pad,
}

/** Whether the operator leaves channels along the axis where they are, whichever that is. */
export function keepsAxis({ op, domain }: Node): boolean {
  return !domain && Object.hasOwn(anywhere, op)
}

/** How the node ties channels; undefined where it has no row or is not of a form that the row knows. */
export function couplingOf(node: Node, context: CouplingContext): Coupling | undefined {
  if (node.domain || (node.op === 'MaxPool' && node.outputs.length > 1)) return undefined
  if (node.op === 'Dropout' && node.outputs.length > 1) return undefined
  for (const table of [anywhere, placed]) if (Object.hasOwn(table, node.op)) return table[node.op](node, context)
  const { dims, axis } = context
  const isImage = [...node.inputs, ...node.outputs].every((name) => !name || !dims(name) || axis(name) === 1)
  return isImage && Object.hasOwn(images, node.op) ? images[node.op](node, context) : undefined
}
