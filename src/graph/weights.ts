/**
 * The weights of a model: the float constants that convolutions, dense and recurrent layers multiply with, wherever
 * they are stored (initialisers, Constant nodes, nested graphs, local functions), and how to put others in their place.
 *
 * A constant that reaches its layer through Identity, Cast, Transpose, Reshape, Squeeze, Unsqueeze, Slice or Concat
 * (as PyTorch exports the gates of an LSTM) counts too: the stored tensor is what is listed, its axes followed through.
 */
import type { Attribute, FunctionDef, Graph, Model, Node, Tensor } from '../model.ts'
import { integers, isFloat } from '../tensor/dtype.ts'
import { intAttribute, intsAttribute, subgraphsOf } from './walk.ts'

export interface WeightUse {
  /** The layer that multiplies with the weight. */
  readonly node: Node
  /** Which input of the layer it feeds. */
  readonly input: number
  /** For each axis of what the layer reads the stored axis that it is; undefined where that is reshaped, or a part. */
  readonly axes?: readonly number[]
}

export interface WeightTensor {
  /** The name of the value, made unique by `#2`, `#3` where nested graphs repeat one. For messages and option tables. */
  readonly name: string
  readonly tensor: Tensor
  /** The graph that stores it (for a local function's Constant: the main graph). */
  readonly graph: Graph
  /** The Constant node that holds it; undefined for an initialiser. */
  readonly constant?: Node
  /** The axis of the stored tensor that counts output channels; undefined where it has none or its layers disagree. */
  readonly outputAxis?: number
  /** The layers that multiply with it, in the order of the graph. */
  readonly uses: readonly WeightUse[]
}

/** The inputs of each layer that are weights, and the axis that counts output channels, for a weight of that rank. */
const weightInputs: Record<string, Record<number, (node: Node, rank: number) => number | undefined>> = {
  Conv: { 1: () => 0 },
  // [inputs, outputs / group, ...]: with groups one slice of axis 1 serves a channel of every group.
  ConvTranspose: { 1: () => 1 },
  Gemm: {
    0: (node) => (intAttribute(node, 'transA', 0) ? 1 : 0),
    1: (node) => (intAttribute(node, 'transB', 0) ? 0 : 1),
  },
  MatMul: { 0: (_, rank) => (rank > 1 ? rank - 2 : undefined), 1: (_, rank) => (rank > 1 ? rank - 1 : undefined) },
  // [directions, gates * hidden, ...]
  LSTM: { 1: () => 1, 2: () => 1 },
  GRU: { 1: () => 1, 2: () => 1 },
  RNN: { 1: () => 1, 2: () => 1 },
}

/** The inputs of an operator that it multiplies with as weights. */
export function weightPlaces(op: string): number[] {
  return Object.keys(weightInputs[op] ?? {}).map(Number)
}

interface Stored {
  readonly name: string
  readonly tensor: Tensor
  readonly graph: Graph
  readonly constant?: Node
}

/** A stored tensor as a value shows it, perhaps rearranged: `axes[i]` is the stored axis that axis i is, where it is one. */
interface Known {
  readonly stored: Stored
  readonly axes: readonly (number | undefined)[]
  /** Whether it is all of the stored tensor, and nothing else. */
  readonly whole: boolean
}

interface Found {
  readonly stored: Stored
  readonly uses: WeightUse[]
  readonly axes: Set<number | undefined>
}

/**
 * Every weight of the model with two or more axes, in the order in which layers first use them; each stored tensor
 * once, however many layers share it. Only float types: weights that are integers already are not listed.
 */
