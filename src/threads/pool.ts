/** A pool of threads for the tasks of tasks.ts, of whatever kind there are: Node's (node/pool.ts), or a page's workers. */

import type { Workers } from '../workers.ts'
import { isolated } from './isolated.ts'
import { type Answer, nameOfTask, type SentTask } from './tasks.ts'

/** A thread that does one task at a time, and answers each (`answerTo`). */
export interface Thread {
  /** Sends a task; the buffers move to the thread. */
  send(task: SentTask, buffers: ArrayBuffer[]): void
  end(): unknown
}

/** What a thread is to tell. */
export interface ThreadEvents {
  /** It can do its first task, once; or it has ended. */
  there(): void
  answer(answer: Answer): void
  /** It ended by itself, most of all for want of memory: its task is not done. */
  failed(message: string): void
}

export interface Pool extends Workers {
  /** Starts all threads, and waits until they are there: what is timed from then on is work. */
  start(): Promise<void>
  /** Ends the threads. What they have not done is not done any more. */
  close(): Promise<void>
}

interface Job {
  readonly name: string
  readonly input: unknown
  readonly resolve: (output: unknown) => void
  readonly reject: (error: Error) => void
}

interface Held {
  readonly thread: Thread
  busy: Job | undefined
  /** Until it can do its first task, or has failed. */
  readonly starting: Promise<void>
  /** Ends it, once it has had nothing to do for a while. */
  idle?: ReturnType<typeof setTimeout>
}

/** Milliseconds without a task after which a thread ends: its memory is worth more than the time in which another starts. */
const patience = 3000

/** Threads that begin with the first tasks, if not before, and end where there are none for `idleMs`. */
export function threadPool(open: (events: ThreadEvents) => Thread, size: number, idleMs = patience): Pool {
  const threads: Held[] = []
  const waiting: Job[] = []
  const next = (): void => {
    if (waiting.length === 0) return
    let held = threads.find((t) => !t.busy)
    if (!held) {
      if (threads.length >= size) return
      held = add()
    }
    const job = waiting.shift() as Job
    held.busy = job
    clearTimeout(held.idle)
    const { value, buffers } = isolated({ name: job.name, input: job.input })
    held.thread.send(value as SentTask, buffers)
  }
  const drop = (held: Held): boolean => {
    const at = threads.indexOf(held)
    if (at >= 0) threads.splice(at, 1)
    return at >= 0
  }
  const add = (): Held => {
    let there = (): void => undefined
    const starting = new Promise<void>((resolve) => {
      there = resolve
    })
    const settle = (tell: (job: Job) => void): void => {
      const job = held.busy
      held.busy = undefined
      if (job) tell(job)
      next()
      if (held.busy) return
      held.idle = setTimeout(() => {
        if (drop(held)) held.thread.end()
      }, idleMs)
      // Where timers can, it lets the process end.
      ;(held.idle as { unref?(): void }).unref?.()
    }
    const thread = open({
      there,
      answer: (answer) =>
        settle((job) => ('error' in answer ? job.reject(new Error(answer.error)) : job.resolve(answer.output))),
      failed(message) {
        drop(held)
        there()
        settle((job) => job.reject(new Error(`a worker thread failed: ${message}`)))
      },
    })
    const held: Held = { thread, busy: undefined, starting }
    threads.push(held)
    return held
  }
  return {
    size,
    async start() {
      while (threads.length < size) add()
      await Promise.all(threads.map(({ starting }) => starting))
    },
    run: <I, O>(task: (input: I) => O, input: I) =>
      new Promise<O>((resolve, reject) => {
        waiting.push({ name: nameOfTask(task), input, resolve: resolve as Job['resolve'], reject })
        next()
      }),
    async close() {
      waiting.length = 0
      for (const { idle } of threads) clearTimeout(idle)
      await Promise.all(threads.splice(0).map(({ thread }) => thread.end()))
    },
  }
}
