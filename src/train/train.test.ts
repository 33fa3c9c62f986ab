/** The training loop from outside: it learns, repeats itself, resumes, keeps what it must, and stops when it should. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { crc32 } from '../checksum.ts'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import { splitDataset } from '../data/batches.ts'
import { drawDigits } from '../data/digits.ts'
import { plainEngine } from '../grad/engine.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { type Model, withGraph, withWeights } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { magnitude } from '../prune/magnitude.ts'
import { compact } from '../quantize/compact.ts'
import { share } from '../quantize/share.ts'
import { floats, floatTensor, tensorOfFloats } from '../tensor/dtype.ts'
import { lenet5, mobileNet, netBuilder } from '../testing/small-nets.ts'
import { type CheckpointStore, decodeCheckpoint } from './checkpoint.ts'
import { chooseEngine } from './choose-engine.ts'
import { adam, sgd } from './optimizers.ts'
import { keepZeros } from './regimes/keep-zeros.ts'
import { l1, l2 } from './regimes/penalty.ts'
import { tie } from './regimes/tie.ts'
import { topK } from './regimes/top-k.ts'
import { cosine, exponential, stepDecay, warmUp } from './schedules.ts'
import { train } from './train.ts'
import type { TrainOptions } from './train-options.ts'
import { validate } from './validate.ts'

const digits = drawDigits(640, 3)
const [training, heldBack] = splitDataset(digits, 0.2, 1)
const preprocess = { range: [0, 1], layout: 'NCHW' } as const

function options(model: Model, more: Partial<TrainOptions> = {}): TrainOptions {
  const batcher = batcherFor(requiredInputs(model), training, preprocess)
  return { batcher, epochs: 1, batchSize: 32, learningRate: 0.05, threads: 1, engine: plainEngine, ...more }
}

function weightsOf(model: Model, name: string): Float32Array {
  return floats(model.graph.initializers.get(name)!)
}

function memoryStore(): CheckpointStore & { saved: Uint8Array[] } {
  const saved: Uint8Array[] = []
  return {
    saved,
    save: async (bytes) => void saved.push(bytes.slice()),
    load: async () => saved.at(-1),
  }
}

describe('learning', () => {
  it('a small network with BatchNormalization learns drawn digits, on either engine', async () => {
    const net = mobileNet(1)
    const { engine } = await chooseEngine('auto')
    const more = drawDigits(2500, 8)
    for (const each of [plainEngine, engine]) {
      const result = await train(net, more, options(net, { epochs: 5, engine: each, schedule: cosine() }))
      const { accuracy } = await validate(result.model, heldBack, { ...options(net), batchSize: 64 })
      expect(accuracy).toBeGreaterThan(0.9)
      expect(result.history).toHaveLength(5)
      expect(result.history[4].loss).toBeLessThan(result.history[0].loss)
    }
  })

  it('a final Softmax is trained through its logits and stays in the model', async () => {
    const net = lenet5(2, true)
    const result = await train(net, training, options(net, { epochs: 2, learningRate: 0.01, optimizer: adam() }))
    expect(result.model.graph.nodes.at(-1)?.op).toBe('Softmax')
    expect(result.history[1].loss).toBeLessThan(1.5)
  })

  it('the same seed gives the same bytes, another seed others', async () => {
    const net = mobileNet(1, { dropout: true })
    const run = async (seed: number) =>
      writeModel((await train(net, training, options(net, { seed, augment: { crop: 2 } }))).model)
    const [a, b, c] = [await run(1), await run(1), await run(2)]
    expect(a).toEqual(b)
    expect(a).not.toEqual(c)
  })

  it('running statistics move towards the data, or stay where they are told to', async () => {
    const net = mobileNet(1)
    const moved = await train(net, training, options(net))
    expect(weightsOf(moved.model, 'bn0.mean')).not.toEqual(weightsOf(net, 'bn0.mean'))
    const frozen = await train(net, training, options(net, { frozenStatistics: true, learningRate: 0.001 }))
    expect(weightsOf(frozen.model, 'bn0.mean')).toEqual(weightsOf(net, 'bn0.mean'))
    expect(weightsOf(frozen.model, 'bn0.scale')).not.toEqual(weightsOf(net, 'bn0.scale'))
  })

  it('stops early and gives the best epoch', async () => {
    const net = lenet5(1)
    const result = await train(net, training, {
      ...options(net, { epochs: 30, learningRate: 0.3, validation: heldBack, patience: 2 }),
      clipNorm: 1,
    })
    expect(result.history.length).toBeLessThan(30)
    const losses = result.history.map((h) => h.validation?.loss ?? 0)
    expect(result.epoch).toBe(losses.indexOf(Math.min(...losses)))
    const again = await validate(result.model, heldBack, options(net))
    expect(again.loss).toBeCloseTo(losses[result.epoch], 6)
  }, 120_000)
})

/** The same network with inputs, weights and outputs of another float type. */
function ofType(net: Model, dtype: 'float16' | 'float64'): Model {
  const { initializers, inputs, outputs } = net.graph
  const typed = [...initializers].map(([name, t]) => [name, tensorOfFloats(name, dtype, t.dims, floats(t))] as const)
  return withGraph(net, {
    initializers: new Map(typed),
    inputs: inputs.map((i) => ({ ...i, dtype })),
    outputs: outputs.map((o) => ({ ...o, dtype })),
  })
}

