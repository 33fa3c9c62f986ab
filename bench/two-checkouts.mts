/**
 * Has a change cost speed? Training steps, a scan, a compression, packing and unpacking by two checkouts of this repository,
 * in turn in one run: each round runs one, then the other, then in the opposite order.
 *
 *   npx tsx bench/two-checkouts.mts BEFORE AFTER [TASK…] [--rounds 5] [--net lenet5]
 *
 * BEFORE and AFTER are folders with their node_modules. Writes bench/results/two-checkouts.json (tasks that were not run keep
 * their rows). Commands run whole and from source, start of the process included: seconds by the clock, and of all cores,
 * which other work on the machine changes less; steps in ms. `ratio` is the median over the rounds of after / before.
 */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '5' }, net: { type: 'string', default: 'lenet5' } },
})
const [before, after, ...chosen] = positionals
if (!before || !after) throw new Error('two-checkouts: expected two folders, BEFORE and AFTER')
const checkouts = { before: resolve(before), after: resolve(after) }
type Side = keyof typeof checkouts
const rounds = Number(values.rounds)
const folder = mkdtempSync(join(tmpdir(), 'two-checkouts-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const model = join(folder, 'model.onnx')
const packed = join(folder, 'model.cop')

interface Taken {
  readonly clock: number
  /** Of all cores. */
  readonly cores?: number
}

/** Runs a command of one checkout; gives the seconds that it took. */
function coppice(side: Side, ...args: readonly string[]): Taken {
  const start = performance.now()
  const main = join(checkouts[side], 'src/cli/main.ts')
  const timed = ['-c', 'TIMEFORMAT="%U %S"; time "$@"', 'timed', process.execPath, '--import', 'tsx', main, ...args]
  const { status, stderr } = spawnSync('bash', timed, { cwd: checkouts[side], encoding: 'utf8' })
  if (status !== 0 && status !== 2) throw new Error(`${side}: coppice ${args[0]} ended with ${status}: ${stderr}`)
  const [user, system] = (stderr.trim().split('\n').at(-1) ?? '').split(' ').map(Number)
  return { clock: (performance.now() - start) / 1000, cores: user + system }
}

const data = ['--data', 'digits:2000']
const commands: Readonly<Record<string, (side: Side) => Taken>> = {
  scan: (side) => coppice(side, 'scan', model, ...data, '--samples', '500', '-o', join(folder, `${side}.json`)),
  compress: (side) => coppice(side, 'compress', model, ...data, '-o', join(folder, `${side}.onnx`)),
  pack: (side) => coppice(side, 'pack', model, '-o', join(folder, `${side}.cop`)),
  unpack: (side) => coppice(side, 'unpack', packed, '-o', join(folder, `${side}-unpacked.onnx`)),
}

interface Worker {
  run(steps: number): Promise<number>
  end(): void
}

/** A process of one checkout that trains a network of _train-nets.mts on. */
async function worker(side: Side): Promise<Worker> {
  const file = join(checkouts[side], 'bench/_train-worker.mts')
  const child: ChildProcessWithoutNullStreams = spawn(
    process.execPath,
    ['--import', 'tsx', file, values.net, 'auto', '2'],
    { cwd: checkouts[side] },
  )
  child.stderr.on('data', (text) => process.stderr.write(text))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  await lines.next() // its greeting
  return {
    async run(steps) {
      child.stdin.write(`run ${steps}\n`)
      const { value } = await lines.next()
      return median(JSON.parse(value as string).times)
    },
    end: () => void child.kill(),
  }
}

function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]
}

async function inTurn(measure: (side: Side) => Taken | Promise<Taken>): Promise<Record<Side, Taken[]>> {
  const times: Record<Side, Taken[]> = { before: [], after: [] }
  for (let round = 0; round < rounds; round++) {
    const order: readonly Side[] = round % 2 === 0 ? ['before', 'after'] : ['after', 'before']
    for (const side of order) times[side].push(await measure(side))
  }
  return times
}

function row(taken: Record<Side, Taken[]>, unit: string) {
  const by = (kind: keyof Taken) => {
    const [earlier, later] = [taken.before, taken.after].map((list) => list.map((t) => t[kind] ?? 0))
    const of = (list: readonly number[]) => ({
      median: median(list),
      least: Math.min(...list),
      most: Math.max(...list),
    })
    return { before: of(earlier), after: of(later), ratio: median(later.map((t, i) => t / earlier[i])) }
  }
  return { unit, rounds, ...by('clock'), ...(taken.before[0].cores === undefined ? {} : { ofAllCores: by('cores') }) }
}

async function steps() {
  const workers = { before: await worker('before'), after: await worker('after') }
  for (const w of Object.values(workers)) await w.run(20)
  const times = await inTurn(async (side) => ({ clock: await workers[side].run(60) }))
  for (const w of Object.values(workers)) w.end()
  return row(times, 'ms per step')
}

const commitOf = (side: Side): string =>
  execFileSync('git', ['-C', checkouts[side], 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
const file = join(import.meta.dirname, 'results/two-checkouts.json')
const commits = { before: commitOf('before'), after: commitOf('after') }
const known = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
const rows: Record<string, unknown> = JSON.stringify(known.commits) === JSON.stringify(commits) ? known.rows : {}
const tasks = chosen.length > 0 ? chosen : ['steps', ...Object.keys(commands)]
if (tasks.some((t) => t !== 'steps')) {
  coppice('before', 'train', 'lenet5', ...data, '--epochs', '1', '-o', model)
  coppice('before', 'pack', model, '-o', packed)
}
for (const task of tasks) {
  const result = task === 'steps' ? await steps() : row(await inTurn(commands[task]), 'seconds')
  rows[task] = task === 'steps' ? { net: values.net, ...result } : result
  console.log(task, JSON.stringify(result))
  const machine = { cpu: cpus()[0].model, cores: cpus().length, node: process.version }
  writeFileSync(file, `${JSON.stringify({ machine, commits, rows }, null, 2)}\n`)
}
process.exit(0)
