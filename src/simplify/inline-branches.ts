/** An If whose condition is known becomes the branch that it takes: what works on layers then sees those inside. */

import { node as makeNode, nameSource } from '../graph/build.ts'
import { type Graph, isOnnxDomain, type Node, type Tensor } from '../model.ts'
import { rename } from './fold.ts'

/**
 * The graph with such nodes replaced, branches within branches too. `conditionOf` tells the value of a condition by its
 * name; undefined where it is not known. Values and stored tensors of a branch get fresh names.
 */
export function inlineBranches(graph: Graph, conditionOf: (name: string) => boolean | undefined): Graph {
  const taken = (node: Node): Graph | undefined => {
    if (node.op !== 'If' || !isOnnxDomain(node.domain)) return undefined
    const condition = conditionOf(node.inputs[0])
    const branch = condition === undefined ? undefined : node.attributes[condition ? 'then_branch' : 'else_branch']
    return branch?.type === 'graph' ? branch.value : undefined
  }
  if (!graph.nodes.some(taken)) return graph
  const fresh = nameSource(graph)
  const initializers = new Map<string, Tensor>(graph.initializers)
  const place = (node: Node): Node[] => {
    const branch = taken(node)
    if (!branch) return [node]
    const names = new Map<string, string>()
    for (const [name, tensor] of branch.initializers) {
      names.set(name, fresh(name))
      initializers.set(names.get(name) as string, { ...tensor, name: names.get(name) as string })
    }
    for (const inner of branch.nodes) for (const name of inner.outputs) if (name) names.set(name, fresh(name))
    const nodes = branch.nodes.map((inner) => {
      const read = rename(inner, names)
      return { ...read, outputs: read.outputs.map((name) => names.get(name) ?? name) }
    })
    const results = branch.outputs.flatMap(({ name }, i) =>
      node.outputs[i] ? [makeNode('Identity', [names.get(name) ?? name], [node.outputs[i]])] : [],
    )
    return [...nodes.flatMap(place), ...results]
  }
  return { ...graph, nodes: graph.nodes.flatMap(place), initializers }
}
