/**
 * Layers factorised without any training: multiply-adds, latency beside the whole network and accuracy on the whole test set,
 * for each way of factorising, at several shares of the cost or by variational Bayes, in the norm of the weights and in that of
 * calibration data.
 *
 *   npm run experiment -- low-rank --model FILE --data SPEC [--mean M] [--std S] [--methods tucker,spatial-svd,cp,svd]
 *     [--shares 0.8,0.65,0.5] [--ranks 10,20] [--multiples 1,8] [--vbmf] [--samples 512]
 *   npm run experiment -- low-rank --data mnist --methods svd --ranks 5,10,20,40 --shares 0.5   (trains LeNet-300-100 first)
 *
 * FILE is .onnx. `--ranks` are ranks of every layer, beside the shares. Latency is that of one sample on one thread. Writes
 * results/NAME.json and .md.
 */
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { batcherFor, requiredInputs } from '../../src/data/batcher.ts'
import { dataHandle } from '../../src/data/handle.ts'
import { guessPreprocess } from '../../src/data/preprocess.ts'
import { measureLatency } from '../../src/evaluate/latency.ts'
import { inspectModel } from '../../src/inspect/inspect.ts'
import { methodNamed } from '../../src/methods.ts'
import type { Model } from '../../src/model.ts'
import { loadData } from '../../src/node/data.ts'
import { writeFileAtomic } from '../../src/node/files.ts'
import { readModel } from '../../src/onnx/read.ts'
import { openSession } from '../../src/runtime/session.ts'
import type { SpeedUp } from '../../src/speed-up.ts'
import { cosine } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import { validateClasses } from '../../src/train/validate.ts'
import { lenet300 } from '../../src/zoo/lenet.ts'

interface Point {
  readonly method: string
  /** The ranks in words: `share 0.5`, `rank 10`, `vbmf`. */
  readonly ranks: string
  readonly options: Record<string, unknown>
}

