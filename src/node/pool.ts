/** Threads of Node for the tasks of tasks.ts. */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { nameOfTask } from '../tasks.ts'
import type { Workers } from '../workers.ts'
import { isolated } from './_isolated.ts'

/** A thread that does one task at a time. */
interface Thread {
  readonly worker: Worker
  busy: Job | undefined
  /** Until it can do its first task, or has failed. */
  readonly starting: Promise<void>
  /** Ends it, once it has had nothing to do for a while. */
  idle?: NodeJS.Timeout
}

interface Job {
  readonly name: string
  readonly input: unknown
  readonly resolve: (output: unknown) => void
  readonly reject: (error: Error) => void
}

/** What a thread says: that it is there, once, and what came of each task. */
export type Answer = 'there' | { readonly output: unknown } | { readonly error: string }

export interface Pool extends Workers {
  /** Starts all threads, and waits until they are there: what is timed from then on is work. */
  start(): Promise<void>
  /** Ends the threads. What they have not done is not done any more. */
  close(): Promise<void>
}

/** Milliseconds without a task after which a thread ends: its memory is worth more than the time in which another starts. */
const patience = 3000

/** Threads that begin with the first tasks, if not before, and end where there are none for `idleMs`; one per core unless said. */
export function createPool(size = availableParallelism(), idleMs = patience): Pool {
  const threads: Thread[] = []
  const waiting: Job[] = []
  const next = (): void => {
    if (waiting.length === 0) return
    let thread = threads.find((t) => !t.busy)
    if (!thread) {
      if (threads.length >= size) return
      thread = add()
    }
    const job = waiting.shift() as Job
    thread.busy = job
    clearTimeout(thread.idle)
    const { value, buffers } = isolated({ name: job.name, input: job.input })
    thread.worker.postMessage(value, buffers)
  }
  const retire = (thread: Thread): void => {
    const at = threads.indexOf(thread)
    if (at < 0) return
    threads.splice(at, 1)
    void thread.worker.terminate()
  }
  const add = (): Thread => {
    const worker = open()
    const starting = new Promise<void>((resolve) => {
      worker.once('message', () => resolve())
      worker.once('exit', () => resolve())
    })
    const thread: Thread = { worker, busy: undefined, starting }
    threads.push(thread)
    const settle = (tell: (job: Job) => void): void => {
      const job = thread.busy
      thread.busy = undefined
      if (job) tell(job)
      next()
      if (!thread.busy) thread.idle = setTimeout(() => retire(thread), idleMs).unref()
    }
    worker.on('message', (answer: Answer) => {
      if (answer === 'there') return
      settle((job) => ('error' in answer ? job.reject(new Error(answer.error)) : job.resolve(answer.output)))
    })
    // A thread that ends by itself: most of all for want of memory.
    worker.on('error', (error) => {
      const at = threads.indexOf(thread)
      if (at >= 0) threads.splice(at, 1)
      settle((job) => job.reject(new Error(`a worker thread failed: ${error.message}`, { cause: error })))
    })
    return thread
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
      await Promise.all(threads.splice(0).map(({ worker }) => worker.terminate()))
    },
  }
}

function open(): Worker {
  const { url } = import.meta
  if (!url.endsWith('.ts')) return new Worker(new URL('./worker.js', url), { resourceLimits })
  // From source, as tests and `npx tsx` run it: threads do not inherit the loader.
  const [loader, file] = [import.meta.resolve('tsx/esm/api'), new URL('./worker.ts', url).href]
  const code = `import(${JSON.stringify(loader)}).then((t) => { t.register(); return import(${JSON.stringify(file)}) })`
  return new Worker(code, { eval: true, execArgv: [], resourceLimits })
}

/** A thread's data is in arrays outside of this; what it makes besides is short-lived and small. */
const resourceLimits = { maxYoungGenerationSizeMb: 8 }

/** Below this a thread takes longer to begin than the work. */
const leastBytes = 1 << 24
/** The work of one task, about: no more threads are started than there may be tasks. */
const taskBytes = 1 << 22

/** Uses a pool where there are so many bytes to work on that it pays, and ends it. */
export async function withPool<T>(
  { bytes, threads = availableParallelism() }: { readonly bytes: number; readonly threads?: number },
  use: (workers: Workers | undefined) => Promise<T>,
): Promise<T> {
  if (bytes < leastBytes || threads < 2) return use(undefined)
  const pool = createPool(Math.min(threads, Math.ceil(bytes / taskBytes)))
  try {
    await pool.start()
    return await use(pool)
  } finally {
    await pool.close()
  }
}
