/** Models in 16 bits compute what they computed, within the rounding of their types. */
import { describe, expect, it } from 'vitest'
import { f, model, node, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { floats, floatTensor, integerTensor } from '../tensor/dtype.ts'
import { randomChannelNet, recurrentStack, uNet } from '../testing/channel-nets.ts'
import {
  largestDifference,
  modelsFolder,
  needsModels,
  outputsOf,
  randomFeeds,
  realModel,
} from '../testing/real-models.ts'
import { recurrentNet, transformer } from '../testing/sequence-nets.ts'
import { lenet5, mobileNet } from '../testing/small-nets.ts'
import { float16 } from './float16.ts'

const nets: Record<string, Model> = {
  lenet5: lenet5(),
  mobileNet: mobileNet(),
  uNet: uNet(),
  'uNet, sizes': uNet({ resize: 'sizes' }),
  gru: recurrentNet('GRU', { steps: 5, features: 4, classes: 3 }),
  lstm: recurrentStack('LSTM'),
  ...Object.fromEntries([1, 2, 3, 4, 5, 6].map((seed) => [`random net ${seed}`, randomChannelNet(seed)])),
}

const half = { arithmetic: 'float16' } as const

describe('float16', () => {
  it.each(Object.keys(nets))('%s: stored or computed in 16 bits, it answers nearly the same', async (name) => {
    const net = nets[name]
    const feeds = randomFeeds(net)
    const before = await outputsOf(net, feeds)
    const stored = await float16(net, { minElements: 1 })
    expect(largestDifference(before, await outputsOf(stored, feeds))).toBeLessThan(0.003)
    const brief = await float16(net, { minElements: 1, type: 'bfloat16' })
    expect(largestDifference(before, await outputsOf(brief, feeds))).toBeLessThan(0.03)
    const computed = await float16(net, { ...half, minElements: 1 })
    expect(largestDifference(before, await outputsOf(computed, feeds))).toBeLessThan(0.01)
    expect(computed.graph.inputs).toEqual(net.graph.inputs)
    expect(computed.graph.outputs.map((o) => o.dtype)).toEqual(net.graph.outputs.map((o) => o.dtype))
    expect([...computed.graph.initializers.values()].filter((t) => t.dtype === 'float32' && t.dims.length > 1)).toEqual(
      [],
    )
  })

  it('halves the file of a network', async () => {
    const before = writeModel(nets.lenet5).length
    expect(writeModel(await float16(nets.lenet5)).length).toBeLessThan(0.52 * before)
    expect(writeModel(await float16(nets.lenet5, half)).length).toBeLessThan(0.52 * before)
  })

  it('a transformer with token inputs computes in 16 bits and keeps its integer inputs', async () => {
    const net = transformer({ steps: 4, words: 9, classes: 3 })
    const ids = BigInt64Array.from([1n, 2n, 8n, 0n])
    const feeds = { [net.graph.inputs[0].name]: { dtype: 'int64', dims: [1, 4], data: ids } }
    const difference = largestDifference(await outputsOf(net, feeds), await outputsOf(await float16(net, half), feeds))
    expect(difference).toBeLessThan(0.01)
  })

  it('what float16 is not defined for computes in float32, and is named', async () => {
    const net = model({
      nodes: [
        node('Mul', ['x', 'w'], ['h']),
        node('CumSum', ['h', 'axis'], ['c']),
        node('Add', ['c', 'h'], ['y']),
        node('If', ['flag'], ['z'], {
          then_branch: branch('Relu'),
          else_branch: branch('Neg'),
        }),
      ],
      initializers: new Map(
        [floatTensor('w', [4], [1, 2, 3, 4]), integerTensor('axis', 'int64', [], [0])].map((t) => [t.name, t]),
      ),
      inputs: [valueInfo('x', 'float32', [4]), valueInfo('flag', 'bool', [])],
      outputs: [valueInfo('y', 'float32', [4]), valueInfo('z', 'float32', [4])],
    })
    const warnings: string[] = []
    const computed = await float16(net, half, { warn: (w) => warnings.push(w) })
    expect(warnings).toEqual([
      'float16: CumSum "c" and 1 more nodes compute in float32: float16 is not defined there, or runtimes lack it',
    ])
    const feeds = {
      x: { dtype: 'float32', dims: [4], data: Float32Array.from([1, -2, 3, 0.5]) },
      flag: { dtype: 'bool', dims: [], data: Uint8Array.from([1]) },
    }
    expect((await outputsOf(computed, feeds)).y.data).toEqual((await outputsOf(net, feeds)).y.data)
    expect((await outputsOf(computed, feeds)).z.data).toEqual((await outputsOf(net, feeds)).z.data)
    const excluded = await float16(net, { ...half, excludeNodes: ['h'] })
    expect(excluded.graph.nodes.find((n) => n.op === 'Mul')?.outputs).toEqual(['h'])
    await expect(float16(net, { ...half, excludeNodes: ['q'] })).rejects.toThrow('"q", which is no node')
  })

  it('values beyond the range stay float32 where they are only stored, and are the largest where they are computed with', async () => {
    const net = model({
      nodes: [node('MatMul', ['x', 'w'], ['m']), node('LeakyRelu', ['m'], ['y'], { alpha: f(0.1) })],
      initializers: new Map([['w', floatTensor('w', [2, 2], [1, 0, 0, -1e6])]]),
      inputs: [valueInfo('x', 'float32', [1, 2])],
      outputs: [valueInfo('y', 'float32', [1, 2])],
    })
    const warnings: string[] = []
    const context = { warn: (w: string) => warnings.push(w) }
    expect(await float16(net, { minElements: 1 }, context)).toBe(net)
    expect(warnings[0]).toContain('"w" stays float32')
    const computed = await float16(net, half, context)
    expect(warnings[1]).toContain('"w" has values beyond the range of float16')
    expect([...floats(computed.graph.initializers.get('w_float16') ?? floatTensor('', [0], []))]).toEqual([
      1, 0, 0, -65504,
    ])
  })

  it('refuses 16-bit arithmetic in bfloat16', async () => {
    await expect(float16(nets.lenet5, { ...half, type: 'bfloat16' })).rejects.toThrow('needs --type float16')
  })
})

/** A branch of If that reads a value of the graph around it. */
function branch(op: string) {
  return {
    type: 'graph',
    value: {
      name: op,
      nodes: [node(op, ['h'], [`${op}_out`])],
      initializers: new Map(),
      inputs: [],
      outputs: [valueInfo(`${op}_out`, 'float32', [4])],
    },
  } as const
}

describe.skipIf(!modelsFolder)(`float16 on real models${needsModels}`, () => {
  it.each(['cifar10-resnet20', 'mlperf-tiny-kws-dscnn', 'super_resolution', 'gtcrn_simple'])('%s', async (name) => {
    const net = realModel(name)
    const feeds = randomFeeds(net, { scale: 0.5 })
    const computed = await float16(net, { ...half, minElements: 1 })
    expect(largestDifference(await outputsOf(net, feeds), await outputsOf(computed, feeds))).toBeLessThan(0.01)
  })
})
