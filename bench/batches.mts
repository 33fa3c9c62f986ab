/**
 * Question: would it pay to prepare batches off the main thread? How long the main thread takes to augment a batch and make a
 * step's inputs of it, beside the step itself (train-step.json, 2 threads), which waits for it.
 * Run: npx tsx bench/batches.mts; writes bench/results/batches.json.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { augment } from '../src/data/augment.ts'
import { batcherFor } from '../src/data/batcher.ts'
import type { Dataset } from '../src/data/dataset.ts'
import { valueInfo } from '../src/graph/build.ts'
import { random } from '../src/tensor/random.ts'
import { oneHot } from '../src/train/losses.ts'
import { nets } from './_train-nets.mts'

const results = join(import.meta.dirname, 'results')
const steps = JSON.parse(readFileSync(join(results, 'train-step.json'), 'utf8')).rows
const preprocess = { range: [0, 1], mean: [0.5], std: [0.25], layout: 'NCHW' } as const
const rounds = 200

function images(count: number, shape: readonly number[]): Dataset {
  const rng = random(1)
  const data = Uint8Array.from({ length: count * shape.reduce((a, b) => a * b, 1) }, () => rng.below(256))
  const labels = Int32Array.from({ length: count }, () => rng.below(10))
  return { id: 'noise', length: count, fields: { image: { shape, data, kind: 'image' } }, labels, classes: 10 }
}

const rows: Record<string, unknown> = {}
for (const [name, { batch, inputShape }] of Object.entries(nets)) {
  const data = images(2000, inputShape)
  const batcher = batcherFor([valueInfo('image', 'float32', ['n', ...inputShape])], data, preprocess)
  const rng = random(2)
  const ms: number[] = []
  for (let i = 0; i < rounds; i++) {
    const indices = Uint32Array.from({ length: batch }, () => rng.below(data.length))
    const start = performance.now()
    const changed = augment(data, indices, { crop: 4, flip: true, rng })
    batcher(
      changed,
      indices.map((_, k) => k),
    )
    oneHot(
      indices.map((k) => (data.labels as Int32Array)[k]),
      10,
      0.1,
    )
    ms.push(performance.now() - start)
  }
  const median = ms.sort((a, b) => a - b)[rounds >> 1]
  const step = steps[name].stepMs.coppice.median
  rows[name] = { batch, batchMs: median, stepMs: step, share: median / step }
  console.log(name, rows[name])
}
const machine = { cpu: cpus()[0].model, cores: cpus().length, node: process.version }
const what = 'median over 200 batches of random crops and flips, normalised, with smoothed targets; one thread'
writeFileSync(join(results, 'batches.json'), `${JSON.stringify({ machine, what, rows }, null, 2)}\n`)
