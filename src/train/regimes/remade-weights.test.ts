/** Gates, variational dropout and Bayesian groups: by their formulas, by finite differences, stopped and resumed, and what leaves. */
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../../data/batcher.ts'
import { drawDigits } from '../../data/digits.ts'
import { plainEngine } from '../../grad/engine.ts'
import { replaceTensors, weightTensors } from '../../graph/weights.ts'
import type { Model, Tensor } from '../../model.ts'
import { writeModel } from '../../onnx/write.ts'
import { openSession } from '../../runtime/session.ts'
import { floats, floatTensor, tensorOfFloats } from '../../tensor/dtype.ts'
import { random } from '../../tensor/random.ts'
import { mobileNet } from '../../testing/small-nets.ts'
import { lenet5 } from '../../zoo/lenet.ts'
import { type CheckpointStore, decodeCheckpoint } from '../checkpoint.ts'
import { chooseEngine } from '../choose-engine.ts'
import { adam, sgd } from '../optimizers.ts'
import type { Regime } from '../regime.ts'
import { train } from '../train.ts'
import type { TrainOptions } from '../train-options.ts'
import { bayesianGroups } from './bayesian-groups.ts'
import { keepZeros } from './keep-zeros.ts'
import { l0 } from './l0.ts'
import { drawNormal, type GateGroup, inputGates, weightGates } from './remade-weights.ts'
import { variationalDropout } from './variational-dropout.ts'

const digits = drawDigits(128, 5)
const small = (): Model => lenet5({ seed: 1, width: 0.2 })

function options(model: Model, more: Partial<TrainOptions> = {}): TrainOptions {
  const batcher = batcherFor(requiredInputs(model), digits, { range: [0, 1], layout: 'NCHW' })
  return { batcher, epochs: 1, batchSize: 32, learningRate: 0, threads: 1, engine: plainEngine, seed: 3, ...more }
}

const stored = (model: Model, name: string): Float32Array => floats(model.graph.initializers.get(name)!)
/** Of the four filters of the first convolution two go together, one alone, and one has no gate. */
const pairs: GateGroup = {
  name: 'pairs',
  units: 2,
  members: [{ tensor: 'conv1.weight', axis: 0, units: Int32Array.of(0, 0, 1, -1) }],
}

type Maker = (model: Model, strength: number) => Regime
const makers: Record<string, Maker> = {
  'l0 of weights': (m, lambda) => l0({ groups: weightGates(m), lambda, warmUp: 3 }),
  'l0 of units': (m, lambda) => l0({ groups: inputGates(m), lambda }),
  'variational dropout': (_, strength) => variationalDropout({ samples: 100, strength, warmUp: 3 }),
  'bayesian groups': (m, strength) => bayesianGroups({ groups: inputGates(m), samples: 100, strength }),
}

/** The regime with a stored number of what it adds (all of that name without `at`) moved by `by`. */
function moved(regime: Regime, name: string, { at, by }: { at?: number; by: number }): Regime {
  return {
    ...regime,
    async enter(model, setting) {
      const parts = await regime.enter(model, setting)
      const inside = parts.model ?? model
      const tensor = inside.graph.initializers.get(name) as Tensor
      const values = floats(tensor).map((v, i) => (at === undefined || i === at ? v + by : v))
      return { ...parts, model: replaceTensors(inside, new Map([[tensor, floatTensor(name, tensor.dims, values)]])) }
    },
  }
}

