/** `coppice sweep`: every combination of recipes, models, data and seeds, to rows in files and one report. */
import { basename, join } from 'node:path'
import { environment } from '../../node/environment.ts'
import { readFileBytes, writeFileAtomic } from '../../node/files.ts'
import { fileSources } from '../../node/sweep/file-sources.ts'
import { lockFolder } from '../../node/sweep/folder-lock.ts'
import { sweepOnQueue } from '../../node/sweep/queue-sweep.ts'
import { makeFolder, rowFolder } from '../../node/sweep/row-folder.ts'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { alignColumns, count, milliseconds, percent } from '../../report/format.ts'
import { renderSweep } from '../../report/sweep-html.ts'
import { useThreads } from '../../runtime/session.ts'
import { type Combination, comparables } from '../../sweep/groups.ts'
import { paretoFront } from '../../sweep/pareto.ts'
import { cellsOf } from '../../sweep/plan.ts'
import type { SweepRow } from '../../sweep/row.ts'
import { sweep } from '../../sweep/sweep.ts'
import { parseSweep, type Sweep } from '../../sweep/sweep-file.ts'
import { defineCommand, type Invocation } from '../command.ts'
import { crewOptions } from '../sweep-options.ts'

const options = {
  output: {
    type: 'string',
    required: true,
    short: 'o',
    value: 'folder',
    help: 'where rows, models and report.html lie; a sweep that is there goes on',
  },
  workers: {
    type: 'number',
    default: 1,
    min: 0,
    max: 1024,
    integer: true,
    help: 'processes here that make rows; 0: none, or without --queue this very process, which needs no queue',
  },
  queue: {
    type: 'string',
    optional: true,
    value: 'url',
    help: 'postgres://… that `coppice worker` of other machines reaches too (default: one embedded in this process)',
  },
  ...crewOptions,
} as const satisfies OptionTable

type Flags = OptionsOf<typeof options>

/** Some rows have no result. */
const incomplete = 2

export const sweepCommand = defineCommand({
  arguments: '<sweep>',
  options,
  run: async ([path], flags, invocation) => {
    const { io } = invocation
    const read = (file: string): string => new TextDecoder().decode(readFileBytes(file))
    const spec = await parseSweep(read(path), path, read)
    io.say(`${count(cellsOf(spec).length)} rows in ${flags.output}`)
    const rows = await rowsOf(spec, flags, invocation)
    const report = join(flags.output, 'report.html')
    await writeFileAtomic(report, new TextEncoder().encode(pageOf(path, spec, rows)))
    const failed = rows.filter((row) => row.error !== undefined)
    if (failed.length > 0) process.exitCode = incomplete
    io.finish()
    io.result([...frontLines(rows), ...failedLines(failed), `wrote ${report}`].join('\n'), {
      sweep: path,
      report,
      rows,
    })
  },
})

async function rowsOf(spec: Sweep, flags: Flags, { io, signal }: Invocation): Promise<SweepRow[]> {
  const { output: folder, queue: url, workers, threads } = flags
  const onRow = (row: SweepRow): void => io.milestone(rowLine(row), { event: 'row', ...row })
  if (workers > 0 || url !== undefined) {
    return sweepOnQueue(spec, {
      ...{ folder, workers, threads, signal, onRow, progress: io.progress, heartbeatSeconds: flags.heartbeat },
      ...(url === undefined ? {} : { url }),
      onTrouble: (sentence) => io.milestone(sentence, { event: 'trouble', ...{ message: sentence } }),
      onProcesses: tellProcesses(io),
    })
  }
  useThreads(threads)
  const unlock = lockFolder(makeFolder(folder))
  try {
    return await sweep(spec, fileSources(), { rows: rowFolder(folder), signal, onRow, progress: io.progress })
  } finally {
    unlock()
  }
}

/** With --json, the ids of the processes that do jobs, whenever they change. */
function tellProcesses({ json, milestone }: Invocation['io']): (pids: readonly number[]) => void {
  let last = ''
  return (pids) => {
    const now = pids.join(' ')
    if (json && now !== last) milestone('', { event: 'processes', ...{ pids } })
    last = now
  }
}

function rowLine({ name, model, data, recipe, found, error }: SweepRow): string {
  const what = `${name} on ${model.name}, ${data.name}, seed ${recipe.seed}`
  if (!found) return `${what}: ${error}`
  return `${what}: ${scoreOf(found.measure, found.after.score)}, ${count(found.after.packed)} bytes packed`
}

const scoreOf = (measure: string, score: number): string =>
  measure === 'signal to noise' ? `${score.toFixed(1)} dB` : percent(score)

/** What no other beats in bytes, per data set. */
function frontLines(rows: readonly SweepRow[]): string[] {
  return comparables(rows).flatMap(({ data, measure, combinations }) => {
    const points = combinations.map((c) => ({ cost: c.after.packed, score: c.after.score, c }))
    const lines = paretoFront(points).map(({ c }) => columnsOf(c))
    const head = ['recipe', 'model', measure, 'packed', 'MACs', 'per call']
    return [`${data}: not beaten in bytes`, ...alignColumns([head, ...lines]).map((line) => `  ${line}`)]
  })
}

function columnsOf({ name, model, measure, after }: Combination): string[] {
  const macs = after.macs === null ? '' : count(after.macs)
  const time = after.ms === undefined ? '' : milliseconds(after.ms)
  return [name, model, scoreOf(measure, after.score), count(after.packed), macs, time]
}

function failedLines(failed: readonly SweepRow[]): string[] {
  if (failed.length === 0) return []
  return [
    `${count(failed.length)} without a result, which are tried again next time:`,
    ...failed.map((row) => `  ${rowLine(row)}`),
  ]
}

const several = (all: readonly unknown[], what: string): string => `${all.length} ${what}${all.length === 1 ? '' : 's'}`

function pageOf(path: string, { models, data, recipes, seeds }: Sweep, rows: readonly SweepRow[]): string {
  const names = (all: readonly { readonly name: string }[]): string => all.map(({ name }) => name).join(', ')
  const environments = [...new Set(rows.flatMap((row) => row.timed?.environment.join(', ') ?? []))]
  return renderSweep(
    {
      title: `${basename(path)}: ${[several(recipes, 'recipe'), several(models, 'model'), several(data, 'data set')].join(', ')}`,
      made: new Date().toISOString(),
      facts: [
        ['models', names(models)],
        ['data', names(data)],
        ['recipes', names(recipes)],
        ['seeds', seeds.join(', ')],
        ['machines', environments.join('; ')],
      ],
      environment: environment(),
    },
    rows,
  )
}
