/** A sweep on a queue: adds the jobs that are missing, takes rows from the queue into the folder's files, until all are there. */
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { stopIfAborted } from '../../errors.ts'
import type { Context } from '../../method.ts'
import { nameOfCell, type PlannedCell, planSweep, type SweepSources } from '../../sweep/plan.ts'
import { parseRow, type SweepRow } from '../../sweep/row.ts'
import { type RowStore, renamed } from '../../sweep/sweep.ts'
import type { Sweep } from '../../sweep/sweep-file.ts'
import { readFileBytes, writeFileAtomic } from '../files.ts'
import { type Crew, startCrew } from './crew.ts'
import { fileSources } from './file-sources.ts'
import { lockFolder } from './folder-lock.ts'
import { type JobQueue, openQueue, type State } from './job-queue.ts'
import { makeFolder, rowFolder } from './row-folder.ts'

export interface QueueSweepOptions extends Pick<Context, 'progress' | 'signal'> {
  /** Rows, models, and the embedded queue lie here. */
  readonly folder: string
  /** A Postgres that other machines' workers reach; default: embedded in this process. */
  readonly url?: string
  /** Processes of this machine that do jobs. */
  readonly workers: number
  /** Threads that each of them runs models with; default 1, so that rows do not depend on the machine's cores. */
  readonly threads?: number
  readonly heartbeatSeconds?: number
  /** Told of each row as it arrives, of workers that were lost, and of trouble with the queue. */
  readonly onRow?: (row: SweepRow) => void
  readonly onTrouble?: (sentence: string) => void
  /** Told the ids of the processes that do jobs. */
  readonly onProcesses?: (pids: readonly number[]) => void
}

/** How often the queue is asked what is done. */
const pauseMs = 500
const [patienceMs, retryMs] = [60_000, 5000]

/**
 * Gives all rows in the order of the sweep. Rows that are in the folder are not made again, but for those with an error.
 * Throws one sentence where a file cannot be read, the queue cannot be opened, or another process works in the folder.
 */
export async function sweepOnQueue(sweep: Sweep, options: QueueSweepOptions): Promise<SweepRow[]> {
  const { folder, progress, signal } = options
  const unlock = lockFolder(makeFolder(folder))
  try {
    const sources = fileSources()
    const cells = await planSweep(sweep, sources, { signal, ...(progress ? { progress } : {}) })
    const rows = rowFolder(folder)
    const kept = new Map<string, SweepRow>()
    for (const cell of cells) {
      const row = await rows.load(cell.key)
      if (row && row.error === undefined) kept.set(cell.key, row)
    }
    const missing = cells.filter(({ key }) => !kept.has(key))
    if (missing.length > 0)
      for (const row of await rowsFromQueue(missing, rows, sources, { ...options, before: kept.size }))
        kept.set(row.key, row)
    // Nothing is left in it.
    rmSync(join(folder, 'queue'), { recursive: true, force: true })
    return cells.map((cell) => renamed(kept.get(cell.key) as SweepRow, cell))
  } finally {
    unlock()
  }
}

async function rowsFromQueue(
  cells: readonly PlannedCell[],
  rows: RowStore,
  { environment }: SweepSources,
  options: QueueSweepOptions & { readonly before: number },
): Promise<SweepRow[]> {
  const { folder, url, workers, threads = 1, heartbeatSeconds, onTrouble } = options
  const place = url === undefined ? { folder: makeFolder(join(folder, 'queue')) } : { url }
  options.progress?.(0, 'opening the queue')
  const queue = await openQueue(place, { heartbeatSeconds, onTrouble })
  let crew: Crew | undefined
  try {
    const sweep = await sweepId(folder)
    const wanted = new Map(cells.map((cell) => [jobId(sweep, cell.key), cell]))
    await begin(queue, { sweep, wanted, isOwn: url === undefined })
    if (workers > 0)
      crew = await startCrew(queue, {
        workers,
        threads,
        onLost: (cell, why) => onTrouble?.(`${nameOfCell(cell)}: ${why}; it goes on with another`),
      })
    return await collect(queue, { sweep, wanted, rows, crew, environment }, options)
  } finally {
    crew?.close()
    await queue.close()
  }
}

