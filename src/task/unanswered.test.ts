/** Samples without a finite answer are kept away from whatever learns: calibration, scores, scans and training. */
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import type { Dataset } from '../data/dataset.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { scan } from '../search/scan.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { train } from '../train/train.ts'
import { answeredHandle } from './unanswered.ts'

const rng = random(5)
const normal = (length: number, scale: number): Float32Array =>
  Float32Array.from({ length }, () => scale * rng.normal())

/** Scores of four classes from eight numbers, of their logarithms or of themselves. */
const classifier = (first: 'Log' | 'Relu'): Model =>
  model({
    nodes: [
      node(first, ['x'], ['l']),
      node('MatMul', ['l', 'w1'], ['a']),
      node('Relu', ['a'], ['b']),
      node('MatMul', ['b', 'w2'], ['y']),
    ],
    initializers: new Map(
      [floatTensor('w1', [8, 32], normal(256, 0.4)), floatTensor('w2', [32, 4], normal(128, 0.3))].map((t) => [
        t.name,
        t,
      ]),
    ),
    inputs: [valueInfo('x', 'float32', ['N', 8])],
    outputs: [valueInfo('y', 'float32', ['N', 4])],
  })

/** Positive numbers and their classes; each of `spoilt` samples, all over the set, holds one number that is `value`. */
function samples(length: number, { spoilt, value }: { spoilt: number; value: number }): Dataset {
  const data = normal(length * 8, 0.7).map(Math.exp)
  for (let i = 0; i < spoilt; i++) data[8 * Math.floor(((i + 0.5) * length) / spoilt) + 3] = value
  const labels = Int32Array.from({ length }, (_, i) => (data[8 * i] > 1 ? 1 : 0) + (data[8 * i + 1] > 1 ? 2 : 0))
  return { id: 'made', length, classes: 4, labels, fields: { x: { kind: 'values', shape: [8], data } } }
}

function bound(net: Model, dataset: Dataset) {
  const inputs = requiredInputs(net)
  return { batcher: batcherFor(inputs, dataset, guessPreprocess(inputs, dataset)), dataset }
}

const ways = [
  { why: 'a logarithm of nothing', net: classifier('Log'), value: 0 },
  { why: 'a number that is missing', net: classifier('Relu'), value: Number.NaN },
]

describe.each(ways)('$why in a few samples', ({ net, value }) => {
  it('training learns from the others, and says so', async () => {
    const { batcher, dataset } = bound(net, samples(400, { spoilt: 7, value }))
    const told: string[] = []
    const { model: trained, history } = await train(net, dataset, {
      ...{ batcher, epochs: 20, batchSize: 20, learningRate: 0.02, threads: 1 },
      validation: samples(100, { spoilt: 3, value }),
      warn: (text) => void told.push(text),
    })
    expect(told).toEqual(['for 10 of 500 samples the model itself gives NaN or infinity: they are left out'])
    for (const t of trained.graph.initializers.values()) expect(floats(t).every(Number.isFinite)).toBe(true)
    expect(history.at(-1)?.validation?.accuracy).toBeGreaterThan(0.8)
  })

  it('methods are not given them, wherever in the set they lie', async () => {
    const { batcher, dataset } = bound(net, samples(3000, { spoilt: 60, value }))
    const told: string[] = []
    const data = { splits: { train: dataset, test: dataset }, batcher }
    const handle = await answeredHandle(net, data, { seed: 2, warn: (text) => void told.push(text) })
    expect(told).toEqual(['for 60 of 3,000 samples the model itself gives NaN or infinity: they are left out'])
    const [first] = Object.values(net.graph.nodes[0].inputs)
    let seen = 0
    for (const feeds of handle.calibration({ samples: 5000 })) {
      for (const v of feeds[first].data as Float32Array) expect(v > 0).toBe(true)
      seen += feeds[first].dims[0]
    }
    expect(seen).toBe(2940)
  })

  it('a scan measures on the others', async () => {
    const { batcher, dataset } = bound(net, samples(300, { spoilt: 5, value }))
    const told: string[] = []
    const result = await scan(
      net,
      { batcher, data: dataset },
      { sparsities: [0.5], threads: 1, warn: (text) => void told.push(text) },
    )
    expect(told).toHaveLength(1)
    expect(result.samples).toBe(295)
    expect(result.curves.every((c) => c.points.every((p) => Number.isFinite(p.loss)))).toBe(true)
  })
})
