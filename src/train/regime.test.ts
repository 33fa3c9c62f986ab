/** Regimes from outside: a made-up one that uses every part of the seam, alone and composed, stopped and resumed. */
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import type { Dataset } from '../data/dataset.ts'
import { drawDigits } from '../data/digits.ts'
import { plainEngine } from '../grad/engine.ts'
import { type Model, type ValueInfo, withGraph } from '../model.ts'
import { modelFingerprint } from '../onnx/fingerprint.ts'
import { writeModel } from '../onnx/write.ts'
import { magnitude } from '../prune/magnitude.ts'
import { openSession } from '../runtime/session.ts'
import { floats, tensorOfFloats } from '../tensor/dtype.ts'
import { gates } from '../testing/gates-regime.ts'
import { lenet5, mobileNet } from '../testing/small-nets.ts'
import { type CheckpointStore, decodeCheckpoint } from './checkpoint.ts'
import { chooseEngine } from './choose-engine.ts'
import { sgd } from './optimizers.ts'
import type { Regime } from './regime.ts'
import { keepZeros } from './regimes/keep-zeros.ts'
import { l2 } from './regimes/penalty.ts'
import { train } from './train.ts'
import type { TrainOptions } from './train-options.ts'

const digits = drawDigits(256, 5)
const { labels: _, classes: __, ...unlabelled } = digits
const teacher = lenet5(9)

function options(model: Model, more: Partial<TrainOptions> = {}): TrainOptions {
  const batcher = batcherFor(requiredInputs(model), digits, { range: [0, 1], layout: 'NCHW' })
  return { batcher, epochs: 1, batchSize: 32, learningRate: 0.01, threads: 1, engine: plainEngine, ...more }
}

function memoryStore(): CheckpointStore & { saved: Uint8Array[] } {
  const saved: Uint8Array[] = []
  return { saved, save: async (bytes) => void saved.push(bytes.slice()), load: async () => saved.at(-1) }
}

const weight = (model: Model, name: string): Float32Array => floats(model.graph.initializers.get(name)!)

describe('a regime with gates, noise, state and a teacher', () => {
  it.each(['plain', 'blocked'] as const)(
    'goes on from any checkpoint bit for bit, %s',
    async (id) => {
      const net = mobileNet(1, { dropout: true })
      const { engine } = await chooseEngine(id)
      const run = (store: CheckpointStore) =>
        train(net, digits, {
          ...options(net, { engine, epochs: 2, augment: { crop: 2 }, averageDecay: 0.9 }),
          validation: digits,
          patience: 5,
          regimes: [gates({ weight: 'fc.w', teacher }), l2(1e-3)],
          checkpoint: { store, everySteps: 3 },
        })
      const whole = memoryStore()
      const expected = await run(whole)
      for (const at of [0, 2, whole.saved.length - 2]) {
        const resumed = await run({ save: async () => {}, load: async () => whole.saved[at] })
        expect(writeModel(resumed.model)).toEqual(writeModel(expected.model))
        expect(resumed.history).toEqual(expected.history)
      }
      // Both kinds of state moved: that which a projection counts, and that which the step computes.
      const { arrays } = decodeCheckpoint(whole.saved.at(-1)!)
      expect(arrays.get('state/0-gates/steps')).toEqual(Float32Array.of(16))
      const mean = arrays.get('state/0-gates/mean')!
      expect(mean.every((v) => v > 0.4 && v < 0.9)).toBe(true)
      expect(new Set(mean).size).toBe(32)
    },
    60_000,
  )

  it('leaves plain ONNX: the nodes and inputs that the model had, its weight times the gates', async () => {
    const net = lenet5(1)
    const { model } = await train(net, digits, options(net, { regimes: [gates({ weight: 'fc2.w', teacher })] }))
    expect(model.graph.nodes).toEqual(net.graph.nodes)
    expect(model.graph.inputs).toEqual(net.graph.inputs)
    expect([...model.graph.initializers.keys()].sort()).toEqual([...net.graph.initializers.keys()].sort())
    await (await openSession(model)).release()
  })

  it('a float16 model keeps its types and its graph; what would change the graph for good is refused', async () => {
    const wide = lenet5(1)
    const initializers = new Map(
      [...wide.graph.initializers].map(([name, t]) => [name, tensorOfFloats(name, 'float16', t.dims, floats(t))]),
    )
    const half = (v: ValueInfo): ValueInfo => ({ ...v, dtype: 'float16' })
    const { inputs, outputs } = wide.graph
    const net = withGraph(wide, { initializers, inputs: inputs.map(half), outputs: outputs.map(half) })
    const own = { ...gates({ weight: 'fc2.w', teacher, mainLoss: 1 }) }
    const noTeacher: Regime = {
      ...own,
      async enter(model, setting) {
        const parts = await own.enter(model, setting)
        return { ...parts, terms: [] }
      },
    }
    const { model } = await train(net, digits, options(net, { regimes: [noTeacher] }))
    expect(model.graph.nodes).toEqual(net.graph.nodes)
    expect([...model.graph.initializers.values()].every((t) => t.dtype === 'float16')).toBe(true)
    expect(weight(model, 'fc2.w')).not.toEqual(weight(net, 'fc2.w'))
    const stays: Regime = {
      ...noTeacher,
      async enter(model, setting) {
        const { leave, ...parts } = await noTeacher.enter(model, setting)
        return parts
      },
    }
    await expect(train(net, digits, options(net, { regimes: [stays] }))).rejects.toThrow(
      /^train: gates changes the graph permanently, which needs a model of float32/,
    )
  })

  it('trains the parameters that it adds, draws other noise from another seed, and composes', async () => {
    const net = await magnitude(lenet5(1), { sparsity: 0.5 })
    const run = async (seed: number, regimes: readonly Regime[]) =>
      (await train(net, digits, options(net, { seed, regimes }))).model
    const own = gates({ weight: 'fc2.w', teacher })
    const [one, same, other] = [await run(1, [own]), await run(1, [own]), await run(2, [own])]
    expect(modelFingerprint(one)).toBe(modelFingerprint(same))
    expect(modelFingerprint(one)).not.toBe(modelFingerprint(other))
    const stronger = await run(1, [gates({ weight: 'fc2.w', teacher, strength: 2e4 })])
    const size = (m: Model): number => weight(m, 'fc2.w').reduce((n, v) => n + Math.abs(v), 0)
    expect(size(stronger)).toBeLessThan(0.95 * size(one))
    // The mask of one regime holds in a model that another has entered; two of one kind have states of their own.
    const second = gates({ weight: 'fc1.w', teacher })
    const both = await run(1, [own, second, keepZeros()])
    expect(both.graph.nodes).toEqual(net.graph.nodes)
    for (const name of ['fc1.w', 'conv2.w'])
      expect(weight(both, name).map((v) => Number(v === 0))).toEqual(weight(net, name).map((v) => Number(v === 0)))
  })

  it('shows a teacher the pictures of the student, and needs no labels without the main loss', async () => {
    const net = lenet5(1)
    const still = { optimizer: sgd({ momentum: 0 }), learningRate: 0, augment: { crop: 4, flip: true } }
    const data: Dataset = unlabelled
    // The student itself is the teacher: on the same pictures they agree, on others they do not.
    const copies: Regime = {
      ...gates({ weight: 'fc2.w', teacher: net, mainLoss: 0 }),
      async enter(model, setting) {
        const { terms, release } = await gates({ weight: 'fc2.w', teacher: net, strength: 0 }).enter(model, setting)
        const [{ feeds }] = terms!
        return {
          release,
          terms: [
            {
              feeds,
              emit: (g, { output, fed }) =>
                g.op('ReduceMax', [g.op('Abs', [g.op('Sub', [output, fed('teacher', g.shape(output))])])], {
                  attributes: { keepdims: 0 },
                  shape: [],
                }),
            },
          ],
        }
      },
    }
    const { history } = await train(net, data, options(net, { ...still, regimes: [copies] }))
    expect(history[0].loss).toBeLessThan(1e-4)
    expect(history[0].accuracy).toBeUndefined()
    await expect(train(net, data, options(net, { regimes: [l2(1)] }))).rejects.toThrow(/it has no labels/)
    const held = { validation: unlabelled, regimes: [copies] }
    let steps = 0
    await expect(train(net, data, options(net, { ...held, onProgress: () => steps++ }))).rejects.toThrow(
      /it has no labels/,
    )
    expect(steps).toBe(0)
    const labelled = await train(net, digits, options(net, { ...still, regimes: [copies] }))
    expect(labelled.history[0].accuracy).toBeGreaterThan(0)
  })
})

