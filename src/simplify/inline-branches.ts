/** An If whose condition is known becomes the branch that it takes: what works on layers then sees those inside. */

import { node as makeNode } from '../graph/build.ts'
import { editGraph } from '../graph/edit.ts'
import { type Graph, isOnnxDomain, type Model, type Node } from '../model.ts'
import { rename } from './fold.ts'

/**
 * The model with such nodes of its main graph replaced, branches within branches too. `conditionOf` gives the value of a
 * condition by its name; undefined where it is not known. Values and stored tensors of a branch get fresh names.
 */
export function inlineBranches(model: Model, conditionOf: (name: string) => boolean | undefined): Model {
  const taken = (node: Node): Graph | undefined => {
    if (node.op !== 'If' || !isOnnxDomain(node.domain)) return undefined
    const condition = conditionOf(node.inputs[0])
    const branch = condition === undefined ? undefined : node.attributes[condition ? 'then_branch' : 'else_branch']
    return branch?.type === 'graph' ? branch.value : undefined
  }
  const edit = editGraph(model)
  const place = (node: Node): Node[] => {
    const branch = taken(node)
    if (!branch) return [node]
    const names = new Map<string, string>()
    for (const [name, tensor] of branch.initializers)
      names.set(name, edit.store({ ...tensor, name: edit.fresh(name) }, name))
    for (const inner of branch.nodes) for (const name of inner.outputs) if (name) names.set(name, edit.fresh(name))
    const nodes = branch.nodes.map((inner) => {
      const read = rename(inner, names)
      return { ...read, outputs: read.outputs.map((name) => names.get(name) ?? name) }
    })
    const results = branch.outputs.flatMap(({ name }, i) =>
      node.outputs[i] ? [makeNode('Identity', [names.get(name) ?? name], [node.outputs[i]])] : [],
    )
    return [...nodes.flatMap(place), ...results]
  }
  for (const node of model.graph.nodes) if (taken(node)) edit.replace(node, place(node))
  return edit.finish()
}
