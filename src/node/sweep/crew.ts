/** Workers on a queue: so many jobs at a time, each in a process of its own; the same for an embedded queue and a server's. */
import type { PlannedCell } from '../../sweep/plan.ts'
import type { SweepRow } from '../../sweep/row.ts'
import { DifferentError } from '../../sweep/run-cell.ts'
import { openJobProcesses } from './job-processes.ts'
import type { JobQueue } from './job-queue.ts'

export interface CrewOptions {
  /** Jobs at a time. */
  readonly workers: number
  /** Threads that each runs models with. */
  readonly threads: number
  readonly onBegin?: (cell: PlannedCell) => void
  readonly onRow?: (row: SweepRow) => void
  /** A job whose worker was lost, which goes back to the queue. */
  readonly onLost?: (cell: PlannedCell, sentence: string) => void
}

export interface Crew {
  /** Rejects where the crew cannot go on: its files or its version are not those of the sweep, or none of its processes lives. */
  readonly failed: Promise<never>
  /** How long it has had nothing to do, in milliseconds; 0 while it works. */
  idleMs(): number
  /** The share of each job that runs, by its key. */
  readonly shares: ReadonlyMap<string, number>
  pids(): number[]
  /** Ends its processes. */
  close(): void
}

/** Processes in a row that may end before any job is done. */
const mostLost = 20

export async function startCrew(queue: JobQueue, options: CrewOptions): Promise<Crew> {
  const { workers, threads, onBegin, onRow, onLost } = options
  const processes = openJobProcesses({ threads })
  const shares = new Map<string, number>()
  let fail: (error: Error) => void = () => undefined
  const failed = new Promise<never>((_, reject) => {
    fail = reject
  })
  failed.catch(() => undefined)
  let idleFrom = performance.now()
  let [lost, isClosed] = [0, false]
  await queue.work(workers, async ({ id, cell, signal }) => {
    shares.set(cell.key, 0)
    onBegin?.(cell)
    try {
      const { row, packed } = await processes.run(cell, {
        checkpoint: queue.checkpoint(id),
        signal,
        progress: (done) => void shares.set(cell.key, done),
      })
      // The row last: where there is one, all of it is there.
      if (packed) await queue.save(id, 'model', packed)
      await queue.save(id, 'row', new TextEncoder().encode(JSON.stringify(row)))
      lost = 0
      onRow?.(row)
    } catch (error) {
      if (!isClosed) onLost?.(cell, (error as Error).message)
      if (error instanceof DifferentError) fail(error)
      if (++lost > mostLost) fail(error as Error)
      throw error
    } finally {
      shares.delete(cell.key)
      idleFrom = performance.now()
    }
  })
  return {
    failed,
    shares,
    idleMs: () => (shares.size > 0 ? 0 : performance.now() - idleFrom),
    pids: () => processes.pids(),
    close() {
      isClosed = true
      processes.close()
    },
  }
}
