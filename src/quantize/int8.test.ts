/** int8 models: integer kernels, ranges, what stays in float, and that outputs stay close. */
import { InferenceSession } from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import { weightTensors } from '../graph/weights.ts'
import type { Feeds } from '../method.ts'
import { type Model, opsetOf, withGraph } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { floats, floatTensor, integers } from '../tensor/dtype.ts'
import { optimizedOps } from '../testing/optimized-ops.ts'
import { modelsFolder, needsModels, outputsOf, randomFeeds, realModel } from '../testing/real-models.ts'
import { netBuilder } from '../testing/small-nets.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { int8 } from './int8.ts'

const calibration = () => exampleBatches(5)

/** Signal to noise of the first output, in dB. */
async function snr(a: Model, b: Model, feeds: Feeds): Promise<number> {
  const [x] = Object.values(await outputsOf(a, feeds)).map((v) => v.data as Float32Array)
  const [y] = Object.values(await outputsOf(b, feeds)).map((v) => v.data as Float32Array)
  let signal = 0
  let noise = 0
  for (let i = 0; i < x.length; i++) {
    signal += x[i] ** 2
    noise += (x[i] - y[i]) ** 2
  }
  return 10 * Math.log10(signal / noise)
}

describe('int8', () => {
  it.each(['min-max', 'percentile', 'mse', 'entropy'] as const)(
    '%s: the output stays near the float one',
    async (range) => {
      const before = exampleModel()
      const after = await int8(before, { calibration: range }, { data: { calibration } })
      const [feeds] = exampleBatches(9)
      expect(await snr(before, after, feeds)).toBeGreaterThan(20)
    },
  )

  it('becomes integer kernels in ONNX Runtime, the Relu and the BatchNormalization gone', async () => {
    const ops = await optimizedOps(await int8(exampleModel(), {}, { data: { calibration } }))
    expect(ops).toMatchObject({
      QLinearConv: 2,
      QLinearAdd: 1,
      QLinearGlobalAveragePool: 1,
      QGemm: 1,
      QuantizeLinear: 1,
    })
    for (const op of ['Conv', 'Gemm', 'Relu', 'Add', 'DequantizeLinear']) expect(ops[op]).toBeUndefined()
  })

  it('few bits: so many levels per channel, the same kernels; error feedback and adaptive rounding lose less', async () => {
    const data = { calibration: () => exampleBatches(5, 16) }
    const [feeds] = exampleBatches(9)
    const options = { weightBits: 3, biasCorrection: false } as const
    const nearest = await int8(exampleModel(), { ...options, rounding: 'nearest' }, { data })
    const feedback = await int8(exampleModel(), options, { data, seed: 1 })
    const adaptive = await int8(exampleModel(), { ...options, rounding: 'adaptive' }, { data, seed: 1 })
    for (const m of [nearest, feedback, adaptive]) {
      const q = integers(m.graph.initializers.get('w2_quantized')!)
      expect(new Set(q).size).toBeLessThanOrEqual(7)
      expect(Math.max(...[...q].map(Math.abs))).toBeLessThanOrEqual(64)
      expect(await optimizedOps(m)).toMatchObject({ QLinearConv: 2, QGemm: 1 })
    }
    for (const m of [feedback, adaptive])
      expect(await snr(exampleModel(), m, feeds)).toBeGreaterThan((await snr(exampleModel(), nearest, feeds)) + 1)
    await expect(int8(exampleModel(), options)).rejects.toThrow('int8: weightBits 3 needs calibration inputs')
    await expect(int8(exampleModel(), { rounding: 'adaptive' })).rejects.toThrow('int8: rounding adaptive needs')
    const eight = await int8(exampleModel(), { rounding: 'adaptive' }, { data })
    expect(await snr(exampleModel(), eight, feeds)).toBeGreaterThan(20)
  })

  it('int8 activations are the same levels, 128 lower', async () => {
    const [feeds] = exampleBatches(9)
    const [unsigned, signed] = [
      await int8(exampleModel(), {}, { data: { calibration } }),
      await int8(exampleModel(), { activations: 'int8' }, { data: { calibration } }),
    ]
    const of = (m: Model, dtype: string) =>
      [...m.graph.initializers.values()].filter((t) => t.dtype === dtype && t.dims.length === 0)
    expect(of(signed, 'uint8')).toEqual([])
    expect(of(signed, 'int8').map((t) => integers(t)[0])).toEqual(
      of(unsigned, 'uint8').map((t) => integers(t)[0] - 128),
    )
    expect(await snr(unsigned, signed, feeds)).toBeGreaterThan(35)
  })

  it('keeps excluded nodes in float, and refuses names that no node has', async () => {
    const ops = await optimizedOps(await int8(exampleModel(), { excludeNodes: ['second'] }, { data: { calibration } }))
    expect(ops).toMatchObject({ QLinearConv: 1, QGemm: 1 })
    expect((ops.Conv ?? 0) + (ops.FusedConv ?? 0)).toBe(1)
    const nameless = exampleModel()
    const nodes = nameless.graph.nodes.map(({ name, ...rest }) => rest)
    const first = await int8(withGraph(nameless, { nodes }), { excludeNodes: ['c1'] }, { data: { calibration } })
    expect(await optimizedOps(first)).toMatchObject({ QLinearConv: 1, QGemm: 1 })
    await expect(int8(exampleModel(), { excludeNodes: ['secnd'] })).rejects.toThrow('did you mean "second"?')
  })

  it('rounds each weight to the nearest step of its channel; no sum of two overflows where range is reduced', async () => {
    for (const reduceRange of [false, true]) {
      const options = { rounding: 'nearest', reduceRange, biasCorrection: false } as const
      const after = await int8(exampleModel(), options, { data: { calibration } })
      const w = floats(exampleModel().graph.initializers.get('w2')!)
      const q = integers(after.graph.initializers.get('w2_quantized')!)
      const s = floats(after.graph.initializers.get('w2_scale')!)
      for (let c = 0; c < 8; c++) {
        const rows = [...q.slice(c * 72, (c + 1) * 72)]
        const sorted = rows.toSorted((a, b) => a - b)
        const largestSum = Math.max(sorted[71] + sorted[70], -sorted[0] - sorted[1])
        if (reduceRange) {
          expect(largestSum).toBeGreaterThanOrEqual(126)
          expect(largestSum).toBeLessThanOrEqual(128)
        } else expect(Math.max(...rows.map(Math.abs))).toBe(127)
        const errors = rows.map((v, i) => Math.abs(v * s[c] - w[c * 72 + i]))
        expect(Math.max(...errors)).toBeLessThanOrEqual(s[c] * 0.5001)
      }
    }
  })

  it('feeds errors of rounding to the weights after them: outputs lose less, and no sum of two overflows', async () => {
    const data = { calibration: () => exampleBatches(5, 16) }
    const [feeds] = exampleBatches(9)
    const made = (rounding: 'nearest' | 'feedback') =>
      int8(exampleModel(), { rounding, biasCorrection: false }, { data, seed: 1 })
    const [nearest, feedback] = [await made('nearest'), await made('feedback')]
    expect(await snr(exampleModel(), feedback, feeds)).toBeGreaterThan(await snr(exampleModel(), nearest, feeds))
    for (const w of ['w1_folded', 'w2']) {
      const { data: bytes, dims } = feedback.graph.initializers.get(`${w}_quantized`)!
      const q = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length)
      for (let c = 0; c < dims[0]; c++) {
        const sorted = q.slice((c * q.length) / dims[0], ((c + 1) * q.length) / dims[0]).toSorted((a, b) => a - b)
        expect(Math.max(sorted.at(-1)! + sorted.at(-2)!, -sorted[0] - sorted[1])).toBeLessThanOrEqual(128)
      }
    }
  })

  it('keeps the bias of a channel without weights, and of one with tiny weights and a huge bias', async () => {
    const weight = floatTensor('w', [3, 1, 1, 1], [0, 1e-9, 1])
    const before = model({
      nodes: [node('Conv', ['x', 'w', 'b'], ['y'])],
      initializers: new Map([weight, floatTensor('b', [3], [0.7311, 50, 0.25])].map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', [1, 1, 4, 4])],
      outputs: [valueInfo('y', 'float32', [1, 3, 4, 4])],
    })
    const feeds = randomFeeds(before)
    const after = await int8(
      before,
      { calibration: 'min-max', biasCorrection: false },
      { data: { calibration: () => [feeds] } },
    )
    const { y } = await outputsOf(after, feeds)
    const step = 52 / 255
    expect(Math.abs((y.data as Float32Array)[0] - 0.7311)).toBeLessThan(step)
    expect(Math.abs((y.data as Float32Array)[16] - 50)).toBeLessThan(step)
  })

  it('bias correction: the mean of each output over the calibration inputs comes nearer to the float one', async () => {
    const before = exampleModel()
    const means = async (m: Model): Promise<number[]> => {
      const sums = new Array<number>(5).fill(0)
      for (const feeds of calibration()) {
        const { y } = await outputsOf(m, feeds)
        const values = y.data as Float32Array
        for (let i = 0; i < values.length; i++) sums[i % 5] += values[i]
      }
      return sums
    }
    const float = await means(before)
    const distance = async (biasCorrection: boolean): Promise<number> => {
      const settings = { biasCorrection, calibration: 'min-max', rounding: 'nearest' } as const
      const got = await means(await int8(before, settings, { data: { calibration } }))
      return got.reduce((sum, v, i) => sum + Math.abs(v - float[i]), 0)
    }
    expect(await distance(true)).toBeLessThan(0.7 * (await distance(false)))
  })

  it('without calibration: only weights become integers, under their own names, within half a step', async () => {
    const before = exampleModel()
    const warnings: string[] = []
    const after = await int8(before, {}, { warn: (w) => warnings.push(w) })
    expect(warnings.join()).toMatch(/only weights/)
    expect(weightTensors(after)).toHaveLength(1) // the dense layer's 40 elements are too few to gain
    const [feeds] = exampleBatches(9)
    expect(await snr(before, after, feeds)).toBeGreaterThan(30)
  })

  it('returns a model that computes on integers already as it is, and says so', async () => {
    const once = await int8(exampleModel(), {}, { data: { calibration } })
    const warnings: string[] = []
    expect(await int8(once, {}, { data: { calibration }, warn: (w) => warnings.push(w) })).toBe(once)
    expect(warnings.join()).toMatch(/already/)
  })

  it('keeps what has no integer kernel in float, and says so; layers that share a weight still share it', async () => {
    const w = floatTensor(
      'w',
      [4, 4, 1, 1],
      Float32Array.from({ length: 16 }, (_, i) => Math.sin(i)),
    )
    const before = model({
      nodes: [
        node('Conv', ['x', 'w'], ['a']),
        node('Conv', ['a', 'w'], ['b']),
        node('ConvTranspose', ['b', 'w'], ['y'], {}, { name: 'up' }),
      ],
      initializers: new Map([['w', w]]),
      inputs: [valueInfo('x', 'float32', [1, 4, 5, 5])],
      outputs: [valueInfo('y', 'float32')],
    })
    const warnings: string[] = []
    const feeds = randomFeeds(before)
    const settings = { biasCorrection: false }
    const after = await int8(before, settings, { data: { calibration: () => [feeds] }, warn: (m) => warnings.push(m) })
    expect(warnings).toEqual(['int8: ConvTranspose "up" stays in float: there is no integer kernel for it'])
    expect(
      [...after.graph.initializers.values()].filter((t) => t.dtype === 'int8' && t.dims.length === 4),
    ).toHaveLength(1)
    expect(await snr(before, after, feeds)).toBeGreaterThan(25)
  })

  it('takes a single dense layer, and returns a model without layers as it is', async () => {
    const dense = model({
      nodes: [node('Gemm', ['x', 'w'], ['y'])],
      initializers: new Map([['w', floatTensor('w', [4, 3], [1, 2, 3, -1, -2, -3, 0, 1, 0, 4, 5, 6])]]),
      inputs: [valueInfo('x', 'float32', [2, 4])],
      outputs: [valueInfo('y', 'float32')],
    })
    const feeds = randomFeeds(dense)
    const after = await int8(dense, {}, { data: { calibration: () => [feeds] } })
    expect(await optimizedOps(after)).toMatchObject({ QGemm: 1 })
    expect(await snr(dense, after, feeds)).toBeGreaterThan(35)
    const bare = withGraph(dense, { nodes: [node('Neg', ['x'], ['y'])], initializers: new Map() })
    expect(await int8(bare, {}, { data: { calibration: () => [feeds] } })).toBe(bare)
    expect(await int8(bare)).toBe(bare)
  })

  it('raises operator sets without scales by channel, and refuses empty calibration data', async () => {
    const old = { ...exampleModel(), irVersion: 3, opsets: [{ domain: '', version: 8 }] }
    for (const context of [{}, { data: { calibration } }]) {
      const after = await int8(old, {}, context)
      expect(opsetOf(after)).toBe(13)
      expect(after.irVersion).toBeGreaterThanOrEqual(7)
      const [feeds] = exampleBatches(9)
      expect(await snr(exampleModel(), after, feeds)).toBeGreaterThan(20)
    }
    await expect(int8(exampleModel(), {}, { data: { calibration: () => [] } })).rejects.toThrow(
      'the calibration data is empty',
    )
  })

  it('an inner value that is also an output of the model keeps its name, and float readers of an input see it exactly', async () => {
    const base = exampleModel()
    const before = withGraph(base, {
      nodes: [...base.graph.nodes, node('Neg', ['x'], ['negative'])],
      outputs: [...base.graph.outputs, valueInfo('r1', 'float32'), valueInfo('negative', 'float32')],
    })
    const after = await int8(before, {}, { data: { calibration } })
    const [feeds] = exampleBatches(9)
    const results = await outputsOf(after, feeds)
    expect(Object.keys(results)).toEqual(['y', 'r1', 'negative'])
    expect(results.negative.data).toEqual((feeds.x.data as Float32Array).map((v) => -v))
  })
})

