/** What training aims at, for each kind of output and answers: two ways of computing the loss agree, and it is learnt. */
import { describe, expect, it } from 'vitest'
import type { Batcher, Dataset } from '../data/dataset.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Dim, Model, ValueInfo } from '../model.ts'
import type { OutputKind } from '../task/task.ts'
import { floats, integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { netBuilder } from '../testing/small-nets.ts'
import { adam } from './optimizers.ts'
import { train } from './train.ts'
import { validate } from './validate.ts'

const samples = 120
const features = 6
const inputs = (() => {
  const rng = random(3)
  return Float32Array.from({ length: samples * features }, () => rng.normal())
})()
const feature = (i: number, k: number): number => inputs[i * features + k]
const batcher: Batcher = (data, indices) => ({
  x: {
    dtype: 'float32',
    dims: [indices.length, features],
    data: Float32Array.from({ length: indices.length * features }, (_, i) => {
      const from = data.fields.x.data
      return from[indices[Math.floor(i / features)] * features + (i % features)]
    }),
  },
})

function dataset(answers: Pick<Dataset, 'labels' | 'classes' | 'targets'>): Dataset {
  const x = { shape: [features], data: inputs, kind: 'values' } as const
  return { id: 'made', length: samples, fields: { x }, ...answers }
}

const rows = (width: number, of: (sample: number, k: number) => number) => ({
  shape: width === 0 ? [] : [width],
  data: Float32Array.from({ length: samples * Math.max(1, width) }, (_, i) =>
    of(Math.floor(i / Math.max(1, width)), i % Math.max(1, width)),
  ),
  kind: 'values' as const,
})
const labels = (of: (sample: number) => number): Int32Array => Int32Array.from({ length: samples }, (_, i) => of(i))

/** Two dense layers to `width` scores, and what a case makes of them. */
function net(width: number, end: (b: ReturnType<typeof netBuilder>, scores: string) => ValueInfo[]): Model {
  const b = netBuilder(4)
  const hidden = b.op('Relu', [b.op('Gemm', ['x', b.weight('w1', [features, 16], 6), b.weight('b1', [16], 1e9)])])
  const scores = b.op('Gemm', [hidden, b.weight('w2', [16, width], 16), b.weight('b2', [width], 1e9)])
  const outputs = end(b, scores)
  const { nodes, initializers } = b
  return makeModel({ nodes, initializers, inputs: [valueInfo('x', 'float32', ['N', features])], outputs }, 17)
}

const float = (name: string, ...shape: Dim[]): ValueInfo => valueInfo(name, 'float32', shape)
const threeClasses = labels((i) => (feature(i, 0) > 0.4 ? 0 : feature(i, 1) > 0 ? 1 : 2))
const yes = labels((i) => Number(feature(i, 0) + feature(i, 1) > 0))

interface Case {
  readonly name: string
  readonly model: Model
  readonly data: Dataset
  readonly task?: OutputKind
}

const cases: readonly Case[] = [
  {
    name: 'the class first, then probabilities',
    model: net(3, (b, z) => [
      valueInfo(b.op('ArgMax', [z], { axis: 1, keepdims: 0 }), 'int64', ['N']),
      float(b.op('Softmax', [z], { axis: -1 }), 'N', 3),
    ]),
    data: dataset({ labels: threeClasses, classes: 3 }),
  },
  {
    name: 'classes behind a ZipMap',
    model: (() => {
      const whole = net(3, (b, z) => {
        b.nodes.push(
          node('ZipMap', [b.op('Softmax', [z])], ['map'], { classlabels_int64s: [0, 1, 2] }, { domain: 'ai.onnx.ml' }),
        )
        return [
          valueInfo(b.op('ArgMax', [z], { axis: 1, keepdims: 0 }), 'int64', ['N']),
          { name: 'map', opaqueType: new Uint8Array() },
        ]
      })
      return { ...whole, opsets: [...whole.opsets, { domain: 'ai.onnx.ml', version: 1 }] }
    })(),
    data: dataset({ labels: threeClasses, classes: 3 }),
  },
  {
    name: 'scores [N,C,1,1]',
    model: net(3, (b, z) => {
      b.initializers.set('axes', integerTensor('axes', 'int64', [2], [2, 3]))
      return [float(b.op('Unsqueeze', [z, 'axes']), 'N', 3, 1, 1)]
    }),
    data: dataset({ labels: threeClasses, classes: 3 }),
  },
  {
    name: 'probabilities [N,C,1,1]',
    model: net(3, (b, z) => {
      b.initializers.set('axes', integerTensor('axes', 'int64', [2], [2, 3]))
      return [float(b.op('Softmax', [b.op('Unsqueeze', [z, 'axes'])], { axis: 1 }), 'N', 3, 1, 1)]
    }),
    data: dataset({ labels: threeClasses, classes: 3 }),
  },
  {
    name: 'yes or no, [N,1]',
    model: net(1, (b, z) => [float(b.op('Sigmoid', [z]), 'N', 1)]),
    data: dataset({ labels: yes, classes: 2 }),
  },
  {
    name: 'yes or no, [N]',
    model: net(1, (b, z) => {
      b.initializers.set('axes', integerTensor('axes', 'int64', [1], [1]))
      return [float(b.op('Squeeze', [b.op('Sigmoid', [z]), 'axes']), 'N')]
    }),
    data: dataset({ labels: yes, classes: 2 }),
  },
  {
    name: 'yes or no, as a logit',
    model: net(1, (_, z) => [float(z, 'N', 1)]),
    data: dataset({ labels: yes, classes: 2 }),
  },
  {
    name: 'yes or no by a probability that no sigmoid makes',
    model: net(1, (b, z) => {
      const half = b.op('HardSigmoid', [z])
      return [float(half, 'N', 1)]
    }),
    data: dataset({ labels: yes, classes: 2 }),
  },
  {
    name: 'several labels',
    model: net(4, (b, z) => [float(b.op('Sigmoid', [z]), 'N', 4)]),
    data: dataset({ targets: rows(4, (i, k) => Number(feature(i, k) > 0)) }),
  },
  {
    name: 'one number per sample',
    model: net(1, (_, z) => [float(z, 'N', 1)]),
    data: dataset({ targets: rows(0, (i) => feature(i, 0) - feature(i, 1)) }),
  },
  {
    name: 'several numbers',
    model: net(3, (_, z) => [float(z, 'N', 3)]),
    data: dataset({ targets: rows(3, (i, k) => Math.abs(feature(i, k))) }),
  },
  {
    name: 'numbers of a large unit',
    model: net(2, (_, z) => [float(z, 'N', 2)]),
    data: dataset({ targets: rows(2, (i, k) => 50 * feature(i, k)) }),
  },
  {
    name: 'a mask of yes and no',
    model: net(4, (b, z) => {
      b.initializers.set('shape', integerTensor('shape', 'int64', [4], [-1, 1, 2, 2]))
      return [float(b.op('Sigmoid', [b.op('Reshape', [z, 'shape'])]), 'N', 1, 2, 2)]
    }),
    data: dataset({ targets: { ...rows(4, (i, k) => Number(feature(i, k) > 0)), shape: [1, 2, 2] } }),
  },
  {
    name: 'a class per position of a sequence',
    model: net(12, (b, z) => {
      b.initializers.set('shape', integerTensor('shape', 'int64', [3], [-1, 4, 3]))
      return [float(b.op('Reshape', [z, 'shape']), 'N', 4, 3)]
    }),
    data: dataset({ targets: rows(4, (i, k) => (feature(i, k) > 0.5 ? 2 : feature(i, k) > -0.5 ? 1 : 0)) }),
    task: 'tokens',
  },
  {
    name: 'a class per pixel, along axis 1',
    model: net(12, (b, z) => {
      b.initializers.set('shape', integerTensor('shape', 'int64', [4], [-1, 3, 2, 2]))
      return [float(b.op('Softmax', [b.op('Reshape', [z, 'shape'])], { axis: 1 }), 'N', 3, 2, 2)]
    }),
    data: dataset({ targets: rows(4, (i, k) => (feature(i, k) > 0.5 ? 2 : feature(i, k) > -0.5 ? 1 : 0)) }),
    task: 'mask',
  },
]

function options({ model, task }: Case, more: { readonly epochs: number; readonly learningRate: number }) {
  const axis = task === 'mask' ? 1 : 2
  const told = task && {
    task: { outputs: [{ output: model.graph.outputs[0].name, kind: task, axis, labelled: true, why: 'as told' }] },
  }
  return { batcher, batchSize: 40, threads: 1, optimizer: adam(), ...more, ...told }
}

describe('training on', () => {
  for (const test of cases) {
    it(test.name, async () => {
      const still = { ...options(test, { epochs: 1, learningRate: 0 }) }
      const before = await validate(test.model, test.data, still)
      const { history } = await train(test.model, test.data, still)
      // The step's graph and the validation's sums are written apart.
      expect(history[0].loss).toBeCloseTo(before.loss, 4)
      if (before.accuracy === undefined) expect(history[0].accuracy).toBeUndefined()
      else expect(history[0].accuracy).toBeCloseTo(before.accuracy, 6)
      const learning = options(test, { epochs: 40, learningRate: 0.02 })
      const tuned = await train(test.model, test.data, learning)
      const after = await validate(tuned.model, test.data, learning)
      expect(after.loss).toBeLessThan(before.loss / 2)
      if (after.accuracy !== undefined) expect(after.accuracy).toBeGreaterThan(0.9)
      // All that the model has stays, and only weights changed.
      expect(tuned.model.graph.outputs).toEqual(test.model.graph.outputs)
      expect(tuned.model.graph.nodes.length).toBe(test.model.graph.nodes.length)
      expect(floats(tuned.model.graph.initializers.get('w1')!)).not.toEqual(
        floats(test.model.graph.initializers.get('w1')!),
      )
    })
  }
})

it('takes no step too far where targets have a large unit', async () => {
  const data = dataset({ targets: rows(2, (i, k) => 1000 * feature(i, k)) })
  const still = { batcher, batchSize: 40, threads: 1 }
  const random = net(2, (_, z) => [float(z, 'N', 2)])
  const { model } = await train(random, data, { ...still, epochs: 4, learningRate: 1, optimizer: adam() })
  // Plain gradient descent, whose steps are as long as the loss is steep.
  const { history } = await train(model, data, { ...still, epochs: 30, learningRate: 0.01 })
  const losses = history.map((h) => h.loss)
  expect(losses.at(-1)).toBeLessThan(losses[0])
})

describe('it says in one sentence', () => {
  const run = (model: Model, data: Dataset) =>
    train(model, data, { batcher, batchSize: 40, epochs: 1, learningRate: 0 })

  it('that labels fit no output', async () => {
    const model = net(3, (_, z) => [float(z, 'N', 3)])
    await expect(run(model, dataset({ labels: labels((i) => i % 9), classes: 9 }))).rejects.toThrow(
      /its labels of 9 classes fit no output of the model \("v2" \[N,3\]\)/,
    )
  })

  it('that there are targets of another size', async () => {
    const model = net(3, (_, z) => [float(z, 'N', 3)])
    await expect(run(model, dataset({ targets: rows(2, () => 0) }))).rejects.toThrow(
      /its targets of 2 numbers per sample fit no output/,
    )
  })

  it('that there is nothing to train on', async () => {
    const model = net(3, (_, z) => [float(z, 'N', 3)])
    await expect(run(model, dataset({}))).rejects.toThrow(/no labels; expected labels or targets/)
  })
})
