/** Threads of Node for the tasks of threads/tasks.ts. */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { type Pool, type Thread, type ThreadEvents, threadPool } from '../threads/pool.ts'
import type { Answer } from '../threads/tasks.ts'
import type { Workers } from '../workers.ts'

export type { Pool } from '../threads/pool.ts'

/** What a thread says: that it is there, once, and what came of each task. */
export type Message = 'there' | Answer

/** Threads that begin with the first tasks, if not before, and end where there are none for `idleMs`; one per core unless said. */
export function createPool(size = availableParallelism(), idleMs?: number): Pool {
  return threadPool(openThread, size, idleMs)
}

function openThread({ there, answer, failed }: ThreadEvents): Thread {
  const worker = open()
  worker.on('message', (message: Message) => (message === 'there' ? there() : answer(message)))
  worker.once('exit', there)
  worker.on('error', ({ message }) => failed(message))
  return {
    send: (task, buffers) => worker.postMessage(task, buffers),
    end: () => worker.terminate(),
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
