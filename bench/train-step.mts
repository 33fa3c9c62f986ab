/**
 * Training step: how long one step (forward, backward, SGD with momentum) takes beside PyTorch on the same cores, in one
 * interleaved run, in both memory formats, eager and compiled: rounds of a few steps of each in turn. The ratio is coppice / PyTorch, the median over the rounds of
 * the ratio of the rounds' median times, so that what slows the machine slows both.
 *
 *   COPPICE_PYTHON=python-with-torch-and-torchvision npx tsx bench/train-step.mts [NET…] [--rounds 7] [--engine auto]
 *
 * Writes bench/results/train-step.json (rows of nets that were not run are kept).
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { nets } from './_train-nets.mts'

const threads = 2
/** PyTorch's memory formats, run as they are and compiled by torch.compile (with the fused optimiser). */
const layouts = ['contiguous', 'channels_last', 'compiled', 'compiled_channels_last']
const resultFile = fileURLToPath(new URL('./results/train-step.json', import.meta.url))
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

interface Worker {
  readonly hello: Record<string, unknown>
  run(steps: number): Promise<{ times: number[]; loss: number; peakBytes: number }>
  end(): void
}

async function start(command: string, args: readonly string[]): Promise<Worker> {
  const child: ChildProcessWithoutNullStreams = spawn(command, args)
  child.stderr.on('data', (text) => process.stderr.write(text))
  process.on('exit', () => child.kill())
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => {
    const { value, done } = await lines.next()
    if (done) {
      console.error(`train-step: ${command} ${args.join(' ')} ended before it answered`)
      process.exit(1)
    }
    return JSON.parse(value as string)
  }
  return {
    hello: await next(),
    run(steps) {
      child.stdin.write(`run ${steps}\n`)
      return next()
    },
    end: () => void child.kill(),
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

async function measure(name: string, rounds: number, engine: string) {
  const python = process.env.COPPICE_PYTHON
  const workers: Record<string, Worker> = {
    coppice: await start(process.execPath, [
      '--import',
      'tsx',
      here('./_train-worker.mts'),
      name,
      engine,
      String(threads),
    ]),
  }
  if (python) {
    for (const layout of layouts)
      workers[layout] = await start(python, [here('./peers/train_step.py'), name, layout, String(threads)])
  }
  const first = await workers.coppice.run(3)
  const perRound = Math.max(3, Math.min(40, Math.round(1500 / median(first.times))))
  for (const [id, worker] of Object.entries(workers)) if (id !== 'coppice') await worker.run(3)
  const medians: Record<string, number[]> = {}
  const peaks: Record<string, number> = {}
  for (let round = 0; round < rounds; round++) {
    for (const [id, worker] of Object.entries(workers)) {
      const { times, peakBytes } = await worker.run(perRound)
      ;(medians[id] ??= []).push(median(times))
      peaks[id] = peakBytes
    }
  }
  for (const worker of Object.values(workers)) worker.end()
  const ratios = Object.fromEntries(
    layouts.filter((id) => medians[id]).map((id) => [id, median(medians[id].map((ms, i) => medians.coppice[i] / ms))]),
  )
  return {
    batch: nets[name].batch,
    ...workers.coppice.hello,
    stepMs: Object.fromEntries(Object.entries(medians).map(([id, list]) => [id, { median: median(list), all: list }])),
    ...(python ? { ratio: { ...ratios, fastest: Math.max(...Object.values(ratios)) } } : {}),
    peakBytes: peaks,
    ...(workers.contiguous ? { torch: workers.contiguous.hello } : {}),
    rounds,
    stepsPerRound: perRound,
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '7' }, engine: { type: 'string', default: 'auto' } },
})
const before = existsSync(resultFile) ? JSON.parse(readFileSync(resultFile, 'utf8')) : {}
const rows: Record<string, unknown> = { ...before.rows }
for (const name of positionals.length > 0 ? positionals : Object.keys(nets)) {
  const row = await measure(name, Number(values.rounds), values.engine)
  rows[name] = row
  const ms = Object.entries(row.stepMs).map(([id, t]) => `${id} ${t.median.toFixed(1)} ms`)
  const mb = Object.entries(row.peakBytes).map(([id, bytes]) => `${id} ${(bytes / 2 ** 20).toFixed(0)} MiB`)
  console.log(`${name}: ${ms.join(', ')}; ratio ${JSON.stringify(row.ratio ?? {})}; peak ${mb.join(', ')}`)
  const machine = { cpu: cpus()[0].model, cores: cpus().length, threads, node: process.version }
  writeFileSync(resultFile, `${JSON.stringify({ machine, rows }, null, 2)}\n`)
}
