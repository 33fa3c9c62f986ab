/** Graphs inside nodes (branches of an If, bodies of a Loop) seen as models of their own: what they read from outside are inputs. */
import { capturedBy, subgraphsOf } from '../graph/walk.ts'
import type { Attribute, Graph, Model, Node, Tensor, ValueInfo } from '../model.ts'
import { inferShapes, type Known } from '../ops/shape.ts'

/** Where a nested graph is: for each level the node, by its first output, and the attribute. */
type Path = readonly { readonly output: string; readonly attribute: string }[]

export interface NestedModel {
  readonly path: Path
  /** Its Constants are stored as initialisers. */
  readonly model: Model
}

/** Every nested graph of the main graph, outer ones first. */
export function nestedModels(model: Model): NestedModel[] {
  if (!model.graph.nodes.some((n) => subgraphsOf(n).length > 0)) return []
  const { values, nested } = inferShapes(model)
  const found: NestedModel[] = []
  const visit = (graph: Graph, known: ReadonlyMap<string, Known>, path: Path): void => {
    for (const node of graph.nodes) {
      for (const [attribute, { type, value }] of Object.entries(node.attributes)) {
        if (type !== 'graph') continue
        const inner = new Map([...known, ...(nested.get(value) ?? [])])
        const at = [...path, { output: node.outputs[0], attribute }]
        found.push({ path: at, model: { ...model, graph: closed(value, node, inner) } })
        visit(value, inner, at)
      }
    }
  }
  visit(model.graph, values, [])
  return found
}

/** The graph with what it reads from outside as inputs. */
function closed(graph: Graph, owner: Node, known: ReadonlyMap<string, Known>): Graph {
  const initializers = new Map<string, Tensor>(graph.initializers)
  const nodes = graph.nodes.filter((node) => {
    const { value } = node.attributes
    if (node.op !== 'Constant' || node.domain || value?.type !== 'tensor') return true
    initializers.set(node.outputs[0], { ...value.value, name: node.outputs[0] })
    return false
  })
  const made = new Set([...initializers.keys(), ...graph.inputs.map((i) => i.name), ...nodes.flatMap((n) => n.outputs)])
  const read = capturedBy({ ...owner, attributes: { body: { type: 'graph', value: graph } } })
  const infoOf = (name: string): ValueInfo => ({ name, dtype: known.get(name)?.dtype, shape: known.get(name)?.shape })
  const captured = [...read].filter((name) => !made.has(name)).map(infoOf)
  return {
    ...graph,
    nodes,
    initializers,
    inputs: [...graph.inputs.map((i) => ({ ...infoOf(i.name), ...i })), ...captured],
  }
}

/** The model with another graph at the path: that of a nested model, which keeps the inputs that the nested graph had. */
export function withNested(model: Model, path: Path, changed: Graph): Model {
  const replace = (graph: Graph, [first, ...rest]: Path): Graph => {
    if (!first) return { ...changed, inputs: graph.inputs }
    const nodes = graph.nodes.map((node): Node => {
      const at = node.attributes[first.attribute]
      if (node.outputs[0] !== first.output || at?.type !== 'graph') return node
      const attribute: Attribute = { ...at, value: replace(at.value, rest) }
      return { ...node, attributes: { ...node.attributes, [first.attribute]: attribute } }
    })
    return { ...graph, nodes }
  }
  return { ...model, graph: replace(model.graph, path) }
}
