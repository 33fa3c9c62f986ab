import { expect, test } from 'vitest'
import { pickSamples } from '../data/batch-axis.ts'
import { batcherFor } from '../data/batcher.ts'
import type { Dataset } from '../data/dataset.ts'
import { fedBatches } from '../data/fed-batches.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Value } from '../method.ts'
import type { Model } from '../model.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { netBuilder } from '../testing/small-nets.ts'
import { train } from '../train/train.ts'
import { anyBatchOf } from './any-batch.ts'

const samples = 37
const preprocess = { layout: 'NCHW' } as Parameters<typeof batcherFor>[2]

function dataOf(shape: readonly number[], states?: readonly number[]): Dataset {
  const rng = random(3)
  const draw = (dims: readonly number[]) => {
    const size = dims.reduce((a, b) => a * b, 1)
    return {
      shape: dims,
      data: Float32Array.from({ length: samples * size }, () => rng.next() - 0.5),
      kind: 'values' as const,
    }
  }
  const labels = Int32Array.from({ length: samples }, (_, i) => i % 3)
  return {
    ...{ id: 'made', length: samples, labels, classes: 3 },
    fields: { x: draw(shape), ...(states ? { h: draw(states) } : {}) },
  }
}

/** A convolution, a constant Reshape as PyTorch's view(1, …) leaves it, and a dense layer. */
function imageNet(batch: number | string, shape: readonly number[] = [1, 72]): Model {
  const b = netBuilder(5)
  const relu = b.op('Relu', [b.op('Conv', ['x', b.weight('conv', [8, 2, 3, 3])], { kernel_shape: [3, 3] })])
  b.initializers.set('flat', integerTensor('flat', 'int64', [2], shape))
  const flat = b.op('Reshape', [relu, 'flat'])
  const y = b.op('MatMul', [flat, b.weight('dense', [72, 3], 72)])
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', [batch, 2, 5, 5])],
    outputs: [valueInfo(y, 'float32', [batch, 3])],
  })
}

/** A recurrent layer as PyTorch exports it for one sample: a state of zeros, and a Reshape that names the sample in the middle. */
function recurrentNet(): Model {
  const b = netBuilder(6)
  const [W, R] = [b.weight('W', [1, 18, 4], 4), b.weight('R', [1, 18, 6], 6)]
  b.initializers.set('zeros', floatTensor('zeros', [1, 1, 6], new Float32Array(6)))
  b.initializers.set('flat', integerTensor('flat', 'int64', [3], [5, 1, 6]))
  b.initializers.set('last', integerTensor('last', 'int64', [], [-1]))
  const steps = b.op('GRU', [b.op('Transpose', ['x'], { perm: [1, 0, 2] }), W, R, '', '', 'zeros'], { hidden_size: 6 })
  const rows = b.op('Reshape', [b.op('Transpose', [steps], { perm: [0, 2, 1, 3] }), 'flat'])
  const last = b.op('Gather', [b.op('Transpose', [rows], { perm: [1, 0, 2] }), 'last'], { axis: 1 })
  return finished(b, b.op('MatMul', [last, b.weight('dense', [6, 3], 6)]), [1, 5, 4])
}

/** Attention with two heads as PyTorch exports it for one sample: heads and samples share an axis, then rows and samples. */
function attentionNet(): Model {
  const b = netBuilder(7)
  const to = (value: string, shape: readonly number[]): string => {
    const name = `shape${b.nodes.length}`
    b.initializers.set(name, integerTensor(name, 'int64', [shape.length], shape))
    return b.op('Reshape', [value, name])
  }
  const rows = b.op('Transpose', ['x'], { perm: [1, 0, 2] })
  const heads = (w: string): string =>
    to(
      b.op('Transpose', [to(b.op('MatMul', [rows, b.weight(w, [6, 6], 6)]), [5, 2, 3])], { perm: [1, 0, 2] }),
      [1, 2, 5, 3],
    )
  const scores = b.op('MatMul', [heads('q'), b.op('Transpose', [heads('k')], { perm: [0, 1, 3, 2] })])
  const mixed = b.op('MatMul', [b.op('Softmax', [scores], { axis: -1 }), heads('v')])
  const flat = to(b.op('Transpose', [mixed], { perm: [2, 0, 1, 3] }), [5, 6])
  const all = to(b.op('MatMul', [flat, b.weight('o', [6, 3], 6)]), [5, 1, 3])
  return finished(b, b.op('ReduceMean', [all], { axes: [0], keepdims: 0 }), [1, 5, 6])
}

const finished = (b: ReturnType<typeof netBuilder>, y: string, shape: readonly number[]): Model =>
  makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', shape)],
    outputs: [valueInfo(y, 'float32', [1, 3])],
  })

/** One operator on [1, 4], with `extra` as its second input. */
function oneOperator(op: string, attributes: Parameters<typeof node>[3], extra?: readonly number[]): Model {
  const w = floatTensor('w', extra ?? [1], new Float32Array((extra ?? [1]).reduce((a, b) => a * b, 1)).fill(0.5))
  return makeModel({
    nodes: [node(op, extra ? ['x', 'w'] : ['x'], ['y'], attributes)],
    initializers: new Map(extra ? [['w', w]] : []),
    inputs: [valueInfo('x', 'float32', [1, 4])],
    outputs: [valueInfo('y', 'float32', [1, 4])],
  })
}

