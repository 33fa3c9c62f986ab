/**
 * How long does a sensitivity scan take, and how long does the loop take that shares nothing?
 *
 *   npx tsx bench/scan.mts --model cifar10-resnet20.onnx --data cifar10:DIR [--samples 2000] [--threads 2] [--loop 5]
 *
 * The scan is run whole. The plain loop (the whole model for every tensor and sparsity, every curve to its end) takes the
 * same time for each of its runs, so `--loop` of them are timed, spread over the scan's tensors, and multiplied; `--loop 0` runs it whole.
 */

import { loadavg } from 'node:os'
import { basename, join } from 'node:path'
import { heldBackSamples } from '../src/cli/commands/scan.ts'
import { environment } from '../src/cli/environment.ts'
import { batcherFor, requiredInputs } from '../src/data/batcher.ts'
import { guessPreprocess } from '../src/data/preprocess.ts'
import { scan, scanGrid } from '../src/evaluate/scan.ts'
import { weightTensors } from '../src/graph/weights.ts'
import { loadData } from '../src/node/data.ts'
import { openModel, writeFileAtomic } from '../src/node/files.ts'

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
const on = { batcher, data: heldBackSamples(splits.train, samples, 0)[0] }
const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}
const load = loadavg()[0]
const weights = weightTensors(model)
const runs = weights.length * scanGrid.length
const loops = Number(flag('loop', '5'))
const perRun: number[] = []
let measured = 0
let shared = 0
const options = { threads, batchSize: Number(flag('batch', '100')) }
const reference = await scan(model, on, { ...options, names: [] })
const whole = async (): Promise<void> => {
  perRun.push(
    await seconds(() =>
      scan(model, on, { ...options, share: false, sparsities: [0.5], names: [weights[0].name], done: reference }),
    ),
  )
}
if (loops > 0) for (let i = 0; i < Math.ceil(loops / 2); i++) await whole()
shared = await seconds(async () => {
  const result = await scan(model, on, options)
  measured = result.curves.reduce((n, c) => n + c.points.length, 0)
})
if (loops > 0) for (let i = 0; i < Math.floor(loops / 2); i++) await whole()
const median = perRun.sort((a, b) => a - b)[Math.floor(perRun.length / 2)]
const plainSeconds = loops > 0 ? median * runs : await seconds(() => scan(model, on, { ...options, share: false }))
const result = {
  model: basename(path),
  samples,
  tensors: weights.length,
  sparsities: scanGrid,
  threads,
  batchSize: options.batchSize,
  sharedSeconds: Number(shared.toFixed(1)),
  measuredPoints: measured,
  plainSeconds: Number(plainSeconds.toFixed(1)),
  plainIs: loops > 0 ? `${runs} x the median of ${perRun.length} runs, before and after the scan` : 'measured whole',
  ratio: Number((shared / plainSeconds).toFixed(3)),
  loadAverageAtStart: Number(load.toFixed(2)),
  environment: environment(),
}
console.log(result)
await writeFileAtomic(
  join(import.meta.dirname, 'results', 'scan.json'),
  new TextEncoder().encode(`${JSON.stringify(result, null, 2)}\n`),
)
