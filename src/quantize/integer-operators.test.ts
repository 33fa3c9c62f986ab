/** Operator form against the form it was made of, both in ONNX Runtime. */
import { describe, expect, it } from 'vitest'
import { model as makeModel, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { optimizedOps } from '../testing/optimized-ops.ts'
import { outputsOf, randomFeeds } from '../testing/real-models.ts'
import { netBuilder } from '../testing/small-nets.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { int8 } from './int8.ts'
import { integerOperators } from './integer-operators.ts'

function countOf(m: Model): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { op } of m.graph.nodes) counts[op] = (counts[op] ?? 0) + 1
  return counts
}

/** Convolutions, pools, a concatenation, sums, products, activations and dense layers, in a product too. */
function manyOperators(): Model {
  const b = netBuilder(4)
  let count = 0
  const conv = (x: string, dims: readonly number[]): string => {
    const k = count++
    return b.op('Conv', [x, b.weight(`w${k}`, dims), b.weight(`b${k}`, [dims[0]])], { pads: [1, 1, 1, 1] })
  }
  const a = b.op('Relu', [conv('x', [8, 3, 3, 3])])
  const c = b.op('Sigmoid', [conv(a, [8, 8, 3, 3])])
  const gated = b.op('Mul', [a, c])
  const leaky = b.op('LeakyRelu', [conv(gated, [8, 8, 3, 3])])
  const joined = b.op('Concat', [leaky, gated], { axis: 1 })
  const pooled = b.op('MaxPool', [joined], { kernel_shape: [2, 2], strides: [2, 2] })
  const averaged = b.op('AveragePool', [conv(pooled, [8, 16, 3, 3])], { kernel_shape: [2, 2], strides: [2, 2] })
  const flat = b.op('Flatten', [averaged])
  const hidden = b.op('MatMul', [flat, b.weight('m', [32, 16])])
  const y = b.op('Gemm', [hidden, b.weight('d', [16, 5]), b.weight('e', [5])])
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', ['n', 3, 8, 8])],
    outputs: [valueInfo(y, 'float32', ['n', 5])],
  })
}

async function difference(a: Model, b: Model, feeds: Parameters<typeof outputsOf>[1]): Promise<number> {
  const [x] = Object.values(await outputsOf(a, feeds)).map((v) => v.data as Float32Array)
  const [y] = Object.values(await outputsOf(b, feeds)).map((v) => v.data as Float32Array)
  const spread = Math.max(...x) - Math.min(...x)
  return Math.max(...x.map((v, i) => Math.abs(v - y[i]))) / spread
}

describe('integer-operators', () => {
  it('a whole network computes on integers by its file, and gives what the other form gives', async () => {
    const data = { calibration: () => exampleBatches(5) }
    const qdq = await int8(exampleModel(), {}, { data })
    const made = await int8(exampleModel(), { form: 'operators' }, { data })
    expect(countOf(made)).toEqual({
      QuantizeLinear: 1,
      QLinearConv: 2,
      QLinearAdd: 1,
      QLinearGlobalAveragePool: 1,
      Flatten: 1,
      QGemm: 1,
    })
    const [feeds] = exampleBatches(9)
    expect(await difference(qdq, made, feeds)).toBeLessThan(1e-6)
    expect(made.opsets.map((o) => o.domain)).toContain('com.microsoft')
  })

  it.each(['uint8', 'int8'] as const)('%s: every operator that there is one for', async (activations) => {
    const before = manyOperators()
    const feeds = randomFeeds(before, { batch: 4 })
    const qdq = await int8(before, { activations }, { data: { calibration: () => [feeds] } })
    const made = await integerOperators(qdq)
    const counts = countOf(made)
    for (const op of ['QLinearSigmoid', 'QLinearMul', 'QLinearLeakyRelu', 'QLinearConcat', 'QLinearAveragePool'])
      expect(counts[op], op).toBe(1)
    expect(counts).toMatchObject({ QLinearConv: 4, QLinearMatMul: 1, QGemm: 1, MaxPool: 1, QuantizeLinear: 1 })
    for (const op of ['DequantizeLinear', 'Conv', 'Relu', 'Gemm', 'MatMul']) expect(counts[op], op).toBeUndefined()
    // Tables of functions and kernels round some halves the other way.
    expect(await difference(qdq, made, feeds)).toBeLessThan(0.03)
    if (activations === 'uint8') expect((await optimizedOps(qdq)).QLinearConv).toBe(4)
  })

  it('leaves layers in float, and models without quantisers, as they are', async () => {
    const data = { calibration: () => exampleBatches(5) }
    const made = await int8(exampleModel(), { form: 'operators', excludeNodes: ['second'] }, { data })
    expect(countOf(made)).toMatchObject({ QLinearConv: 1, Conv: 1 })
    const [feeds] = exampleBatches(9)
    expect(
      await difference(await int8(exampleModel(), { excludeNodes: ['second'] }, { data }), made, feeds),
    ).toBeLessThan(1e-5)
    const float = exampleModel()
    expect(await integerOperators(float)).toBe(float)
  })
})
