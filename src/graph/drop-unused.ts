/** Leaving out what nothing reads: nodes, initialisers (with the inputs that older files list them as), value infos. */
import type { Graph } from '../model.ts'
import { capturedBy, storedNames } from './walk.ts'

/** The graph without nodes, initialisers and value infos that no output of the graph needs. Inputs proper are kept. */
export function dropUnused(graph: Graph): Graph {
  const needed = new Set(graph.outputs.map((o) => o.name))
  const nodes = [...graph.nodes]
    .reverse()
    .filter((node) => {
      if (!node.outputs.some((o) => needed.has(o))) return false
      for (const name of [...node.inputs, ...capturedBy(node)]) if (name) needed.add(name)
      return true
    })
    .reverse()
  const made = new Set(nodes.flatMap((n) => n.outputs))
  const unused = new Set([...storedNames(graph)].filter((name) => !needed.has(name)))
  return {
    ...graph,
    nodes,
    initializers: new Map([...graph.initializers].filter(([name]) => !unused.has(name))),
    ...(graph.sparseInitializers
      ? { sparseInitializers: graph.sparseInitializers.filter((s) => needed.has(s.values.name)) }
      : {}),
    inputs: graph.inputs.filter((i) => !unused.has(i.name)),
    ...(graph.valueInfo ? { valueInfo: graph.valueInfo.filter((v) => made.has(v.name)) } : {}),
  }
}
