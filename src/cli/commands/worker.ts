/** `coppice worker`: makes rows of the sweeps of other machines. */
import { workOnQueue } from '../../node/sweep/queue-worker.ts'
import type { OptionTable } from '../../options.ts'
import { count } from '../../report/format.ts'
import { nameOfCell } from '../../sweep/plan.ts'
import { defineCommand } from '../command.ts'
import { crewOptions } from '../sweep-options.ts'

const options = {
  queue: { type: 'string', required: true, value: 'url', help: 'the postgres://… of `coppice sweep --queue`' },
  workers: { type: 'number', default: 1, min: 1, max: 1024, integer: true, help: 'processes here that make rows' },
  ...crewOptions,
  idle: {
    type: 'number',
    optional: true,
    min: 1,
    max: 1e6,
    value: 'seconds',
    help: 'ends after so long without a job (default: it waits for the next sweep until Ctrl-C)',
  },
} as const satisfies OptionTable

export const workerCommand = defineCommand({
  arguments: '',
  options,
  async run(_, { queue, workers, threads, heartbeat, idle }, { io, signal }) {
    let rows = 0
    io.say(`waiting for jobs; files are those of ${process.cwd()}`)
    await workOnQueue({
      ...{ url: queue, workers, threads, heartbeatSeconds: heartbeat, signal },
      ...(idle === undefined ? {} : { idleSeconds: idle }),
      onBegin: (cell) => io.say(`making ${nameOfCell(cell)}`),
      onRow: (row) => {
        rows++
        io.say(
          `made ${row.name} on ${row.model.name}, ${row.data.name}, seed ${row.recipe.seed}${row.error ? `: ${row.error}` : ''}`,
        )
      },
      onTrouble: (sentence) => io.milestone(sentence, { event: 'trouble', ...{ message: sentence } }),
    })
    io.finish()
    io.result(`${count(rows)} rows made`, { rows })
  },
})