/** Adds what is missing. What failed is tried anew; where the queue is this process's own, nobody works at what was begun. */
async function begin(
  queue: JobQueue,
  { sweep, wanted, isOwn }: { sweep: string; wanted: ReadonlyMap<string, PlannedCell>; isOwn: boolean },
): Promise<void> {
  for (const [id, state] of await queue.states(sweep)) {
    if (!wanted.has(id)) await queue.remove(id)
    else if (state === 'failed' || (isOwn && state !== 'done')) await queue.remove(id, ['checkpoint'])
  }
  await queue.add(
    sweep,
    [...wanted].map(([id, cell]) => ({ id, cell })),
  )
}

interface Collecting {
  readonly sweep: string
  readonly wanted: ReadonlyMap<string, PlannedCell>
  readonly rows: RowStore
  readonly crew: Crew | undefined
  readonly environment: readonly string[]
}

/** Takes rows as they are done, until all are there. */
async function collect(
  queue: JobQueue,
  { sweep, wanted, rows, crew, environment }: Collecting,
  { progress, signal, onRow, onTrouble, onProcesses, before }: QueueSweepOptions & { readonly before: number },
): Promise<SweepRow[]> {
  const taken = new Map<string, SweepRow>()
  const take = async (id: string, cell: PlannedCell, state: State): Promise<void> => {
    const row = state === 'done' ? await loadRow(queue, id, cell) : lostRow(cell, environment)
    const packed = await queue.load(id, 'model')
    await rows.save({ row, ...(packed ? { packed } : {}) })
    await queue.remove(id)
    taken.set(id, row)
    onRow?.(row)
  }
  const asked = patient(onTrouble)
  while (taken.size < wanted.size) {
    stopIfAborted(signal, 'sweep')
    const states = await asked(() => queue.states(sweep))
    for (const [id, cell] of wanted) {
      const state = states.get(id)
      if (!taken.has(id) && (state === 'done' || state === 'failed')) await take(id, cell, state)
    }
    const all = before + wanted.size
    const shares = [...(crew?.shares.values() ?? [])].reduce((sum, share) => sum + share, 0)
    const running = [...states.values()].filter((state) => state === 'running').length
    const over = before + taken.size
    progress?.((over + shares) / all, `${over} of ${all} rows, ${running} being made`)
    onProcesses?.(crew?.pids() ?? [])
    const pause = new Promise<void>((resolve) => setTimeout(resolve, pauseMs))
    if (taken.size < wanted.size) await Promise.race([pause, ...(crew ? [crew.failed] : [])])
  }
  return [...taken.values()]
}

/** A database may restart: what is asked of it is asked again, for as long as `patienceMs`. */
function patient(onTrouble: ((sentence: string) => void) | undefined) {
  return async <T>(ask: () => Promise<T>): Promise<T> => {
    const from = performance.now()
    for (;;) {
      try {
        return await ask()
      } catch (cause) {
        const why = (cause as Error).message
        if (performance.now() - from > patienceMs)
          throw new Error(`queue: it cannot be reached any more: ${why}; rows that are made are kept`, { cause })
        onTrouble?.(`queue: ${why}; it is tried again`)
        await new Promise((resolve) => setTimeout(resolve, retryMs))
      }
    }
  }
}

async function loadRow(queue: JobQueue, id: string, { key }: PlannedCell): Promise<SweepRow> {
  const bytes = await queue.load(id, 'row')
  if (!bytes) throw new Error(`queue: the job of row ${key} is done, and its row is not there; begin the sweep again`)
  return parseRow(new TextDecoder().decode(bytes), `row ${key}`, key)
}

/** The row of a job whose workers were lost too often. */
function lostRow({ key, identity, model, data, recipe, seed }: PlannedCell, environment: readonly string[]): SweepRow {
  return {
    ...({ coppice: 1, key, identity, model, data, name: recipe.name } as const),
    recipe: { coppice: 1, seed, steps: recipe.steps },
    timed: { seconds: 0, environment },
    error: 'its worker was lost each time that it was tried: killed, or out of memory',
  }
}

/** Tells the jobs of this folder from those of others on the same queue. */
async function sweepId(folder: string): Promise<string> {
  const path = join(folder, 'sweep-id')
  if (existsSync(path)) return new TextDecoder().decode(readFileBytes(path)).trim()
  const id = randomUUID()
  await writeFileAtomic(path, new TextEncoder().encode(`${id}\n`))
  return id
}

/** A UUID, which pg-boss takes: the same for the same row of the same folder, so that no job is added twice. */
function jobId(sweep: string, key: string): string {
  const hex = createHash('sha256').update(`${sweep} ${key}`).digest('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), `5${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    '-',
  )
}