/** Two layers of numbers alone: ONNX Runtime has no convolutions of float64. */
function perceptron(): Model {
  const b = netBuilder(1)
  const h = b.op('Relu', [b.op('Gemm', [b.op('Flatten', ['x']), b.weight('a', [784, 32], 784)])])
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', ['N', 1, 28, 28])],
    outputs: [
      valueInfo(b.op('Gemm', [h, b.weight('b', [32, 10], 32), b.weight('c', [10], 1e6)]), 'float32', ['N', 10]),
    ],
  })
}

describe('models of other floats', () => {
  it.each([
    ['float16', mobileNet(1)],
    ['float64', perceptron()],
  ] as const)('%s: learns in float32, and keeps its types', async (dtype, narrow) => {
    const net = ofType(narrow, dtype)
    const settings = options(net, { epochs: 4, schedule: cosine() })
    const before = await validate(net, heldBack, settings)
    const { model, history } = await train(net, drawDigits(1500, 8), settings)
    const after = await validate(model, heldBack, settings)
    expect(after.accuracy).toBeGreaterThan((before.accuracy as number) + 0.4)
    expect(history[3].loss).toBeLessThan(history[0].loss)
    expect(model.graph.nodes).toEqual(net.graph.nodes)
    expect([model.graph.inputs, model.graph.outputs]).toEqual([net.graph.inputs, net.graph.outputs])
    const typesOf = (m: Model): string[] => Array.from(m.graph.initializers.values(), (t) => `${t.name} ${t.dtype}`)
    expect(typesOf(model)).toEqual(typesOf(net))
    // What is not trained is as it was; statistics are.
    const changed = [...net.graph.initializers].filter(([name, t]) => model.graph.initializers.get(name) !== t)
    expect(changed.map(([name]) => name)).toEqual(
      [...net.graph.initializers.keys()].filter((n) => !/^(lo|hi)$/.test(n)),
    )
  })

  it('float16 weights behind Casts, with inputs and outputs of float32', async () => {
    const net = lenet5(1, true)
    const half = withGraph(net, {
      initializers: new Map(
        [...net.graph.initializers].map(([name, t]) => [name, tensorOfFloats(name, 'float16', t.dims, floats(t))]),
      ),
      nodes: [
        ...Array.from(net.graph.initializers.keys(), (name) => node('Cast', [name], [`${name}_wide`], { to: 1 })),
        ...net.graph.nodes.map((n) => ({
          ...n,
          inputs: n.inputs.map((i) => (net.graph.initializers.has(i) ? `${i}_wide` : i)),
        })),
      ],
    })
    const settings = options(half, { epochs: 2, learningRate: 0.01 })
    const { model } = await train(half, training, settings)
    expect([...model.graph.initializers.values()].every((t) => t.dtype === 'float16')).toBe(true)
    const [before, after] = [await validate(half, heldBack, settings), await validate(model, heldBack, settings)]
    expect(after.loss).toBeLessThan(before.loss / 2)
  })

  it('a weight that leaves the range of its type is told of', async () => {
    const net = ofType(lenet5(1), 'float16')
    const grown = train(net, training, {
      ...options(net),
      regimes: [
        {
          id: 'grow',
          digest: null,
          enter: () => ({
            projections: [
              { apply: ({ weights }) => ({ weights: new Map([['fc2.w', weights.get('fc2.w')!.map(() => 1e6)]]) }) },
            ],
          }),
        },
      ],
    })
    await expect(grown).rejects.toThrow(/^train: "fc2.w" grew too large for float16; expected a lower learning rate$/)
  })
})

