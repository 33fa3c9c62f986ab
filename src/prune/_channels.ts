/**
 * Channels of a graph: which values have them, which are read, which are constant, and which have to go together.
 * A channel is a place in the value's axis 1, numbered through the whole graph from `start`.
 */
import {
  capturedBy,
  constantOf,
  floatAttribute,
  intAttribute,
  intsAttribute,
  producersOf,
  stringAttribute,
} from '../graph/walk.ts'
import type { Model, Node, Tensor } from '../model.ts'
import { type Coupling, couplingOf } from '../ops/coupling.ts'
import { inferShapes } from '../ops/shape.ts'
import { floats, sizeOf } from '../tensor/dtype.ts'

export interface ChannelView {
  readonly model: Model
  /** First number and count of each value's channels. */
  readonly values: ReadonlyMap<string, { readonly start: number; readonly count: number }>
  readonly total: number
  /** Of each node of the main graph whose channels can be followed. */
  readonly couplings: ReadonlyMap<Node, Coupling>
  /** Sizes from axis 1 on. */
  dims(name: string): readonly number[] | undefined
  constant(name: string): Tensor | undefined
}

export function channelsOf(model: Model): ChannelView {
  const { graph } = model
  const shapes = inferShapes(model).values
  const producers = producersOf(graph)
  // From IR version 4 on, an initialiser that is also an input can be overridden by a caller; before, all had to be.
  const inputs = new Set(
    graph.inputs.map((i) => i.name).filter((name) => model.irVersion >= 4 || !graph.initializers.has(name)),
  )
  const constant = (name: string): Tensor | undefined => {
    if (!name || inputs.has(name)) return undefined
    return constantOf(graph, name, producers)
  }
  const dims = (name: string): readonly number[] | undefined => {
    const known = shapes.get(name)
    const rest = known?.shape?.slice(1)
    if (known?.dtype !== 'float32' || !rest || rest.length === 0) return undefined
    return rest.every((d) => typeof d === 'number' && d > 0) ? (rest as number[]) : undefined
  }
  const values = new Map<string, { start: number; count: number }>()
  let total = 0
  const names = [...inputs, ...graph.nodes.flatMap((n) => n.outputs)]
  for (const name of names) {
    const count = name && !constant(name) ? dims(name)?.[0] : undefined
    if (count === undefined || values.has(name)) continue
    values.set(name, { start: total, count })
    total += count
  }
  const couplings = new Map<Node, Coupling>()
  for (const node of graph.nodes) {
    const coupling = couplingOf(node, { dims, constant })
    const floatWeights = coupling?.cuts.every((c) => constant(node.inputs[c.at])?.dtype === 'float32')
    if (coupling && floatWeights) couplings.set(node, coupling)
  }
  return { model, values, total, couplings, dims, constant }
}

/** Marks (with 1) the channels that must stay whatever they hold: a graph input or output, or a node without a rule. */
export function fixedChannels({ model, values, total, couplings }: ChannelView): Uint8Array {
  const fixed = new Uint8Array(total)
  const fix = (name: string): void => {
    const v = values.get(name)
    if (v) fixed.fill(1, v.start, v.start + v.count)
  }
  for (const v of [...model.graph.inputs, ...model.graph.outputs]) fix(v.name)
  for (const node of model.graph.nodes) {
    for (const name of capturedBy(node)) fix(name)
    if (!couplings.has(node)) for (const name of [...node.inputs, ...node.outputs]) fix(name)
  }
  return fixed
}

