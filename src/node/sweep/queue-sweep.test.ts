/**
 * Sweeps on a queue, with workers that are killed (SIGKILL) at seeded moments: every row once, none lost, and equal to those of
 * a sweep in one thread. On the embedded database always, on a server's where the system has a Postgres.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AbortError } from '../../errors.ts'
import { writeModel } from '../../onnx/write.ts'
import { planSweep } from '../../sweep/plan.ts'
import type { SweepRow } from '../../sweep/row.ts'
import { sweep } from '../../sweep/sweep.ts'
import { parseSweep, type Sweep } from '../../sweep/sweep-file.ts'
import { random } from '../../tensor/random.ts'
import { type Postgres, postgresPrograms, startPostgres } from '../../testing/postgres.ts'
import { lenet300 } from '../../zoo/lenet.ts'
import { checkNode, openBoss, withoutPassword } from './_boss.ts'
import { fileSources } from './file-sources.ts'
import { openJobProcesses } from './job-processes.ts'
import { openQueue } from './job-queue.ts'
import { sweepOnQueue } from './queue-sweep.ts'
import { workOnQueue } from './queue-worker.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-queue-sweep-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => join(folder, name)

const finetune = ['finetune', { epochs: 3, batch: 20 }]
let spec: Sweep
/** Without what differs from run to run. */
const facts = (rows: readonly SweepRow[]) => rows.map(({ timed: _, ...row }) => row)
let expected: ReturnType<typeof facts>

beforeAll(async () => {
  writeFileSync(at('net.onnx'), writeModel(lenet300({ seed: 1, width: 0.02 })))
  const text = {
    coppice: 1,
    models: [at('net.onnx')],
    data: ['digits:60'],
    recipes: [{ name: 'ft', steps: [['magnitude', { sparsity: '$s' }], finetune], grid: { s: [0.5, 0.7, 0.9] } }],
    latency: false,
  }
  spec = await parseSweep(JSON.stringify(text), 'sweep', () => '')
  expected = facts(await sweep(spec, fileSources()))
})

/** Kills a process of the sweep now and then, `times` times. */
function killer(seed: number, times: number) {
  const rng = random(seed)
  let [killed, last] = [0, performance.now()]
  return {
    killed: () => killed,
    onProcesses(pids: readonly number[]): void {
      if (killed >= times || pids.length === 0 || performance.now() < last + 1500 * rng.next()) return
      try {
        process.kill(pids[Math.floor(rng.next() * pids.length)], 'SIGKILL')
        killed++
      } catch {
        // It ended meanwhile.
      }
      last = performance.now()
    },
  }
}

const [id, other] = ['00000000-0000-5000-8000-000000000001', '00000000-0000-5000-8000-000000000002']
/** As files are read. */
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

const onlyOnce = (keys: readonly string[]): void => {
  expect([...keys].sort()).toEqual(expected.map((row) => row.key).sort())
}

test('the embedded queue keeps jobs and what lies beside them, over a restart', async () => {
  let queue = await openQueue({ folder: at('embedded/queue') })
  const [planned] = await planSweep(spec, fileSources())
  await queue.add(
    'sweep',
    [id, other].map((id) => ({ id, cell: planned })),
  )
  await queue.add('sweep', [{ id, cell: planned }])
  expect([...(await queue.states('sweep'))].sort()).toEqual([
    [id, 'waiting'],
    [other, 'waiting'],
  ])
  expect((await queue.states('another')).size).toBe(0)

  await queue.save(id, 'model', Uint8Array.of(9))
  await queue.save(id, 'model', Uint8Array.of(7, 8))
  expect(await queue.load(id, 'model')).toEqual(bytes(7, 8))
  expect(await queue.load(id, 'checkpoint')).toBeUndefined()
  await queue.checkpoint(id).save(Uint8Array.of(1, 2))
  await queue.save(id, 'row', new Uint8Array())
  await queue.close()

  queue = await openQueue({ folder: at('embedded/queue') })
  expect(await queue.checkpoint(id).load()).toEqual(bytes(1, 2))
  expect(await queue.load(id, 'row')).toEqual(bytes())
  await queue.remove(id, ['checkpoint'])
  expect([...(await queue.states('sweep')).keys()]).toEqual([other])
  expect(await queue.load(id, 'model')).toBeUndefined()
  expect(await queue.checkpoint(id).load()).toEqual(bytes(1, 2))

  // A job is given again where its worker throws, and is done where it does not.
  const given: string[] = []
  const done = new Promise<void>((resolve) => {
    void queue.work(1, async ({ id, cell }) => {
      given.push(`${id} ${cell.key}`)
      if (given.length === 1) throw new Error('lost')
      resolve()
    })
  })
  await done
  await expect.poll(async () => (await queue.states('sweep')).get(other), { timeout: 10_000 }).toBe('done')
  expect(given).toEqual([`${other} ${planned.key}`, `${other} ${planned.key}`])
  await queue.close()
})

