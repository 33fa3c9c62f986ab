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
}

interface Job {
  readonly name: string
  readonly input: unknown
  readonly resolve: (output: unknown) => void
  readonly reject: (error: Error) => void
}

/** What a thread answers. */
export type Answer = { readonly output: unknown } | { readonly error: string }

export interface Pool extends Workers {
  /** Ends the threads. What they have not done is not done any more. */
  close(): Promise<void>
}

/** Threads that begin with the first tasks; one per core unless said. */
export function createPool(size = availableParallelism()): Pool {
  const threads: Thread[] = []
  const waiting: Job[] = []
  const next = (): void => {
    if (waiting.length === 0) return
    let thread = threads.find((t) => !t.busy)
    if (!thread) {
      if (threads.length >= size) return
      thread = start()
      threads.push(thread)
    }
    const job = waiting.shift() as Job
    thread.busy = job
    const { value, buffers } = isolated({ name: job.name, input: job.input })
    thread.worker.postMessage(value, buffers)
  }
  const start = (): Thread => {
    const thread: Thread = { worker: open(), busy: undefined }
    const settle = (tell: (job: Job) => void): void => {
      const job = thread.busy
      thread.busy = undefined
      if (job) tell(job)
      next()
    }
    thread.worker.on('message', (answer: Answer) =>
      settle((job) => ('error' in answer ? job.reject(new Error(answer.error)) : job.resolve(answer.output))),
    )
    // A thread that ends by itself: most of all for want of memory.
    thread.worker.on('error', (error) => {
      threads.splice(threads.indexOf(thread), 1)
      settle((job) => job.reject(new Error(`a worker thread failed: ${error.message}`, { cause: error })))
    })
    return thread
  }
  return {
    size,
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
  if (!url.endsWith('.ts')) return new Worker(new URL('./worker.js', url))
  // From source, as tests and `npx tsx` run it: threads do not inherit the loader.
  const [loader, file] = [import.meta.resolve('tsx/esm/api'), new URL('./worker.ts', url).href]
  const code = `import(${JSON.stringify(loader)}).then((t) => { t.register(); return import(${JSON.stringify(file)}) })`
  return new Worker(code, { eval: true, execArgv: [] })
}

/** Below this a thread takes longer to begin than the work. */
const leastBytes = 1 << 24

/** Uses a pool where there are so many bytes to work on that it pays, and ends it. */
export async function withPool<T>(
  { bytes, threads = availableParallelism() }: { readonly bytes: number; readonly threads?: number },
  use: (workers: Workers | undefined) => Promise<T>,
): Promise<T> {
  if (bytes < leastBytes || threads < 2) return use(undefined)
  const pool = createPool(threads)
  try {
    return await use(pool)
  } finally {
    await pool.close()
  }
}
