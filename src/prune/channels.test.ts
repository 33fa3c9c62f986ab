/** Removing coupled channels: networks stay valid, outputs follow from what is left, vetoes hold. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openChannels } from '../channels/channel-groups.ts'
import { runInspect } from '../cli/commands/inspect.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { storedBytes } from '../graph/walk.ts'
import { inspectModel } from '../inspect/inspect.ts'
import type { Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { randomChannelNet, recurrentStack, uNet } from '../testing/channel-nets.ts'
import { drawUnits, withDead } from '../testing/dead-channels.ts'
import {
  largestDifference,
  modelsFolder,
  needsModels,
  outputsOf,
  randomFeeds,
  realModel,
} from '../testing/real-models.ts'
import { recurrentNet, transformer } from '../testing/sequence-nets.ts'
import { netBuilder } from '../testing/small-nets.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { googlenet } from '../zoo/googlenet.ts'
import { mobilenetV2 } from '../zoo/mobilenet.ts'
import { cifarResnet } from '../zoo/resnet.ts'
import { shufflenetV2 } from '../zoo/shufflenet.ts'
import { squeezenet1_1 } from '../zoo/squeezenet.ts'
import { channels } from './channels.ts'
import { type UnitScoreName, unitScores } from './unit-scores/index.ts'

/** Removes units at random, and expects what the network with dead ones gives. Gives the share of bytes that are left. */
async function expectAsDead(model: Model, feeds: Feeds, { seed = 1, share = 0.4 } = {}): Promise<number> {
  const opened = openChannels(model)
  const units = drawUnits(opened, seed, share)
  const small = opened.without(units)
  const before = await outputsOf(withDead(model, units), feeds)
  expect(largestDifference(before, await outputsOf(small, feeds))).toBeLessThan(1e-5)
  return storedBytes(small) / storedBytes(model)
}

const cifar = { classes: 10, inputShape: [3, 32, 32] as const, seed: 3 }

describe('removing coupled channels gives what they give dead, in ONNX Runtime', () => {
  it.each<[string, () => Model, number]>([
    ['ResNet-20', () => cifarResnet(20, cifar), 0.6],
    ['MobileNetV2', () => mobilenetV2({ ...cifar, width: 0.25 }), 0.6],
    ['ShuffleNetV2', () => shufflenetV2({ ...cifar, stem: 'cifar', width: 0.5 }), 0.7],
    ['SqueezeNet', () => squeezenet1_1({ ...cifar, stem: 'cifar', width: 0.25 }), 0.6],
    ['GoogLeNet', () => googlenet({ ...cifar, stem: 'cifar', width: 0.125 }), 0.6],
    ['a U-Net', () => uNet(), 0.6],
    ['a U-Net with sizes of another image', () => uNet({ resize: 'computed' }), 0.6],
    ['a U-Net with stored sizes', () => uNet({ resize: 'sizes' }), 0.6],
  ])('%s', async (_, make, most) => {
    const net = make()
    expect(await expectAsDead(net, randomFeeds(net))).toBeLessThan(most)
  })

  it('a transformer: heads of attention, and the inside of its feed-forward layers', async () => {
    const net = transformer({ steps: 6, words: 20, classes: 5 })
    const feeds = { x: { dtype: 'int64', dims: [2, 6], data: BigInt64Array.from({ length: 12 }, (_, i) => BigInt(i)) } }
    expect(await expectAsDead(net, feeds)).toBeLessThan(0.9)
    const { groups } = openChannels(net)
    const sizes = groups.map((g) => [g.name, g.units - g.held.size])
    // Two heads of queries, keys and values, of eight numbers each.
    expect(sizes).toEqual([
      ['q.w', 2],
      ['o.w', 0],
      ['up.w', 32],
      ['head.w', 0],
    ])
    expect(groups[0].members.filter((m) => m.role === 'makes').map((m) => m.tensor)).toEqual(['q.w', 'k.w', 'v.w'])
  })

  it('values of one channel that meet all others: a mask that is an input, attention over places', async () => {
    const b = netBuilder(4)
    const conv = (x: string, k: string, from: number, to: number): string =>
      b.op('Conv', [x, b.weight(k, [to, from, 3, 3]), b.weight(`${k}.b`, [to], 50)], { pads: [1, 1, 1, 1] })
    const a = b.op('Mul', [b.op('Relu', [conv('x', 'c0', 3, 8)]), 'mask'])
    const c = b.op('Relu', [conv(a, 'c1', 8, 12)])
    const gated = b.op('Mul', [b.op('Sigmoid', [conv(c, 'gate', 12, 1)]), c])
    const y = conv(gated, 'c2', 12, 2)
    const net = makeModel({
      nodes: b.nodes,
      initializers: b.initializers,
      inputs: [valueInfo('x', 'float32', ['N', 3, 8, 8]), valueInfo('mask', 'float32', ['N', 1, 8, 8])],
      outputs: [valueInfo(y, 'float32', ['N', 2, 8, 8])],
    })
    expect(openChannels(net).groups.map((g) => [g.name, g.units - g.held.size])).toEqual([
      ['c0', 8],
      ['c1', 12],
      ['gate', 0],
      ['c2', 0],
    ])
    expect(await expectAsDead(net, randomFeeds(net))).toBeLessThan(0.8)
  })

  it.each(['GRU', 'LSTM', 'RNN'] as const)('hidden units of a %s', async (op) => {
    const net = recurrentNet(op, { steps: 4, features: 3, classes: 5 })
    expect(await expectAsDead(net, randomFeeds(net))).toBeLessThan(0.7)
    const stack = recurrentStack(op)
    expect(openChannels(stack).groups.map((g) => [g.name, g.units - g.held.size])).toEqual([
      ['c', 8],
      ['w0', 12],
      ['w1', 12],
      ['m', 0],
    ])
    expect(await expectAsDead(stack, randomFeeds(stack))).toBeLessThan(0.7)
  })

  it('networks at random', async () => {
    let shrunk = 0
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), fc.constantFrom(0.2, 0.5, 0.9), async (seed, share) => {
        const net = randomChannelNet(seed)
        if ((await expectAsDead(net, randomFeeds(net, { seed, batch: 3 }), { seed, share })) < 0.95) shrunk++
      }),
      { seed: 1, numRuns: 100 },
    )
    expect(shrunk).toBeGreaterThan(80)
  })

  it.runIf(modelsFolder).each(['cifar10-resnet20', 'FastestDet', 'ultraface-RFB-320', 'mlperf-tiny-kws-dscnn'])(
    `%s${needsModels}`,
    async (name) => {
      const net = realModel(name)
      expect(await expectAsDead(net, randomFeeds(net, { batch: 1 }))).toBeLessThan(0.8)
    },
  )
})

