/** Threads for the page's worker: workers of its own, which end with it. */
import { type Answer, type Thread, type ThreadEvents, threadPool, type Workers } from 'coppice/formats'

/** Below this a thread takes longer to begin than the work. */
const leastBytes = 1 << 24
/** Each thread holds a hundred or two of megabytes, which a page has fewer of than a program: four took 1.3 GB to pack 250 MB. */
const mostThreads = 2

/**
 * Tasks run here, each in a turn of its own: the engine frees large arrays between turns, and next to none within one, where
 * they would pile up to twice the model.
 */
const inTurns: Workers = {
  size: 1,
  async run(task, input) {
    await new Promise((resolve) => setTimeout(resolve))
    return task(input)
  },
}

/** Does something with threads where there are so many bytes to work on that it pays. */
export async function withThreads<T>(bytes: number, use: (workers: Workers) => Promise<T>): Promise<T> {
  const size = Math.min(mostThreads, navigator.hardwareConcurrency ?? 1)
  // A browser may have no workers within workers.
  if (bytes < leastBytes || size < 2 || typeof Worker === 'undefined') return use(inTurns)
  const pool = threadPool(openThread, size)
  try {
    return await use(pool)
  } finally {
    await pool.close()
  }
}

function openThread({ there, answer, failed }: ThreadEvents): Thread {
  const worker = new Worker(new URL('./task-worker.ts', import.meta.url), { type: 'module', name: 'coppice-tasks' })
  worker.onmessage = ({ data }: MessageEvent<'there' | Answer>) => (data === 'there' ? there() : answer(data))
  worker.onerror = ({ message }) => failed(message || 'it could not be loaded, or there was not enough memory')
  return {
    send: (task, buffers) => worker.postMessage(task, buffers),
    end: () => worker.terminate(),
  }
}
