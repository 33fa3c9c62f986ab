/** The tasks that other threads can do (workers.ts), by their names. A page's worker runs `runTask` on what it is sent. */
import { decodeGroup } from './formats/group-decoder.ts'
import { chooseCodings, encodeGroup } from './formats/group-encoder.ts'
import { quantizeWeights } from './quantize/quantize-weights.ts'

/** Each takes an input of its own type; whoever sends one says both. */
type Task = (input: never) => unknown

const tasks: Readonly<Record<string, Task>> = {
  chooseCodings,
  encodeGroup,
  decodeGroup,
  quantizeWeights,
}
const names = new Map<unknown, string>(Object.entries(tasks).map(([name, task]) => [task, name]))

/** The name under which `runTask` knows a task. */
export function nameOfTask(task: unknown): string {
  const name = names.get(task)
  if (!name) throw new Error('workers: a task that tasks.ts does not list')
  return name
}

/** A task and its input, as they are sent to a thread. */
export interface SentTask {
  readonly name: string
  readonly input: unknown
}

export function runTask({ name, input }: SentTask): unknown {
  if (!Object.hasOwn(tasks, name)) throw new Error(`workers: no task is named "${name}"`)
  return tasks[name](input as never)
}