export function weightTensors(model: Model): WeightTensor[] {
  const found = new Map<Tensor, Found>()
  scanGraph(model.graph, new Map(), found)
  for (const fn of model.functions ?? []) scanNodes(fn.nodes, { graph: model.graph, scope: new Map(), found })
  const taken = new Map<string, number>()
  return [...found.values()].map(({ stored, uses, axes }) => {
    const count = (taken.get(stored.name) ?? 0) + 1
    taken.set(stored.name, count)
    const [outputAxis] = axes.size === 1 ? axes : []
    return {
      name: count > 1 ? `${stored.name}#${count}` : stored.name,
      tensor: stored.tensor,
      graph: stored.graph,
      ...(stored.constant ? { constant: stored.constant } : {}),
      ...(outputAxis === undefined ? {} : { outputAxis }),
      uses,
    }
  })
}

/** The parts that each constant value is made of: one stored tensor, or the several of a Concat. */
type Scope = Map<string, readonly Known[]>

function scanGraph(graph: Graph, outer: Scope, found: Map<Tensor, Found>): void {
  const scope: Scope = new Map(outer)
  for (const [name, tensor] of graph.initializers) scope.set(name, [known({ name, tensor, graph })])
  scanNodes(graph.nodes, { graph, scope, found })
}

function scanNodes(nodes: readonly Node[], at: { graph: Graph; scope: Scope; found: Map<Tensor, Found> }): void {
  const { graph, scope, found } = at
  for (const node of nodes) {
    for (const [input, axisOf] of Object.entries(node.domain ? {} : (weightInputs[node.op] ?? {}))) {
      for (const { stored, axes, whole } of scope.get(node.inputs[Number(input)] ?? '') ?? []) {
        if (!isFloat(stored.tensor.dtype) || stored.tensor.dims.length < 2) continue
        const entry = found.get(stored.tensor) ?? { stored, uses: [], axes: new Set() }
        const axis = axisOf(node, axes.length)
        const readable = whole && axes.length === stored.tensor.dims.length && axes.every((a) => a !== undefined)
        entry.uses.push({ node, input: Number(input), ...(readable ? { axes } : {}) })
        entry.axes.add(axis === undefined ? undefined : axes[axis])
        found.set(stored.tensor, entry)
      }
    }
    for (const inner of subgraphsOf(node)) scanGraph(inner, scope, found)
    const value = knownOutput(node, graph, scope)
    if (value) scope.set(node.outputs[0], value)
    // A value of the same name as an outer constant hides it.
    else for (const output of node.outputs) scope.delete(output)
  }
}

function known(stored: Stored): Known {
  return { stored, axes: stored.tensor.dims.map((_, i) => i), whole: true }
}

/** What a node's output is, where that is a stored tensor or several rearranged. */
function knownOutput(node: Node, graph: Graph, scope: Scope): readonly Known[] | undefined {
  if (node.domain) return undefined
  if (node.op === 'Constant') {
    const value = node.attributes.value
    if (value?.type !== 'tensor') return undefined
    return [known({ name: node.outputs[0], tensor: value.value, graph, constant: node })]
  }
  const parts = scope.get(node.inputs[0] ?? '')
  if (!parts) return undefined
  switch (node.op) {
    case 'Identity':
    case 'Cast':
      return parts
    case 'Slice':
      return parts.map((part) => ({ ...part, whole: false }))
    case 'Concat': {
      const all = node.inputs.map((name) => scope.get(name))
      if (all.includes(undefined)) return undefined
      const distinct = new Map(all.flatMap((list) => list!).map((k) => [k.stored.tensor, k]))
      return Array.from(distinct.values(), (part) => ({ ...part, whole: false }))
    }
    case 'Transpose': {
      const perm = intsAttribute(node, 'perm')
      return parts.map((part) => {
        const order = perm ?? part.axes.map((_, i) => part.axes.length - 1 - i)
        return { ...part, axes: order.map((p) => part.axes[p]) }
      })
    }
    case 'Unsqueeze':
    case 'Squeeze':
    case 'Reshape': {
      const given = scope.get(node.inputs[1] ?? '')?.[0].stored.tensor
      const list = given && !isFloat(given.dtype) ? Array.from(integers(given)) : intsAttribute(node, 'axes')
      return list && parts.map((part) => reshaped(node.op, part, list))
    }
    default:
      return undefined
  }
}

