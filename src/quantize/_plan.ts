/**
 * Which nodes compute on integers, and which values are therefore held as uint8.
 *
 * The rules follow what ONNX Runtime fuses on a CPU: a layer between DequantizeLinear and QuantizeLinear becomes one
 * integer kernel; a Relu or Clip between layer and QuantizeLinear disappears into the range.
 */
import { constantOf, consumersOf, describe, intAttribute, nodeName, producersOf } from '../graph/walk.ts'
import type { Graph, Node } from '../model.ts'
import { floats, sizeOf } from '../tensor/dtype.ts'

/** Layers with constant float weights: they start the integer parts of a graph. */
const layerOps = new Set(['Conv', 'Gemm', 'MatMul'])
/** Layers whose integer kernel can write floats, so that a result which no layer reads keeps its precision. */
const floatOutputOps = new Set(['Gemm', 'MatMul'])
/** Operators that stay on integers where all their inputs are; the output has its own range. */
const joiningOps = new Set(['Add', 'Mul', 'Concat', 'AveragePool', 'GlobalAveragePool', 'Relu', 'Sigmoid', 'LeakyRelu'])
/** Operators that only move or pick values: the output has the range of the (first) input. */
const movingOps = new Set([
  'MaxPool',
  'Reshape',
  'Flatten',
  'Squeeze',
  'Unsqueeze',
  'Transpose',
  'Slice',
  'Split',
  'Pad',
  'Gather',
])

export interface Plan {
  /** Layers with integer weights, in order. */
  readonly layers: readonly Node[]
  /** Every node on integers: layers, the activations folded into them, joining and moving operators. */
  readonly nodes: ReadonlySet<Node>
  /** Values held as uint8, and the value whose range they have (their own name, or that of a moving operator's input). */
  readonly values: ReadonlyMap<string, string>
  /** Layers that could not be quantised, and why. */
  readonly left: ReadonlyMap<Node, string>
}

/** A sentence for each reason why layers stay in float, with the first of them. */
export function leftInFloat({ left }: Plan): string[] {
  const byReason = new Map<string, Node[]>()
  for (const [node, why] of left) byReason.set(why, [...(byReason.get(why) ?? []), node])
  return [...byReason].map(([why, [first, ...more]]) => {
    const which = more.length > 0 ? `${describe(first)} and ${more.length} more stay` : `${describe(first)} stays`
    return `${which} in float: ${why}`
  })
}

/** Plans for a graph whose layers hold their weights as constants; `keepFloat` names the nodes to leave alone. */
export function planInt8(graph: Graph, keepFloat: ReadonlySet<string> = new Set()): Plan {
  const producers = producersOf(graph)
  const consumers = consumersOf(graph)
  const outputs = new Set(graph.outputs.map((o) => o.name))
  const left = new Map<Node, string>()
  const layers = graph.nodes.filter((node) => {
    const why = whyNot(graph, producers, node)
    if (why) left.set(node, why)
    return why === undefined && layerOps.has(node.op) && !keepFloat.has(nodeName(node))
  })
  const layerSet = new Set(layers)
  const free = (node: Node): boolean => !node.domain && !keepFloat.has(nodeName(node))
  const reaching = leadsToLayer(graph, consumers, { layers: layerSet, free })
  const nodes = new Set<Node>()
  const values = new Map<string, string>()
  const hold = (name: string): void => {
    if (!values.has(name)) values.set(name, name)
  }
  for (const node of graph.nodes) {
    if (nodes.has(node)) continue
    if (layerSet.has(node)) {
      hold(node.inputs[0])
      const tail = activationAfter(graph, { node, consumers, outputs, free })
      nodes.add(node)
      const result = (tail ?? node).outputs[0]
      if (floatOutputOps.has(node.op) && !reaching.has(result)) continue
      if (tail) nodes.add(tail)
      hold(result)
    } else if (free(node) && joins(graph, node, { producers, values })) {
      nodes.add(node)
      const tail = node.op === 'Add' ? activationAfter(graph, { node, consumers, outputs, free }) : undefined
      if (tail) nodes.add(tail)
      hold((tail ?? node).outputs[0])
    } else if (free(node) && movingOps.has(node.op) && values.has(node.inputs[0]) && movesExactly(graph, node)) {
      nodes.add(node)
      const root = values.get(node.inputs[0]) as string
      for (const output of node.outputs) if (output) values.set(output, root)
    }
  }
  return { layers, nodes, values, left }
}

