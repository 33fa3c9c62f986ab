/**
 * Question: does decoding a packed file's groups on worker threads pay? One thread beside workers that each take every nth
 * group: warm (the worker waits) and cold (it is started for the file). In turn within each round; ratios within a round.
 * Run: npm run build && npx tsx bench/decode-workers.mts; writes bench/results/decode-workers.json.
 */
import { writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { Worker } from 'node:worker_threads'
import { spreadOf } from '../src/evaluate/latency.ts'
import { packModel } from '../src/formats/pack.ts'
import { unpackOnnx } from '../src/formats/unpack-onnx.ts'
import { model, node, valueInfo } from '../src/graph/build.ts'
import { integerTensor } from '../src/tensor/dtype.ts'
import { random } from '../src/tensor/random.ts'

const groups = 6
const side = 1024
const rounds = 5

interface Job {
  readonly packed: Uint8Array
  readonly from: number
  readonly step: number
}

/** Decodes the tensors of every nth group. Of the built package, since workers do not inherit tsx. */
const dist = JSON.stringify(new URL('../dist/formats/', import.meta.url).href)
const workerCode = `
  const { parentPort } = require('node:worker_threads')
  const modules = Promise.all(['container.js', 'unpack-onnx.js'].map((name) => import(${dist} + name)))
  parentPort.on('message', async ({ packed, from, step }) => {
    const [{ readContents }, { readHead, decodeOne }] = await modules
    const contents = readContents(packed)
    const head = readHead(contents)
    const parts = head.groups.flatMap((members, index) => {
      if (index % step !== from) return []
      const { at, integersLength, rawLength } = contents.groups[index]
      return members.map((t) => decodeOne(head, t, () => packed.subarray(at, at + integersLength + rawLength)))
    })
    parentPort.postMessage(parts, parts.map((p) => p.buffer))
  })`

function start(): Worker {
  return new Worker(workerCode, { eval: true })
}

function ask(worker: Worker, job: Job): Promise<Uint8Array[]> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.postMessage(job)
  })
}

async function main(): Promise<void> {
  const rng = random(1)
  const names = Array.from({ length: groups }, (_, i) => `w${i}`)
  const draw = (): number => (rng.next() < 0.8 ? 0 : Math.round(rng.normal() * 2))
  const weights = names.map((n) =>
    integerTensor(n, 'int8', [side, side], Int8Array.from({ length: side * side }, draw)),
  )
  const net = model({
    nodes: names.map((w, i) => node('MatMulInteger', [i === 0 ? 'x' : `y${i - 1}`, w], [`y${i}`])),
    initializers: new Map(weights.map((t) => [t.name, t])),
    inputs: [valueInfo('x', 'int8', [1, side])],
    outputs: [valueInfo(`y${groups - 1}`, 'int32', [1, side])],
  })
  const bytes = packModel(net)
  const packed = new Uint8Array(new SharedArrayBuffer(bytes.length))
  packed.set(bytes)
  const waiting = [start(), start()]
  const two = async (workers: readonly Worker[]): Promise<void> => {
    const shares = await Promise.all(workers.map((w, from) => ask(w, { packed, from, step: workers.length })))
    const found = shares.flat().length
    if (found !== groups) throw new Error(`bench: ${found} tensors came back; expected ${groups}`)
  }
  const ways: Record<string, () => Promise<void>> = {
    'one thread': async () => void unpackOnnx(bytes),
    'two workers that wait': () => two(waiting),
    'two workers, started for it': async () => {
      const workers = [start(), start()]
      await two(workers)
      await Promise.all(workers.map((w) => w.terminate()))
    },
  }
  for (const run of Object.values(ways)) await run()
  const times: Record<string, number[]> = {}
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(ways)) {
      const before = performance.now()
      await run()
      ;(times[name] ??= []).push(performance.now() - before)
    }
  }
  await Promise.all(waiting.map((w) => w.terminate()))
  const rows = Object.fromEntries(
    Object.entries(times).map(([name, ms]) => [
      name,
      { latencyMs: spreadOf(ms), overOneThread: spreadOf(ms.map((t, i) => t / times['one thread'][i])) },
    ]),
  )
  const machine = {
    cpu: cpus()[0].model,
    cores: availableParallelism(),
    loadAverage: loadavg()[0],
    node: process.version,
  }
  const result = { command: 'npx tsx bench/decode-workers.mts', machine, weights: groups * side * side, rounds, rows }
  writeFileSync(new URL('./results/decode-workers.json', import.meta.url), `${JSON.stringify(result, null, 2)}\n`)
  console.error(JSON.stringify(result, null, 1))
}

await main()