/** `list`: the axes that are added or dropped, or the shape that is asked for. */
function reshaped(op: string, part: Known, list: readonly number[]): Known {
  const { stored, axes } = part
  if (op === 'Unsqueeze') {
    const rank = axes.length + list.length
    const added = new Set(list.map((a) => (a < 0 ? a + rank : a)))
    let next = 0
    return { ...part, axes: Array.from({ length: rank }, (_, i) => (added.has(i) ? undefined : axes[next++])) }
  }
  if (op === 'Squeeze') {
    const dropped = new Set(list.map((a) => (a < 0 ? a + axes.length : a)))
    return { ...part, axes: axes.filter((_, i) => !dropped.has(i)) }
  }
  // Reshape keeps its leading and trailing axes as long as the sizes agree; only known while nothing was permuted.
  const { dims } = stored.tensor
  if (axes.length !== dims.length || axes.some((a, i) => a !== i)) {
    return { ...part, axes: list.map(() => undefined) }
  }
  const out: (number | undefined)[] = list.map(() => undefined)
  for (let i = 0; i < Math.min(list.length, dims.length) && list[i] === dims[i]; i++) out[i] = i
  for (let i = 1; i <= Math.min(list.length, dims.length) && list.at(-i) === dims.at(-i); i++) {
    out[list.length - i] = dims.length - i
  }
  return { ...part, axes: out }
}

/**
 * The model with stored tensors replaced wherever they are, by identity: initialisers, Constant nodes and other tensor
 * attributes, nested graphs and local functions. Names are kept; parts without a replaced tensor are shared.
 */
export function replaceTensors(model: Model, replacements: ReadonlyMap<Tensor, Tensor>): Model {
  if (replacements.size === 0) return model
  const swap = (tensor: Tensor): Tensor => {
    const other = replacements.get(tensor)
    return other ? { ...other, name: tensor.name } : tensor
  }
  const swapAttribute = (a: Attribute): Attribute => {
    switch (a.type) {
      case 'tensor':
        return same(a, { ...a, value: swap(a.value) }, a.value)
      case 'graph':
        return same(a, { ...a, value: swapGraph(a.value) }, a.value)
      case 'tensors': {
        const value = a.value.map(swap)
        return value.some((t, i) => t !== a.value[i]) ? { ...a, value } : a
      }
      case 'graphs': {
        const value = a.value.map(swapGraph)
        return value.some((g, i) => g !== a.value[i]) ? { ...a, value } : a
      }
      default:
        return a
    }
  }
  const swapNode = (node: Node): Node => {
    let changed = false
    const attributes: Record<string, Attribute> = {}
    for (const [name, a] of Object.entries(node.attributes)) {
      attributes[name] = swapAttribute(a)
      changed ||= attributes[name] !== a
    }
    return changed ? { ...node, attributes } : node
  }
  const swapNodes = (nodes: readonly Node[]): readonly Node[] => {
    const swapped = nodes.map(swapNode)
    return swapped.some((n, i) => n !== nodes[i]) ? swapped : nodes
  }
  const swapGraph = (graph: Graph): Graph => {
    const nodes = swapNodes(graph.nodes)
    const stored = [...graph.initializers.values()].some((t) => replacements.has(t))
    if (nodes === graph.nodes && !stored) return graph
    const initializers = stored
      ? new Map([...graph.initializers].map(([name, t]) => [name, swap(t)] as const))
      : graph.initializers
    return { ...graph, nodes, initializers }
  }
  const swapFunction = (fn: FunctionDef): FunctionDef => {
    const nodes = swapNodes(fn.nodes)
    return nodes === fn.nodes ? fn : { ...fn, nodes }
  }
  return {
    ...model,
    graph: swapGraph(model.graph),
    ...(model.functions ? { functions: model.functions.map(swapFunction) } : {}),
  }
}

function same<T extends Attribute & { value: unknown }>(before: T, after: T, value: unknown): T {
  return after.value === value ? before : after
}