/** Undefined where the node can be a quantised layer or is none at all. */
function whyNot(graph: Graph, producers: ReadonlyMap<string, Node>, node: Node): string | undefined {
  if (node.domain) return undefined
  if (node.op === 'LSTM') return 'only dynamic-int8 has an integer kernel for it'
  if (node.op === 'ConvTranspose' || node.op === 'GRU' || node.op === 'RNN') {
    return 'there is no integer kernel for it'
  }
  if (!layerOps.has(node.op)) return undefined
  const weight = constantOf(graph, node.inputs[1], producers)
  if (!weight) return 'its weight is computed'
  if (weight.dtype !== 'float32' || weight.dims.length < 2)
    return `its weight is ${weight.dtype}[${weight.dims.join(',')}]`
  if (node.op === 'MatMul' && weight.dims.length !== 2) return 'its weight is a stack of matrices'
  if (node.op === 'Gemm') {
    const bias = node.inputs[2] ? constantOf(graph, node.inputs[2], producers) : undefined
    if (intAttribute(node, 'transA', 0)) return 'it transposes its input'
    const scales = ['alpha', 'beta'].some((name) => (node.attributes[name]?.value ?? 1) !== 1)
    if (scales) return 'it scales its result'
    if (node.inputs[2] && bias?.dtype !== 'float32') return 'its bias is computed'
    const size = sizeOf(bias?.dims ?? [])
    if (size > 1 && (bias?.dims.at(-1) !== size || size !== weight.dims[intAttribute(node, 'transB', 0) ? 0 : 1])) {
      return 'its bias differs by row'
    }
  }
  if (node.op === 'Conv' && node.inputs[2] && constantOf(graph, node.inputs[2], producers)?.dtype !== 'float32') {
    return 'its bias is computed'
  }
  return undefined
}

interface Around {
  readonly node: Node
  readonly consumers: ReadonlyMap<string, readonly Node[]>
  readonly outputs: ReadonlySet<string>
  readonly free: (node: Node) => boolean
}

/** The Relu or Clip that is all that reads the node's output; ranges swallow it, as its results contain zero. */
function activationAfter(graph: Graph, { node, consumers, outputs, free }: Around): Node | undefined {
  const [output] = node.outputs
  const [next, ...others] = consumers.get(output) ?? []
  if (!next || others.length > 0 || outputs.has(output) || !free(next)) return undefined
  if (next.op === 'Relu') return next
  if (next.op !== 'Clip' || next.inputs[0] !== output) return undefined
  const bounds = next.inputs.slice(1).filter((name) => name)
  const constants = bounds.map((name) => constantOf(graph, name))
  if (constants.some((c) => c?.dtype !== 'float32')) return undefined
  const low = next.inputs[1] ? floats(constants[0]!)[0] : Number(next.attributes.min?.value ?? Number.NEGATIVE_INFINITY)
  const high = next.inputs[2]
    ? floats(constants.at(-1)!)[0]
    : Number(next.attributes.max?.value ?? Number.POSITIVE_INFINITY)
  return low <= 0 && high >= 0 ? next : undefined
}

function joins(
  graph: Graph,
  node: Node,
  { producers, values }: { producers: ReadonlyMap<string, Node>; values: ReadonlyMap<string, string> },
): boolean {
  if (!joiningOps.has(node.op) || node.outputs.filter((o) => o).length > 1) return false
  return node.inputs.every((name) => values.has(name) && !constantOf(graph, name, producers))
}

/** Moving operators for which uint8 in means the same uint8 out. */
function movesExactly(graph: Graph, node: Node): boolean {
  if (node.op !== 'Split' && node.outputs.filter((o) => o).length > 1) return false
  if (node.op !== 'Pad') return true
  const mode = node.attributes.mode?.value ?? 'constant'
  if (mode !== 'constant') return true
  const fill = node.inputs[2] ? constantOf(graph, node.inputs[2]) : undefined
  if (node.inputs[2] && fill?.dtype !== 'float32') return false
  return (fill ? floats(fill)[0] : Number(node.attributes.value?.value ?? 0)) === 0
}

/** Values that some layer reads, directly or through operators that can stay on integers. */
function leadsToLayer(
  graph: Graph,
  consumers: ReadonlyMap<string, readonly Node[]>,
  { layers, free }: { layers: ReadonlySet<Node>; free: (node: Node) => boolean },
): Set<string> {
  const reaching = new Set<string>()
  for (const node of [...graph.nodes].reverse()) {
    for (const output of node.outputs) {
      const leads = (consumers.get(output) ?? []).some((next) => {
        if (layers.has(next)) return next.inputs[0] === output
        const passes = joiningOps.has(next.op) || movingOps.has(next.op) || next.op === 'Clip'
        return passes && free(next) && next.outputs.some((o) => reaching.has(o))
      })
      if (leads) reaching.add(output)
    }
  }
  return reaching
}
