/** The tasks that other threads can do (workers.ts), by their names, and what a thread makes of one that it is sent. */
import { decodeGroup } from '../formats/group-decoder.ts'
import { chooseCodings, encodeGroup } from '../formats/group-encoder.ts'
import { quantizeWeights } from '../quantize/quantize-weights.ts'
import { isolated } from './isolated.ts'

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
  if (!name) throw new Error('workers: a task that threads/tasks.ts does not list')
  return name
}

/** A task and its input, as they are sent to a thread. */
export interface SentTask {
  readonly name: string
  readonly input: unknown
}

/** What came of a task. */
export type Answer = { readonly output: unknown } | { readonly error: string }

/** Does a task that was sent: the answer to send back, and the memory that moves along with it. */
export function answerTo({ name, input }: SentTask): { readonly answer: Answer; readonly buffers: ArrayBuffer[] } {
  let answer: Answer
  try {
    if (!Object.hasOwn(tasks, name)) throw new Error(`workers: no task is named "${name}"`)
    answer = { output: tasks[name](input as never) }
  } catch (error) {
    answer = { error: error instanceof Error ? error.message : String(error) }
  }
  const { value, buffers } = isolated(answer, false)
  return { answer: value as Answer, buffers }
}
