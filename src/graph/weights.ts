/**
 * The weights of a model: the float constants that layers multiply with or look up, wherever they are stored and however
 * they reach their layer (constants.ts says which), and how to put others in their place.
 */
import type { Attribute, FunctionDef, Graph, Model, Node, Tensor } from '../model.ts'
import { isFloat } from '../tensor/dtype.ts'
import { type ConstantUse, constantsOf } from './constants.ts'

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
  readonly uses: readonly ConstantUse[]
}

/**
 * Every weight of the model with two or more axes, in the order in which layers first use them; each stored tensor
 * once, however many layers share it. Only float types: weights that are integers already are not listed.
 */
export function weightTensors(model: Model): WeightTensor[] {
  const name = uniqueNames()
  return constantsOf(model).flatMap((c) => {
    const { tensor, graph, constant } = c
    if (c.role !== 'weight' || !isFloat(tensor.dtype) || tensor.dims.length < 2) return []
    const uses = c.uses.filter((u) => u.role === 'weight')
    const axes = new Set(uses.map((u) => u.outputAxis))
    const [outputAxis] = axes.size === 1 ? axes : []
    return [
      {
        name: name(c.name),
        tensor,
        graph,
        ...(constant ? { constant } : {}),
        ...(outputAxis === undefined ? {} : { outputAxis }),
        uses,
      },
    ]
  })
}

/** Gives each name as it is the first time, then with `#2`, `#3`. */
export function uniqueNames(): (name: string) => string {
  const taken = new Map<string, number>()
  return (name) => {
    const count = (taken.get(name) ?? 0) + 1
    taken.set(name, count)
    return count > 1 ? `${name}#${count}` : name
  }
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
