/** Folding BatchNormalization: outputs stay the same up to rounding; what cannot be folded is named. */
import { describe, expect, it } from 'vitest'
import { f, model, node, valueInfo } from '../graph/build.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import {
  largestDifference,
  modelsFolder,
  needsModels,
  outputsOf,
  randomFeeds,
  realModel,
} from '../testing/real-models.ts'
import { foldBatchNorm } from './fold-batch-norm.ts'

const rng = random(7)
const draw = (name: string, dims: number[], positive = false) =>
  floatTensor(
    name,
    dims,
    Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => (positive ? 0.2 + rng.next() : rng.normal())),
  )
const byName = (...tensors: ReturnType<typeof draw>[]) => new Map(tensors.map((t) => [t.name, t] as const))
const normOf = (channels: number) => [
  draw('g', [channels]),
  draw('beta', [channels]),
  draw('m', [channels]),
  draw('v', [channels], true),
]
const norm = node('BatchNormalization', ['y', 'g', 'beta', 'm', 'v'], ['z'], { epsilon: f(0.01) })
const count = (m: ReturnType<typeof model>) => m.graph.nodes.filter((n) => n.op === 'BatchNormalization').length

const layers = {
  'grouped Conv without bias': model({
    nodes: [node('Conv', ['x', 'w'], ['y'], { group: 2, pads: [1, 1, 1, 1] }), norm],
    initializers: byName(draw('w', [6, 2, 3, 3]), ...normOf(6)),
    inputs: [valueInfo('x', 'float32', [2, 4, 5, 5])],
    outputs: [valueInfo('z', 'float32')],
  }),
  'grouped ConvTranspose with bias': model({
    nodes: [node('ConvTranspose', ['x', 'w', 'b'], ['y'], { group: 2, strides: [2, 2] }), norm],
    initializers: byName(draw('w', [4, 3, 3, 3]), draw('b', [6]), ...normOf(6)),
    inputs: [valueInfo('x', 'float32', [2, 4, 5, 5])],
    outputs: [valueInfo('z', 'float32')],
  }),
  'Gemm, transposed': model({
    nodes: [node('Gemm', ['x', 'w', 'b'], ['y'], { transB: 1 }), norm],
    initializers: byName(draw('w', [5, 7]), draw('b', [5]), ...normOf(5)),
    inputs: [valueInfo('x', 'float32', [3, 7])],
    outputs: [valueInfo('z', 'float32')],
  }),
  'MatMul and Add': model({
    nodes: [node('MatMul', ['x', 'w'], ['p']), node('Add', ['b', 'p'], ['y']), norm],
    initializers: byName(draw('w', [7, 5]), draw('b', [5]), ...normOf(5)),
    inputs: [valueInfo('x', 'float32', [3, 7])],
    outputs: [valueInfo('z', 'float32')],
  }),
}

describe('fold-batch-norm', () => {
  it.each(Object.entries(layers))('keeps the outputs: %s', async (_, before) => {
    const after = await foldBatchNorm(before)
    expect(count(after)).toBe(0)
    expect(after.graph.initializers.has('g')).toBe(false)
    const feeds = randomFeeds(before)
    expect(largestDifference(await outputsOf(before, feeds), await outputsOf(after, feeds))).toBeLessThan(2e-6)
  })

  it('keeps a BatchNormalization whose input is used elsewhere, and says so', async () => {
    const [, before] = Object.entries(layers)[0]
    const also = {
      ...before,
      graph: { ...before.graph, outputs: [...before.graph.outputs, valueInfo('y', 'float32')] },
    }
    const warnings: string[] = []
    const after = await foldBatchNorm(also, {}, { warn: (w) => warnings.push(w) })
    expect(after).toBe(also)
    expect(warnings).toEqual(['BatchNormalization "z": not folded: the output of Conv "y" has other uses'])
  })

  it('leaves a shared weight as it is for its other layer', async () => {
    const w = draw('w', [4, 4, 1, 1])
    const before = model({
      nodes: [node('Conv', ['x', 'w'], ['x2']), node('Conv', ['x2', 'w'], ['y']), norm],
      initializers: byName(w, ...normOf(4)),
      inputs: [valueInfo('x', 'float32', [1, 4, 3, 3])],
      outputs: [valueInfo('z', 'float32')],
    })
    const after = await foldBatchNorm(before)
    expect(after.graph.initializers.get('w')).toBe(w)
    const feeds = randomFeeds(before)
    expect(largestDifference(await outputsOf(before, feeds), await outputsOf(after, feeds))).toBeLessThan(2e-6)
  })
})

describe.skipIf(!modelsFolder)(`fold-batch-norm on real models${needsModels}`, () => {
  it.each(['cifar10-resnet20', 'cifar10-resnet56', 'mlperf-tiny-kws-dscnn', 'ultraface-RFB-320', 'gtcrn_simple'])(
    '%s: no BatchNormalization is left, outputs agree within rounding',
    async (name) => {
      const before = realModel(name)
      const after = await foldBatchNorm(before)
      expect(count(before)).toBeGreaterThan(0)
      expect(count(after)).toBe(0)
      const feeds = randomFeeds(before)
      const difference = largestDifference(await outputsOf(before, feeds), await outputsOf(after, feeds))
      expect(difference).toBeLessThan(5e-6)
    },
  )
})
