/**
 * The benchmark of Marinò et al. 2021 (Compact representations of convolutional neural networks via weight pruning and
 * quantization) on the dense layers of a classifier: a grid of sparsity x number of shared values x way of sharing, and
 * for each the size of every matrix format, every byte counted, the time of its products beside the dense one, and the
 * accuracy on the whole test set, with and without training after each step.
 *
 *   npm run experiment -- source-coded-storage [--model FILE --data SPEC [--resize] [--mean M] [--std S]] [--epochs 1] [--images N]
 *     [--rate 0.02] [--method k-means,…] [--values 2,32] [--sparsity 0,0.9] [--work .coppice/experiments]
 *
 * FILE is .onnx or .cop; without it, the network of the demo on drawn digits. Only dense layers are pruned and shared.
 * After pruning the network is trained for `epochs` (over all training images or N of them) with zeros kept, after sharing
 * again with equal weights kept equal as well; 0 leaves training out. Writes results/NAME.json, .md and .svg; a run that was
 * cut off goes on from the rows in the work folder.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { basename, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { crc32 } from '../../src/checksum.ts'
import { batcherFor, requiredInputs } from '../../src/data/batcher.ts'
import { first } from '../../src/data/batches.ts'
import { guessPreprocess } from '../../src/data/preprocess.ts'
import { spreadOf } from '../../src/evaluate/latency.ts'
import { matrixOfWeight } from '../../src/formats/matrix/convolution.ts'
import * as formats from '../../src/formats/matrix/index.ts'
import type { Matrix, MatrixFormat, OpenedMatrix } from '../../src/formats/matrix/matrix.ts'
import { statisticsOf } from '../../src/formats/matrix/statistics.ts'
import { unpackModel } from '../../src/formats/unpack.ts'
import { type WeightTensor, weightTensors } from '../../src/graph/weights.ts'
import type { Model } from '../../src/model.ts'
import { loadData } from '../../src/node/data.ts'
import { writeFileAtomic } from '../../src/node/files.ts'
import { readModel } from '../../src/onnx/read.ts'
import { magnitude } from '../../src/prune/magnitude.ts'
import { share } from '../../src/quantize/share.ts'
import { bytesOf, floats } from '../../src/tensor/dtype.ts'
import { random } from '../../src/tensor/random.ts'
import type { Regime } from '../../src/train/regime.ts'
import { keepZeros } from '../../src/train/regimes/keep-zeros.ts'
import { tie } from '../../src/train/regimes/tie.ts'
import { cosine } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import { validateClasses } from '../../src/train/validate.ts'
import { lineChart } from '../_plot.mts'

const rounds = 7
const all = Object.values(formats) as MatrixFormat[]
const methods = ['k-means', 'probabilistic', 'uniform', 'entropy'] as const

interface FormatRow {
  readonly bytes: number
  /** Over 32 bits an entry: the paper's psi. */
  readonly ratio: number
  readonly boundRatio: number
  /** Microseconds for the products of all dense layers, and over the dense format's time in the same round. */
  readonly productUs: number
  readonly overDense: number
}

interface Row {
  readonly sparsity: number
  readonly asked: number
  readonly method: (typeof methods)[number]
  /** Top-1 in % on the whole test set: as shared, and after training with equal weights kept equal. */
  readonly accuracyShared: number
  readonly accuracy: number
  /** The most values that a layer really has, 0 not counted. */
  readonly values: number
  readonly density: number
  readonly entropyRatio: number
  readonly formats: Record<string, FormatRow>
}

const isDense = ({ tensor, uses }: WeightTensor): boolean =>
  tensor.dims.length === 2 && uses.every((u) => u.node.op === 'Gemm' || u.node.op === 'MatMul')

/** The weights of dense layers, as matrices of inputs x outputs. */
function denseLayers(model: Model): Matrix[] {
  return weightTensors(model)
    .filter(isDense)
    .map((w) => matrixOfWeight(floats(w.tensor) as Float32Array, w.tensor.dims, w.outputAxis ?? 1))
}

const others = (model: Model): string[] => weightTensors(model).flatMap((w) => (isDense(w) ? [] : [w.name]))

