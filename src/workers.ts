/**
 * Work that may go to other threads. Core code describes it as tasks, functions of plain data alone; whoever has threads
 * (threads/pool.ts) runs them there. The results are the same, byte for byte, wherever a task runs.
 */

/** Runs tasks. Each must be one of threads/tasks.ts; its input and output are plain data that can be sent to a thread. */
export interface Workers {
  /** How many tasks run at once. */
  readonly size: number
  run<I, O>(task: (input: I) => O, input: I): Promise<O>
}

/** One task for many inputs. `take` gets the results in the order of the inputs. */
export interface Stage<I = never, O = never> {
  readonly task: (input: I) => O
  /** Inputs are made when their turn comes, so that they are not all in memory. */
  readonly inputs: Iterable<() => I>
  /** Told the place of an input whose task is done, in whatever order they end. */
  readonly done?: (place: number) => void
  readonly take: (output: O) => void | Promise<void>
}

/** A computation whose heavy parts are stages. */
export type Steps<R> = Generator<Stage<unknown, unknown>, R, void>

/** A stage with its types checked. */
export function* stage<I, O>(stage: Stage<I, O>): Steps<void> {
  yield stage as Stage<unknown, unknown>
}

/** Runs all steps in this thread. */
export function runHere<R>(steps: Steps<R>): R {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
    let place = 0
    for (const input of value.inputs) {
      const output = value.task(input())
      value.done?.(place++)
      value.take(output)
    }
  }
}

/** Runs all steps, their tasks on the workers where there are some. */
export async function runOn<R>(workers: Workers | undefined, steps: Steps<R>): Promise<R> {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
    const { task, inputs, take, done: told } = value
    for await (const output of inOrder(workers, task, inputs, told)) await take(output)
  }
}

/**
 * A task's results in the order of its inputs: at any time as many are begun as there are threads, and one more that waits.
 * `done` is told the place of each input whose task is done, in whatever order they end.
 */
export async function* inOrder<I, O>(
  workers: Workers | undefined,
  task: (input: I) => O,
  inputs: Iterable<() => I | Promise<I>>,
  done?: (place: number) => void,
): AsyncGenerator<O, void, undefined> {
  const begun: Promise<O>[] = []
  const start = async (input: () => I | Promise<I>, place: number): Promise<O> => {
    const value = await input()
    const output = workers ? await workers.run(task, value) : task(value)
    done?.(place)
    return output
  }
  let place = 0
  for (const input of inputs) {
    const promise = start(input, place++)
    // Whoever waits for it is told; until then it is no failure that nobody sees.
    promise.catch(() => undefined)
    begun.push(promise)
    if (begun.length > (workers?.size ?? 0)) yield await (begun.shift() as Promise<O>)
  }
  for (const promise of begun) yield await promise
}