describe('weights that are made anew at each step', () => {
  it.each([...Object.keys(makers).map((name) => [name, 'blocked'] as const), ['l0 of weights', 'plain'] as const])(
    '%s goes on from any checkpoint bit for bit, %s',
    async (name, id) => {
      const net = mobileNet(1)
      const { engine } = await chooseEngine(id)
      const saved: Uint8Array[] = []
      const run = (store: CheckpointStore) =>
        train(net, digits, {
          ...options(net, { engine, epochs: 2, learningRate: 0.01, optimizer: adam() }),
          checkpoint: { store, everySteps: 1 },
          regimes: [makers[name](net, 0.01)],
        })
      const whole = await run({ save: async (bytes) => void saved.push(bytes.slice()), load: async () => undefined })
      for (const at of [0, 4]) {
        const resumed = await run({ save: async () => {}, load: async () => saved[at] })
        expect(writeModel(resumed.model)).toEqual(writeModel(whole.model))
        expect(resumed.history).toEqual(whole.history)
      }
    },
    60_000,
  )

  it.each([
    ['l0 of weights', 'ip2.weight_log_alpha', 1e-5],
    ['l0 of units', 'conv1.weight_log_alpha', 1e-5],
    ['l0 of units', 'ip2.weight_log_alpha', 1e-5],
    ['variational dropout', 'ip2.weight_log_variance', 1e-4],
    ['bayesian groups', 'ip2.weight_scale', 1e-4],
    ['bayesian groups', 'ip2.weight_scale_log_variance', 1e-4],
    ['bayesian groups', 'ip2.weight_log_variance', 1e-4],
  ])(
    '%s: the gradient of %s equals a finite difference',
    async (name, parameter, strength) => {
      const net = small()
      // Noise that is large, so that it shows in the loss.
      const by = parameter.endsWith('log_variance') ? 8 : 0
      const regime = moved(makers[name](net, strength), parameter, { by })
      const one = (regimes: readonly Regime[], more: Partial<TrainOptions> = {}) =>
        train(net, { ...digits, length: 32 }, options(net, { optimizer: sgd({ momentum: 0 }), regimes, ...more }))
      const saved: Uint8Array[] = []
      const store: CheckpointStore = { save: async (b) => void saved.push(b.slice()), load: async () => undefined }
      let before = new Float32Array()
      const watched: Regime = {
        ...regime,
        async enter(model, setting) {
          const parts = await regime.enter(model, setting)
          before = stored(parts.model!, parameter).slice()
          return parts
        },
      }
      const rate = 1
      await one([watched], { learningRate: rate, checkpoint: { store, everySteps: 1 } })
      const after = decodeCheckpoint(saved[0]).arrays.get(`weight/${parameter}`)!
      const gradient = after.map((v, i) => (before[i] - v) / rate)
      // Where it is largest, the difference of two losses in float32 says most.
      const at = gradient.reduce((best, v, i) => (Math.abs(v) > Math.abs(gradient[best]) ? i : best), 0)
      const lossAt = async (by: number) => (await one([moved(regime, parameter, { at, by })])).history[0].loss
      const h = 0.005
      const expected = ((await lossAt(h)) - (await lossAt(-h))) / (2 * h)
      expect(gradient[at]).not.toBe(0)
      expect(Math.abs(gradient[at] - expected)).toBeLessThan(0.03 * Math.abs(expected) + 2e-4)
    },
    60_000,
  )

  it.each(Object.keys(makers))('%s leaves the graph that the model had, and runs in ONNX Runtime', async (name) => {
    const net = small()
    const regimes = [makers[name](net, 0.01)]
    const { model } = await train(net, digits, options(net, { learningRate: 0.01, regimes }))
    expect(model.graph.nodes).toEqual(net.graph.nodes)
    expect(model.graph.inputs).toEqual(net.graph.inputs)
    expect([...model.graph.initializers.keys()]).toEqual([...net.graph.initializers.keys()])
    expect(stored(model, 'ip2.weight')).not.toEqual(stored(net, 'ip2.weight'))
    await (await openSession(model)).release()
  })

  it.each(Object.keys(makers))(
    '%s: strong, it leaves fewer weights than weak, and none comes back',
    async (name) => {
      const net = small()
      const left = async (strength: number): Promise<Model> => {
        const how = { learningRate: 0.2, optimizer: adam(), epochs: 5 }
        const regimes = [makers[name](net, strength)]
        return (await train(net, digits, options(net, { ...how, regimes }))).model
      }
      const zeros = (m: Model): number =>
        weightTensors(m).reduce((n, w) => n + floats(w.tensor).reduce((k, v) => k + Number(v === 0), 0), 0)
      const sparse = await left(name.startsWith('l0') ? 0.01 : 1)
      expect(zeros(sparse)).toBeGreaterThan(zeros(await left(0)) + 500)
      const regimes = [makers[name](sparse, 0), keepZeros()]
      const again = (await train(sparse, digits, options(sparse, { learningRate: 0.01, regimes }))).model
      for (const w of weightTensors(sparse)) {
        const values = stored(again, w.name)
        for (const [i, v] of floats(w.tensor).entries()) if (v === 0) expect(values[i]).toBe(0)
      }
    },
    60_000,
  )

  it('works on float16 models, which keep their type', async () => {
    const wide = small()
    const initializers = new Map(
      [...wide.graph.initializers].map(([name, t]) => [name, tensorOfFloats(name, 'float16', t.dims, floats(t))]),
    )
    const half = <V extends object>(v: V) => ({ ...v, dtype: 'float16' as const })
    const { inputs, outputs } = wide.graph
    const net: Model = {
      ...wide,
      graph: { ...wide.graph, initializers, inputs: inputs.map(half), outputs: outputs.map(half) },
    }
    const { model } = await train(
      net,
      digits,
      options(net, { learningRate: 0.01, regimes: [makers['l0 of units'](wide, 0.01)] }),
    )
    expect([...model.graph.initializers.values()].every((t) => t.dtype === 'float16')).toBe(true)
  })
})