interface Row {
  readonly method: string
  readonly ranks: string
  readonly multiple: number
  readonly norm: string
  readonly parameters: number
  readonly macs: number
  readonly speedUp: SpeedUp
  readonly accuracy: number
  readonly seconds: number
}

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string', default: 'mnist' },
    mean: { type: 'string' },
    std: { type: 'string' },
    methods: { type: 'string', default: 'tucker' },
    shares: { type: 'string', default: '0.8,0.65,0.5' },
    ranks: { type: 'string', default: '' },
    multiples: { type: 'string', default: '1' },
    vbmf: { type: 'boolean', default: false },
    samples: { type: 'string', default: '512' },
    epochs: { type: 'string', default: '10' },
  },
})
const command = `npm run experiment -- low-rank${process.argv
  .slice(2)
  .map((a) => ` ${a.includes('/') ? a.replace(/^([a-z0-9-]+:)?.*\//, '$1') : a}`)
  .join('')}`
const list = (text: string): string[] => text.split(',').filter(Boolean)
const numbers = (text: string | undefined): number[] | undefined => (text ? list(text).map(Number) : undefined)
const seed = 1

const splits = await loadData(flags.data, { seed: 0 })
const given = flags.model ? readModel(readFileSync(flags.model)) : lenet300({ seed })
const name = flags.model ? basename(flags.model, '.onnx') : 'mnist-lenet300'
const inputs = requiredInputs(given)
const preprocess = { mean: numbers(flags.mean), std: numbers(flags.std) }
const batcher = batcherFor(inputs, splits.test, guessPreprocess(inputs, splits.test, preprocess), given.graph.outputs)
const model = flags.model ? given : await trained(given)
const data = dataHandle({ train: splits.train, batcher }, { seed, usual: { samples: Number(flags.samples) } })

async function trained(net: Model): Promise<Model> {
  const options = { batcher, epochs: Number(flags.epochs), batchSize: 64, learningRate: 0.05, schedule: cosine(), seed }
  return (await train(net, splits.train, options)).model
}

async function accuracyOf(m: Model): Promise<number> {
  const { accuracy } = await validateClasses(m, splits.test, { batcher, batchSize: 250 })
  return Number((100 * accuracy).toFixed(2))
}

function costOf(m: Model): { parameters: number; macs: number } {
  const { params, macs } = inspectModel(m).totals
  return { parameters: params, macs: macs ?? Number.NaN }
}

async function speedUpOf(m: Model): Promise<SpeedUp> {
  const feeds = batcher(splits.test, Uint32Array.of(0))
  const contenders = [model, m].map((c, i) => ({ name: `${i}`, feeds, open: () => openSession(c, { threads: 1 }) }))
  const [, { speedUp }] = await measureLatency(contenders, { maxMs: 8000 })
  return speedUp
}

const points: Point[] = list(flags.methods).flatMap((method) => [
  ...list(flags.shares).map((s) => ({ method, ranks: `share ${s}`, options: { ranksBy: 'macs', share: Number(s) } })),
  ...list(flags.ranks).map((r) => ({ method, ranks: `rank ${r}`, options: { rank: Number(r) } })),
  ...(flags.vbmf && method !== 'cp' ? [{ method, ranks: 'vbmf', options: { ranksBy: 'vbmf' } }] : []),
])
const whole = { ...costOf(model), accuracy: await accuracyOf(model) }
const rows: Row[] = []
for (const { method, ranks, options } of points) {
  for (const multiple of numbers(flags.multiples) ?? [1]) {
    for (const norm of ['weights', 'data']) {
      const start = performance.now()
      const made = await methodNamed(method)(model, { ...options, multiple, norm }, { data, seed })
      const seconds = Number(((performance.now() - start) / 1000).toFixed(1))
      const row = { method, ranks, multiple, norm, ...costOf(made), accuracy: await accuracyOf(made), seconds }
      rows.push({ ...row, speedUp: await speedUpOf(made) })
      console.error(`${name}: ${method}, ${ranks}, ${norm}: ${row.accuracy} %, ${seconds} s`)
    }
  }
}

function markdown(): string {
  const head = [
    'method',
    'ranks',
    'multiple of',
    'norm',
    'parameters',
    'multiply-adds',
    'fewer',
    'times as fast',
    'top-1',
    's',
  ]
  const lines = rows.map((r) => [
    r.method,
    r.ranks,
    String(r.multiple),
    r.norm,
    r.parameters.toLocaleString('en'),
    r.macs.toLocaleString('en'),
    `${(whole.macs / r.macs).toFixed(2)} x`,
    `${r.speedUp.median.toFixed(2)} (${r.speedUp.low.toFixed(2)}-${r.speedUp.high.toFixed(2)})`,
    r.accuracy.toFixed(2),
    String(r.seconds),
  ])
  const table = [head, head.map((_, i) => (i < 4 ? '---' : '---:')), ...lines]
  return `# Low rank without training: ${name}

Made by \`${command}\`. Figures: \`${name}.json\`. The whole network: ${whole.parameters.toLocaleString('en')} parameters, ${whole.macs.toLocaleString('en')} multiply-adds,
${whole.accuracy.toFixed(2)} %. Nothing is trained after factorising; the norm of the data looks at ${flags.samples} training images.
Top-1 is in % on the whole test set (${splits.test.length} samples); times as fast: one sample, one thread, both networks in turn, with a 99 % interval.

${table.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}
`
}

const machine = { cpu: cpus()[0].model, node: process.version, threads: 1 }
const about = { model: name, command, testSamples: splits.test.length, whole, machine }
await write('json', `${JSON.stringify({ ...about, rows }, null, 1)}\n`)
await write('md', markdown())

async function write(ending: string, text: string): Promise<void> {
  const path = fileURLToPath(new URL(`./results/${name}.${ending}`, import.meta.url))
  await writeFileAtomic(path, new TextEncoder().encode(text))
}
