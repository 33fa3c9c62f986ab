/**
 * The benchmark of Marinò et al. 2021 (Compact representations of convolutional neural networks via weight pruning and
 * quantization) on dense layers of ONNX models: a grid of sparsity x number of shared values x way of sharing, and for
 * each the size of every matrix format, every byte counted, and the time of its products beside the dense one.
 *
 *   npm run experiment -- source-coded-storage [--method k-means,probabilistic,uniform,entropy] [--model FILE.onnx]…
 *
 * Without --model it takes the models that this project ships (models/*.onnx). No retraining happens here, so the table
 * says what storage costs, not what accuracy remains. Writes results/NAME.json and results/NAME.md for each model.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { spreadOf } from '../../src/evaluate/latency.ts'
import { matrixOfWeight } from '../../src/formats/matrix/convolution.ts'
import * as formats from '../../src/formats/matrix/index.ts'
import type { Matrix, MatrixFormat, OpenedMatrix } from '../../src/formats/matrix/matrix.ts'
import { statisticsOf } from '../../src/formats/matrix/statistics.ts'
import { weightTensors } from '../../src/graph/weights.ts'
import type { Model } from '../../src/model.ts'
import { readModel } from '../../src/onnx/read.ts'
import { magnitude } from '../../src/prune/magnitude.ts'
import { share } from '../../src/quantize/share.ts'
import { floats } from '../../src/tensor/dtype.ts'
import { random } from '../../src/tensor/random.ts'

const sparsities = [0, 0.5, 0.9, 0.95, 0.99]
const valueCounts = [2, 32, 128, 1024]
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
  readonly method: string
  /** The most values that a layer really has, 0 not counted. */
  readonly values: number
  readonly density: number
  readonly entropyRatio: number
  readonly formats: Record<string, FormatRow>
}

/** The weights of dense layers, as matrices of inputs x outputs. */
function denseLayers(model: Model): Matrix[] {
  return weightTensors(model)
    .filter((w) => w.tensor.dims.length === 2 && w.uses.every((u) => u.node.op === 'Gemm' || u.node.op === 'MatMul'))
    .map((w) => matrixOfWeight(floats(w.tensor) as Float32Array, w.tensor.dims, w.outputAxis ?? 1))
}

async function measure(model: Model, point: { sparsity: number; asked: number; method: (typeof methods)[number] }) {
  const { sparsity, asked, method } = point
  const pruned = sparsity > 0 ? await magnitude(model, { sparsity }) : model
  const layers = denseLayers(await share(pruned, { values: asked, method, minSize: 1 }, { seed: 1 }))
  const statistics = layers.map(statisticsOf)
  const entries = layers.reduce((n, l) => n + l.values.length, 0)
  const mean = (of: (i: number) => number): number =>
    layers.reduce((sum, l, i) => sum + of(i) * l.values.length, 0) / entries
  const opened = all.map((format) => layers.map((layer) => format.open(format.encode(layer))))
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
    values: Math.max(...statistics.map((s) => s.distinct)),
    density: mean((l) => statistics[l].density),
    entropyRatio: mean((l) => statistics[l].entropy) / 32,
    formats: rows,
  } satisfies Row
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
  const head = ['sharing', 'sparsity', 'k asked', 'k', 'entropy', ...all.map((f) => f.id)]
  const lines = rows.map((r) => {
    const start = [r.method, String(r.sparsity), String(r.asked), String(r.values), r.entropyRatio.toFixed(4)]
    return [...start, ...all.map((f) => cell(r.formats[f.id]))]
  })
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function markdown(name: string, entries: number, rows: readonly Row[]): string {
  return `# Source-coded storage of ${name}

Made by \`npm run experiment -- source-coded-storage\`. The dense layers of the model, ${entries} weights: pruned by magnitude,
then shared, not retrained. Figures: \`${name}.json\`.

## Size

Bytes over those of float32 values (the paper's psi); every byte is counted: codes, tables, pointers, header, checksum.
"entropy" is that of single entries, over 32 bits.

${table(rows, (r) => r.ratio.toFixed(4))}

## Time of products

Over the dense format's (WebAssembly SIMD), one thread, median of rounds. Dense, csc and shac have WebAssembly kernels
(shac for up to 255 values); the others run in TypeScript.

${table(rows, (r) => r.overDense.toFixed(2))}
`
}

const { values: flags } = parseArgs({
  options: { model: { type: 'string', multiple: true }, method: { type: 'string', default: methods.join(',') } },
})
const shipped = new URL('../../models/', import.meta.url)
const paths: (string | URL)[] =
  flags.model ?? readdirSync(shipped).flatMap((f) => (f.endsWith('.onnx') ? [new URL(f, shipped)] : []))
const chosen = flags.method.split(',').map((name) => {
  const method = methods.find((m) => m === name)
  if (!method) throw new Error(`experiment: no sharing method "${name}"; expected some of ${methods.join(', ')}`)
  return method
})
for (const path of paths) {
  const name = basename(String(path), '.onnx')
  const model = readModel(readFileSync(path))
  const entries = denseLayers(model).reduce((n, l) => n + l.values.length, 0)
  if (entries === 0) throw new Error(`experiment: ${name} has no dense layer; expected one or more`)
  const rows: Row[] = []
  for (const method of chosen) {
    for (const asked of valueCounts) {
      for (const sparsity of sparsities) rows.push(await measure(model, { sparsity, asked, method }))
      console.error(name, method, asked)
    }
  }
  const machine = { cpu: cpus()[0].model, node: process.version, threads: 1 }
  const text = JSON.stringify({ model: name, weights: entries, machine, rounds, rows }, null, 1)
  writeFileSync(new URL(`./results/${name}.json`, import.meta.url), `${text}\n`)
  writeFileSync(new URL(`./results/${name}.md`, import.meta.url), markdown(name, entries, rows))
}