/** Two convolutions, the halves of whose first result go ways of their own and meet again; `first` are outputs before the last. */
function split(...first: readonly string[]): Model {
  const b = netBuilder(5)
  const conv = (x: string, dims: readonly number[], attributes = {}): string =>
    b.op(
      'Conv',
      [x, b.weight(`w${b.initializers.size}`, dims), b.weight(`b${b.initializers.size}`, [dims[0]])],
      attributes,
    )
  b.nodes.push(node('Split', [b.op('Relu', [conv('x', [8, 3, 3, 3])])], ['left', 'right'], { axis: 1 }))
  const right = conv('right', [4, 4, 3, 3], { pads: [1, 1, 1, 1] })
  const y = conv(b.op('Concat', ['left', right], { axis: 1 }), [5, 8, 3, 3])
  return model({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', ['n', 3, 8, 8])],
    outputs: [...first, y].map((name) => valueInfo(name, 'float32')),
  })
}

describe('int8 of a split value', () => {
  const feeds = randomFeeds(split(), { batch: 4 })
  const context = { data: { calibration: () => [feeds] } }

  it('parts and joins integers', async () => {
    const after = await int8(split(), {}, context)
    expect(await snr(split(), after, feeds)).toBeGreaterThan(25)
    const ops = await optimizedOps(after)
    expect(ops).toMatchObject({ QLinearConv: 3, QLinearConcat: 1, Split: 1, QuantizeLinear: 1, DequantizeLinear: 1 })
    expect(ops.Concat).toBeUndefined()
  })

  it('what is concatenated may share a range with the result: integers are copied', async () => {
    const whole = split()
    const at = whole.graph.nodes.findIndex((n) => n.op === 'Concat')
    const { inputs } = whole.graph.nodes[at]
    const nodes = [...whole.graph.nodes]
    // Both parts end in a Relu; with one that does not, each would keep its range.
    nodes.splice(at, 1, node('Relu', [inputs[1]], ['positive']), { ...nodes[at], inputs: [inputs[0], 'positive'] })
    const before = withGraph(whole, { nodes })
    const [after, own] = [
      await int8(before, { concat: 'shared', equalise: false }, context),
      await int8(before, { equalise: false }, context),
    ]
    expect(await snr(before, after, feeds)).toBeGreaterThan(25)
    expect(await optimizedOps(after)).toMatchObject({ QLinearConv: 3, QLinearConcat: 1 })
    const scales = (m: Model): number => {
      const made = new Map(m.graph.nodes.flatMap((n) => n.outputs.map((o) => [o, n] as const)))
      const joined = m.graph.nodes.find((n) => n.op === 'Concat')!
      const result = m.graph.nodes.find((n) => n.op === 'QuantizeLinear' && n.inputs[0] === joined.outputs[0])!
      const scaleOf = (name: string): number => floats(m.graph.initializers.get(name)!)[0]
      return new Set([...joined.inputs.map((name) => made.get(name)!), result].map((n) => scaleOf(n.inputs[1]))).size
    }
    expect(scales(after)).toBe(1)
    expect(scales(own)).toBeGreaterThan(1)
    const mixed = await int8(split(), { concat: 'shared', equalise: false }, context)
    expect(await optimizedOps(mixed)).toMatchObject({ QLinearConv: 3, QLinearConcat: 1 })
  })

  it.each(['left', 'right'])('%s may be an output of the model', async (half) => {
    const after = await int8(split(half), {}, context)
    expect(after.graph.outputs.map((o) => o.name)).toEqual(split(half).graph.outputs.map((o) => o.name))
    expect(await snr(split(half), after, feeds)).toBeGreaterThan(25)
  })
})