describe('l0', () => {
  it('adds λ times the weights that are expected to be left', async () => {
    const net = small()
    const groups = [pairs]
    const loss = async (lambda: number) =>
      (await train(net, digits, options(net, { regimes: [l0({ groups, lambda, dropRate: 0.5 })] }))).history[0].loss
    // Three filters of 25 weights, whose ln α is near 0.
    const open = 1 / (1 + Math.exp((2 / 3) * Math.log(0.1 / 1.1)))
    expect((await loss(0.1)) - (await loss(0))).toBeCloseTo(0.1 * 75 * open, 1)
  })

  it('places without a unit keep their weights; a gate that is closed leaves zeros for its whole unit', async () => {
    const net = small()
    const closed = moved(l0({ groups: [pairs], lambda: 0 }), 'pairs_log_alpha', { at: 1, by: -4 })
    const left = stored((await train(net, digits, options(net, { regimes: [closed] }))).model, 'conv1.weight')
    const before = stored(net, 'conv1.weight')
    expect(left.subarray(75)).toEqual(before.subarray(75))
    expect(left.subarray(50, 75).every((v) => v === 0)).toBe(true)
    // An open one is a half, where ln α is near 0.
    for (const i of [0, 20, 49]) expect(left[i] / before[i]).toBeCloseTo(0.5, 1)
  })
})

describe('variational dropout', () => {
  it('adds the divergence of its formula', async () => {
    const net = small()
    const names = ['conv2.weight', 'ip1.weight']
    const regime = (strength: number) => variationalDropout({ samples: 50, names, strength })
    const loss = async (strength: number) =>
      (await train(net, digits, options(net, { regimes: [regime(strength)] }))).history[0].loss
    const [k1, k2, k3] = [0.63576, 1.8732, 1.48695]
    const kl = (w: number): number => {
      const logAlpha = -10 - Math.log(w * w)
      return k1 - k1 / (1 + Math.exp(-(k2 + k3 * logAlpha))) + 0.5 * Math.log1p(Math.exp(-logAlpha))
    }
    const sum = names.reduce((n, name) => n + stored(net, name).reduce((k, w) => k + kl(w), 0), 0)
    expect(((await loss(0.01)) - (await loss(0))) / ((0.01 * sum) / 50)).toBeCloseTo(1, 3)
  })

  it('what is mostly noise leaves as zero', async () => {
    const net = small()
    const regime = moved(variationalDropout({ samples: 50 }), 'ip2.weight_log_variance', { at: 5, by: 20 })
    const { model } = await train(net, digits, options(net, { regimes: [regime] }))
    const expected = stored(net, 'ip2.weight').map((w, i) => (-10 + (i === 5 ? 20 : 0) - Math.log(w * w) > 3 ? 0 : w))
    expect(stored(model, 'ip2.weight')).toEqual(expected)
    expect(expected[5]).toBe(0)
  })
})