describe('optimisers follow their formulas', () => {
  const step = async (optimizer: TrainOptions['optimizer'], epochs: number, more: Partial<TrainOptions> = {}) => {
    const net = lenet5(1)
    const one = splitDataset(training, 0.9375, 1)[0]
    const batch = options(net, { optimizer, epochs, batchSize: one.length, learningRate: 0.01, ...more })
    const result = await train(net, one, batch)
    return (name: string) => weightsOf(result.model, name)
  }
  const start = (name: string): Float32Array => weightsOf(lenet5(1), name)

  it('SGD with momentum, Nesterov and weight decay', async () => {
    const plain = await step(sgd({ momentum: 0 }), 1)
    const decayed = await step(sgd({ momentum: 0, weightDecay: 0.1 }), 1)
    const nesterov = await step(sgd({ momentum: 0.9, nesterov: true }), 1)
    const w0 = start('fc2.w')
    for (let i = 0; i < 50; i++) {
      const gradient = (w0[i] - plain('fc2.w')[i]) / 0.01
      expect(decayed('fc2.w')[i]).toBeCloseTo(w0[i] - 0.01 * (gradient + 0.1 * w0[i]), 5)
      expect(nesterov('fc2.w')[i]).toBeCloseTo(w0[i] - 0.01 * 1.9 * gradient, 5)
    }
    // Biases do not decay.
    expect(decayed('fc2.b')).toEqual(plain('fc2.b'))
  })

  it('Adam moves by the learning rate at first, AdamW by its decay too', async () => {
    const [adamed, decayed] = [await step(adam(), 1), await step(adam({ weightDecay: 0.5 }), 1)]
    const w0 = start('fc2.w')
    for (let i = 0; i < 50; i++) {
      const move = adamed('fc2.w')[i] - w0[i]
      // Inputs that are 0 for every sample give no gradient.
      if (move !== 0) expect(Math.abs(Math.abs(move) - 0.01)).toBeLessThan(1e-4)
      expect(decayed('fc2.w')[i]).toBeCloseTo(w0[i] * (1 - 0.01 * 0.5) + move, 5)
    }
    expect(adamed('fc2.w').filter((v, i) => v !== w0[i]).length).toBeGreaterThan(1000)
  })

  it('schedules', () => {
    const time = (at: number) => ({ step: at, stepsPerEpoch: 10, epochs: 10 })
    expect([0, 29, 30, 60].map((s) => stepDecay([3, 6])(time(s)))).toEqual([1, 1, 0.1, 0.1 ** 2])
    expect(cosine()(time(50))).toBeCloseTo(0.5)
    expect([0, 9, 10, 25].map((s) => exponential(0.5)(time(s)))).toEqual([1, 1, 0.5, 0.25])
    expect(warmUp(2)(time(9))).toBeCloseTo(0.5)
    expect(warmUp(2, cosine())(time(99))).toBeLessThan(0.01)
  })
})