/** Trains for the epochs asked for; none gives the model as it is. */
async function retrained(model: Model, regimes: readonly Regime[]): Promise<Model> {
  if (epochs === 0) return model
  const options = {
    batcher,
    epochs,
    batchSize: 64,
    learningRate: Number(flags.rate),
    schedule: cosine(),
    regimes,
    seed: 1,
    threads: 1,
  }
  return (await train(model, training, options)).model
}

async function accuracyOf(model: Model): Promise<number> {
  const { accuracy } = await validateClasses(model, splits.test, { batcher, batchSize: 250, threads: 1 })
  return Number((100 * accuracy).toFixed(2))
}

function tiesOf(model: Model): Regime {
  return tie({ names: weightTensors(model).flatMap((w) => (isDense(w) ? [w.name] : [])) })
}

type Point = { readonly sparsity: number; readonly asked: number; readonly method: (typeof methods)[number] }

async function measure(pruned: Model, { sparsity, asked, method }: Point): Promise<Row> {
  const exclude = others(pruned)
  const shared = await share(pruned, { values: asked, method, minElements: 1, exclude }, { seed: 1 })
  const model = await retrained(shared, [keepZeros(), tiesOf(shared)])
  const layers = denseLayers(model)
  const statistics = layers.map(statisticsOf)
  const entries = layers.reduce((n, l) => n + l.values.length, 0)
  const mean = (of: (i: number) => number): number =>
    layers.reduce((sum, l, i) => sum + of(i) * l.values.length, 0) / entries
  const opened = all.map((format) => layers.map((layer) => format.open(format.encode(layer))))
  for (const [i, list] of opened.entries()) for (const [j, o] of list.entries()) checkLossless(all[i], o, layers[j])
  const times = timeProducts(opened, layers)
  const dense = times[all.findIndex((f) => f.id === 'dense')]
  const rows: Record<string, FormatRow> = {}
  for (const [i, format] of all.entries()) {
    const bytes = opened[i].reduce((n, o) => n + o.byteLength, 0)
    rows[format.id] = {
      bytes,
      ratio: bytes / (4 * entries),
      boundRatio: mean((l) => format.bound(statistics[l])) / 32,
      productUs: 1000 * spreadOf(times[i]).median,
      overDense: spreadOf(times[i].map((ms, round) => ms / dense[round])).median,
    }
  }
  return {
    sparsity,
    asked,
    method,
    accuracyShared: await accuracyOf(shared),
    accuracy: await accuracyOf(model),
    values: Math.max(...statistics.map((s) => s.distinct)),
    density: mean((l) => statistics[l].density),
    entropyRatio: mean((l) => statistics[l].entropy) / 32,
    formats: rows,
  }
}

/** Accuracy is then that of the decoded network. */
function checkLossless(format: MatrixFormat, opened: OpenedMatrix, layer: Matrix): void {
  if (Buffer.compare(bytesOf(opened.decode().values), bytesOf(layer.values)) !== 0)
    throw new Error(`${format.id}: the decoded matrix differs; expected the same bits`)
}

/** Milliseconds of the products of all layers, for each format a round. */
function timeProducts(opened: readonly (readonly OpenedMatrix[])[], layers: readonly Matrix[]): number[][] {
  const rng = random(1)
  const inputs = layers.map((l) => Float32Array.from({ length: l.rows }, () => rng.normal()))
  const times: number[][] = opened.map(() => [])
  for (let round = -2; round < rounds; round++) {
    for (const [i, matrices] of opened.entries()) {
      const start = performance.now()
      for (const [j, matrix] of matrices.entries()) matrix.matvec(inputs[j])
      if (round >= 0) times[i].push(performance.now() - start)
    }
  }
  return times
}

