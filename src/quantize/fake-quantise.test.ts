/** Training under quantisation from outside: what it exports computes what was trained, on integers, with few levels. */
import { describe, expect, it } from 'vitest'
import { dataHandle } from '../data/handle.ts'
import { plainEngine } from '../grad/engine.ts'
import { lowerPlain } from '../grad/lower-plain.ts'
import { specialize } from '../grad/specialize.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { weightTensors } from '../graph/weights.ts'
import type { Feeds } from '../method.ts'
import { type Model, withGraph } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { magnitude } from '../prune/magnitude.ts'
import { trainQuantised } from '../retrain/train-quantised.ts'
import { foldBatchNorms } from '../simplify/fold-batch-norm.ts'
import { floats, floatTensor, integers } from '../tensor/dtype.ts'
import { optimizedOps } from '../testing/optimized-ops.ts'
import { outputsOf } from '../testing/real-models.ts'
import { netBuilder } from '../testing/small-nets.ts'
import { exampleModel, exampleTraining } from '../testing/test-method.ts'
import { type CheckpointStore, decodeCheckpoint } from '../train/checkpoint.ts'
import { chooseEngine } from '../train/choose-engine.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { train } from '../train/train.ts'
import type { TrainOptions } from '../train/train-options.ts'
import { validate } from '../train/validate.ts'
import { type FakeQuantiseOptions, fakeQuantise } from './fake-quantise.ts'
import { calibrateValues, prepareForFakes } from './prepare-fakes.ts'

const training = exampleTraining(4, 128)
const data = dataHandle(training, { seed: 1 })
const feeds = [...data.calibration({ samples: 64, batchSize: 64 })][0] as Feeds

const usual = {
  weightBits: 8,
  activationBits: 8,
  edgeBits: 8,
  weights: 'lsq',
  activations: 'lsq',
  perChannel: false,
  reduceRange: true,
  excludeNodes: [],
} as const satisfies Omit<FakeQuantiseOptions, 'ranges'>

type Choice = Partial<Omit<FakeQuantiseOptions, 'ranges'>>

/** A prepared example model and the regime for it. One scale is negative, as trained normalisations have it. */
async function prepared(choice: Choice = {}) {
  const example = exampleModel()
  const gamma = floats(example.graph.initializers.get('gamma')!).map((v, c) => (c === 2 ? -v : v))
  const initializers = new Map(example.graph.initializers).set('gamma', floatTensor('gamma', [8], gamma))
  const model = await prepareForFakes(withGraph(example, { initializers }))
  const options = { ...usual, ...choice }
  const ranges = await calibrateValues(model, options, { data })
  return { model, regime: fakeQuantise({ ...options, ranges }) }
}

function options(more: Partial<TrainOptions> = {}): TrainOptions {
  const { batcher } = training
  return { batcher, epochs: 2, batchSize: 32, learningRate: 0.01, threads: 1, engine: plainEngine, ...more }
}

/** What a model with fake quantisers computes. */
async function trainedOutputs(entered: Model): Promise<Float32Array> {
  const special = specialize(entered, { x: feeds.x.dims })
  const { graph } = lowerPlain(special)
  return (await outputsOf({ ...special.model, graph }, feeds)).y.data as Float32Array
}

const choices: readonly [string, Choice][] = [
  ['8 / 8', {}],
  ['4 / 4', { weightBits: 4, activationBits: 4 }],
  ['2 / 2', { weightBits: 2, activationBits: 2 }],
  ['3 / 8, per channel', { weightBits: 3, perChannel: true }],
  ['pact', { weightBits: 4, activationBits: 4, activations: 'pact', clipDecay: 1e-3 }],
  ['straight through', { weights: 'straight-through', activations: 'straight-through' }],
  ['dorefa', { weights: 'dorefa', weightBits: 4, activationBits: 4, edgeBits: 0 }],
  ['ternary', { weights: 'ternary' }],
  ['ttq', { weights: 'ttq', edgeBits: 0 }],
  ['binary', { weights: 'binary', edgeBits: 0 }],
  // The first layer reads what can be negative, the others what a Relu makes.
  ['1 bit', { weights: 'binary', activationBits: 1, edgeBits: 0 }],
  ['1 bit inside', { weights: 'binary', activationBits: 1 }],
  ['1 bit, pact', { weights: 'binary', activationBits: 1, edgeBits: 0, activations: 'pact', clipDecay: 1e-3 }],
  ['1 bit, straight through', { activationBits: 1, edgeBits: 0, activations: 'straight-through' }],
]

