/**
 * What is known of channels before anything runs: which hold one number for every input, and which an output depends on.
 * How numbers pass through operators is said here, one rule per operator.
 */

import type { ChannelView, Range } from '../channels/channels.ts'
import { capturedBy, floatAttribute, intAttribute, intsAttribute, stringAttribute } from '../graph/walk.ts'
import type { Node, Tensor } from '../model.ts'
import { type Coupling, eachTied, type Mix } from '../ops/coupling.ts'
import { floats, isFloat, sizeOf } from '../tensor/dtype.ts'

/**
 * Tells the constants that a layer's bias can take up. Beyond the image a padded convolution reads 0 instead, a transposed one
 * meets places that some of its weights do not reach, and products of sequences have no bias.
 */
export function absorbs(view: ChannelView, node: Node): (value: number) => boolean {
  const isBiased = node.op === 'Conv' || node.op === 'Gemm' || (node.op === 'MatMul' && view.rank(node.inputs[0]) === 2)
  const mix = view.couplings.get(node)?.mix
  const shifts = isBiased && mix?.at !== 0 && isPlainProduct(node) && !isPadded(node)
  return (value) => value === 0 || (shifts && Number.isFinite(value))
}

/**
 * Marks (with 1) the channels on which an output of the graph depends, once constants are in the biases of the layers
 * that read them.
 */
export function readChannels(view: ChannelView, known: Float64Array): Uint8Array {
  const { model, values, couplings, range } = view
  const read = new Uint8Array(view.total)
  const markAxis = (axis: Range | undefined): void => {
    if (axis) read.fill(1, axis.start, axis.start + axis.count)
  }
  const mark = (name: string, except?: ReadonlySet<Range | undefined>): void => {
    for (const axis of values.get(name) ?? []) if (!except?.has(axis)) markAxis(axis)
  }
  for (const v of model.graph.outputs) mark(v.name)
  for (const node of [...model.graph.nodes].reverse()) {
    for (const name of capturedBy(node)) mark(name)
    const coupling = couplings.get(node)
    if (!coupling) {
      for (const name of node.inputs) mark(name)
      continue
    }
    const { ties, mix, recurrence, ignores } = coupling
    for (const axis of recurrence ? [recurrence.reads, ...recurrence.makes] : []) markAxis(range(axis))
    // What the node needs whole, and sums of products.
    const passed = [...ties.map((t) => t.input), ...(mix ? [mix.input] : []), ...(ignores ?? [])]
    const followed = new Set<Range | undefined>(passed.map(range))
    for (const name of node.inputs) mark(name, followed)
    const scale = node.op === 'BatchNormalization' ? floats(view.constant(node.inputs[1]) as Tensor) : undefined
    for (const tie of ties) {
      const [a, b] = [range(tie.input), range(tie.output)]
      const isScaled = scale && tie.output.axis === 1
      eachTied(tie, b.count, (c, k) => {
        if (read[b.start + k] && !(isScaled && scale[k] === 0)) read[a.start + c] = 1
      })
    }
    if (!mix) continue
    const [a, b] = [range(mix.input).start, range(mix.output).start]
    const absorbed = absorbs(view, node)
    eachWeight(view.constant(node.inputs[mix.at]) as Tensor, mix, (c, o) => {
      if (read[b + o] && !absorbed(known[a + c])) read[a + c] = 1
    })
  }
  return read
}

/** Visits each of a layer's weights that is not zero, with its input and output channel. */
export function eachWeight(
  tensor: Tensor,
  { inputAxis, outputAxis, groups = 1, perGroup = 'inputs' }: Omit<Mix, 'at' | 'input' | 'output'>,
  visit: (input: number, output: number, value: number) => void,
): void {
  const { dims } = tensor
  const stride = (axis: number): number => sizeOf(dims.slice(axis + 1))
  const [si, so] = [stride(inputAxis), stride(outputAxis)]
  const [inputs, outputs] = [dims[inputAxis], dims[outputAxis]]
  const values = floats(tensor)
  for (let k = 0; k < values.length; k++) {
    if (values[k] === 0) continue
    const [input, output] = [Math.floor(k / si) % inputs, Math.floor(k / so) % outputs]
    if (perGroup === 'inputs') visit(Math.floor((output * groups) / outputs) * inputs + input, output, values[k])
    else visit(input, Math.floor((input * groups) / inputs) * outputs + output, values[k])
  }
}