/** Marks (with 1) the channels on which an output of the graph depends. */
export function readChannels(view: ChannelView): Uint8Array {
  const { model, values, couplings } = view
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
    const { ties, mix } = coupling
    const scale = node.op === 'BatchNormalization' ? floats(view.constant(node.inputs[1]) as Tensor) : undefined
    for (const { input, output, from } of ties) {
      const [a, b] = [values.get(input)?.start ?? 0, values.get(output)?.start ?? 0]
      from.forEach((c, k) => {
        if (c >= 0 && read[b + k] && scale?.[k] !== 0) read[a + c] = 1
      })
    }
    if (!mix) continue
    const [a, b] = [values.get(mix.input)?.start ?? 0, values.get(mix.output)?.start ?? 0]
    eachWeight(view.constant(node.inputs[1]) as Tensor, mix, (c, o, w) => {
      if (w !== 0 && read[b + o]) read[a + c] = 1
    })
  }
  return read
}

/** Visits each element of a layer's weights with its input and output channel. */
export function eachWeight(
  tensor: Tensor,
  { inputAxis, outputAxis }: { readonly inputAxis: number; readonly outputAxis: number },
  visit: (input: number, output: number, value: number, index: number) => void,
): void {
  const { dims } = tensor
  const stride = (axis: number): number => sizeOf(dims.slice(axis + 1))
  const [si, so] = [stride(inputAxis), stride(outputAxis)]
  floats(tensor).forEach((v, k) => {
    visit(Math.floor(k / si) % dims[inputAxis], Math.floor(k / so) % dims[outputAxis], v, k)
  })
}

/** The value of each channel that is one number at every place for every input, and NaN for all others. */
export function constantChannels(view: ChannelView): Float64Array {
  const { model, values, couplings } = view
  const known = new Float64Array(view.total).fill(Number.NaN)
  for (const node of model.graph.nodes) {
    const coupling = couplings.get(node)
    const out = values.get(node.outputs[0])
    if (!coupling || !out) continue
    if (node.op === 'Conv' || node.op === 'Gemm' || node.op === 'MatMul')
      layerConstants(view, { node, coupling, known })
    else {
      const f = constantRule(view, node)
      if (!f) continue
      for (const output of node.outputs) {
        const v = values.get(output)
        if (!v) continue
        const ties = coupling.ties.filter((t) => t.output === output)
        const starts = ties.map((t) => values.get(t.input)?.start ?? 0)
        for (let k = 0; k < v.count; k++) {
          const operands = ties.flatMap((t, i) => (t.from[k] < 0 ? [] : [known[starts[i] + t.from[k]]]))
          known[v.start + k] = f(operands, k)
        }
      }
    }
  }
  return known
}

interface LayerAt {
  readonly node: Node
  readonly coupling: Coupling
  readonly known: Float64Array
}

function layerConstants(view: ChannelView, { node, coupling, known }: LayerAt): void {
  const { values, constant } = view
  const weight = constant(node.inputs[1]) as Tensor
  const bias = node.inputs[2] ? floats(constant(node.inputs[2]) as Tensor) : undefined
  const input = values.get(node.inputs[0])?.start ?? 0
  const { start, count } = values.get(node.outputs[0]) as { start: number; count: number }
  if (!isPlainProduct(node)) return
  const padded = isPadded(node)
  const sums = Float64Array.from({ length: count }, (_, o) => (bias ? bias[bias.length === 1 ? 0 : o] : 0))
  const add = (c: number, o: number, w: number): void => {
    // An input that is 0 stays 0 under padding; any other constant differs at the border.
    if (w !== 0) sums[o] += padded && known[input + c] !== 0 ? Number.NaN : w * known[input + c]
  }
  if (coupling.mix) eachWeight(weight, coupling.mix, add)
  else {
    const size = sizeOf(weight.dims.slice(1))
    floats(weight).forEach((w, k) => {
      add(Math.floor(k / size), Math.floor(k / size), w)
    })
  }
  known.set(sums, start)
}

/** A product without factors on its result or its bias. */
export function isPlainProduct(node: Node): boolean {
  return node.op !== 'Gemm' || (floatAttribute(node, 'alpha', 1) === 1 && floatAttribute(node, 'beta', 1) === 1)
}

