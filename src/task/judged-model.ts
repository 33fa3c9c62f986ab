/** A model as it is run to be judged: its outputs are those of the task, which include scores behind maps and decisions. */
import { type Model, withGraph } from '../model.ts'
import type { Task } from './task.ts'

/** The same model with the judged values as its only outputs. */
export function judgedModel(model: Model, { outputs }: Task): Model {
  const wanted = outputs.filter((o) => o.kind !== 'ignored').map((o) => o.output)
  const declared = new Map(model.graph.outputs.map((o) => [o.name, o]))
  if (wanted.length === 0) {
    const names = outputs.map((o) => `"${o.output}" (${o.why})`).join(', ')
    throw new Error(`model: none of its outputs can be judged: ${names}; expected one to judge, or --task OUTPUT=KIND`)
  }
  return withGraph(model, { outputs: wanted.map((name) => declared.get(name) ?? { name, dtype: 'float32' }) })
}
