/** A second copy of a network in a graph that holds it once already, such as one without the masks that the first has. */
import { UnsupportedError } from '../errors.ts'
import { capturedBy, describe } from '../graph/walk.ts'
import { type Graph, type Model, type Node, type Tensor, withGraph } from '../model.ts'
import type { Emitter, Shape } from '../ops/grad/emit.ts'
import { specialize } from './specialize.ts'
import { trainingForm } from './training-form.ts'

export interface Copy {
  readonly graph: Graph
  /** What the copy calls a value of the model. */
  named(name: string): string
}

/**
 * Emits the network of a model that has been trained in part, without Dropout, and with BatchNormalization by the batch's own
 * statistics: what is stored suits the first copy alone. `g` is of a graph that was made of this model, so it has its inputs and
 * stored tensors under their names, which both then share; a tensor that it lacks is stored. `trained` is what `g` was specialised
 * for. Throws where a branch or a loop reads values from outside.
 */
export function emitCopy(g: Emitter, model: Model, trained: readonly string[]): Copy {
  const inputShapes = Object.fromEntries(
    model.graph.inputs.flatMap(({ name }): [string, Shape][] => (g.types.has(name) ? [[name, g.shape(name)]] : [])),
  )
  const special = specialize(withoutDropout(model), inputShapes, trained)
  const { graph, types } = trainingForm(special)
  const names = new Map<string, string>()
  const stored = ({ name, dtype, dims }: Tensor): string => {
    if (g.types.has(name)) return name
    const own = g.fresh(name)
    g.initializers.set(own, { ...(graph.initializers.get(name) as Tensor), name: own })
    g.types.set(own, { dtype, shape: dims })
    return own
  }
  const named = (name: string): string => {
    if (!name) return name
    const known = names.get(name)
    if (known !== undefined) return known
    const tensor = graph.initializers.get(name)
    const value = tensor ? stored(tensor) : name
    names.set(name, value)
    return value
  }
  const nodes = graph.nodes.map((n): Node => {
    if (capturedBy(n).size > 0)
      throw new UnsupportedError(
        `${describe(n)}: it reads values from outside its branches; a copy of it cannot be made`,
      )
    const inputs = n.inputs.map(named)
    const outputs = n.outputs.map((name) => {
      if (!name) return name
      const own = g.fresh(name)
      names.set(name, own)
      const type = types.get(name)
      if (type) g.types.set(own, type)
      return own
    })
    // Names of nodes are unique.
    const { name: _, ...unnamed } = n
    return { ...unnamed, inputs, outputs }
  })
  g.nodes.push(...nodes)
  const outputs = graph.outputs.map((o) => ({ ...o, name: named(o.name) }))
  return { graph: { ...graph, nodes, outputs }, named }
}

function withoutDropout(model: Model): Model {
  return withGraph(model, {
    nodes: model.graph.nodes.map((n) =>
      n.op === 'Dropout'
        ? { ...n, op: 'Identity', inputs: n.inputs.slice(0, 1), outputs: n.outputs.slice(0, 1), attributes: {} }
        : n,
    ),
  })
}