const bind = (m: Model, dataset: Dataset) => ({
  batcher: batcherFor(m.graph.inputs, dataset, preprocess, m.graph.outputs),
  dataset,
})

/** The answers of all samples, one after the other. */
async function outputs(m: Model, batches: ReturnType<typeof fedBatches>, axis = 0): Promise<number[]> {
  const all: number[] = []
  await withSession(
    () => openSession(m),
    async (session) => {
      for (const { feeds, count } of batches) {
        const [value]: Value[] = Object.values(await session.run(feeds))
        for (let i = 0; i < count; i++) all.push(...(pickSamples(value, axis, [i]).data as Float32Array))
      }
    },
  )
  return all
}

test.each([
  ['an image', imageNet(1)],
  ['a shape that leaves one size open', imageNet(1, [1, -1])],
  ['a batch of 4', imageNet(4, [4, 72])],
  ['a recurrent layer', recurrentNet()],
  ['attention', attentionNet()],
])('%s: batches of any size give what its own calls give', async (_, m) => {
  const data = dataOf(m.graph.inputs[0].shape?.slice(1) as number[])
  const bound = bind(m, data)
  const any = await anyBatchOf(m, bound)
  if (!any) throw new Error('expected a form of any batch')
  const apart = await outputs(m, fedBatches(bound.batcher, data))
  const together = await outputs(any.open(m), fedBatches(any.batcher, data, 16))
  expect(together.length).toBe(samples * 3)
  for (const [i, v] of together.entries()) expect(v).toBeCloseTo(apart[i], 5)
  expect(any.close(any.open(m)).graph.inputs).toEqual(m.graph.inputs)
  expect(any.close(any.open(m)).graph.outputs).toEqual(m.graph.outputs)
})

/** A Reshape to a shape that the graph computes: nothing says that it begins with the batch. */
function computedShape(): Model {
  return makeModel({
    nodes: [node('Shape', ['w'], ['s']), node('Reshape', ['x', 's'], ['y'])],
    initializers: new Map([['w', floatTensor('w', [1, 4], new Float32Array(4))]]),
    inputs: [valueInfo('x', 'float32', [1, 4])],
    outputs: [valueInfo('y', 'float32', [1, 4])],
  })
}

test.each([
  ['it takes any number already', imageNet('N', [-1, 72])],
  ['its operators mix samples', oneOperator('Softmax', { axis: 0 })],
  ['they mix them and keep their number', oneOperator('LayerNormalization', { axis: 0 }, [1, 4])],
  ['a size inside is computed', computedShape()],
])('there is no such form where %s', async (_, m) => {
  const data = dataOf(m.graph.inputs[0].shape?.length === 4 ? [2, 5, 5] : [4])
  expect(await anyBatchOf(m, bind(m, data))).toBeUndefined()
})

test('states that lie on another axis are joined there', async () => {
  const b = netBuilder(2)
  const [W, R] = [b.weight('W', [2, 18, 4], 4), b.weight('R', [2, 18, 6], 6)]
  b.nodes.push(node('GRU', ['x', W, R, '', '', 'h'], ['', 'y'], { hidden_size: 6, direction: 'bidirectional' }))
  const m = makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', [3, 1, 4]), valueInfo('h', 'float32', [2, 1, 6])],
    outputs: [valueInfo('y', 'float32', [2, 1, 6])],
  })
  const data = dataOf([3, 4], [2, 6])
  const bound = bind(m, data)
  const any = await anyBatchOf(m, bound)
  if (!any) throw new Error('expected a form of any batch')
  const apart = await outputs(m, fedBatches(bound.batcher, data), 1)
  const together = await outputs(any.open(m), fedBatches(any.batcher, data, 10), 1)
  for (const [i, v] of together.entries()) expect(v).toBeCloseTo(apart[i], 5)
})

test('a model of one sample per call is trained in batches as one of any number is, and keeps its size', async () => {
  const data = dataOf([2, 5, 5])
  const options = { epochs: 2, batchSize: 12, learningRate: 0.1, seed: 4 }
  const closed = await train(imageNet(1), data, { ...options, batcher: bind(imageNet(1), data).batcher })
  const open = imageNet('N', [-1, 72])
  const free = await train(open, data, { ...options, batcher: bind(open, data).batcher })
  for (const name of ['conv', 'dense'])
    expect(closed.model.graph.initializers.get(name)?.data).toEqual(free.model.graph.initializers.get(name)?.data)
  expect(closed.model.graph.inputs[0].shape).toEqual([1, 2, 5, 5])
})

test('a model whose samples cannot be told apart says which batch it takes', async () => {
  const m = oneOperator('Softmax', { axis: 0 })
  const data = dataOf([4])
  const options = { epochs: 1, batchSize: 12, learningRate: 0.1, batcher: bind(m, data).batcher }
  await expect(train(m, data, options)).rejects.toThrow(
    /^train: batch 12; the model takes 1 sample per call and runs with no other number, so expected 1$/,
  )
})