test('on the embedded queue a sweep that was stopped goes on, and killed workers lose and double nothing', async () => {
  const told: string[] = []
  const stop = new AbortController()
  const kill = killer(1, 2)
  const options = { folder: at('embedded'), workers: 2, onProcesses: kill.onProcesses }
  const stopped = sweepOnQueue(spec, {
    ...options,
    signal: stop.signal,
    onRow: (row) => {
      told.push(row.key)
      stop.abort()
    },
  })
  await expect(stopped).rejects.toThrow(AbortError)
  const rows = await sweepOnQueue(spec, { ...options, onRow: (row) => told.push(row.key) })
  expect(facts(rows)).toEqual(expected)
  onlyOnce(told)
  onlyOnce(readdirSync(at('embedded/rows')).map((name) => name.replace('.json', '')))
  expect(kill.killed()).toBeGreaterThan(0)

  // What is there is not made again, and needs no queue.
  expect(facts(await sweepOnQueue(spec, { ...options, onRow: () => expect.unreachable() }))).toEqual(expected)
  expect(readdirSync(at('embedded')).sort()).toEqual(['models', 'rows', 'sweep-id'])
})

test('a job whose process is killed goes on from its checkpoint in another', async () => {
  const [cell] = await planSweep(spec, fileSources())
  const processes = openJobProcesses({ threads: 1 })
  const saves: Uint8Array[] = []
  let killAt = 2
  const checkpoint = {
    load: async () => saves.at(-1),
    save: async (bytes: Uint8Array) => {
      saves.push(bytes)
      if (saves.length === killAt) process.kill(processes.pids()[0], 'SIGKILL')
    },
  }
  const { signal } = new AbortController()
  await expect(processes.run(cell, { checkpoint, signal })).rejects.toThrow('ended before its job was done (SIGKILL)')
  killAt = 0
  const { row } = await processes.run(cell, { checkpoint, signal })
  processes.close()
  expect(facts([row])).toEqual([expected[0]])
  // Three epochs and the end: four in all, of which no more than the one in which it was killed is made twice.
  expect(saves.length).toBeLessThanOrEqual(5)
})

const programs = postgresPrograms()
if (!programs) console.log('skipped: no Postgres here (COPPICE_POSTGRES=install installs one on Debian, as root)')
describe.runIf(programs)('on Postgres', () => {
  let postgres: Postgres
  beforeAll(async () => {
    postgres = await startPostgres(programs as string)
  })
  afterAll(() => postgres?.close())

  test('bytes of several parts are kept whole, and the last that were saved', async () => {
    const queue = await openQueue({ url: postgres.url })
    const large = Uint8Array.from({ length: 2 ** 24 + 5 }, (_, i) => (i * 7) & 255)
    await queue.save(id, 'model', large.subarray(0, 9))
    await queue.save(id, 'model', large)
    expect(Buffer.compare((await queue.load(id, 'model')) ?? new Uint8Array(), large)).toBe(0)
    await queue.save(id, 'row', new Uint8Array())
    expect(await queue.load(id, 'row')).toEqual(new Uint8Array())
    await queue.remove(id, ['row'])
    expect(await queue.load(id, 'model')).toBeUndefined()
    expect(await queue.load(id, 'row')).toBeDefined()
    await queue.close()
  })

  test('a worker with another file stops with a sentence, and its job goes to another worker', async () => {
    const { url } = postgres
    const told: string[] = []
    const changed = { ...spec, models: [{ name: 'net', file: at('there.onnx') }] }
    const right = writeModel(lenet300({ seed: 1, width: 0.02 }))
    writeFileSync(at('there.onnx'), right)
    const made = sweepOnQueue(changed, { folder: at('server'), url, workers: 0, onRow: (row) => told.push(row.key) })
    // It is planned once there is a file of its own.
    await expect.poll(() => existsSync(at('server/sweep-id')), { timeout: 60_000 }).toBe(true)
    writeFileSync(at('there.onnx'), writeModel(lenet300({ seed: 2, width: 0.02 })))
    await expect(workOnQueue({ url, workers: 1 })).rejects.toThrow(/there\.onnx: it is not what the sweep was planned/)
    writeFileSync(at('there.onnx'), right)
    const workers = [workOnQueue({ url, workers: 1, idleSeconds: 3 }), workOnQueue({ url, workers: 1, idleSeconds: 3 })]
    const files = ({ model: _, ...row }: ReturnType<typeof facts>[0]) => row
    expect(facts(await made).map(files)).toEqual(expected.map(files))
    onlyOnce(told)
    await Promise.all(workers)
  })
})

test('a password is not in messages', async () => {
  expect(withoutPassword('postgres://me:secret@host:5/db')).toBe('postgres://me@host:5/db')
  const opened = openBoss({ url: 'postgres://me:secret@127.0.0.1:1/db' }, intervals)
  await expect(opened).rejects.toThrow(
    /^postgres:\/\/me@127\.0\.0\.1:1\/db: the queue cannot be opened: .*ECONNREFUSED/,
  )
  await expect(openBoss({ url: 'mysql://me:secret@host/db' }, intervals)).rejects.toThrow(
    '"mysql://me@host/db"; expected',
  )
})

const intervals = { superviseIntervalSeconds: 10, monitorIntervalSeconds: 10 }

test('an older Node is told what is needed', () => {
  for (const old of ['20.18.3', '21.7.0', '22.11.0']) expect(() => checkNode(old)).toThrow(`and this is ${old}`)
  for (const recent of ['20.19.0', '22.12.0', '24.1.0']) checkNode(recent)
})