describe('penalties and projections', () => {
  it('keepZeros keeps pruned weights at +0, and lets zero biases go', async () => {
    const { engine } = await chooseEngine('auto')
    const net = mobileNet(1)
    const names = ['stem', 'project', 'fc.w']
    const pruned = withWeights(
      net,
      names.map((name) => {
        const t = net.graph.initializers.get(name)!
        return floatTensor(
          name,
          t.dims,
          floats(t).map((v, i) => (i % 3 === 0 ? 0 : v)),
        )
      }),
    )
    for (const each of [plainEngine, engine]) {
      const { model } = await train(pruned, training, options(pruned, { regimes: [keepZeros()], engine: each }))
      for (const name of names) {
        const values = weightsOf(model, name)
        // Not -0, which a product with a mask is where the weight is below zero: it would take other bytes.
        expect(values.every((v, i) => Object.is(v, 0) === (i % 3 === 0))).toBe(true)
      }
    }
  })

  it('keepZeros lets a zero bias of two axes go, as Gemm may have one', async () => {
    const net = lenet5(1)
    const bias = floatTensor('fc2.b', [1, 10], new Float32Array(10))
    const { model } = await train(
      withWeights(net, [bias]),
      training,
      options(net, { regimes: [keepZeros()], learningRate: 0.01 }),
    )
    expect(weightsOf(model, 'fc2.b').every((v) => v !== 0)).toBe(true)
  })

  it('keepZeros keeps the zeros of weights in a codebook, whose other values are trained', async () => {
    const { engine } = await chooseEngine('auto')
    const pruned = await magnitude(lenet5(1), { sparsity: 0.8 })
    const net = await compact(await share(pruned, { values: 16 }))
    const codebooks = net.graph.nodes.filter((n) => n.op === 'Gather').map((n) => n.inputs[0])
    expect(codebooks).toHaveLength(4)
    for (const each of [plainEngine, engine]) {
      const { model } = await train(net, training, options(net, { regimes: [keepZeros()], engine: each }))
      for (const name of codebooks) {
        const [before, after] = [net, model].map((m) => Array.from(weightsOf(m, name)))
        expect(before.includes(0)).toBe(true)
        expect(after.map((v) => v === 0)).toEqual(before.map((v) => v === 0))
        expect(after).not.toEqual(before)
      }
    }
  })

  it('tie keeps equal weights equal, topK keeps the count', async () => {
    const net = lenet5(1)
    const shared = floatTensor(
      'fc2.w',
      [10, 500],
      weightsOf(net, 'fc2.w').map((v) => Math.round(v * 40) / 40),
    )
    const tied = withWeights(net, [shared])
    const regimes = [tie({ names: ['fc2.w'] }), topK({ 'fc1.w': 1000 })]
    const { model } = await train(tied, training, options(tied, { regimes, learningRate: 0.01 }))
    expect(new Set(weightsOf(model, 'fc2.w')).size).toBeLessThanOrEqual(new Set(floats(shared)).size)
    expect(weightsOf(model, 'fc2.w')).not.toEqual(floats(shared))
    expect(weightsOf(model, 'fc1.w').filter((v) => v !== 0)).toHaveLength(1000)
  })

  it('penalties shrink weights', async () => {
    const net = lenet5(1)
    const size = async (regimes: TrainOptions['regimes']) => {
      const { model } = await train(net, training, options(net, { regimes, learningRate: 0.01 }))
      return weightsOf(model, 'fc1.w').reduce((n, v) => n + Math.abs(v), 0)
    }
    const free = await size([])
    expect(await size([l2(0.05)])).toBeLessThan(0.98 * free)
    expect(await size([l1(0.003, ['fc1.w'])])).toBeLessThan(0.98 * free)
  })
})

