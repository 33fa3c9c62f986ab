/** A model as it is run to be judged: its outputs are those of the task, which include scores behind maps and decisions. */
import { dropUnused } from '../graph/drop-unused.ts'
import { subgraphsOf } from '../graph/walk.ts'
import { type Model, type Node, type ValueInfo, withGraph } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import type { Task } from './task.ts'

/** The same model with the judged values as its only outputs. */
export function judgedModel(model: Model, { outputs }: Task): Model {
  const wanted = outputs.filter((o) => o.kind !== 'ignored').map((o) => o.output)
  const declared = new Map(model.graph.outputs.map((o) => [o.name, o]))
  if (wanted.length === 0) {
    const names = outputs.map((o) => `"${o.output}" (${o.why})`).join(', ')
    throw new Error(`model: none of its outputs can be judged: ${names}; expected one to judge, or --task OUTPUT=KIND`)
  }
  const types = wanted.every((name) => declared.has(name)) ? undefined : inferShapes(model).values
  const inner = (name: string): ValueInfo => ({ name, dtype: types?.get(name)?.dtype ?? 'float32' })
  return withGraph(model, { outputs: wanted.map((name) => declared.get(name) ?? inner(name)) })
}

/** The task without values inside the original that another model does not have: it need not be made of the original. */
export function sharedTask({ outputs }: Task, original: Model, other: Model): Task {
  const made = ({ graph }: Model): string[] => [
    ...graph.nodes.flatMap((n) => n.outputs),
    ...[...graph.inputs, ...graph.outputs].map((info) => info.name),
  ]
  const shared = new Set(made(other))
  const own = new Set(original.graph.outputs.map((info) => info.name))
  return { outputs: outputs.filter((o) => own.has(o.output) || shared.has(o.output)) }
}

/** What of a model is judged: the nodes that judged outputs depend on; none where nothing is judged. */
export function judgedPart(model: Model, task: Task): Model {
  const judged = task.outputs.some((o) => o.kind !== 'ignored')
    ? judgedModel(model, task)
    : withGraph(model, { outputs: [] })
  return withGraph(judged, dropUnused(judged.graph))
}

/** Why a weight stays: were it ruined, nothing would tell. */
export const whyUnjudged = 'no output that is judged depends on it'

/** The nodes that no judged output depends on, with those of their nested graphs. */
export function unjudgedNodes(model: Model, task: Task): ReadonlySet<Node> {
  if (!task.outputs.some((o) => o.kind === 'ignored')) return new Set()
  const judged = new Set(dropUnused(judgedModel(model, task).graph).nodes)
  const within = (node: Node): Node[] => [node, ...subgraphsOf(node).flatMap((g) => g.nodes.flatMap(within))]
  return new Set(model.graph.nodes.filter((node) => !judged.has(node)).flatMap(within))
}
