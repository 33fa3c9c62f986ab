/** What a command of the command line is: its arguments, its options as a table, and its work. */
import { compressTable } from '../compress/options.ts'
import type { OptionsOf, OptionTable } from '../options.ts'
import type { Io } from './io.ts'

export interface Invocation {
  readonly io: Io
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal
}

export interface CliCommand<T extends OptionTable = OptionTable> {
  /** As help shows them: `<recipe> <model>`. */
  readonly arguments: string
  /** Instead of the line that the list of commands has. */
  readonly help?: string
  readonly options: T
  run(args: readonly string[], options: OptionsOf<T>, invocation: Invocation): Promise<unknown>
}

/** Gives `run` the types of the table. */
export function defineCommand<const T extends OptionTable>(command: CliCommand<T>): CliCommand<T> {
  return command
}

/** The file that a command must be told to write. */
export function outputOption<const W extends '.onnx' | '.cop'>(help: string, writes: W) {
  return {
    output: { type: 'string', required: true, short: 'o', value: 'file', writes, help },
  } as const satisfies OptionTable
}

/** Of commands that run models. */
export const threadsOption = {
  threads: {
    type: 'number',
    optional: true,
    min: 1,
    max: 1024,
    integer: true,
    help: "threads that ONNX Runtime runs models with (default: ONNX Runtime's own choice)",
  },
} as const satisfies OptionTable

export const taskOption = { task: compressTable.task } as const satisfies OptionTable

export const latencyOption = {
  latency: { type: 'boolean', default: true, help: 'measure how long a call takes' },
} as const satisfies OptionTable

export const compareSizesOption = {
  compareSizes: {
    type: 'boolean',
    default: false,
    help: 'also measure what gzip 9 and brotli 11 make of the .onnx: about two seconds per megabyte',
  },
} as const satisfies OptionTable