describe('bayesian groups', () => {
  it('adds both divergences, and a unit that is mostly noise leaves as zeros', async () => {
    const net = small()
    const regime = (strength: number) => bayesianGroups({ groups: [pairs], samples: 50, strength })
    const loss = async (strength: number) =>
      (await train(net, digits, options(net, { regimes: [regime(strength)] }))).history[0].loss
    const ofWeights = stored(net, 'conv1.weight').reduce((n, w) => n + 0.5 * (Math.exp(-10) + w * w - 1 + 10), 0)
    const [k1, k2, k3] = [0.63576, 1.8732, 1.48695]
    const ofScale = k1 - k1 / (1 + Math.exp(-(k2 - 9 * k3))) + 0.5 * Math.log1p(Math.exp(9))
    const expected = (ofWeights + 2 * ofScale) / 50
    expect((await loss(1)) - (await loss(0))).toBeCloseTo(expected, 2)
    const noisy = moved(regime(0), 'pairs_scale_log_variance', { at: 0, by: 12 })
    const left = stored((await train(net, digits, options(net, { regimes: [noisy] }))).model, 'conv1.weight')
    expect(left.subarray(0, 50).every((v) => v === 0)).toBe(true)
    expect(left.subarray(50)).toEqual(stored(net, 'conv1.weight').subarray(50))
  })
})

it('draws standard normal numbers, and none where a mask is 0', () => {
  const values = new Float32Array(20_001)
  const mask = Uint8Array.from(values, (_, i) => (i % 3 === 0 ? 0 : 1))
  drawNormal(values, random(1), mask)
  const drawn = values.filter((_, i) => mask[i] === 1)
  expect(values.filter((v) => v === 0)).toHaveLength(6667)
  const mean = drawn.reduce((n, v) => n + v, 0) / drawn.length
  expect(mean).toBeCloseTo(0, 1)
  expect(drawn.reduce((n, v) => n + (v - mean) ** 2, 0) / drawn.length).toBeCloseTo(1, 1)
})

it('says in one sentence what it cannot do', async () => {
  const net = small()
  expect(() => l0({ groups: [], lambda: -1 })).toThrow('l0: lambda must be 0 or more, got -1')
  expect(() => l0({ groups: [], lambda: 1, dropRate: 1 })).toThrow('l0: dropRate must be above 0 and below 1, got 1')
  expect(() => variationalDropout({ samples: 0 })).toThrow(
    'variational-dropout: samples must be a whole number above 0',
  )
  const run = (regime: Regime) => train(net, digits, options(net, { regimes: [regime] }))
  await expect(run(l0({ groups: [], lambda: 1 }))).rejects.toThrow('l0: there is nothing to have a gate')
  const missing = [{ ...pairs, members: [{ tensor: 'conv9.weight' }] }]
  await expect(run(l0({ groups: missing, lambda: 1 }))).rejects.toThrow(
    'l0: group "pairs" counts "conv9.weight", which is no float32 tensor that is stored',
  )
  await expect(run(variationalDropout({ samples: 1, names: ['ip9.weight'] }))).rejects.toThrow(
    'variational-dropout: the model has no weight "ip9.weight"; expected conv1.weight',
  )
})
