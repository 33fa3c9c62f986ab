/**
 * Sweeps on Postgres: 24 small jobs on 3 workers, of which one is killed (SIGKILL) at 20 random moments (seeded), beside the same
 * sweep without kills; how long a job lies after its worker was killed; and how many operations the queue does in a second.
 *
 * Needs a Postgres of the system (src/testing/postgres.ts) and the built package. Run: npm run build && npx tsx bench/sweep.mts
 * [operationsPerSecond] [kills] [takenUp]; writes bench/results/sweep.json.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PGlite } from '@electric-sql/pglite'
import { fromPglite, PgBoss } from 'pg-boss'
import { environment } from '../src/node/environment.ts'
import { writeModel } from '../src/onnx/write.ts'
import { random } from '../src/tensor/random.ts'
import { type Postgres, postgresPrograms, startPostgres } from '../src/testing/postgres.ts'
import { lenet300 } from '../src/zoo/lenet.ts'

const main = join(import.meta.dirname, '../dist/cli/main.js')
const folder = mkdtempSync(join(tmpdir(), 'coppice-bench-sweep-'))
const [kills, seed, workers] = [20, 1, 3]
/** Seconds between kills, at least and at most. */
const gap = [3, 12]

for (const s of [1, 2]) writeFileSync(join(folder, `net${s}.onnx`), writeModel(lenet300({ seed: s, width: 0.2 })))
const training = ['finetune', { epochs: 6, batch: 20 }]
const spec = {
  coppice: 1,
  models: ['net1.onnx', 'net2.onnx'],
  data: ['digits:400'],
  recipes: [
    { name: 'trained', steps: [['magnitude', { sparsity: '$s' }], training], grid: { s: [0.5, 0.7, 0.8, 0.9] } },
    { name: 'shared', steps: [training, ['share', { values: '$n' }]], grid: { n: [8, 32] } },
  ],
  seeds: [0, 1],
  latency: false,
}
writeFileSync(join(folder, 'sweep.json'), JSON.stringify(spec))

/** A command of the built package; `onLine` is told what it says on stderr. */
function coppice(args: readonly string[], onLine?: (line: string) => void): ChildProcess {
  const child = spawn(process.execPath, [main, ...args], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  const lines = createInterface({ input: child.stderr as NodeJS.ReadableStream })
  lines.on('line', (line) => onLine?.(line))
  return child
}

const ended = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => child.once('exit', (code) => resolve(code)))
const seconds = (from: number): number => Number(((performance.now() - from) / 1000).toFixed(1))
const sleep = (s: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1000 * s))

/** Rows by key, without what differs from run to run. */
function rowsIn(name: string): Map<string, string> {
  const at = join(folder, name, 'rows')
  return new Map(
    readdirSync(at).map((file) => {
      const { timed: _, ...row } = JSON.parse(readFileSync(join(at, file), 'utf8'))
      return [file, JSON.stringify(row)]
    }),
  )
}

async function swept(url: string, name: string, count: number) {
  const told: string[] = []
  const from = performance.now()
  const args = [
    'sweep',
    'sweep.json',
    '-o',
    name,
    '--queue',
    url,
    '--workers',
    String(count),
    '--heartbeat',
    '10',
    '--json',
  ]
  const child = coppice(args, (line) => {
    if (!line.startsWith('{')) return console.log(line)
    const { event, key } = JSON.parse(line)
    if (event === 'row') told.push(key)
  })
  const code = await ended(child)
  if (code !== 0) throw new Error(`sweep: it ended with ${code}`)
  return { told, seconds: seconds(from) }
}

/** Workers that are begun again when they were killed, as a service would. */
function crewOf(url: string) {
  /** What each works at; when the worker of a job was killed. */
  const [at, lostAt] = [new Map<ChildProcess, string>(), new Map<string, number>()]
  const lay: number[] = []
  let isOver = false
  let tellBegun: () => void = () => undefined
  const begun = new Promise<void>((resolve) => {
    tellBegun = resolve
  })
  const begin = (): void => {
    const child = coppice(['worker', '--queue', url, '--heartbeat', '10'], (line) => {
      const [, word, job] = /^(making|made) (.*)$/.exec(line) ?? []
      if (word === 'made') at.set(child, '')
      if (word !== 'making') return
      tellBegun()
      at.set(child, job)
      const lost = lostAt.get(job)
      if (lost !== undefined) lay.push(seconds(lost))
      lostAt.delete(job)
    })
    at.set(child, '')
    child.once('exit', () => {
      at.delete(child)
      if (!isOver) setTimeout(begin, 500)
    })
  }
  for (let i = 0; i < workers; i++) begin()
  return {
    lay,
    /** The first job is being made. */
    begun,
    kill(share: number): boolean {
      const all = [...at.keys()]
      const victim = all[Math.floor(share * all.length)]
      if (!victim) return false
      const job = at.get(victim)
      if (job) lostAt.set(job, performance.now())
      victim.kill('SIGKILL')
      return Boolean(job)
    },
    close() {
      isOver = true
      for (const child of at.keys()) child.kill('SIGKILL')
    },
  }
}