describe('what regimes may not do', () => {
  it('a checkpoint of the same regime with another option is refused in one sentence', async () => {
    const net = lenet5(1)
    const run = (store: CheckpointStore, regimes: readonly Regime[]) =>
      train(net, digits, options(net, { regimes, checkpoint: { store } }))
    const store = memoryStore()
    await run(store, [l2(10)])
    await expect(run(store, [l2(0.1)])).rejects.toThrow(
      /^checkpoint: it is of another run \(model, data or options differ\); expected that of this run, or none$/,
    )
    await expect(run(store, [l2(10), keepZeros()])).rejects.toThrow(/another run/)
  })

  const made = (parts: Partial<Awaited<ReturnType<Regime['enter']>>>, more: Partial<Regime> = {}): Regime => ({
    id: 'made',
    digest: null,
    enter: () => parts,
    ...more,
  })

  it.each([
    [
      'change what is not theirs',
      made({ projections: [{ apply: () => ({ state: new Map([['z', new Float32Array(1)]]) }) }] }),
      /^made: it changes "z", which is neither/,
    ],
    [
      'feed another size',
      made({
        terms: [
          { emit: (g, { fed }) => g.op('ReduceSum', [fed('t', [3])], { attributes: { keepdims: 0 }, shape: [] }) },
        ],
      }),
      /^made: it feeds nothing as "t"; expected \[3\] of float32$/,
    ],
    [
      'read state that they do not have',
      made({ terms: [{ emit: (_, { state }) => state('z') }] }),
      /^made: it reads the state "z"/,
    ],
    [
      'train what the model does not store',
      made({ parameters: ['alpha'] }),
      /^made: the model stores no "alpha" to train$/,
    ],
    ['leave nothing to learn from', made({}, { mainLoss: 0 }), /no regime adds a term/],
    [
      'weigh the main loss below zero',
      made({}, { mainLoss: -1 }),
      /^made: the main loss's factor must be 0 or more, got -1$/,
    ],
  ] as const)('%s', async (_, regime, message) => {
    const net = lenet5(1)
    await expect(train(net, digits, options(net, { regimes: [regime] }))).rejects.toThrow(message)
  })

  it('what a regime opened is closed, also where a later one cannot enter', async () => {
    const net = lenet5(1)
    let closed = 0
    const opens = made({ release: () => void closed++ })
    const fails = made({}, { enter: () => Promise.reject(new Error('made: no')) })
    await expect(train(net, digits, options(net, { regimes: [opens, fails] }))).rejects.toThrow('made: no')
    expect(closed).toBe(1)
    await train(net, digits, options(net, { regimes: [opens] }))
    expect(closed).toBe(2)
  })
})
