/** Biases added after a layer become part of it, and outputs stay the same. */
import { describe, expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { largestDifference, outputsOf, randomFeeds } from '../testing/real-models.ts'
import { joinBiases } from './_merge-bias.ts'
import { foldAllWeights } from './fold-weights.ts'

const rng = random(3)
const draw = (name: string, dims: number[]) =>
  floatTensor(
    name,
    dims,
    Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => rng.normal()),
  )

describe('foldAllWeights', () => {
  it('stores a weight that nodes compute from constants; the outputs are bit-equal', async () => {
    const before = model({
      nodes: [
        node('Reshape', ['w', 'shape'], ['flat']),
        node('Transpose', ['flat'], ['turned']),
        node('MatMul', ['x', 'turned'], ['y']),
      ],
      initializers: new Map(
        [draw('w', [3, 2, 2]), integerTensor('shape', 'int64', [2], [3, 4])].map((t) => [t.name, t]),
      ),
      inputs: [valueInfo('x', 'float32', [5, 4])],
      outputs: [valueInfo('y', 'float32', [5, 3])],
    })
    const after = await foldAllWeights(before)
    expect(after.graph.nodes.map((n) => n.op)).toEqual(['MatMul'])
    expect([...after.graph.initializers.keys()]).toEqual(['turned'])
    const feeds = randomFeeds(before)
    expect((await outputsOf(after, feeds)).y.data).toEqual((await outputsOf(before, feeds)).y.data)
  })

  it('leaves a model without such weights, and weights that depend on an input, as they are', async () => {
    const before = model({
      nodes: [node('Transpose', ['x'], ['t']), node('MatMul', ['x', 't'], ['y'])],
      initializers: new Map(),
      inputs: [valueInfo('x', 'float32', [2, 2])],
      outputs: [valueInfo('y', 'float32')],
    })
    expect(await foldAllWeights(before)).toBe(before)
  })
})

describe('joinBiases', () => {
  const conv = (added: ReturnType<typeof draw>, bias: boolean, outputs = ['y']) =>
    model({
      nodes: [
        node('Conv', ['x', 'w', ...(bias ? ['b'] : [])], ['c'], { pads: [1, 1, 1, 1] }),
        node('Add', ['added', 'c'], ['y']),
      ],
      initializers: new Map([draw('w', [3, 2, 3, 3]), draw('b', [3]), added].map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', [1, 2, 3, 3])],
      outputs: outputs.map((name) => valueInfo(name, 'float32')),
    })

  it.each([
    ['[3,1,1]', conv(draw('added', [3, 1, 1]), false)],
    ['[1,3,1,1], beside a bias', conv(draw('added', [1, 3, 1, 1]), true)],
    ['one value', conv(draw('added', [1]), true)],
  ])('%s: becomes the bias', async (_, before) => {
    const after = joinBiases(before)
    expect(after.graph.nodes.map((n) => n.op)).toEqual(['Conv'])
    const feeds = randomFeeds(before)
    expect(largestDifference(await outputsOf(before, feeds), await outputsOf(after, feeds))).toBeLessThan(1e-6)
  })

  const dense = (shape: (string | number)[], added: ReturnType<typeof draw>) =>
    model({
      nodes: [node('MatMul', ['x', 'w'], ['p']), node('Add', ['p', 'added'], ['y'])],
      initializers: new Map([draw('w', [4, 3]), added].map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', shape)],
      outputs: [valueInfo('y', 'float32')],
    })

  it.each([[[3]], [[1, 3]], [[1]]])('a matrix product and %j become a Gemm', async (dims) => {
    const before = dense([2, 4], draw('added', dims))
    const after = joinBiases(before)
    expect(after.graph.nodes.map((n) => n.op)).toEqual(['Gemm'])
    const feeds = randomFeeds(before)
    expect(largestDifference(await outputsOf(before, feeds), await outputsOf(after, feeds))).toBeLessThan(1e-6)
  })

  it.each([
    ['a stack of matrices', dense([2, 5, 4], draw('added', [3]))],
    ['a bias for each row', dense([2, 4], draw('added', [2, 3]))],
    ['a bias that adds an axis', dense([2, 4], draw('added', [1, 1, 3]))],
    ['along the width', conv(draw('added', [3]), false)],
    ['a whole map', conv(draw('added', [3, 3, 3]), false)],
    ['the sum before it is an output', conv(draw('added', [3, 1, 1]), false, ['y', 'c'])],
  ])('%s: is left alone', (_, before) => {
    expect(joinBiases(before)).toBe(before)
  })
})
