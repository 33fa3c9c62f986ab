/**
 * Processes that do jobs, apart from the one that speaks with the queue: heartbeats go on while a job computes for minutes, and
 * one that is killed, or runs out of memory, takes nothing else with it.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { PlannedCell } from '../../sweep/plan.ts'
import type { SweepRow } from '../../sweep/row.ts'
import { DifferentError, type RowMade } from '../../sweep/run-cell.ts'
import type { CheckpointStore } from '../../train/checkpoint.ts'

/** What a process is sent: a job, or that its checkpoint is kept. */
export type Ask = { readonly cell: PlannedCell; readonly checkpoint?: Uint8Array } | { readonly kept: true }

export type Answer =
  | { readonly done: number; readonly what: string }
  | { readonly checkpoint: Uint8Array }
  | { readonly row: SweepRow; readonly packed?: Uint8Array }
  | { readonly error: string; readonly isDifferent: boolean }

export interface JobProcesses {
  /** Throws where its process ends before it is done, and where files differ from those of the plan. */
  run(cell: PlannedCell, options: JobOptions): Promise<RowMade>
  /** The ids of the processes that are there. */
  pids(): number[]
  /** Kills them. */
  close(): void
}

export interface JobOptions {
  readonly checkpoint: CheckpointStore
  readonly signal: AbortSignal
  readonly progress?: (done: number, what: string) => void
}

/** `threads`: with how many each runs models. */
export function openJobProcesses({ threads }: { readonly threads: number }): JobProcesses {
  const all = new Set<ChildProcess>()
  const idle: ChildProcess[] = []
  const start = (): ChildProcess => {
    const child = forkProcess(threads)
    all.add(child)
    child.once('exit', () => {
      all.delete(child)
      if (idle.includes(child)) idle.splice(idle.indexOf(child), 1)
    })
    // What goes wrong with the channel of one that was killed is told by its exit.
    child.on('error', () => undefined)
    return child
  }
  return {
    async run(cell, { checkpoint, signal, progress }) {
      const stored = await checkpoint.load()
      const child = idle.pop() ?? start()
      const made = await new Promise<RowMade>((resolve, reject) => {
        const stop = (): void => void child.kill('SIGKILL')
        const onExit = (code: number | null, by: string | null): void => settle(reject)(endedEarly(code, by))
        const onMessage = (answer: Answer): void => {
          if ('what' in answer) progress?.(answer.done, answer.what)
          else if ('checkpoint' in answer) {
            checkpoint.save(answer.checkpoint).then(() => send(child, { kept: true }), settle(reject))
          } else if ('row' in answer) settle(resolve)(answer)
          else settle(reject)(answer.isDifferent ? new DifferentError(answer.error) : new Error(answer.error))
        }
        const settle =
          <T>(end: (value: T) => void) =>
          (value: T): void => {
            signal.removeEventListener('abort', stop)
            child.off('exit', onExit).off('message', onMessage)
            end(value)
          }
        child.on('exit', onExit).on('message', onMessage)
        if (signal.aborted) stop()
        signal.addEventListener('abort', stop)
        send(child, { cell, ...(stored ? { checkpoint: stored } : {}) })
      }).catch((error) => {
        child.kill('SIGKILL')
        throw error
      })
      if (child.connected) idle.push(child)
      return made
    },
    pids: () => [...all].flatMap(({ pid }) => pid ?? []),
    close() {
      for (const child of all) child.kill('SIGKILL')
    },
  }
}

function endedEarly(code: number | null, by: string | null): Error {
  return new Error(`a worker's process ended before its job was done (${by ?? `exit code ${code}`})`)
}

function send(child: ChildProcess, ask: Ask): void {
  if (child.connected) child.send(ask)
}

function forkProcess(threads: number): ChildProcess {
  const isSource = import.meta.url.endsWith('.ts')
  const file = fileURLToPath(new URL(isSource ? './job-process.ts' : './job-process.js', import.meta.url))
  return fork(file, [String(threads)], {
    serialization: 'advanced',
    // Results alone go to stdout, and they are the parent's to print.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    execArgv: isSource ? ['--import', import.meta.resolve('tsx')] : [],
  })
}
