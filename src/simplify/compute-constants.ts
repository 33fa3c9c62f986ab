/**
 * Stored tensors in another form: other tensors, and nodes that compute the old value from them under its own name, so
 * that nothing that reads it changes. Works wherever it is stored: nested graphs, Constant nodes, local functions.
 */

import { node as makeNode, nameSource } from '../graph/build.ts'
import { withFreeInitializers, withOrigins } from '../graph/edit.ts'
import type { Graph, Model, Node, Tensor } from '../model.ts'
import { type DataType, dataTypes, floats, tensorOfFloats } from '../tensor/dtype.ts'
import { mapGraphs } from './fold.ts'

export interface Computed {
  /** What is stored instead; the first holds the elements. */
  readonly tensors: readonly Tensor[]
  /** In order; the last one makes the value. */
  readonly nodes: readonly Node[]
}

/** Makes the form of a value of that name; `fresh` gives names that the model does not have. */
export type Form = (name: string, fresh: (base: string) => string) => Computed

/** A tensor's elements in another type, behind a Cast back to its own. */
export function castForm(tensor: Tensor, type: DataType): Form {
  return (name, fresh) => {
    const stored = tensorOfFloats(fresh(`${name}_${type}`), type, tensor.dims, floats(tensor))
    return { tensors: [stored], nodes: [makeNode('Cast', [stored.name], [name], { to: dataTypes[tensor.dtype].code })] }
  }
}

/** The model with each of the tensors, found by identity, in its form. */
export function computeConstants(model: Model, forms: ReadonlyMap<Tensor, Form>): Model {
  if (forms.size === 0) return model
  const functionNodes = (model.functions ?? []).flatMap((fn) => fn.nodes)
  const fresh = nameSource({ ...model.graph, nodes: [...model.graph.nodes, ...functionNodes] })

  const origins = new Map<string, string>()
  const formed = (name: string, form: Form): Computed => {
    const made = form(name, fresh)
    origins.set(made.tensors[0].name, name)
    return made
  }

  /** `store` keeps the tensors of a Constant node's form, and gives the nodes that stand for them. */
  const rewriteNodes = (nodes: readonly Node[], store: (tensors: readonly Tensor[]) => Node[]): Node[] =>
    nodes.flatMap((original) => {
      const value = original.op === 'Constant' ? original.attributes.value : undefined
      const form = value?.type === 'tensor' ? forms.get(value.value) : undefined
      if (!form) return [mapGraphs(original, rewriteGraph)]
      const { tensors, nodes: made } = formed(original.outputs[0], form)
      return [...store(tensors), ...made]
    })
  const rewriteGraph = (graph: Graph): Graph => {
    const initializers = new Map<string, Tensor>()
    const store = (tensors: readonly Tensor[]): Node[] => {
      for (const t of tensors) initializers.set(t.name, t)
      return []
    }
    const first: Node[] = []
    for (const [name, tensor] of graph.initializers) {
      const form = forms.get(tensor)
      const made = form && formed(name, form)
      if (made) first.push(...made.nodes)
      if (made) store(made.tensors)
      else initializers.set(name, tensor)
    }
    // What is computed is no input that a caller could override.
    const inputs = graph.inputs.filter((i) => initializers.has(i.name) || !graph.initializers.has(i.name))
    return { ...graph, nodes: [...first, ...rewriteNodes(graph.nodes, store)], initializers, inputs }
  }
  // A function has no initialisers.
  const asConstants = (tensors: readonly Tensor[]): Node[] =>
    tensors.map((t) => makeNode('Constant', [], [t.name], { value: t }))
  const graph = rewriteGraph(model.graph)
  const functions = model.functions?.map((fn) => ({ ...fn, nodes: rewriteNodes(fn.nodes, asConstants) }))
  return withOrigins(withFreeInitializers({ ...model, graph, ...(functions ? { functions } : {}) }), origins)
}
