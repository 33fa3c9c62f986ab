/**
 * Question: what does a product straight on compressed weights cost beside the dense product, and how many bytes do the
 * formats take? A 4096 x 4096 matrix of normal weights, the smallest pruned, the rest sharing 32 values by k-means.
 * One thread each, one run of each per round; ratios are taken within a round.
 * Peers: our dense product (WebAssembly SIMD) and ONNX Runtime's MatMul. Writes bench/results/matvec.json.
 * Run: npx tsx bench/matvec.mts
 */
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { spreadOf } from '../src/evaluate/latency.ts'
import * as formats from '../src/formats/matrix/index.ts'
import type { Matrix, MatrixFormat } from '../src/formats/matrix/matrix.ts'
import { statisticsOf } from '../src/formats/matrix/statistics.ts'
import { model, node, valueInfo } from '../src/graph/build.ts'
import { writeModel } from '../src/onnx/write.ts'
import { openSession } from '../src/runtime/session.ts'
import { floatTensor } from '../src/tensor/dtype.ts'
import { kmeans1d, nearest } from '../src/tensor/kmeans.ts'
import { random } from '../src/tensor/random.ts'

const size = 4096
const k = 32
const rounds = 11
const contestants: readonly MatrixFormat[] = [
  formats.dense,
  formats.csc,
  formats.shac,
  formats.hac,
  formats.indexMap,
  formats.cser,
] as MatrixFormat[]

function sharedWeights(sparsity: number): Matrix {
  const rng = random(1)
  const weights = Float32Array.from({ length: size * size }, () => 0.02 * rng.normal())
  const threshold = Float32Array.from(weights, Math.abs).sort()[Math.floor(sparsity * weights.length)]
  const kept = weights.filter((w) => Math.abs(w) >= threshold)
  const sample = kept.filter((_, i) => i % 16 === 0)
  const codebook = Float32Array.from(kmeans1d(sample, k))
  const values = weights.map((w) => (Math.abs(w) >= threshold ? codebook[nearest(codebook, w)] : 0))
  return { rows: size, columns: size, values }
}

async function ortProduct(matrix: Matrix): Promise<(x: Float32Array) => Promise<Float32Array>> {
  const net = model({
    nodes: [node('MatMul', ['x', 'w'], ['y'])],
    initializers: new Map([['w', floatTensor('w', [size, size], matrix.values)]]),
    inputs: [valueInfo('x', 'float32', [1, size])],
    outputs: [valueInfo('y', 'float32', [1, size])],
  })
  const session = await openSession(writeModel(net), { threads: 1, name: 'MatMul' })
  return async (x) => (await session.run({ x: { dtype: 'float32', dims: [1, size], data: x } })).y.data as Float32Array
}

async function measure(sparsity: number): Promise<Record<string, unknown>> {
  const matrix = sharedWeights(sparsity)
  const statistics = statisticsOf(matrix)
  const rng = random(2)
  const x = Float32Array.from({ length: size }, () => rng.normal())
  const runs: Record<string, (x: Float32Array) => Float32Array | Promise<Float32Array>> = {}
  const rows: Record<string, Record<string, unknown>> = {}
  for (const format of contestants) {
    const open = format.open(format.encode(matrix))
    runs[format.id] = open.matvec
    rows[format.id] = {
      bitsPerEntry: (8 * open.byteLength) / matrix.values.length,
      boundBitsPerEntry: format.bound(statistics),
      bytes: open.byteLength,
    }
  }
  runs['onnxruntime MatMul'] = await ortProduct(matrix)
  rows['onnxruntime MatMul'] = { bitsPerEntry: 32, bytes: 4 * matrix.values.length }
  const reference = await runs.dense(x)
  for (const [name, run] of Object.entries(runs)) {
    const y = await run(x)
    if (y.some((v, j) => Math.abs(v - reference[j]) > 1e-4)) throw new Error(`bench: ${name} gives another product`)
  }
  const times: Record<string, number[]> = {}
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(runs)) {
      const start = performance.now()
      await run(x)
      ;(times[name] ??= []).push(performance.now() - start)
    }
  }
  for (const name of Object.keys(runs)) {
    const over = (peer: string) => spreadOf(times[name].map((ms, round) => ms / times[peer][round]))
    rows[name] = {
      ...rows[name],
      latencyMs: spreadOf(times[name]),
      overDense: over('dense'),
      overOnnxRuntime: over('onnxruntime MatMul'),
      overCsc: over('csc'),
    }
    console.error(sparsity, name, rows[name])
  }
  return { sparsity, ...statistics, entropyBitsPerEntry: statistics.entropy, formats: rows }
}

const results: Record<string, unknown>[] = []
for (const sparsity of [0.5, 0.9, 0.99]) results.push(await measure(sparsity))
const machine = { cpu: cpus()[0].model, node: process.version, threads: 1 }
const text = JSON.stringify({ machine, size, values: k, rounds, results }, null, 2)
writeFileSync(new URL('./results/matvec.json', import.meta.url), `${text}\n`)