/** Whether a window may lie partly beyond the image. */
export function isPadded(node: Node): boolean {
  if (node.op === 'Gemm' || node.op === 'MatMul') return false
  const auto = stringAttribute(node, 'auto_pad', 'NOTSET')
  return auto === 'NOTSET' ? (intsAttribute(node, 'pads') ?? []).some((p) => p !== 0) : auto !== 'VALID'
}

/** What a node makes of constant operands in channel k (in double precision); undefined where it has no rule. */
function constantRule(view: ChannelView, node: Node): ((x: readonly number[], k: number) => number) | undefined {
  const attribute = (name: string, fallback: number): number => floatAttribute(node, name, fallback)
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
    case 'MaxPool':
      return ([x]) => x
    case 'AveragePool': {
      const diluted = intAttribute(node, 'count_include_pad', 0) === 1 && isPadded(node)
      return ([x]) => (x !== 0 && (diluted || intAttribute(node, 'ceil_mode', 0) === 1) ? Number.NaN : x)
    }
    case 'Relu':
      return ([x]) => (Number.isNaN(x) ? x : Math.max(0, x))
    case 'LeakyRelu':
      return ([x]) => (x < 0 ? x * attribute('alpha', Math.fround(0.01)) : x)
    case 'Sigmoid':
      return ([x]) => 1 / (1 + Math.exp(-x))
    case 'Tanh':
      return ([x]) => Math.tanh(x)
    case 'Clip':
      return clipRule(view, node)
    case 'BatchNormalization': {
      const [scale, bias, mean, variance] = node.inputs.slice(1).map((n) => floats(view.constant(n) as Tensor))
      const epsilon = attribute('epsilon', Math.fround(1e-5))
      return ([x], k) =>
        scale[k] === 0 ? bias[k] : bias[k] + (scale[k] * (x - mean[k])) / Math.sqrt(variance[k] + epsilon)
    }
    case 'Add': {
      if (node.inputs.every((n) => !view.constant(n))) return ([a, b]) => a + b
      const stored = node.inputs.map((n) => view.constant(n)).find((t) => t !== undefined) as Tensor
      const cut = view.couplings.get(node)?.cuts[0]
      const values = floats(stored)
      // One number, or one a channel; anything finer makes the channel vary over the image.
      if (values.length === 1) return ([x]) => x + values[0]
      return cut && stored.dims[cut.axis] === values.length ? ([x], k) => x + values[k] : undefined
    }
    case 'Mul':
      return (x) => (x.includes(0) ? 0 : x.length === 2 ? x[0] * x[1] : Number.NaN)
    default:
      return undefined
  }
}

function clipRule({ constant }: ChannelView, node: Node): ((x: readonly number[]) => number) | undefined {
  const bound = (at: number, name: string, fallback: number): number | undefined => {
    if (!node.inputs[at]) return floatAttribute(node, name, fallback)
    const tensor = constant(node.inputs[at])
    return tensor && floats(tensor)[0]
  }
  const low = bound(1, 'min', Number.NEGATIVE_INFINITY)
  const high = bound(2, 'max', Number.POSITIVE_INFINITY)
  if (low === undefined || high === undefined) return undefined
  return ([x]) => (Number.isNaN(x) ? x : Math.min(high, Math.max(low, x)))
}

/** Which channels can only go together: for each, the number of its class. */
export function channelClasses({ total, values, couplings }: ChannelView): Int32Array {
  const parent = Int32Array.from({ length: total }, (_, i) => i)
  const root = (i: number): number => {
    let r = i
    while (parent[r] !== r) r = parent[r]
    while (parent[i] !== r) [i, parent[i]] = [parent[i], r]
    return r
  }
  for (const { ties } of couplings.values()) {
    for (const { input, output, from } of ties) {
      const [a, b] = [values.get(input)?.start, values.get(output)?.start]
      if (a === undefined || b === undefined) continue
      from.forEach((c, k) => {
        if (c >= 0) parent[root(a + c)] = root(b + k)
      })
    }
  }
  return parent.map((_, i) => root(i))
}
