import { describe, expect, it } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Model, Node, Tensor } from '../model.ts'
import { floatTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { largestDifference, outputsOf, randomFeeds } from '../testing/real-models.ts'
import { exampleModel } from '../testing/test-method.ts'
import { foldedShortcuts } from './fold-shortcuts.ts'

interface Case {
  readonly dims: readonly number[]
  readonly attributes?: Parameters<typeof node>[3]
  readonly bias?: boolean
  readonly gamma?: number
  readonly alpha?: number
  /** The shortcut is the first input of the sum. */
  readonly turned?: boolean
}

/** Add(γ · Conv(x), α · x), and a Relu after it. */
function net({ dims, attributes = {}, bias = false, gamma, alpha, turned = false }: Case): Model {
  const rng = random(7)
  const initializers = new Map<string, Tensor>()
  const store = (name: string, shape: readonly number[], values?: readonly number[]): string => {
    const drawn = Float32Array.from({ length: sizeOf(shape) }, (_, i) => values?.[i] ?? rng.normal())
    initializers.set(name, floatTensor(name, shape, drawn))
    return name
  }
  const nodes: Node[] = [
    node('Conv', ['x', store('w', dims), ...(bias ? [store('b', [dims[0]])] : [])], ['c'], attributes),
  ]
  const scaled = (name: string, factor: number | undefined, of: string): string => {
    if (factor === undefined) return of
    nodes.push(node('Mul', turned ? [store(name, [], [factor]), of] : [of, store(name, [1], [factor])], [`${name}_of`]))
    return `${name}_of`
  }
  const sides = [scaled('gamma', gamma, 'c'), scaled('alpha', alpha, 'x')]
  nodes.push(node('Add', turned ? sides.reverse() : sides, ['s']), node('Relu', ['s'], ['y']))
  const shape = ['N', dims[0], ...dims.slice(2).map(() => 9)]
  return makeModel({
    nodes,
    initializers,
    inputs: [valueInfo('x', 'float32', shape)],
    outputs: [valueInfo('y', 'float32')],
  })
}

const ops = ({ graph }: Model): string => graph.nodes.map((n) => n.op).join()

describe('fold-shortcuts', () => {
  it.each<[string, Case]>([
    [
      '3 x 3 with a bias',
      { dims: [6, 6, 3, 3], attributes: { pads: [1, 1, 1, 1] }, bias: true, gamma: 0.3, alpha: -1.7 },
    ],
    ['the input alone', { dims: [6, 6, 3, 3], attributes: { pads: [1, 1, 1, 1] }, bias: true }],
    ['factors of rank 0, sides turned', { dims: [4, 4, 1, 1], gamma: -2, alpha: 0.5, turned: true }],
    ['groups', { dims: [6, 2, 3, 3], attributes: { pads: [1, 1, 1, 1], group: 3 }, gamma: 0.7, alpha: 2 }],
    ['depthwise', { dims: [5, 1, 5, 5], attributes: { pads: [2, 2, 2, 2], group: 5 }, alpha: 0.4 }],
    ['dilated', { dims: [4, 4, 3, 3], attributes: { pads: [2, 2, 2, 2], dilations: [2, 2] }, gamma: 1.5 }],
    ['SAME_UPPER', { dims: [4, 4, 3, 3], attributes: { auto_pad: 'SAME_UPPER' }, gamma: 1.5 }],
    ['one axis, kernel of 1 x 3', { dims: [4, 4, 3], attributes: { pads: [1, 1] }, alpha: 3 }],
    ['a kernel of two sizes', { dims: [4, 4, 1, 5], attributes: { pads: [0, 2, 0, 2] }, alpha: 3 }],
  ])('%s: one convolution is left, with the same outputs', async (_, given) => {
    const before = net(given)
    const after = foldedShortcuts(before)
    expect(ops(after)).toBe('Conv,Relu')
    const feeds = randomFeeds(before, { batch: 2 })
    expect(largestDifference(await outputsOf(before, feeds), await outputsOf(after, feeds))).toBeLessThan(1e-5)
  })

  it.each<[string, Case]>([
    ['other strides', { dims: [4, 4, 3, 3], attributes: { pads: [1, 1, 1, 1], strides: [1, 2] } }],
    ['an even kernel', { dims: [4, 4, 2, 2], attributes: { auto_pad: 'SAME_UPPER' } }],
    ['padding that shifts', { dims: [4, 4, 3, 3], attributes: { pads: [0, 0, 2, 2] } }],
    ['one channel for all', { dims: [1, 4, 1, 1] }],
  ])('%s: nothing is folded', (_, given) => {
    const before = net(given)
    expect(foldedShortcuts(before)).toBe(before)
  })

  it('leaves a convolution whose output is read elsewhere too', () => {
    const before = net({ dims: [4, 4, 1, 1] })
    const graph = { ...before.graph, outputs: [...before.graph.outputs, valueInfo('c', 'float32')] }
    expect(ops(foldedShortcuts({ ...before, graph }))).toBe('Conv,Add,Relu')
  })

  it('removes a convolution that counts nothing', async () => {
    const before = net({ dims: [4, 4, 3, 3], attributes: { pads: [1, 1, 1, 1] }, bias: true, gamma: 0, alpha: 0.5 })
    const after = foldedShortcuts(before)
    expect(ops(after)).toBe('Mul,Relu')
    expect([...after.graph.initializers.values()].map((t) => sizeOf(t.dims))).toEqual([1])
    const feeds = randomFeeds(before)
    expect(largestDifference(await outputsOf(before, feeds), await outputsOf(after, feeds))).toBeLessThan(1e-6)
    expect(ops(foldedShortcuts(net({ dims: [4, 4, 1, 1], gamma: 0 })))).toBe('Identity,Relu')
  })

  it('folds the residual of a network, whose block is one convolution', async () => {
    const before = exampleModel()
    const after = foldedShortcuts(before)
    expect(after.graph.nodes.filter((n) => n.op === 'Add')).toEqual([])
    const feeds = randomFeeds(before, { batch: 3 })
    expect(largestDifference(await outputsOf(before, feeds), await outputsOf(after, feeds))).toBeLessThan(1e-5)
  })
})