describe('channels', () => {
  it.each(Object.keys(unitScores).filter((s) => s !== 'batch-norm') as UnitScoreName[])(
    'removes by %s, within groups and over all',
    async (score) => {
      const context = { seed: 1, data: { calibration: () => exampleBatches() } }
      const net = exampleModel()
      for (const scope of ['group', 'global'] as const) {
        const small = await channels(net, { sparsity: 0.5, score, scope }, context)
        expect(small.graph.initializers.get('w1')?.dims[0]).toBe(4)
        const [feeds] = exampleBatches()
        expect((await outputsOf(small, feeds)).y.dims).toEqual([4, 5])
      }
    },
  )

  it('removes the channels whose filters are smallest over all layers that are coupled', async () => {
    // Of each layer alone another filter is smallest; of both together it is the second.
    const tensors = [
      floatTensor('w1', [3, 1], [1, 2, 9]),
      floatTensor('w2', [3, 1], [9, 2, 1]),
      floatTensor('w3', [1, 3], [1, 1, 1]),
    ]
    const net = makeModel({
      nodes: [
        node('Gemm', ['x', 'w1'], ['a'], { transB: 1 }),
        node('Gemm', ['x', 'w2'], ['b'], { transB: 1 }),
        node('Add', ['a', 'b'], ['c']),
        node('Gemm', ['c', 'w3'], ['y'], { transB: 1 }),
      ],
      initializers: new Map(tensors.map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', ['N', 1])],
      outputs: [valueInfo('y', 'float32', ['N', 1])],
    })
    const { initializers } = (await channels(net, { sparsity: 1 / 3 })).graph
    expect([...floats(initializers.get('w1')!)]).toEqual([1, 9])
    expect([...floats(initializers.get('w2')!)]).toEqual([9, 1])
  })

  it('keeps what is excluded or kept, one channel at least, and multiples', async () => {
    const net = uNet()
    const sizes = async (options: Parameters<typeof channels>[1]): Promise<number[]> => {
      const { initializers } = (await channels(net, { multiple: 1, ...options })).graph
      return ['c0.w', 'c1.w', 'c4.w'].map((name) => initializers.get(name)!.dims[0])
    }
    expect(await sizes({ sparsity: 1 })).toEqual([1, 1, 1])
    expect(await sizes({ sparsity: 1, exclude: ['c4.b'] })).toEqual([1, 1, 16])
    expect(await sizes({ sparsity: 0.6, multiple: 4 })).toEqual([4, 4, 8])
    // A quarter of 8 and of 16.
    expect(await sizes({ sparsity: 0.6, multiple: 0 })).toEqual([4, 4, 8])
    expect(await sizes({ sparsity: 1, multiple: 0 })).toEqual([2, 2, 4])
    expect(await sizes({ sparsity: 1, minChannels: 3 })).toEqual([3, 3, 3])
    const kept = (await channels(net, { sparsity: 1, multiple: 1, keep: ['c0.w:2', 'c0.w:5'] })).graph.initializers.get(
      'c0.w',
    )!
    const before = floats(net.graph.initializers.get('c0.w')!)
    expect([...floats(kept)]).toEqual([...before.subarray(2 * 27, 3 * 27), ...before.subarray(5 * 27, 6 * 27)])
    await expect(sizes({ exclude: ['c0.x'] })).rejects.toThrow('channels: exclude names "c0.x"')
    await expect(sizes({ keep: ['c0.w:8'] })).rejects.toThrow('channels: keep "c0.w:8" is no channel of a group')
  })

  it('leaves what a malformed node reads alone, and removes the rest', async () => {
    const b = netBuilder(6)
    const h = b.op('Relu', [b.op('Gemm', ['x', b.weight('w', [6, 8])])])
    const odd = b.op('Einsum', [b.op('Gemm', ['x', b.weight('v', [6, 8])]), h], { equation: 'ab,cd,ef->ab' })
    const y = b.op('Gemm', [b.op('Relu', [b.op('Gemm', [h, b.weight('u', [8, 8])])]), b.weight('t', [8, 3])])
    const net = makeModel({
      nodes: b.nodes,
      initializers: b.initializers,
      inputs: [valueInfo('x', 'float32', ['N', 6])],
      outputs: [valueInfo(y, 'float32', ['N', 3]), valueInfo(odd, 'float32')],
    })
    expect(openChannels(net).groups.map((g) => [g.name, g.units - g.held.size])).toEqual([
      ['w', 0],
      ['v', 0],
      ['u', 8],
      ['t', 0],
    ])
  })

  it('removes what a LayerNormalization takes the mean of only where it is told to', async () => {
    const net = transformer({ steps: 6, words: 20, classes: 5 })
    const small = await channels(net, { sparsity: 0.5, overNormalised: true })
    const dims = (name: string) => small.graph.initializers.get(name)?.dims
    expect([dims('words'), dims('n1.g'), dims('o.w'), dims('head.w')]).toEqual([[20, 8], [8], [8, 8], [8, 5]])
    const feeds = { x: { dtype: 'int64', dims: [2, 6], data: new BigInt64Array(12) } } satisfies Feeds
    expect(Object.values(await outputsOf(small, feeds))[0].dims).toEqual([2, 5])
  })

  it('leaves alone what it cannot follow, and says what and why', async () => {
    const said: string[] = []
    const net = makeModel({
      nodes: [node('Gemm', ['x', 'w'], ['h']), node('Softmax', ['h'], ['p']), node('Gemm', ['p', 'v'], ['y'])],
      initializers: new Map([
        ['w', floatTensor('w', [3, 4], new Float32Array(12).fill(1))],
        ['v', floatTensor('v', [4, 2], new Float32Array(8).fill(1))],
      ]),
      inputs: [valueInfo('x', 'float32', ['N', 3])],
      outputs: [valueInfo('y', 'float32', ['N', 2])],
    })
    expect(await channels(net, {}, { warn: (message) => said.push(message) })).toBe(net)
    expect(said).toEqual([
      'channels: not removed, as Softmax "p" needs all of them: "w" (4 of 4)',
      'channels: nothing was removed: no layer with plain float32 weights has channels that can be removed',
    ])
    const words: string[] = []
    await channels(transformer({ steps: 6, words: 20, classes: 5 }), {}, { warn: (message) => words.push(message) })
    expect(words[0]).toMatch(/not removed, as LayerNormalization "v\d+" needs all of them: "o\.w" \(16 of 16\)/)
  })
})

it('coppice inspect --groups lists the groups, what can be removed and what needs the rest', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'coppice-groups-')), 'net.onnx')
  writeFileSync(path, writeModel(exampleModel()))
  const { output } = await runInspect(path, { groups: true })
  expect(output.slice(output.indexOf('2 groups'))).toBe(
    [
      '2 groups of channels that can only be removed together; 1 may lose some',
      '',
      'group  made by                      read by                      channels  removable',
      '-----  ---------------------------  ---------------------------  --------  ---------',
      'w1     Conv "first", Conv "second"  Conv "second", Gemm "dense"         8          8',
      'w3     Gemm "dense"                                                     5          0',
      '-----  ---------------------------  ---------------------------  --------  ---------',
      'total                                                                  13          8',
      'w3: 5 must be kept, as "y" is an output',
    ].join('\n'),
  )
  const { groups } = JSON.parse((await runInspect(path, { groups: true, json: true })).output)
  expect(groups[0]).toMatchObject({ name: 'w1', units: 8, held: [] })
  expect(groups[0].members[0]).toEqual({
    tensor: 'w1',
    axis: 0,
    node: 'Conv "first"',
    role: 'makes',
    units: [0, 1, 2, 3, 4, 5, 6, 7],
  })
})

