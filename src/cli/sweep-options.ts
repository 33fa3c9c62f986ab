/** The options that `sweep` and `worker` share. */
import type { OptionTable } from '../options.ts'

export const crewOptions = {
  threads: {
    type: 'number',
    default: 1,
    min: 1,
    max: 1024,
    integer: true,
    help: 'threads that each process runs models with',
  },
  heartbeat: {
    type: 'number',
    default: 30,
    min: 10,
    max: 60,
    integer: true,
    value: 'seconds',
    help: 'a worker that was not heard of for so long is taken for dead, and its job goes to another',
  },
} as const satisfies OptionTable
