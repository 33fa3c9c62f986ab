/** A whole sweep in this thread, one combination after the other. `coppice/node` has queues and many processes. */
import type { Context } from '../method.ts'
import type { CheckpointStore } from '../train/checkpoint.ts'
import { nameOfCell, type PlannedCell, planSweep, type SweepSources } from './plan.ts'
import type { SweepRow } from './row.ts'
import { type RowMade, runCell } from './run-cell.ts'
import type { Sweep } from './sweep-file.ts'

/** Where rows are kept. */
export interface RowStore {
  /** The row of a key, undefined where there is none. */
  load(key: string): SweepRow | undefined | Promise<SweepRow | undefined>
  /** Keeps it whole or not at all, with the model that came out. */
  save(made: RowMade): void | Promise<void>
  /** Where training of a row's recipe is kept until the row is saved. */
  checkpoint?(key: string): CheckpointStore
}

export interface SweepOptions extends Pick<Context, 'progress' | 'signal'> {
  /** Rows that are there are not made again, but for those with an error. */
  readonly rows?: RowStore
  readonly onRow?: (row: SweepRow) => void
}

/**
 * Makes the rows that are missing, and gives all of them in the order of the sweep. Throws where a model or data set cannot
 * be read; what goes wrong with one combination alone is the `error` of its row.
 */
export async function sweep(spec: Sweep, sources: SweepSources, options: SweepOptions = {}): Promise<SweepRow[]> {
  const { rows, progress, signal, onRow } = options
  const cells = await planSweep(spec, sources, { signal, ...(progress ? { progress } : {}) })
  const all: SweepRow[] = []
  for (const [i, cell] of cells.entries()) {
    const share = (done: number): number => (i + done) / cells.length
    const kept = await rows?.load(cell.key)
    if (kept && kept.error === undefined) {
      all.push(renamed(kept, cell))
      continue
    }
    const made = await runCell(cell, sources, {
      signal,
      progress: (done, what) => progress?.(share(done), `${nameOfCell(cell)}: ${what}`),
      ...(rows?.checkpoint ? { checkpoint: rows.checkpoint(cell.key) } : {}),
    })
    await rows?.save(made)
    all.push(made.row)
    onRow?.(made.row)
  }
  return all
}

/** A row with today's names: a key says nothing of them. */
export function renamed(row: SweepRow, { model, data, recipe }: PlannedCell): SweepRow {
  return { ...row, model, data, name: recipe.name }
}