describe.skipIf(!modelsFolder)(`int8 on real models${needsModels}`, () => {
  it.each([
    ['cifar10-resnet20', { QLinearConv: 19, QLinearAdd: 9, QLinearGlobalAveragePool: 1, QGemm: 1 }],
    ['mlperf-tiny-ic-resnet8', { QLinearConv: 9, QLinearAdd: 3, QLinearAveragePool: 1, QGemm: 1 }],
    ['mnist-8', { QLinearConv: 2, QGemm: 1 }],
    ['mlperf-tiny-kws-dscnn', { QLinearConv: 9, QLinearAveragePool: 1, QGemm: 1 }],
  ])('%s: every layer becomes an integer kernel', async (name, expected) => {
    const before = realModel(name)
    const after = await int8(before, {}, { data: { calibration: () => [randomFeeds(before, { batch: 4 })] } })
    const ops = await optimizedOps(after)
    expect(ops).toMatchObject(expected)
    for (const op of ['Conv', 'FusedConv', 'Gemm', 'Add', 'Relu', 'BatchNormalization']) expect(ops[op]).toBeUndefined()
  })

  it('silero_vad: weights in Constant nodes of nested graphs become int8, a quarter of the bytes', async () => {
    const before = realModel('silero_vad')
    const after = await int8(before)
    expect(writeModel(after).length).toBeLessThan(0.33 * writeModel(before).length)
    const session = await InferenceSession.create(writeModel(after), { logSeverityLevel: 4 })
    expect(session.inputNames).toEqual(before.graph.inputs.map((i) => i.name))
    await session.release()
  })

  it('shufflenet-v2-12-int8: returned as it is', async () => {
    const before = realModel('shufflenet-v2-12-int8')
    expect(await int8(before)).toBe(before)
  })
})
