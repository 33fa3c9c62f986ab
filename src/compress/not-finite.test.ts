/** Samples for which a model gives NaN or infinity are left out of what is measured and judged, while they are few. */
import { expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import type { Dataset } from '../data/dataset.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { int8 } from '../quantize/int8.ts'
import { uniform } from '../quantize/uniform.ts'
import { openJudge } from '../task/judge.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { train } from '../train/train.ts'
import { compress } from './compress.ts'

const rng = random(3)
const normal = (length: number, scale: number): Float32Array =>
  Float32Array.from({ length }, () => scale * rng.normal())

/** A network of the logarithms of eight positive numbers. */
const net: Model = model({
  nodes: [
    node('Log', ['x'], ['l']),
    node('MatMul', ['l', 'w1'], ['a']),
    node('Relu', ['a'], ['b']),
    node('MatMul', ['b', 'w2'], ['y']),
  ],
  initializers: new Map(
    [floatTensor('w1', [8, 64], normal(512, 0.4)), floatTensor('w2', [64, 4], normal(256, 0.2))].map((t) => [
      t.name,
      t,
    ]),
  ),
  inputs: [valueInfo('x', 'float32', ['N', 8])],
  outputs: [valueInfo('y', 'float32', ['N', 4])],
})

/** Positive numbers, but for one that is `spoilt` in each of the first `count` of 200 samples. */
function numbers(id: string, count: number, spoilt: number): Dataset {
  const data = normal(200 * 8, 0.7).map(Math.exp)
  for (let s = 0; s < count; s++) data[8 * s + 3] = spoilt
  return { id, length: 200, fields: { x: { kind: 'values', shape: [8], data } } }
}

function bound(count: number, spoilt: number) {
  const splits = { train: numbers('train', count, spoilt), test: numbers('test', count, spoilt) }
  return {
    splits,
    batcher: batcherFor(requiredInputs(net), splits.train, guessPreprocess(requiredInputs(net), splits.train)),
  }
}

it.each([
  ['a logarithm of nothing', 0],
  ['a logarithm of less than nothing', -1],
])('%s in a few samples: they are left out, with one warning, and the rest is judged', async (_, spoilt) => {
  const result = await compress(net, { data: bound(3, spoilt), seed: 1 })
  expect(result.warnings).toEqual(['for 6 of 400 samples the model itself gives NaN or infinity: they are left out'])
  expect([result.holds, result.isUnjudged, result.trial.on]).toEqual([true, false, '197 samples of test'])
  expect(result.trial.judgements[0].snrDb).toBeGreaterThan(29)
  expect(result.packed.byteLength).toBeLessThan(1500)
})

it('most samples: it is refused', async () => {
  await expect(compress(net, { data: bound(190, 0), seed: 1 })).rejects.toThrow(
    'the layer of weight "w1" reads values on the data that are not finite',
  )
})

it('a method by itself says which share it leaves out', async () => {
  const { splits, batcher } = bound(10, 0)
  const indices = Uint32Array.from({ length: 200 }, (_, i) => i)
  const data = { calibration: () => [batcher(splits.train, indices)] }
  const told: string[] = []
  await uniform(net, {}, { data, warn: (text) => void told.push(text) })
  expect(told).toEqual([
    expect.stringMatching(/^uniform: 5\.0 % of the vectors that the layer of weight "w1" reads hold NaN/),
  ])
})

it('int8 leaves such samples out of ranges, and of the means that biases are corrected by', async () => {
  const { w1, w2 } = Object.fromEntries(net.graph.initializers)
  const dense = model({
    nodes: [
      node('Log', ['x'], ['l']),
      node('Gemm', ['l', 'w1', 'b1'], ['a']),
      node('Relu', ['a'], ['b']),
      node('Gemm', ['b', 'w2', 'b2'], ['y']),
    ],
    initializers: new Map(
      [w1, w2, floatTensor('b1', [64], normal(64, 0.1)), floatTensor('b2', [4], normal(4, 0.1))].map((t) => [
        t.name,
        t,
      ]),
    ),
    inputs: net.graph.inputs,
    outputs: net.graph.outputs,
  })
  const { splits, batcher } = bound(3, 0)
  const samples = (from: number, count: number) => Uint32Array.from({ length: count }, (_, i) => from + i)
  const calibration = () => [0, 50, 100, 150].map((from) => batcher(splits.train, samples(from, 50)))
  const quantised = await int8(dense, {}, { data: { calibration } })
  const task = { outputs: [{ output: 'y', kind: 'numbers' as const, why: 'to measure' }] }
  const feeds = batcher(numbers('fine', 0, 0), samples(0, 200))
  const inputs = () => [{ feeds, fed: 200 }]
  const [{ snrDb }] = await (await openJudge(dense, { task, inputs })).compare(quantised)
  expect(snrDb).toBeGreaterThan(30)
})

it('of classes as well: what each weight costs is measured on the others', async () => {
  const classes = (set: Dataset): Dataset => {
    const { data } = set.fields.x
    const of = (i: number): number => (Number(data[8 * i]) > 1 ? 1 : 0) + (Number(data[8 * i + 1]) > 1 ? 2 : 0)
    return { ...set, classes: 4, labels: Int32Array.from({ length: set.length }, (_, i) => of(i)) }
  }
  const training = classes(numbers('train', 20, Number.NaN))
  const inputs = requiredInputs(net)
  const batcher = batcherFor(inputs, training, guessPreprocess(inputs, training))
  const options = { batcher, epochs: 30, batchSize: 20, learningRate: 0.02, threads: 1 }
  const { model: known } = await train(net, classes(numbers('all', 0, 0)), options)
  const costs = async (count: number): Promise<number[]> => {
    const of = (id: string): Dataset => classes(numbers(id, count, Number.NaN))
    const data = { splits: { train: of('train'), test: of('test') }, batcher }
    const { sensitivity } = await compress(known, { data, seed: 1 })
    return ['w1', 'w2'].map((name) => sensitivity.get(name) ?? 0)
  }
  const [all, some] = [await costs(0), await costs(20)]
  all.forEach((cost, i) => {
    expect(Math.abs(Math.log2(some[i] / cost))).toBeLessThan(1)
  })
})
