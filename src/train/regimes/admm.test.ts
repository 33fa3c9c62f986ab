/** ADMM by its formulas, and that weights approach the cut while they learn and end sparse. */
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../../data/batcher.ts'
import { drawDigits } from '../../data/digits.ts'
import { plainEngine } from '../../grad/engine.ts'
import type { Model } from '../../model.ts'
import { writeModel } from '../../onnx/write.ts'
import { floats } from '../../tensor/dtype.ts'
import { lenet5, mobileNet } from '../../testing/small-nets.ts'
import { type CheckpointStore, decodeCheckpoint } from '../checkpoint.ts'
import { chooseEngine } from '../choose-engine.ts'
import { sgd } from '../optimizers.ts'
import { train } from '../train.ts'
import type { TrainOptions } from '../train-options.ts'
import { admm } from './admm.ts'

const digits = drawDigits(128, 5)

function options(model: Model, more: Partial<TrainOptions> = {}): TrainOptions {
  const batcher = batcherFor(requiredInputs(model), digits, { range: [0, 1], layout: 'NCHW' })
  return { batcher, epochs: 1, batchSize: 32, learningRate: 0, threads: 1, engine: plainEngine, ...more }
}

const weight = (model: Model, name: string): Float32Array => floats(model.graph.initializers.get(name)!)

/** P, by sorting. */
function projected(values: readonly number[], kept: number): number[] {
  const order = values.map((v, i) => [Math.abs(v), i]).sort(([a, i], [b, j]) => b - a || i - j)
  const stay = new Set(order.slice(0, kept).map(([, i]) => i))
  return values.map((v, i) => (stay.has(i) ? v : 0))
}

const weights = ['conv1.w', 'conv2.w', 'fc1.w', 'fc2.w']

describe('admm', () => {
  it('adds rho/2·‖w - z + u‖² to the loss', async () => {
    const net = lenet5(1)
    const loss = async (regimes: TrainOptions['regimes']) =>
      (await train(net, digits, options(net, { regimes }))).history[0].loss
    const squares = weights.reduce((sum, name) => {
      const values = Array.from(weight(net, name))
      const z = projected(values, values.length - Math.round(0.75 * values.length))
      return sum + values.reduce((n, v, i) => n + (v - z[i]) ** 2, 0)
    }, 0)
    const added = (await loss([admm({ sparsity: 0.75, rho: 0.02, every: 1000 })])) - (await loss([]))
    expect(added / (0.01 * squares)).toBeCloseTo(1, 4)
  })

  it('z becomes P(w + u) and u becomes u + w - z, every so many steps', async () => {
    const net = lenet5(1)
    const saved: Uint8Array[] = []
    const store: CheckpointStore = { save: async (bytes) => void saved.push(bytes), load: async () => undefined }
    const regimes = [admm({ sparsity: 0.5, sparsities: { 'fc2.w': 0.9 }, every: 2 })]
    await train(net, digits, options(net, { regimes, checkpoint: { store, everySteps: 1 } }))
    // The rate is 0: w stays.
    const w = Array.from(weight(net, 'fc2.w'))
    let [z, u] = [projected(w, 500), w.map(() => 0)]
    for (const [step, bytes] of saved.entries()) {
      if (step % 2 === 1) {
        const sum = w.map((v, i) => Math.fround(v + u[i]))
        z = projected(sum, 500)
        u = sum.map((v, i) => Math.fround(v - z[i]))
      }
      const { arrays } = decodeCheckpoint(bytes)
      expect(Array.from(arrays.get('state/0-admm/z/fc2.w')!)).toEqual(z)
      expect(Array.from(arrays.get('state/0-admm/u/fc2.w')!)).toEqual(u)
    }
    expect(saved).toHaveLength(4)
  })

  it('weights go where they are cut, and leave with the sparsity that was asked for', async () => {
    const net = lenet5(1)
    const settings = { learningRate: 0.01, epochs: 6, optimizer: sgd() }
    const cut = async (rho: number): Promise<{ distance: number; model: Model }> => {
      const regime = admm({ sparsity: 0.8, rho, every: 4 })
      let distance = 0
      const watched = {
        ...regime,
        enter: async (...given: Parameters<typeof regime.enter>) => {
          const parts = await regime.enter(...given)
          return {
            ...parts,
            leave(trained: Model, state: ReadonlyMap<string, Float32Array>) {
              const left = parts.leave!(trained, state)
              const [before, after] = [weight(trained, 'fc1.w'), weight(left, 'fc1.w')]
              const squares = (values: Iterable<number>): number => [...values].reduce((n, v) => n + v * v, 0)
              distance = squares(before.map((v, i) => v - after[i])) / squares(before)
              return left
            },
          }
        },
      }
      const { model } = await train(net, digits, options(net, { ...settings, regimes: [watched] }))
      return { distance, model }
    }
    const [strong, weak] = [await cut(0.5), await cut(1e-6)]
    expect(strong.distance).toBeLessThan(0.5 * weak.distance)
    for (const name of weights) {
      const values = weight(strong.model, name)
      expect(values.filter((v) => v === 0)).toHaveLength(Math.round(0.8 * values.length))
    }
  })

  it.each(['plain', 'blocked'] as const)('goes on from a checkpoint bit for bit, %s', async (id) => {
    const net = mobileNet(1)
    const { engine } = await chooseEngine(id)
    const saved: Uint8Array[] = []
    const run = (store: CheckpointStore) =>
      train(net, digits, {
        ...options(net, { engine, epochs: 2, learningRate: 0.01, checkpoint: { store, everySteps: 1 } }),
        regimes: [admm({ sparsity: 0.5, every: 2 })],
      })
    const whole = await run({ save: async (bytes) => void saved.push(bytes), load: async () => undefined })
    const resumed = await run({ save: async () => {}, load: async () => saved[4] })
    expect(writeModel(resumed.model)).toEqual(writeModel(whole.model))
  })

  it('says in one sentence what it cannot do', async () => {
    expect(() => admm({ sparsity: 1.5, every: 1 })).toThrow('admm: sparsity must be within [0, 1], got 1.5')
    expect(() => admm({ sparsity: 0.5, every: 0 })).toThrow('admm: every must be a whole number above 0, got 0')
    expect(() => admm({ sparsity: 0.5, rho: 0, every: 1 })).toThrow('admm: rho must be above 0, got 0')
    const net = lenet5(1)
    const regimes = [admm({ sparsity: 0.5, sparsities: { fc9: 0.5 }, every: 1 })]
    await expect(train(net, digits, options(net, { regimes }))).rejects.toThrow(/^admm: the model has no weight "fc9"/)
  })
})
