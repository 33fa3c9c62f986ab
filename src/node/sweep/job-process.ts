/** A process that does one job after the other, as its parent (job-processes.ts) sends them, and ends with it. */
import { useThreads } from '../../runtime/session.ts'
import { DifferentError, runCell } from '../../sweep/run-cell.ts'
import { fileSources } from './file-sources.ts'
import type { Answer, Ask } from './job-processes.ts'

useThreads(Number(process.argv[2]))
const sources = fileSources()
/** Told that a checkpoint is kept. */
let kept: (() => void) | undefined

/** Where the parent was killed there is nobody to tell, and this process ends. */
const tell = (answer: Answer): void => void process.send?.(answer, undefined, undefined, () => undefined)

process.on('message', (ask: Ask) => {
  if ('kept' in ask) kept?.()
  else void run(ask)
})
process.on('disconnect', () => process.exit())

async function run({ cell, checkpoint }: Extract<Ask, { cell: unknown }>): Promise<void> {
  let last = checkpoint
  const store = {
    load: async () => last,
    save: (bytes: Uint8Array) =>
      new Promise<void>((resolve) => {
        last = bytes
        kept = resolve
        tell({ checkpoint: bytes })
      }),
  }
  try {
    const { row, packed } = await runCell(cell, sources, {
      checkpoint: store,
      progress: (done, what) => tell({ done, what }),
    })
    tell({ row, ...(packed ? { packed } : {}) })
  } catch (error) {
    tell({ error: (error as Error).message, isDifferent: error instanceof DifferentError })
  }
}