/** The value of each channel that is one number at every place for every input, and NaN for all others. */
export function constantChannels(view: ChannelView): Float64Array {
  const { values, couplings, constant, range } = view
  const known = new Float64Array(view.total).fill(Number.NaN)
  for (const [name, axes] of values) {
    const stored = constant(name)
    if (stored)
      for (const [axis, place] of axes.entries()) if (place) known.set(uniformAlong(stored, axis), place.start)
  }
  for (const [node, coupling] of couplings) {
    if (node.op === 'Conv' || (coupling.mix && node.op !== 'Einsum')) layerConstants(view, { node, coupling, known })
    else if (Object.hasOwn(pairs, node.op)) pairConstants(view, node, known)
    else {
      const f = constantRule(view, node)
      for (const tie of f ? coupling.ties : []) {
        const [a, b] = [range(tie.input), range(tie.output)]
        const made = new Float64Array(b.count).fill(Number.NaN)
        const some = new Uint8Array(b.count)
        eachTied(tie, b.count, (c, k) => {
          const value = f ? f(known[a.start + c], k, tie.output.axis) : Number.NaN
          // What comes of several has to come out the same of each.
          made[k] = some[k] && made[k] !== value ? Number.NaN : value
          some[k] = 1
        })
        for (const [k, value] of made.entries()) if (some[k]) known[b.start + k] = value
      }
    }
  }
  return known
}

/** At each place along an axis of a stored tensor (-1: in all of it), the one float that it holds; NaN where several. */
function uniformAlong(tensor: Tensor, axis: number): Float64Array {
  const inner = sizeOf(tensor.dims.slice(axis + 1))
  const found = new Float64Array(axis < 0 ? 1 : tensor.dims[axis])
  // Whole numbers are counts and indices, which no weight makes dead.
  if (!isFloat(tensor.dtype)) return found.fill(Number.NaN)
  floats(tensor).forEach((v, k) => {
    const c = Math.floor(k / inner) % found.length
    if (k === c * inner) found[c] = v
    else if (found[c] !== v) found[c] = Number.NaN
  })
  return found
}

interface LayerAt {
  readonly node: Node
  readonly coupling: Coupling
  readonly known: Float64Array
}

function layerConstants(view: ChannelView, { node, coupling, known }: LayerAt): void {
  const { constant, range } = view
  const { mix, ties } = coupling
  const tie = mix ? undefined : ties.find((t) => t.output.axis === 1)
  const ends = mix ?? tie
  if (!ends || !isPlainProduct(node)) return
  const weight = constant(node.inputs[mix?.at ?? 1]) as Tensor
  const bias = node.inputs[2] ? floats(constant(node.inputs[2]) as Tensor) : undefined
  const input = range(ends.input).start
  const { start, count } = range(ends.output)
  const absorbed = absorbs(view, node)
  const sums = Float64Array.from({ length: count }, (_, o) => (bias ? bias[bias.length === 1 ? 0 : o] : 0))
  const add = (c: number, o: number, w: number): void => {
    // An input that is 0 stays 0 under padding; any other constant differs at the border.
    if (w !== 0) sums[o] += absorbed(known[input + c]) ? w * known[input + c] : Number.NaN
  }
  if (mix) eachWeight(weight, mix, add)
  else {
    const size = sizeOf(weight.dims.slice(1))
    floats(weight).forEach((w, k) => {
      const output = Math.floor(k / size)
      add(tie?.from ? tie.from[output] : output, output, w)
    })
  }
  known.set(sums, start)
}

/** A product without factors on its result or its bias. */
function isPlainProduct(node: Node): boolean {
  return node.op !== 'Gemm' || (floatAttribute(node, 'alpha', 1) === 1 && floatAttribute(node, 'beta', 1) === 1)
}

/** Whether a window may lie partly beyond the image. */
function isPadded(node: Node): boolean {
  if (node.op === 'Gemm' || node.op === 'MatMul') return false
  const auto = stringAttribute(node, 'auto_pad', 'NOTSET')
  return auto === 'NOTSET' ? (intsAttribute(node, 'pads') ?? []).some((p) => p !== 0) : auto !== 'VALID'
}

/** Elementwise operators of two operands, either of which may be stored. */
const pairs: Readonly<Record<string, (a: number, b: number) => number>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => (a === 0 || b === 0 ? 0 : a * b),
  Div: (a, b) => a / b,
  PRelu: (x, slope) => (x < 0 ? x * slope : x),
}

