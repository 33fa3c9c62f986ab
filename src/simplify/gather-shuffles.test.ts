/** Channel shuffles as Gathers compute the same values. */
import { describe, expect, it } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import { integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { largestDifference, needsModels, outputsOf, randomFeeds, realModel } from '../testing/real-models.ts'
import { netBuilder } from '../testing/small-nets.ts'
import { shufflenetV2 } from '../zoo/shufflenet.ts'
import { gatherForShuffles, shufflesForGathers } from './channel-shuffle.ts'
import { gatherShuffles } from './gather-shuffles.ts'

const opsOf = (m: Model): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const { op } of m.graph.nodes) counts[op] = (counts[op] ?? 0) + 1
  return counts
}

const images = (count: number, channels: number, side: number): Feeds => {
  const rng = random(count)
  const data = Float32Array.from({ length: count * channels * side * side }, () => rng.normal())
  return { x: { dtype: 'float32', dims: [count, channels, side, side], data } }
}

interface Form {
  readonly batch: number | string
  /** Sizes after the first axis of what the first Reshape makes, its own and the last one's whole shapes, the turn between. */
  readonly apart: readonly number[]
  readonly together: readonly number[]
  readonly perm: readonly number[]
  /** What reads the shuffled channels. */
  readonly after: 'Split' | 'picks' | 'Relu'
}

/** 12 channels of 4 x 4, shuffled, then read. */
function shuffled({ batch, apart, together, perm, after }: Form): Model {
  const b = netBuilder(1)
  const ints = (values: readonly number[], dims: readonly number[] = [values.length]): string => {
    const name = `ints${b.initializers.size}`
    b.initializers.set(name, integerTensor(name, 'int64', dims, values))
    return name
  }
  let x = b.op('Reshape', [b.op('Relu', ['x']), ints(apart)])
  x = b.op('Transpose', [x], { perm: [...perm] })
  x = b.op('Reshape', [x, ints(together)])
  const outputs: string[] = []
  if (after === 'Relu') outputs.push(b.op('Relu', [x]))
  else if (after === 'picks') for (const i of [1, -2, 1]) outputs.push(b.op('Gather', [x, ints([i], [])], { axis: 0 }))
  else {
    outputs.push('left', 'middle', 'right')
    b.nodes.push(node('Split', [x, ints([2, 7, 3])], outputs, { axis: 1 }))
  }
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', [batch, 12, 4, 4])],
    outputs: outputs.map((name) => valueInfo(name, 'float32')),
  })
}

const interleaved = { apart: [0, 3, 4, 4, 4], together: [-1, 12, 4, 4], perm: [0, 2, 1, 3, 4] }
const dealt = { apart: [-1, 2, 16], together: [2, -1, 6, 4, 4], perm: [1, 0, 2], after: 'picks' } as const

describe('gather-shuffles', () => {
  it.each<[string, Form, Record<string, number>]>([
    ['whole, any batch', { ...interleaved, batch: 'n', after: 'Relu' }, { Relu: 2, Gather: 1 }],
    ['split, any batch', { ...interleaved, batch: 'n', after: 'Split' }, { Relu: 1, Gather: 3 }],
    ['split, a fixed batch', { ...interleaved, batch: 3, after: 'Split' }, { Relu: 1, Gather: 3 }],
    ['dealt out, any batch', { ...dealt, batch: 'n' }, { Relu: 1, Gather: 3 }],
    ['dealt out, a fixed batch', { ...dealt, batch: 3 }, { Relu: 1, Gather: 3 }],
  ])('gives the same bits with fewer nodes: %s', async (_, form, ops) => {
    const before = shuffled(form)
    const after = await gatherShuffles(before)
    expect(opsOf(after)).toEqual(ops)
    const feeds = images(3, 12, 4)
    expect(largestDifference(await outputsOf(before, feeds), await outputsOf(after, feeds))).toBe(0)
  })

  it.each<[string, Form]>([
    ['another turn', { ...interleaved, perm: [0, 1, 2, 4, 3], batch: 'n', after: 'Split' }],
    ['rows mixed with channels', { ...interleaved, apart: [0, 6, 8, 2, 4], batch: 'n', after: 'Split' }],
    ['channels of two samples mixed', { ...dealt, apart: [-1, 8, 16], together: [2, -1, 6, 4, 4], batch: 2 }],
    ['images of another form', { ...dealt, together: [2, -1, 6, 2, 8], batch: 2 }],
    ['more parts than were dealt', { ...dealt, together: [4, -1, 6, 4, 4], batch: 2 }],
  ])('leaves alone what is no shuffle: %s', async (_, form) => {
    const before = shuffled(form)
    expect(await gatherShuffles(before)).toBe(before)
  })

  it.each<[string, Form]>([
    ['interleaved', { ...interleaved, batch: 'n', after: 'Relu' }],
    ['dealt out', { ...dealt, batch: 'n' }],
  ])('what stays whole is put back as it was: %s', (_, form) => {
    const before = shuffled(form)
    const { model, shuffles } = gatherForShuffles(before)
    const after = shufflesForGathers(model, shuffles)
    expect(after.graph.nodes).toEqual(before.graph.nodes)
    expect(after.graph.initializers).toEqual(before.graph.initializers)
  })

  it('keeps a shuffle whole that is an output too', async () => {
    const net = shuffled({ ...interleaved, batch: 'n', after: 'Split' })
    const whole = net.graph.nodes[3].outputs[0]
    const outputs = [...net.graph.outputs, valueInfo(whole, 'float32')]
    const after = await gatherShuffles({ ...net, graph: { ...net.graph, outputs } })
    expect(opsOf(after)).toEqual({ Relu: 1, Gather: 1, Split: 1 })
  })

  it('ShuffleNetV2: one or two nodes a shuffle, which share their indices', async () => {
    const net = shufflenetV2({ classes: 5, inputShape: [1, 32, 32], stem: 'cifar', width: 0.5 })
    const after = await gatherShuffles(net)
    const { Reshape, Transpose, Split, Gather } = opsOf(after)
    // 13 of 16 shuffles are split.
    expect([Reshape, Transpose, Split, Gather]).toEqual([undefined, undefined, undefined, 13 * 2 + 3])
    const stored = [...after.graph.initializers.keys()].filter((name) => name.startsWith('shuffled'))
    expect(stored).toHaveLength(3 * 3)
    const feeds = { input: images(2, 1, 32).x }
    expect(largestDifference(await outputsOf(net, feeds), await outputsOf(after, feeds))).toBe(0)
  })

  it.skipIf(needsModels)('FastestDet, which deals channels out: the same bits', async () => {
    const before = realModel('FastestDet')
    const after = await gatherShuffles(before)
    expect(opsOf(before).Transpose - (opsOf(after).Transpose ?? 0)).toBe(13)
    const feeds = randomFeeds(before)
    expect(largestDifference(await outputsOf(before, feeds), await outputsOf(after, feeds))).toBe(0)
  })
})
