/**
 * How long does a sensitivity scan take, and how long does the loop take that shares nothing?
 *
 *   npx tsx bench/scan.mts --model cifar10-resnet20.onnx --data cifar10:DIR [--samples 2000] [--threads 2] [--every 2]
 *
 * The scan is run whole. The plain loop (the whole model for every tensor and sparsity, every curve to its end) takes the
 * same time for each of its runs, so some of them are timed between the scan's tensors, where the machine is as busy as it
 * is for the scan, and their median is multiplied: `--every 2` times one after every second tensor.
 */

import { loadavg } from 'node:os'
import { basename, join } from 'node:path'
import { batcherFor, requiredInputs } from '../src/data/batcher.ts'
import { drawSamples } from '../src/data/handle.ts'
import { guessPreprocess } from '../src/data/preprocess.ts'
import { spreadOf } from '../src/evaluate/latency.ts'
import { weightTensors } from '../src/graph/weights.ts'
import { loadData } from '../src/node/data.ts'
import { environment } from '../src/node/environment.ts'
import { openModel, writeFileAtomic } from '../src/node/files.ts'
import { scan, scanGrid } from '../src/search/scan.ts'

const flag = (name: string, fallback = ''): string => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? fallback : process.argv[at + 1]
}
const path = flag('model')
const model = openModel(path)
const splits = await loadData(flag('data'), { seed: 0 })
const inputs = requiredInputs(model)
const numbers = (text: string): number[] => text.split(',').map(Number)
const preprocess = guessPreprocess(inputs, splits.test, {
  mean: numbers(flag('mean', '0.485,0.456,0.406')),
  std: numbers(flag('std', '0.229,0.224,0.225')),
})
const batcher = batcherFor(inputs, splits.test, preprocess)
const samples = Number(flag('samples', '2000'))
const threads = Number(flag('threads', '2'))
const on = { batcher, data: drawSamples(splits.train, samples, 0) }
const every = Number(flag('every', '2'))
const load = loadavg()[0]
const weights = weightTensors(model)
const runs = weights.length * scanGrid.length
const options = { threads, batchSize: Number(flag('batch', '100')) }
const reference = await scan(model, on, { ...options, names: [] })

interface Timed {
  readonly seconds: number
  /** Of all threads. */
  readonly cpuSeconds: number
}

async function timed(work: () => Promise<unknown>): Promise<Timed> {
  const [start, cpu] = [performance.now(), process.cpuUsage()]
  await work()
  const { user, system } = process.cpuUsage(cpu)
  return { seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6 }
}

const plain: Timed[] = []
const onePlainRun = (name: string): Promise<unknown> =>
  scan(model, on, { ...options, share: false, sparsities: [0.5], names: [name], done: reference })
const whole = await timed(() =>
  scan(model, on, {
    ...options,
    async onPoint({ curves }) {
      const last = curves[curves.length - 1]
      if (curves.length % every === 0 && last.points.length === 1) plain.push(await timed(() => onePlainRun(last.name)))
    },
  }),
)
const sum = (of: (t: Timed) => number): number => plain.reduce((n, t) => n + of(t), 0)
const scanSeconds = whole.seconds - sum((t) => t.seconds)
const perRun = spreadOf(plain.map((t) => t.seconds))
const rounded = (value: number): number => Number(value.toFixed(2))
const result = {
  model: basename(path),
  samples,
  tensors: weights.length,
  sparsities: scanGrid,
  threads,
  batchSize: options.batchSize,
  scanSeconds: rounded(scanSeconds),
  scanCpuSeconds: rounded(whole.cpuSeconds - sum((t) => t.cpuSeconds)),
  plainRunSeconds: { median: rounded(perRun.median), p10: rounded(perRun.p10), p90: rounded(perRun.p90) },
  plainSeconds: rounded(perRun.median * runs),
  plainIs: `${runs} x the median of ${plain.length} runs between the scan's tensors`,
  ratio: Number((scanSeconds / (perRun.median * runs)).toFixed(3)),
  loadAverageAtStart: rounded(load),
  environment: environment(),
}
console.log(result)
await writeFileAtomic(
  join(import.meta.dirname, 'results', 'scan.json'),
  new TextEncoder().encode(`${JSON.stringify(result, null, 2)}\n`),
)