describe('checkpoints', () => {
  const stepwise = (net: Model, store: CheckpointStore, more: Partial<TrainOptions> = {}) =>
    options(net, { epochs: 2, augment: { crop: 1 }, averageDecay: 0.9, checkpoint: { store, everySteps: 3 }, ...more })

  it.each(['plain', 'blocked'] as const)('a stopped run goes on as if it had not been, %s', async (id) => {
    const net = mobileNet(1, { dropout: true })
    const { engine } = await chooseEngine(id)
    expect(engine.id).toBe(id)
    const whole = memoryStore()
    const expected = await train(net, training, stepwise(net, whole, { engine, threads: 2 }))
    for (const at of [0, 4, whole.saved.length - 2]) {
      const store: CheckpointStore = { save: async () => {}, load: async () => whole.saved[at] }
      const resumed = await train(net, training, stepwise(net, store, { engine, threads: 2 }))
      expect(writeModel(resumed.model)).toEqual(writeModel(expected.model))
      expect(resumed.history).toEqual(expected.history)
    }
  })

  it('refuses a checkpoint of another run, and one that was changed', async () => {
    const net = mobileNet(1)
    const store = memoryStore()
    await train(net, training, stepwise(net, store))
    const others: Partial<TrainOptions>[] = [
      { learningRate: 0.01 },
      { epochs: 3, schedule: cosine() },
      { optimizer: sgd({ momentum: 0.8 }) },
      { optimizer: sgd({ nesterov: true }) },
      { optimizer: sgd({ weightDecay: 0.1 }) },
      { optimizer: adam() },
      { averageDecay: 0.99 },
      { clipNorm: 1 },
      { labelSmoothing: 0.1 },
      { augment: { crop: 2 } },
      { loss: 'mse' },
      { regimes: [keepZeros()] },
      { regimes: [l2(1e-3)] },
      { frozenStatistics: true },
      { validation: heldBack, patience: 1 },
      { batcher: batcherFor(requiredInputs(net), training, { ...preprocess, mean: [0.5] }) },
    ]
    for (const more of others)
      await expect(train(net, training, stepwise(net, store, more)), JSON.stringify(more)).rejects.toThrow(
        /another run/,
      )
    const same = { ...training, labels: training.labels?.map((l, i) => (i === 99 ? (l + 1) % 10 : l)) }
    const pixels = { ...training, fields: { image: { ...training.fields.image, data: new Uint8Array(28 * 28 * 640) } } }
    for (const data of [same, pixels])
      await expect(train(net, data, stepwise(net, store))).rejects.toThrow(/another run/)
    await expect(train(mobileNet(2), training, stepwise(net, store))).rejects.toThrow(/another run/)
    // More epochs at a constant rate are the same run going on.
    const longer = await train(net, training, stepwise(net, store, { epochs: 3 }))
    expect(longer.history).toHaveLength(3)
    const last = store.saved.at(-1)!
    for (const at of [0, 9, 200, last.length - 1]) {
      const broken = last.slice()
      broken[at] ^= 4
      expect(() => decodeCheckpoint(broken)).toThrow(/^checkpoint: /)
    }
    const older = last.slice()
    older['COPTRN'.length] = '1'.charCodeAt(0)
    expect(() => decodeCheckpoint(older)).toThrow(
      'checkpoint: another version of coppice wrote it ("COPTRN1"; expected "COPTRN2"): remove it to start anew, or finish the run with that version',
    )
    // A right checksum around a header that is none.
    const header = last.slice(0, -4)
    header[12] = 0x5b
    const sum = new Uint8Array(Uint32Array.of(crc32(header)).buffer)
    expect(() => decodeCheckpoint(Uint8Array.of(...header, ...sum))).toThrow('checkpoint: its header is damaged')
    expect(() => decodeCheckpoint(last.subarray(0, 100))).toThrow(/^checkpoint: /)
  })

  it.each(['plain', 'blocked'])(
    'after kill -9 the resumed weights are those of a run that nothing stopped, %s',
    async (engine) => {
      const folder = mkdtempSync(join(tmpdir(), 'coppice-train-'))
      afterAll(() => rmSync(folder, { recursive: true, force: true }))
      const script = fileURLToPath(new URL('../testing/train-child.ts', import.meta.url))
      const start = (name: string) => {
        const files = [join(folder, `${name}.ckpt`), join(folder, `${name}.onnx`)]
        return spawn(process.execPath, ['--import', 'tsx', script, ...files, engine], { stdio: 'ignore' })
      }
      const finished = (name: string) =>
        new Promise<void>((resolve, reject) =>
          start(name).on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`exit ${code}`)))),
        )
      const whole = finished('whole')
      const victim = start('killed')
      while (!existsSync(join(folder, 'killed.ckpt'))) await new Promise((r) => setTimeout(r, 5))
      await new Promise((r) => setTimeout(r, 40))
      const gone = new Promise((r) => victim.on('exit', r))
      victim.kill('SIGKILL')
      await gone
      expect(existsSync(join(folder, 'killed.onnx'))).toBe(false)
      await Promise.all([whole, finished('killed')])
      expect(readFileSync(join(folder, 'killed.onnx'))).toEqual(readFileSync(join(folder, 'whole.onnx')))
    },
    120_000,
  )
})

describe('it stops with one sentence', () => {
  it('when the loss is no longer finite', async () => {
    const net = lenet5(1)
    const store = memoryStore()
    const wild = options(net, { learningRate: 1e6, epochs: 3, checkpoint: { store, everySteps: 1 } })
    await expect(train(net, training, wild)).rejects.toThrow(/train: .*(no longer finite|became).*last good checkpoint/)
    for (const bytes of store.saved) {
      for (const values of decodeCheckpoint(bytes).arrays.values()) expect(values.every(Number.isFinite)).toBe(true)
    }
  })

  it('when an operator has no gradient, before the first step, naming it', async () => {
    const net = lenet5(1)
    const nodes = [
      ...net.graph.nodes,
      node('Hardmax', [net.graph.outputs[0].name], ['summed'], {}, { name: 'the-largest' }),
    ]
    const odd = withGraph(net, {
      nodes,
      outputs: [{ name: 'summed', dtype: 'float32', shape: ['N', 10] }],
    })
    await expect(train(odd, training, options(odd))).rejects.toThrow(/Hardmax "the-largest": Hardmax has no gradient/)
  })

  it('when asked to', async () => {
    const net = lenet5(1)
    const controller = new AbortController()
    const stopping = options(net, { signal: controller.signal, onProgress: () => controller.abort() })
    await expect(train(net, training, stopping)).rejects.toThrow(/stopped on request/)
  })

  it('when the options do not fit', async () => {
    const net = lenet5(1)
    await expect(train(net, training, options(net, { batchSize: 10_000 }))).rejects.toThrow(
      /do not fill a batch of 10000; .*--batch/,
    )
    await expect(train(net, training, options(net, { patience: 1 }))).rejects.toThrow(/validation/)
    await expect(train(net, training, options(net, { epochs: 0 }))).rejects.toThrow(/epochs must be/)
  })
})
