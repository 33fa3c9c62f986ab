/**
 * What is known of channels before anything runs: which hold one number for every input, and which an output depends on.
 * How numbers pass through operators is said here, one rule per operator.
 */

import type { ChannelView } from '../channels/channels.ts'
import { capturedBy, floatAttribute, intAttribute, intsAttribute, stringAttribute } from '../graph/walk.ts'
import type { Node, Tensor } from '../model.ts'
import type { Coupling, Mix } from '../ops/coupling.ts'
import { floats, sizeOf } from '../tensor/dtype.ts'

/**
 * Tells the constants that a layer's bias can take up. Beyond the image a padded convolution reads 0 instead, a transposed one
 * meets places that some of its weights do not reach, and products of sequences have no bias.
 */
export function absorbs({ dims }: ChannelView, node: Node): (value: number) => boolean {
  const isSequence = node.op === 'MatMul' && dims(node.inputs[0])?.length !== 1
  const shifts = isPlainProduct(node) && !isPadded(node) && node.op !== 'ConvTranspose' && !isSequence
  return (value) => value === 0 || (shifts && Number.isFinite(value))
}

/**
 * Marks (with 1) the channels on which an output of the graph depends, once constants are in the biases of the layers
 * that read them.
 */
export function readChannels(view: ChannelView, known: Float64Array): Uint8Array {
  const { model, values, couplings, range } = view
  const read = new Uint8Array(view.total)
  const mark = (name: string): void => {
    const v = values.get(name)
    if (v) read.fill(1, v.start, v.start + v.count)
  }
  for (const v of model.graph.outputs) mark(v.name)
  for (const node of [...model.graph.nodes].reverse()) {
    for (const name of capturedBy(node)) mark(name)
    const coupling = couplings.get(node)
    if (!coupling) {
      for (const name of node.inputs) mark(name)
      continue
    }
    const { ties, mix, recurrence, shared } = coupling
    for (const name of [...(recurrence ? [recurrence.reads, ...recurrence.makes] : []), ...(shared ?? [])]) mark(name)
    const scale = node.op === 'BatchNormalization' ? floats(view.constant(node.inputs[1]) as Tensor) : undefined
    for (const { input, output, from } of ties) {
      const [a, b] = [range(input).start, range(output).start]
      from.forEach((c, k) => {
        if (c >= 0 && read[b + k] && scale?.[k] !== 0) read[a + c] = 1
      })
    }
    if (!mix) continue
    const [a, b] = [range(mix.input).start, range(mix.output).start]
    const absorbed = absorbs(view, node)
    eachWeight(view.constant(node.inputs[1]) as Tensor, mix, (c, o) => {
      if (read[b + o] && !absorbed(known[a + c])) read[a + c] = 1
    })
  }
  return read
}

/** Visits each of a layer's weights that is not zero, with its input and output channel. */
export function eachWeight(
  tensor: Tensor,
  { inputAxis, outputAxis, groups = 1 }: Pick<Mix, 'inputAxis' | 'outputAxis' | 'groups'>,
  visit: (input: number, output: number, value: number) => void,
): void {
  const { dims } = tensor
  const stride = (axis: number): number => sizeOf(dims.slice(axis + 1))
  const [si, so] = [stride(inputAxis), stride(outputAxis)]
  const values = floats(tensor)
  for (let k = 0; k < values.length; k++) {
    if (values[k] === 0) continue
    const output = Math.floor(k / so) % dims[outputAxis]
    const first = Math.floor((output * groups) / dims[outputAxis]) * dims[inputAxis]
    visit(first + (Math.floor(k / si) % dims[inputAxis]), output, values[k])
  }
}

/** The value of each channel that is one number at every place for every input, and NaN for all others. */
export function constantChannels(view: ChannelView): Float64Array {
  const { values, couplings, constant, range } = view
  const known = new Float64Array(view.total).fill(Number.NaN)
  for (const [name, { start }] of values) {
    const stored = constant(name)
    if (stored) known.set(uniformAlong(stored, view.axis(name)), start)
  }
  for (const [node, coupling] of couplings) {
    if (node.op === 'Conv' || coupling.mix) layerConstants(view, { node, coupling, known })
    else if (Object.hasOwn(pairs, node.op)) pairConstants(view, node, known)
    else {
      const f = constantRule(view, node)
      for (const { input, output, from } of f ? coupling.ties : []) {
        const [a, b] = [range(input).start, range(output).start]
        from.forEach((c, k) => {
          if (f && c >= 0) known[b + k] = f(known[a + c], k)
        })
      }
    }
  }
  return known
}

/** At each place along an axis of a stored tensor (-1: in all of it), the one number that it holds; NaN where several. */
function uniformAlong(tensor: Tensor, axis: number): Float64Array {
  const inner = sizeOf(tensor.dims.slice(axis + 1))
  const found = new Float64Array(axis < 0 ? 1 : tensor.dims[axis])
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
  const weight = constant(node.inputs[1]) as Tensor
  const bias = node.inputs[2] ? floats(constant(node.inputs[2]) as Tensor) : undefined
  const input = range(node.inputs[0]).start
  const { start, count } = range(node.outputs[0])
  if (!isPlainProduct(node)) return
  const absorbed = absorbs(view, node)
  const sums = Float64Array.from({ length: count }, (_, o) => (bias ? bias[bias.length === 1 ? 0 : o] : 0))
  const add = (c: number, o: number, w: number): void => {
    // An input that is 0 stays 0 under padding; any other constant differs at the border.
    if (w !== 0) sums[o] += absorbed(known[input + c]) ? w * known[input + c] : Number.NaN
  }
  if (coupling.mix) eachWeight(weight, coupling.mix, add)
  else {
    const size = sizeOf(weight.dims.slice(1))
    const [{ from }] = coupling.ties
    floats(weight).forEach((w, k) => {
      const output = Math.floor(k / size)
      add(from[output], output, w)
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

function pairConstants({ dims, axis, constant, range }: ChannelView, node: Node, known: Float64Array): void {
  const { start, count } = range(node.outputs[0])
  const [output] = node.outputs
  const before = (dims(output)?.length ?? 0) + 1 - axis(output)
  const [a, b] = node.inputs.map((name): ((k: number) => number) => {
    const stored = constant(name)
    if (!stored) {
      const { start, count } = range(name)
      return (k) => known[start + (k % count)]
    }
    // Aligned from the right; a stored tensor without the axis of the channels is the same for all.
    const each = uniformAlong(stored, Math.max(-1, stored.dims.length - before))
    return (k) => each[each.length === 1 ? 0 : k]
  })
  for (let k = 0; k < count; k++) known[start + k] = pairs[node.op](a(k), b(k))
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
function constantRule(view: ChannelView, node: Node): ((x: number, k: number) => number) | undefined {
  if (Object.hasOwn(activations, node.op)) return (x) => activations[node.op](x, node)
  switch (node.op) {
    case 'Identity':
    case 'Dropout':
    case 'Flatten':
    case 'Reshape':
    case 'Squeeze':
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
      return (x, k) =>
        scale[k] === 0 ? bias[k] : bias[k] + (scale[k] * (x - mean[k])) / Math.sqrt(variance[k] + epsilon)
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