/** Trains, and gives the last model with quantisers in it beside what was exported. */
async function trainedWith(choice: Choice, more: Partial<TrainOptions> = {}) {
  const { model, regime } = await prepared(choice)
  let inside: Model | undefined
  const watched: typeof regime = {
    ...regime,
    async enter(...given) {
      const parts = await regime.enter(...given)
      return { ...parts, leave: (m, state) => parts.leave!((inside = m), state) }
    },
  }
  const { model: exported } = await train(model, training.train, options({ ...more, regimes: [watched] }))
  return { inside: inside!, exported, start: model }
}

type Builder = ReturnType<typeof netBuilder>

/** A convolution of 3 x 3 with weights and biases of its own; gives the name of its output. */
const convolution = (b: Builder, x: string, k: number, dims: readonly number[]): string =>
  b.op('Conv', [x, b.weight(`w${k}`, dims), b.weight(`b${k}`, [dims[0]])], { pads: [1, 1, 1, 1] })

/** Three layers of 8 channels, each made by `layer`, and a dense one. */
function chainOf(seed: number, layer: typeof convolution): Model {
  const b = netBuilder(seed)
  const x = layer(b, layer(b, layer(b, 'x', 0, [8, 3, 3, 3]), 1, [8, 8, 3, 3]), 2, [8, 8, 3, 3])
  const y = b.op('Gemm', [b.op('Flatten', [x]), b.weight('wd', [512, 5]), b.weight('bd', [5])])
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', ['n', 3, 8, 8])],
    outputs: [valueInfo(y, 'float32', ['n', 5])],
  })
}