function table(rows: readonly Row[], cell: (row: FormatRow) => string): string {
  const head = ['sharing', 'sparsity', 'k asked', 'k', 'top-1 shared', 'top-1', 'entropy', ...all.map((f) => f.id)]
  const lines = rows.map((r) => {
    const accuracy = [r.accuracyShared.toFixed(2), r.accuracy.toFixed(2)]
    const start = [
      r.method,
      String(r.sparsity),
      String(r.asked),
      String(r.values),
      ...accuracy,
      r.entropyRatio.toFixed(4),
    ]
    return [...start, ...all.map((f) => cell(r.formats[f.id]))]
  })
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** Of the rows at no lower accuracy than the reference, the one with the smallest dense layers, in any format. */
function smallestWithoutLoss(rows: readonly Row[], reference: number): { row: Row; format: string } | undefined {
  const kept = rows.filter((r) => r.accuracy >= reference)
  const pairs = kept.flatMap((row) => all.map((f) => ({ row, format: f.id })))
  const ratio = (p: { row: Row; format: string }): number => p.row.formats[p.format].ratio
  return pairs.length === 0 ? undefined : pairs.reduce((best, p) => (ratio(p) < ratio(best) ? p : best))
}

function markdown(
  name: string,
  { entries, reference, rows }: { entries: number; reference: number; rows: readonly Row[] },
) {
  const best = smallestWithoutLoss(rows, reference)
  const said = best
    ? `${best.format} at ${best.row.formats[best.format].ratio.toFixed(4)} of float32 (${best.row.method}, sparsity ${best.row.sparsity}, k = ${best.row.asked}), top-1 ${best.row.accuracy.toFixed(2)} %`
    : 'none on this grid'
  return `# Source-coded storage of ${name}

Made by \`${command}\`. The dense layers of the model, ${entries} weights: pruned by magnitude, then shared,
${epochs === 0 ? 'not trained after either' : `trained for ${epochs} epoch(s) of ${training.length} images after each`}. Figures: \`${name}.json\`. Top-1 is in % on the
whole test set (${splits.test.length} samples), of the decoded weights; every format decodes to the same bits. The network came with
${reference.toFixed(2)} %.

Smallest without loss: ${said}. (The grid is read off the test set, as the paper does; it is a benchmark of storage, not a choice.)

![top-1 against bytes](${name}.svg)

## Size

Bytes over those of float32 values (the paper's psi); every byte is counted: codes, tables, pointers, header, checksum.
"entropy" is that of single entries, over 32 bits.

${table(rows, (r) => r.ratio.toFixed(4))}

## Time of products

Over the dense format's (WebAssembly SIMD), one thread, median of rounds. Dense, csc, index-map, hac and shac have WebAssembly
kernels (hac and shac for up to 255 values); the others run in TypeScript.

${table(rows, (r) => r.overDense.toFixed(2))}
`
}

/** Accuracy against size of the smaller of HAC and sHAC, a curve for each way of sharing at the middle number of values. */
function chart(name: string, rows: readonly Row[], reference: number): string {
  const asked = valueCounts[valueCounts.length >> 1]
  const curves = chosen.map((method) => ({
    label: method,
    points: rows
      .filter((r) => r.method === method && r.asked === asked)
      .map((r) => [100 * Math.min(r.formats.hac.ratio, r.formats.shac.ratio), r.accuracy] as const)
      .sort((a, b) => a[0] - b[0]),
  }))
  return lineChart(curves, {
    title: `${name}: dense layers in HAC or sHAC, k = ${asked}`,
    x: '% of the bytes of float32 (smaller of HAC and sHAC)',
    y: 'top-1 in %',
    dashed: { label: 'reference', y: reference },
  })
}

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string', default: fileURLToPath(new URL('../../models/digits-lenet5.onnx', import.meta.url)) },
    data: { type: 'string', default: 'digits:10000' },
    resize: { type: 'boolean', default: false },
    mean: { type: 'string' },
    std: { type: 'string' },
    epochs: { type: 'string', default: '1' },
    images: { type: 'string' },
    rate: { type: 'string', default: '0.02' },
    work: { type: 'string', default: '.coppice/experiments' },
    method: { type: 'string', default: methods.join() },
    values: { type: 'string', default: '2,32,128,1024' },
    sparsity: { type: 'string', default: '0,0.5,0.9,0.95,0.99' },
  },
})
const command = `npm run experiment -- source-coded-storage${process.argv
  .slice(2)
  .filter((a, i, all) => a !== '--work' && all[i - 1] !== '--work')
  .map((a) => ` ${a.includes('/') ? a.replace(/^([a-z0-9-]+:)?.*\//, '$1') : a}`)
  .join('')}`
const epochs = Number(flags.epochs)
const valueCounts = flags.values.split(',').map(Number)
const sparsities = flags.sparsity.split(',').map(Number)
const chosen = flags.method.split(',').map((name) => {
  const method = methods.find((m) => m === name)
  if (!method) throw new Error(`experiment: no sharing method "${name}"; expected some of ${methods.join(', ')}`)
  return method
})
const name = basename(flags.model, extname(flags.model))
const bytes = readFileSync(flags.model)
const reference = extname(flags.model) === '.cop' ? unpackModel(bytes) : readModel(bytes)
const entries = denseLayers(reference).reduce((n, l) => n + l.values.length, 0)
if (entries === 0) throw new Error(`experiment: ${name} has no dense layer; expected one or more`)
const splits = await loadData(flags.data, { seed: 0 })
const inputs = requiredInputs(reference)
const numbers = (text: string | undefined): number[] | undefined => text?.split(',').map(Number)
const preprocess = { resize: flags.resize, mean: numbers(flags.mean), std: numbers(flags.std) }
const batcher = batcherFor(inputs, splits.test, guessPreprocess(inputs, splits.test, preprocess))
const training = flags.images === undefined ? splits.train : first(splits.train, Number(flags.images))

const referenceAccuracy = await accuracyOf(reference)
mkdirSync(flags.work, { recursive: true })
const { data, images = 'all', rate } = flags
const settings = { model: crc32(bytes), data, preprocess, epochs, images, rate }
const workFile = join(flags.work, `storage-${name}-${crc32(new TextEncoder().encode(JSON.stringify(settings)))}.json`)
const rows: Row[] = existsSync(workFile) ? JSON.parse(readFileSync(workFile, 'utf8')) : []
const points = sparsities.flatMap((sparsity) =>
  chosen.flatMap((method) => valueCounts.map((asked): Point => ({ sparsity, method, asked }))),
)
const same = (a: Point, b: Point): boolean => a.sparsity === b.sparsity && a.method === b.method && a.asked === b.asked
const missing = points.filter((p) => !rows.some((r) => same(r, p)))
const start = performance.now()
for (const sparsity of sparsities) {
  const here = missing.filter((p) => p.sparsity === sparsity)
  if (here.length === 0) continue
  const exclude = others(reference)
  const zeroed = sparsity > 0 ? await magnitude(reference, { sparsity, exclude }) : reference
  const pruned = sparsity > 0 ? await retrained(zeroed, [keepZeros()]) : zeroed
  for (const point of here) {
    const row = await measure(pruned, point)
    rows.push(row)
    await write(workFile, JSON.stringify(rows))
    const done = missing.indexOf(point) + 1
    const left = (((performance.now() - start) / done) * (missing.length - done)) / 60_000
    console.error(
      `${name}: sparsity ${sparsity}, ${point.method}, k ${point.asked}: top-1 ${row.accuracyShared} -> ${row.accuracy} %, about ${left.toFixed(1)} min left`,
    )
  }
}
const shown = rows
  .filter((r) => points.some((p) => same(r, p)))
  .sort((a, b) => methods.indexOf(a.method) - methods.indexOf(b.method) || a.asked - b.asked || a.sparsity - b.sparsity)
const about = {
  model: name,
  command,
  weights: entries,
  testSamples: splits.test.length,
  referenceAccuracy,
  epochs,
  trainingImages: training.length,
  machine: { cpu: cpus()[0].model, node: process.version, threads: 1 },
  rounds,
}
const result = (ending: string): string => fileURLToPath(new URL(`./results/${name}.${ending}`, import.meta.url))
await write(result('json'), `${JSON.stringify({ ...about, rows: shown }, null, 1)}\n`)
await write(result('md'), markdown(name, { entries, reference: referenceAccuracy, rows: shown }))
await write(result('svg'), chart(name, shown, referenceAccuracy))

async function write(path: string, text: string): Promise<void> {
  await writeFileAtomic(path, new TextEncoder().encode(text))
}