describe('budgets and repair', () => {
  const data = { calibration: () => exampleBatches(7, 8) }

  it.each(['macs', 'parameters', 'bytes'] as const)('removes a share of the %s, and hardly more', async (budget) => {
    const net = cifarResnet(20, cifar)
    const cost = (m: Model): number => {
      const { macs, params, bytes } = inspectModel(m).totals
      return budget === 'macs' ? (macs ?? 0) : budget === 'bytes' ? bytes : params
    }
    const left = cost(await channels(net, { sparsity: 0.4, budget, scope: 'global', repair: 'none' })) / cost(net)
    expect(left).toBeLessThanOrEqual(0.6)
    expect(left).toBeGreaterThan(0.57)
    await expect(channels(net, { sparsity: 1, budget })).rejects.toThrow(/% of the .* at most can be removed/)
  })

  it('ranks by the scale of BatchNormalization, and leaves alone what has none', async () => {
    const net = exampleModel()
    const small = await channels(net, { sparsity: 0.25, score: 'batch-norm', repair: 'none' })
    const smallest = [...floats(net.graph.initializers.get('gamma')!)].sort((a, b) => a - b).slice(2)
    expect([...floats(small.graph.initializers.get('gamma')!)].sort((a, b) => a - b)).toEqual(smallest)
    expect(await channels(uNet(), { score: 'batch-norm', repair: 'none' })).toEqual(uNet())
  })

  it('repairs what it removes: nearer to the original by least squares, on inputs that it has not seen', async () => {
    const net = exampleModel()
    const [feeds] = exampleBatches(99)
    const before = await outputsOf(net, feeds)
    const error = async (repair: 'none' | 'least-squares'): Promise<number> => {
      const small = await channels(net, { sparsity: 0.4, repair }, { data, seed: 1 })
      return largestDifference(before, await outputsOf(small, feeds))
    }
    expect(await error('least-squares')).toBeLessThan(0.5 * (await error('none')))
  })

  it('repair finds again what removed channels can be told from', async () => {
    // The third channel is the sum of the others: least squares give its part to them.
    const tensors = [
      floatTensor('w1', [3, 2], [1, 0, 0, 1, 0.5, 0.5]),
      floatTensor('w2', [2, 3], [1, 2, 3, -1, 0, 2]),
      floatTensor('b2', [2], [1, 2]),
    ]
    const net = makeModel({
      nodes: [node('Gemm', ['x', 'w1'], ['h'], { transB: 1 }), node('Gemm', ['h', 'w2', 'b2'], ['y'], { transB: 1 })],
      initializers: new Map(tensors.map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', ['N', 2])],
      outputs: [valueInfo('y', 'float32', ['N', 2])],
    })
    const calibration = () => [randomFeeds(net, { batch: 64, seed: 3 })]
    const small = await channels(net, { sparsity: 1 / 3 }, { data: { calibration } })
    expect(small.graph.initializers.get('w1')!.dims).toEqual([2, 2])
    const feeds = randomFeeds(net, { batch: 5, seed: 4 })
    expect(largestDifference(await outputsOf(net, feeds), await outputsOf(small, feeds))).toBeLessThan(0.05)
  })

  it('in rounds removes as much, keeps what it is told to, and gives the same bytes again', async () => {
    const net = exampleModel()
    const options = { sparsity: 0.5, rounds: 3, keep: ['w1:1', 'w1:6'] }
    const small = await channels(net, options, { data, seed: 1 })
    const free = await channels(net, { ...options, keep: [] }, { data, seed: 1 })
    expect(free.graph.initializers.get('w1')!.dims[0]).toBe(4)
    const [before, after] = [net, small].map((m) => m.graph.initializers.get('w1')!)
    // The first layer reads what it read, so that nothing of it is repaired.
    const filters = [...floats(after)].join()
    for (const unit of [1, 6])
      expect(filters).toContain([...floats(before).subarray(unit * 27, (unit + 1) * 27)].join())
    expect(writeModel(await channels(net, options, { data, seed: 1 }))).toEqual(writeModel(small))
  })

  it('re-estimates the statistics of BatchNormalization', async () => {
    const net = exampleModel()
    const small = await channels(net, { sparsity: 0.5, repair: 'statistics' }, { data, seed: 1 })
    expect([...floats(small.graph.initializers.get('mean')!)]).not.toEqual([
      ...floats(net.graph.initializers.get('mean')!),
    ])
  })

  it('says that nothing was repaired where there is no data', async () => {
    const said: string[] = []
    await channels(exampleModel(), {}, { warn: (message) => said.push(message) })
    expect(said).toContain('channels: no data was given, so the layers behind were not repaired')
  })
})
