/**
 * Cutting a graph in two: what depends on a stored tensor, and the values that this part needs from before.
 * Running the part before once and the part after many times is what makes scans of single tensors quick.
 */
import { type Model, type Node, type ValueInfo, withGraph } from '../model.ts'
import { dropUnused } from './drop-unused.ts'
import { capturedBy } from './walk.ts'

/** The values of the main graph that change where the stored value `name` does, itself included. */
export function dependentsOf(model: Model, name: string): Set<string> {
  const reached = new Set([name])
  for (const node of model.graph.nodes) {
    if (readsAny(node, reached)) for (const output of node.outputs) if (output) reached.add(output)
  }
  return reached
}

function readsAny(node: Node, names: ReadonlySet<string>): boolean {
  return node.inputs.some((n) => names.has(n)) || [...capturedBy(node)].some((n) => names.has(n))
}

/**
 * The computed values, in order, that the nodes making `dependents` read and that are no dependents themselves: with
 * them given, the rest of the graph can run. Constants and what follows from constants alone are not among them.
 */
export function cutBefore(model: Model, dependents: ReadonlySet<string>): string[] {
  const { graph } = model
  const varying = new Set(graph.inputs.map((i) => i.name).filter((n) => !graph.initializers.has(n)))
  for (const node of graph.nodes) if (readsAny(node, varying)) for (const o of node.outputs) varying.add(o)
  const needed = new Set<string>()
  for (const node of graph.nodes) {
    if (!node.outputs.some((o) => dependents.has(o))) continue
    for (const name of [...node.inputs, ...capturedBy(node)]) {
      if (varying.has(name) && !dependents.has(name)) needed.add(name)
    }
  }
  for (const { name } of graph.outputs) if (varying.has(name) && !dependents.has(name)) needed.add(name)
  return [...needed]
}

/**
 * The part of a model that computes `outputs` from the values `given` (and inputs, where it needs those). Its inputs are
 * only what it reads; initialisers are shared with the model.
 */
export function partBetween(model: Model, given: readonly ValueInfo[], outputs: readonly ValueInfo[]): Model {
  const { graph } = model
  const names = new Set(given.map((v) => v.name))
  // A node whose outputs are given is not needed; one that makes others too is kept under other names for what is given.
  const nodes = graph.nodes.flatMap((node) => {
    const made = node.outputs.filter((o) => o)
    if (made.every((o) => names.has(o))) return []
    if (!made.some((o) => names.has(o))) return [node]
    return [{ ...node, outputs: node.outputs.map((o) => (names.has(o) ? `${o}/uncut` : o)) }]
  })
  const inputs = [...graph.inputs.filter((i) => !names.has(i.name)), ...given]
  const part = dropUnused({ ...graph, nodes, inputs, outputs, valueInfo: [] })
  const read = new Set([...part.nodes.flatMap((n) => [...n.inputs, ...capturedBy(n)]), ...outputs.map((o) => o.name)])
  return withGraph(model, { ...part, inputs: part.inputs.filter((i) => read.has(i.name)) })
}