async function withKills(url: string) {
  const crew = crewOf(url)
  const rng = random(seed)
  let [done, busy, isOver] = [0, 0, false]
  const killing = (async () => {
    await crew.begun
    while (done < kills && !isOver) {
      await sleep(gap[0] + (gap[1] - gap[0]) * rng.next())
      if (isOver) return
      if (crew.kill(rng.next())) busy++
      done++
      console.log(`killed ${done}, ${busy} of them at work`)
    }
  })()
  const run = await swept(url, 'killed', 0)
  isOver = true
  await killing
  crew.close()
  if (done < kills) throw new Error(`bench: the sweep was over after ${done} kills; expected ${kills}`)
  return { ...run, kills: done, killedAtWork: busy, longestUntilTakenUp: Math.max(...crew.lay) }
}

/** How long a job lies after its worker was killed, with the heartbeat that the command has by itself. */
async function takenUp(url: string): Promise<number> {
  const long = {
    ...spec,
    models: ['net1.onnx'],
    recipes: [{ steps: [['finetune', { epochs: 5000, batch: 20 }]] }],
    seeds: [0],
  }
  writeFileSync(join(folder, 'long.json'), JSON.stringify(long))
  const coordinator = coppice(['sweep', 'long.json', '-o', 'long', '--queue', url, '--workers', '0'])
  const taken = (): [child: ChildProcess, began: Promise<void>] => {
    let tell: () => void = () => undefined
    const began = new Promise<void>((resolve) => {
      tell = resolve
    })
    return [coppice(['worker', '--queue', url], (line) => line.startsWith('making') && tell()), began]
  }
  const [first, begun] = taken()
  await begun
  const [second, begunAgain] = taken()
  await sleep(10)
  first.kill('SIGKILL')
  const from = performance.now()
  await begunAgain
  const lay = seconds(from)
  for (const child of [second, coordinator]) child.kill('SIGKILL')
  return lay
}

/** Jobs sent, fetched and completed one by one, by one client: operations in a second. */
async function operations(options: ConstructorParameters<typeof PgBoss>[0], count = 600): Promise<number> {
  const boss = new PgBoss({ ...(options as object), schema: 'bench', schedule: false })
  boss.on('error', (error) => console.log(error.message))
  await boss.start()
  await boss.createQueue('jobs', { heartbeatSeconds: 30 })
  const from = performance.now()
  for (let i = 0; i < count; i++) await boss.send('jobs', { i })
  for (let i = 0; i < count; i++) {
    const [job] = await boss.fetch('jobs')
    await boss.complete('jobs', job.id, { i })
  }
  const perSecond = (3 * count) / ((performance.now() - from) / 1000)
  await boss.stop({ graceful: false })
  return Math.round(perSecond)
}

async function killsBesideNone(url: string) {
  const plain = await swept(url, 'plain', workers)
  console.log(`without kills ${plain.seconds} s, ${plain.told.length} rows`)
  const { told, seconds: took, kills: killed, killedAtWork, longestUntilTakenUp } = await withKills(url)
  const [expected, found] = [rowsIn('plain'), rowsIn('killed')]
  return {
    jobs: expected.size,
    workers,
    seed,
    withoutKills: { rows: expected.size, told: plain.told.length, seconds: plain.seconds },
    withKills: {
      kills: killed,
      killedAtWork,
      rows: found.size,
      told: told.length,
      toldOnce: new Set(told).size === told.length,
      equal: [...expected].filter(([file, row]) => found.get(file) === row).length,
      seconds: took,
      heartbeatSeconds: 10,
      longestSecondsUntilTakenUp: longestUntilTakenUp,
    },
  }
}

async function operationsOfBoth(url: string) {
  const embedded = new PGlite(join(folder, 'embedded'))
  const perSecond = {
    postgres: await operations({ connectionString: url }),
    pglite: await operations({ db: fromPglite(embedded), backend: 'pglite' }),
  }
  await embedded.close()
  return perSecond
}

const parts: Readonly<Record<string, (url: string) => Promise<unknown>>> = {
  operationsPerSecond: operationsOfBoth,
  kills: killsBesideNone,
  takenUp: async (url) => ({ heartbeatSeconds: 30, seconds: await takenUp(url) }),
}

const [wanted, file] = [process.argv.slice(2), join(import.meta.dirname, 'results/sweep.json')]
const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
const result = { command: 'npm run build && npx tsx bench/sweep.mts', ...before, environment: environment() }
let postgres: Postgres | undefined
try {
  const programs = postgresPrograms()
  if (!programs) throw new Error('bench: there is no Postgres on this system; expected initdb and postgres')
  postgres = await startPostgres(programs)
  for (const part of wanted.length > 0 ? wanted : Object.keys(parts)) {
    result[part] = await parts[part](postgres.url)
    console.log(part, result[part])
    writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`)
  }
} finally {
  await postgres?.close()
  rmSync(folder, { recursive: true, force: true })
}
process.exit()