function pairConstants({ rank, constant, values, range }: ChannelView, node: Node, known: Float64Array): void {
  const [output] = node.outputs
  if (node.inputs.length !== 2) return
  for (const [axis, made] of (values.get(output) ?? []).entries()) {
    if (!made) continue
    const [a, b] = node.inputs.map((name): ((k: number) => number) => {
      const stored = constant(name)
      // Aligned from the right; a stored tensor without the axis of the channels is the same for all.
      const own = axis - rank(output) + rank(name)
      if (!stored) {
        if (own < 0 || !values.get(name)?.[own]) return () => Number.NaN
        const { start, count } = range({ value: name, axis: own })
        return (k) => known[start + (k % count)]
      }
      const each = uniformAlong(stored, Math.max(-1, own))
      return (k) => each[each.length === 1 ? 0 : k]
    })
    for (let k = 0; k < made.count; k++) known[made.start + k] = pairs[node.op](a(k), b(k))
  }
}

const clamp = (x: number): number => Math.min(1, Math.max(0, x))

/** What an activation makes of a number, in double precision. */
const activations: Readonly<Record<string, (x: number, node: Node) => number>> = {
  Relu: (x) => Math.max(0, x),
  LeakyRelu: (x, node) => (x < 0 ? x * floatAttribute(node, 'alpha', Math.fround(0.01)) : x),
  Elu: (x, node) => (x < 0 ? floatAttribute(node, 'alpha', 1) * Math.expm1(x) : x),
  Softplus: (x) => Math.max(0, x) + Math.log1p(Math.exp(-Math.abs(x))),
  Sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  Tanh: Math.tanh,
  HardSigmoid: (x, node) =>
    clamp(floatAttribute(node, 'alpha', Math.fround(0.2)) * x + floatAttribute(node, 'beta', 0.5)),
  HardSwish: (x) => x * clamp(x / 6 + 0.5),
  Gelu: (x, node) =>
    stringAttribute(node, 'approximate', 'none') === 'tanh'
      ? (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
      : (x / 2) * (1 + errorFunction(x * Math.SQRT1_2)),
}

/** By the series whose terms are all of one sign, so that none cancel. */
function errorFunction(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x)
  let term = x
  let sum = x
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) sum += term *= (2 * x * x) / (2 * n + 1)
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum
}

/** What a node makes of a constant operand in channel k; undefined where it has no rule. */
function constantRule(view: ChannelView, node: Node): ((x: number, k: number, axis: number) => number) | undefined {
  if (Object.hasOwn(activations, node.op)) return (x) => activations[node.op](x, node)
  switch (node.op) {
    case 'Identity':
    case 'Dropout':
    case 'Flatten':
    case 'Reshape':
    case 'Squeeze':
    case 'Unsqueeze':
    case 'Transpose':
    case 'Slice':
    case 'Expand':
    case 'Concat':
    case 'Split':
    case 'Gather':
    case 'ReduceMean':
    case 'GlobalAveragePool':
    case 'GlobalMaxPool':
      return (x) => x
    case 'MaxPool': {
      // A dilated window can lie in the padding altogether, where the largest value is minus infinity.
      const skips = isPadded(node) && (intsAttribute(node, 'dilations') ?? []).some((d) => d > 1)
      return (x) => (skips ? Number.NaN : x)
    }
    case 'AveragePool': {
      const diluted = intAttribute(node, 'count_include_pad', 0) === 1 && isPadded(node)
      return (x) => (x !== 0 && (diluted || intAttribute(node, 'ceil_mode', 0) === 1) ? Number.NaN : x)
    }
    case 'Clip':
      return clipRule(view, node)
    case 'BatchNormalization': {
      const [scale, bias, mean, variance] = node.inputs.slice(1).map((n) => floats(view.constant(n) as Tensor))
      const epsilon = floatAttribute(node, 'epsilon', Math.fround(1e-5))
      // Along other axes than the channels' a place meets all of them.
      return (x, k, axis) =>
        axis !== 1
          ? Number.NaN
          : scale[k] === 0
            ? bias[k]
            : bias[k] + (scale[k] * (x - mean[k])) / Math.sqrt(variance[k] + epsilon)
    }
    default:
      return undefined
  }
}

function clipRule({ constant }: ChannelView, node: Node): ((x: number) => number) | undefined {
  const bound = (at: number, name: string, fallback: number): number | undefined => {
    if (!node.inputs[at]) return floatAttribute(node, name, fallback)
    const tensor = constant(node.inputs[at])
    return tensor && floats(tensor)[0]
  }
  const low = bound(1, 'min', Number.NEGATIVE_INFINITY)
  const high = bound(2, 'max', Number.POSITIVE_INFINITY)
  if (low === undefined || high === undefined) return undefined
  return (x) => Math.min(high, Math.max(low, x))
}
