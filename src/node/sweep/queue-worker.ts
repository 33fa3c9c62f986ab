/** A worker: jobs of any sweep on a Postgres that several machines reach. */
import { stopIfAborted } from '../../errors.ts'
import type { Context } from '../../method.ts'
import type { PlannedCell } from '../../sweep/plan.ts'
import type { SweepRow } from '../../sweep/row.ts'
import { startCrew } from './crew.ts'
import { openQueue } from './job-queue.ts'

export interface QueueWorkerOptions extends Pick<Context, 'signal'> {
  readonly url: string
  /** Jobs at a time, each in a process of its own. */
  readonly workers: number
  /** Threads that each of them runs models with; default 1. */
  readonly threads?: number
  readonly heartbeatSeconds?: number
  /** Ends after so long without a job; default: never. */
  readonly idleSeconds?: number
  readonly onBegin?: (cell: PlannedCell) => void
  readonly onRow?: (row: SweepRow) => void
  readonly onTrouble?: (sentence: string) => void
}

const pauseMs = 250

/** Throws one sentence where the queue cannot be opened, and where a file is not what its sweep was planned with. */
export async function workOnQueue(options: QueueWorkerOptions): Promise<void> {
  const { url, workers, threads = 1, heartbeatSeconds, idleSeconds = Number.POSITIVE_INFINITY } = options
  const { signal, onBegin, onRow, onTrouble } = options
  const queue = await openQueue({ url }, { heartbeatSeconds, onTrouble })
  const crew = await startCrew(queue, {
    ...{ workers, threads },
    ...(onBegin ? { onBegin } : {}),
    ...(onRow ? { onRow } : {}),
    onLost: (cell, why) => onTrouble?.(`${cell.recipe.name} on ${cell.model.name}: ${why}`),
  })
  try {
    while (crew.idleMs() < 1000 * idleSeconds) {
      stopIfAborted(signal, 'worker')
      await Promise.race([crew.failed, new Promise((resolve) => setTimeout(resolve, pauseMs))])
    }
  } finally {
    crew.close()
    await queue.close()
  }
}