describe('fake-quantise', () => {
  it.each(choices)('%s: the exported model computes what was trained', async (_, choice) => {
    const { inside, exported } = await trainedWith(choice)
    expect(exported.graph.nodes.every((n) => !n.domain)).toBe(true)
    const expected = await trainedOutputs(inside)
    const found = (await outputsOf(exported, feeds)).y.data as Float32Array
    // A sum halfway between two levels may be rounded either way, which moves a few samples by a step.
    const spread = Math.max(...expected) - Math.min(...expected)
    const apart = expected.map((v, i) => Math.abs(found[i] - v) / spread)
    expect(apart.filter((d) => d > 0.01).length / apart.length).toBeLessThan(0.03)
    expect(apart.reduce((n, d) => n + d, 0) / apart.length).toBeLessThan(0.002)
    const classOf = (values: Float32Array, row: number): number => {
      const own = values.subarray(5 * row, 5 * row + 5)
      return own.indexOf(Math.max(...own))
    }
    const rows = Array.from({ length: 64 }, (__, row) => row)
    expect(rows.filter((row) => classOf(found, row) === classOf(expected, row)).length).toBeGreaterThanOrEqual(63)
  })

  it.each(choices)('%s: the loss that training tells is that of what it exports', async (_, choice) => {
    const { model, regime } = await prepared({ ...choice, activations: 'float' })
    // A second epoch, in which nothing moves any more.
    const schedule: TrainOptions['schedule'] = ({ step, stepsPerEpoch }) => (step < stepsPerEpoch ? 1 : 0)
    const more = { schedule, frozenStatistics: true, learningRate: 0.05, regimes: [regime] }
    const result = await train(model, training.train, options(more))
    const { loss } = await validate(result.model, training.train, { ...options(), batchSize: 32 })
    expect(result.history[1].loss).toBeCloseTo(loss, 4)
  })

  it.each(choices)('%s: both engines learn the same', async (_, choice) => {
    const { engine } = await chooseEngine('blocked')
    const [plain, blocked] = [await trainedWith(choice), await trainedWith(choice, { engine })]
    const [a, b] = [await trainedOutputs(plain.inside), await trainedOutputs(blocked.inside)]
    const difference = a.reduce((n, v, i) => n + (v - b[i]) ** 2, 0) / a.reduce((n, v) => n + v * v, 0)
    expect(difference).toBeLessThan(1e-4)
  })

  it('8 / 8: ONNX Runtime computes every layer and the sum on integers', async () => {
    const { exported } = await trainedWith({})
    const ops = await optimizedOps(exported)
    expect(ops).toMatchObject({ QLinearConv: 2, QLinearAdd: 1, QLinearGlobalAveragePool: 1, QGemm: 1 })
    for (const op of ['Conv', 'FusedConv', 'Gemm', 'Add', 'BatchNormalization']) expect(ops[op]).toBeUndefined()
  })

  it('four bits: every convolution of a chain computes on integers in ONNX Runtime', async () => {
    const chain = chainOf(3, (b, x, k, dims) => b.op('Relu', [convolution(b, x, k, dims)]))
    const options = { epochs: 1, batch: 32, weightBits: 4, activationBits: 4 }
    const exported = await trainQuantised(chain, options, { data, seed: 1 })
    const ops = await optimizedOps(exported)
    expect(ops).toMatchObject({ QLinearConv: 3, QGemm: 1 })
    for (const op of ['Conv', 'FusedConv', 'Gemm', 'Relu']) expect(ops[op]).toBeUndefined()
    const middle = exported.graph.initializers.get('w1_quantized')!
    expect(new Set(integers(middle)).size).toBeLessThanOrEqual(16)
  })

  it('what a Clip lets through: no level lies beyond, so that ONNX Runtime leaves the Clip out', async () => {
    const chain = chainOf(3, (b, x, k, dims) => b.op('Clip', [convolution(b, x, k, dims), 'least', 'most']))
    const initializers = new Map([
      ...chain.graph.initializers,
      ['least', floatTensor('least', [], [0])],
      ['most', floatTensor('most', [], [0.25])],
    ])
    // Its step grows as it learns.
    const options = { epochs: 1, batch: 32, rate: 0.05 }
    const exported = await trainQuantised(withGraph(chain, { initializers }), options, { data, seed: 1 })
    const { graph } = exported
    const clipped = graph.nodes.flatMap((n) => (n.op === 'Clip' ? n.outputs : []))
    const steps = graph.nodes.flatMap((n) =>
      n.op === 'QuantizeLinear' && clipped.includes(n.inputs[0])
        ? [floats(graph.initializers.get(n.inputs[1])!)[0]]
        : [],
    )
    expect(steps.length).toBeGreaterThan(1)
    for (const step of steps) expect(255 * step).toBeLessThanOrEqual(0.25 * (1 + 1e-6))
    const ops = await optimizedOps(exported)
    for (const op of ['Clip', 'FusedConv', 'Conv']) expect(ops[op]).toBeUndefined()
  })

  it('one bit: layers read signs times one size, on integers in ONNX Runtime', async () => {
    // Blocks as those of XNOR-Net: layers between normalisations and nothing else.
    const chain = chainOf(5, convolution)
    const options = { epochs: 1, batch: 32, weights: 'binary', activationBits: 1 } as const
    const exported = await trainQuantised(chain, options, { data, seed: 1 })
    const ops = await optimizedOps(exported)
    expect(ops).toMatchObject({ QLinearConv: 3, QGemm: 1 })
    for (const op of ['Conv', 'FusedConv', 'Gemm']) expect(ops[op]).toBeUndefined()
    for (const layer of exported.graph.nodes.filter((n) => n.op === 'Conv').slice(1)) {
      const read = layer.inputs[0]
      const outputs = [...exported.graph.outputs, valueInfo(read, 'float32')]
      const values = (await outputsOf(withGraph(exported, { outputs }), feeds))[read].data as Float32Array
      const signs = [...new Set(values)].filter((v) => v !== 0).sort((p, q) => p - q)
      expect(signs).toHaveLength(2)
      expect(signs[0]).toBe(-signs[1])
      // A sum of exactly 0 has no sign.
      expect(values.filter((v) => v === 0).length / values.length).toBeLessThan(0.02)
    }
  })

  it('one bit, straight through: signs have the size of the running mean of |x|', async () => {
    const choice = { activationBits: 1, edgeBits: 0, activations: 'straight-through' } as const
    const { inside } = await trainedWith(choice, { epochs: 8 })
    const [size] = floats(inside.graph.initializers.get('x_step')!)
    const values = Array.from(training.train.fields.x.data, Math.abs)
    const mean = values.reduce((n, v) => n + v, 0) / values.length
    expect(Math.abs(size / mean - 1)).toBeLessThan(0.1)
  })

  it('refuses an edge of one bit', async () => {
    const options = { epochs: 1, edgeBits: 1 }
    await expect(trainQuantised(exampleModel(), options, { data, seed: 1 })).rejects.toThrow(
      'train-quantised: edgeBits is 1; expected 0 or 2 to 8',
    )
  })

  it('names the layers that stay in float', async () => {
    const { initializers, nodes } = exampleModel().graph
    const w4 = floatTensor(
      'w4',
      [8, 8, 1, 1],
      Float32Array.from({ length: 64 }, (_, i) => (i % 9 === 0 ? 1 : 0.01)),
    )
    const at = nodes.findIndex((n) => n.op === 'GlobalAveragePool')
    const up = node('ConvTranspose', ['r2', 'w4'], ['up'], {}, { name: 'upwards' })
    const pool = node('GlobalAveragePool', ['up'], ['p3'])
    const model = withGraph(exampleModel(), {
      nodes: [...nodes.slice(0, at), up, pool, ...nodes.slice(at + 1)],
      initializers: new Map(initializers).set('w4', w4),
    })
    const warnings: string[] = []
    await trainQuantised(model, { epochs: 1 }, { data, seed: 1, warn: (w) => void warnings.push(w) })
    expect(warnings).toEqual([
      'train-quantised: ConvTranspose "upwards" stays in float: there is no integer kernel for it',
    ])
  })

  it('fewer bits: weights take few values, and a convolution in the middle computes on integers', async () => {
    const { exported } = await trainedWith({ weightBits: 2, activationBits: 2, edgeBits: 0 })
    const weights = [...exported.graph.initializers.values()].filter((t) => t.dtype === 'int8' && t.dims.length > 1)
    expect(weights).toHaveLength(3)
    // Channels whose normalisation has a negative factor have the four levels turned round.
    for (const t of weights) expect(new Set(integers(t).map(Math.abs)).size).toBeLessThanOrEqual(3)
    const limits = [...exported.graph.initializers.values()].filter(
      (t) => t.dtype === 'uint8' && t.name.includes('limit'),
    )
    expect(limits.map((t) => Number(integers(t)[0])).filter((v) => v > 0)).toEqual(
      limits.slice(0, limits.length / 2).map(() => 3),
    )
  })

  it('activations in float: the graph stays, weights are on a grid of so many levels', async () => {
    const { exported, start } = await trainedWith({ activations: 'float', weightBits: 3, edgeBits: 0 })
    expect(exported.graph.nodes.map((n) => n.op)).toEqual(start.graph.nodes.map((n) => n.op))
    for (const { tensor } of weightTensors(exported)) {
      const values = floats(tensor)
      expect(new Set(values).size).toBeLessThanOrEqual(8)
      const step = Math.min(...[...new Set(values.map(Math.abs))].filter((v) => v > 0))
      for (const v of values) expect(Math.abs(v / step - Math.round(v / step))).toBeLessThan(1e-4)
    }
  })

  it('before it has learnt anything 8 bits are what the float model computes, nearly', async () => {
    const { exported, start } = await trainedWith({}, { learningRate: 0, frozenStatistics: true })
    const [a, b] = [await outputsOf(start, feeds), await outputsOf(exported, feeds)]
    const [x, y] = [a.y.data as Float32Array, b.y.data as Float32Array]
    const noise = x.reduce((n, v, i) => n + (v - y[i]) ** 2, 0)
    expect(x.reduce((n, v) => n + v * v, 0) / noise).toBeGreaterThan(100)
  })

  it.each([
    ['2 / 2', { weightBits: 2, activationBits: 2, edgeBits: 0 }],
    ['binary / 1', { weights: 'binary', activationBits: 1 }],
    ['binary / 1, straight through', { weights: 'binary', activationBits: 1, activations: 'straight-through' }],
  ] as const)('it learns: %s does better after training than before', async (_, choice) => {
    const { model, regime } = await prepared(choice)
    const { history } = await train(
      model,
      training.train,
      options({ epochs: 8, learningRate: 0.02, regimes: [regime] }),
    )
    expect(history.at(-1)!.loss).toBeLessThan(0.7 * history[0].loss)
  })

  it('zeros of a pruned model stay zero', async () => {
    const { model } = await prepared()
    const pruned = await magnitude(model, { sparsity: 0.7 })
    const ranges = await calibrateValues(pruned, usual, { data })
    const regimes = [keepZeros(), fakeQuantise({ ...usual, ranges, weightBits: 4 })]
    const { model: exported } = await train(pruned, training.train, options({ regimes }))
    const stored = exported.graph.initializers
    const folded = foldBatchNorms(pruned)
    for (const { tensor } of weightTensors(folded)) {
      const before = floats(tensor)
      const after = [...stored.values()].find(
        (t) => t.dtype === 'int8' && t.dims.join() === tensor.dims.join() && t.dims.length > 1,
      )!
      integers(after).forEach((q, i) => {
        if (before[i] === 0) expect(q).toBe(0)
      })
    }
  })

  it.each([
    ['plain', { weightBits: 4, activationBits: 4 }],
    ['blocked', { weights: 'straight-through', activations: 'straight-through' }],
    ['blocked', { activations: 'pact', clipDecay: 1e-3, weights: 'ternary' }],
  ] as const)('goes on from any checkpoint bit for bit, %s %o', async (id, choice) => {
    const { engine } = await chooseEngine(id)
    const saved: Uint8Array[] = []
    const { model, regime } = await prepared(choice)
    const run = (store: CheckpointStore) =>
      train(model, training.train, {
        ...options({ engine, epochs: 3, averageDecay: 0.9, regimes: [regime] }),
        // Statistics freeze on the way.
        frozenStatistics: 1,
        checkpoint: { store, everySteps: 1 },
      })
    const whole = await run({ save: async (bytes) => void saved.push(bytes.slice()), load: async () => undefined })
    expect(saved).toHaveLength(12)
    for (const at of [1, 3, 4, 8]) {
      const resumed = await run({ save: async () => {}, load: async () => saved[at] })
      expect(writeModel(resumed.model)).toEqual(writeModel(whole.model))
    }
    const statistics = (bytes: Uint8Array) => decodeCheckpoint(bytes).arrays.get('statistics/mean')!
    expect(statistics(saved[2])).not.toEqual(statistics(saved[3]))
    for (const bytes of saved.slice(4)) expect(statistics(bytes)).toEqual(statistics(saved[3]))
    const ranges = [...decodeCheckpoint(saved[5]).arrays.keys()].filter((name) => name.startsWith('state/'))
    expect(ranges.length > 0).toBe('activations' in choice && choice.activations === 'straight-through')
  })
})
