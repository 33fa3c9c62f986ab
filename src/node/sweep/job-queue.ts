/**
 * The queue of a sweep: pg-boss, on a Postgres that several machines reach or on one embedded in this process (PGlite). A job
 * is a combination; its checkpoint, and what came out, lie beside the queue (_bytes.ts), so that any worker can go on where
 * another was killed.
 */
import { join } from 'node:path'
import type { PlannedCell } from '../../sweep/plan.ts'
import type { CheckpointStore } from '../../train/checkpoint.ts'
import { type Boss, bossSchema, type Job, openBoss, type QueuePlace } from './_boss.ts'
import { bytesInFolder, bytesInTables, type Kind } from './_bytes.ts'

export type { QueuePlace } from './_boss.ts'
export type { Kind } from './_bytes.ts'

/** A job as a worker is given it. */
export interface Task {
  readonly id: string
  readonly cell: PlannedCell
  /** Aborted where the job is another worker's by now. */
  readonly signal: AbortSignal
}

export type State = 'waiting' | 'running' | 'done' | 'failed'

export interface JobQueue {
  /** Adds those that are not there. */
  add(sweep: string, jobs: readonly { readonly id: string; readonly cell: PlannedCell }[]): Promise<void>
  /** Gives `count` jobs at a time to `run`; one that throws is given to somebody again. */
  work(count: number, run: (task: Task) => Promise<void>): Promise<void>
  /** Of all jobs of a sweep. */
  states(sweep: string): Promise<ReadonlyMap<string, State>>
  load(id: string, kind: Kind): Promise<Uint8Array | undefined>
  save(id: string, kind: Kind, bytes: Uint8Array): Promise<void>
  checkpoint(id: string): CheckpointStore
  /** Removes a job and all that lies beside it but for what `keep` names. */
  remove(id: string, keep?: readonly Kind[]): Promise<void>
  /** Jobs that are being worked at go back to the queue. */
  close(): Promise<void>
}

export interface QueueOptions {
  /** A worker that was not heard of for so long is taken for dead, and its job is given to another; 10 to 60. */
  readonly heartbeatSeconds?: number
  /** Told what goes wrong meanwhile, such as a connection that was lost: it is tried again. */
  readonly onTrouble?: (sentence: string) => void
}

/** The name of the queue in pg-boss: sweeps share it, and so workers serve all of them. */
const queue = 'coppice-sweep'
/** Times that a job is given again to a worker after one was lost. */
const retries = 10
const day = 24 * 3600

/** Throws one sentence where a package is missing, a database cannot be reached, or a folder's is damaged. */
export async function openQueue(place: QueuePlace, options: QueueOptions = {}): Promise<JobQueue> {
  const { heartbeatSeconds = 30, onTrouble } = options
  const isEmbedded = 'folder' in place
  const database = isEmbedded ? { folder: join(place.folder, 'database') } : place
  const { boss, close } = await openBoss(database, {
    // A killed worker is noticed after its heartbeat and one such pause.
    superviseIntervalSeconds: Math.ceil(heartbeatSeconds / 3),
    monitorIntervalSeconds: Math.ceil(heartbeatSeconds / 3),
    onTrouble,
  })
  try {
    await boss.createQueue(queue, { retryLimit: retries, heartbeatSeconds })
    const bytes = isEmbedded ? bytesInFolder(join(place.folder, 'bytes')) : await bytesInTables(boss.getDb())
    return {
      ...jobsOf(boss, heartbeatSeconds),
      load: bytes.load,
      save: bytes.save,
      checkpoint: (id) => ({
        load: () => bytes.load(id, 'checkpoint'),
        save: (saved) => bytes.save(id, 'checkpoint', saved),
      }),
      async remove(id, keep = []) {
        await boss.deleteJob(queue, id)
        await bytes.remove(id, keep)
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

function jobsOf(boss: Boss, heartbeatSeconds: number) {
  return {
    async add(sweep: string, jobs: readonly { readonly id: string; readonly cell: PlannedCell }[]): Promise<void> {
      const made = jobs.map(({ id, cell }, i) => ({
        id,
        data: { sweep, cell },
        // In their order, and one that comes back before those that nobody began. Sweeps take turns.
        priority: -i,
        retryLimit: retries,
        heartbeatSeconds,
        // The most that there is: a job that takes longer goes on from its checkpoint.
        expireInSeconds: day,
        retentionSeconds: 90 * day,
        deleteAfterSeconds: 90 * day,
      }))
      for (let at = 0; at < made.length; at += 100) await boss.insert(queue, made.slice(at, at + 100))
    },
    async states(sweep: string): Promise<ReadonlyMap<string, State>> {
      const { rows } = await boss
        .getDb()
        .executeSql(`SELECT id::text, state::text FROM ${bossSchema}.job WHERE name = $1 AND data->>'sweep' = $2`, [
          queue,
          sweep,
        ])
      return new Map(rows.map(({ id, state }) => [String(id), states[String(state)] ?? 'waiting']))
    },
    async work(count: number, run: (task: Task) => Promise<void>): Promise<void> {
      const options = {
        localConcurrency: count,
        pollingIntervalSeconds: 0.5,
        heartbeatRefreshSeconds: heartbeatSeconds / 3,
      }
      await boss.work(queue, options, async ([{ id, data, signal }]: readonly Job[]) => {
        await run({ id, cell: data.cell, signal })
      })
    },
  }
}

/** pg-boss's states; `retry` waits again after a worker was lost. */
const states: Readonly<Record<string, State>> = {
  created: 'waiting',
  retry: 'waiting',
  active: 'running',
  completed: 'done',
  failed: 'failed',
  cancelled: 'failed',
}
