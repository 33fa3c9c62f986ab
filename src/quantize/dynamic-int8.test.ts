/** Dynamic int8 of dense, attention and recurrent layers beside the float model, in ONNX Runtime. */
import { describe, expect, it } from 'vitest'
import { model as makeModel, valueInfo } from '../graph/build.ts'
import type { Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { recurrentStack } from '../testing/channel-nets.ts'
import { optimizedOps } from '../testing/optimized-ops.ts'
import { outputsOf, randomFeeds } from '../testing/real-models.ts'
import { transformer } from '../testing/sequence-nets.ts'
import { netBuilder } from '../testing/small-nets.ts'
import { dynamicInt8 } from './dynamic-int8.ts'

async function snr(a: Model, b: Model, feeds: Feeds = randomFeeds(a)): Promise<number> {
  const [x] = Object.values(await outputsOf(a, feeds)).map((v) => v.data as Float32Array)
  const [y] = Object.values(await outputsOf(b, feeds)).map((v) => v.data as Float32Array)
  const noise = x.reduce((n, v, i) => n + (v - y[i]) ** 2, 0)
  return 10 * Math.log10(x.reduce((n, v) => n + v * v, 0) / noise)
}

const options = { minElements: 1 }

describe('dynamic-int8', () => {
  it('a transformer: every product with a stored matrix is one kernel on integers, without any data', async () => {
    const before = transformer({ steps: 6, words: 20, classes: 3 })
    const after = await dynamicInt8(before, options)
    const words = {
      dtype: 'int64',
      dims: [2, 6],
      data: BigInt64Array.from({ length: 12 }, (_, i) => BigInt((7 * i) % 20)),
    }
    expect(await snr(before, after, { x: words })).toBeGreaterThan(25)
    const ops = await optimizedOps(after)
    const products = before.graph.nodes.filter(
      ({ op, inputs }) => (op === 'MatMul' || op === 'Gemm') && before.graph.initializers.has(inputs[1]),
    )
    expect(products.length).toBeGreaterThan(4)
    expect((ops.DynamicQuantizeMatMul ?? 0) + (ops.MatMulIntegerToFloat ?? 0)).toBe(products.length)
  })

  it('dense layers, turned and plain, with and without bias, share what is rounded', async () => {
    const b = netBuilder(2)
    const turned = b.op('Gemm', ['x', b.weight('a', [24, 32]), b.weight('c', [24])], { transB: 1 })
    const plain = b.op('Gemm', ['x', b.weight('d', [32, 24])])
    const y = b.op('Add', [b.op('Relu', [turned]), plain])
    const before = makeModel({
      nodes: b.nodes,
      initializers: b.initializers,
      inputs: [valueInfo('x', 'float32', ['n', 32])],
      outputs: [valueInfo(y, 'float32', ['n', 24])],
    })
    const after = await dynamicInt8(before, { minElements: 1, reduceRange: false })
    expect(await snr(before, after)).toBeGreaterThan(35)
    expect(after.graph.nodes.filter((n) => n.op === 'DynamicQuantizeLinear')).toHaveLength(1)
    expect(after.graph.initializers.get('a_quantized')!.dims).toEqual([32, 24])
    expect(await dynamicInt8(before, { minElements: 5000 })).toBe(before)
  })

  it('LSTMs in one and in both directions; GRUs stay, and are named', async () => {
    const before = recurrentStack('LSTM')
    const after = await dynamicInt8(before, options)
    expect(after.graph.nodes.filter((n) => n.op === 'DynamicQuantizeLSTM')).toHaveLength(2)
    expect(await snr(before, after)).toBeGreaterThan(25)
    const warnings: string[] = []
    const context = { warn: (text: string) => void warnings.push(text) }
    const gru = await dynamicInt8(recurrentStack('GRU'), options, context)
    expect(gru.graph.nodes.some((n) => n.op === 'GRU')).toBe(true)
    expect(warnings.join()).toMatch(/^dynamic-int8: Conv .* and 2 more layers stay in float: /)
    const b = netBuilder(3)
    const y = b.op('LSTM', ['x', b.weight('w', [2, 32, 6]), b.weight('r', [2, 32, 8]), b.weight('b', [2, 64], 99)], {
      hidden_size: 8,
      direction: 'bidirectional',
    })
    const both = makeModel({
      nodes: b.nodes,
      initializers: b.initializers,
      inputs: [valueInfo('x', 'float32', [5, 2, 6])],
      outputs: [valueInfo(y, 'float32', [5, 2, 2, 8])],
    })
    expect(await snr(both, await dynamicInt8(both, options))).toBeGreaterThan(25)
  })

  it('takes a quarter of the bytes of large matrices, and leaves a model on integers as it is', async () => {
    const b = netBuilder(2)
    const y = b.op('MatMul', ['x', b.weight('a', [256, 256])])
    const before = makeModel({
      nodes: b.nodes,
      initializers: b.initializers,
      inputs: [valueInfo('x', 'float32', ['n', 256])],
      outputs: [valueInfo(y, 'float32', ['n', 256])],
    })
    const after = await dynamicInt8(before)
    expect(writeModel(after).length).toBeLessThan(0.27 * writeModel(before).length)
    const warnings: string[] = []
    expect(await dynamicInt8(after, {}, { warn: (w) => void warnings.push(w) })).toBe(after)
    expect(warnings.join()).toMatch(/computes on integers already/)
  })
})
