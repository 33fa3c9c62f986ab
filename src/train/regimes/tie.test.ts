/** Trained centroids: their gradients against finite differences, and what stays equal. */
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../../data/batcher.ts'
import { drawDigits } from '../../data/digits.ts'
import { dataHandle } from '../../data/handle.ts'
import { plainEngine } from '../../grad/engine.ts'
import { node } from '../../graph/build.ts'
import { type Model, withGraph } from '../../model.ts'
import { writeModel } from '../../onnx/write.ts'
import { magnitude } from '../../prune/magnitude.ts'
import { compact } from '../../quantize/compact.ts'
import { share } from '../../quantize/share.ts'
import { finetune } from '../../retrain/finetune.ts'
import { floats, floatTensor } from '../../tensor/dtype.ts'
import { lenet5 } from '../../testing/small-nets.ts'
import type { CheckpointStore } from '../checkpoint.ts'
import { chooseEngine } from '../choose-engine.ts'
import { sgd } from '../optimizers.ts'
import { train } from '../train.ts'
import type { TrainOptions } from '../train-options.ts'
import { sharesValues, tie } from './tie.ts'

const digits = drawDigits(64, 5)

function options(model: Model, more: Partial<TrainOptions> = {}): TrainOptions {
  const batcher = batcherFor(requiredInputs(model), digits, { range: [0, 1], layout: 'NCHW' })
  return { batcher, epochs: 1, batchSize: 32, learningRate: 0.01, threads: 1, engine: plainEngine, ...more }
}

const weight = (model: Model, name: string): Float32Array => floats(model.graph.initializers.get(name)!)
const names = ['conv1.w', 'conv2.w', 'fc1.w', 'fc2.w']

/** A pruned LeNet-5 whose layers have so many values each beside zero. */
const shared = async (values = 8): Promise<Model> =>
  share(await magnitude(lenet5(1), { sparsity: 0.5 }), { values }, { seed: 1 })

/** The mean loss over the one batch, before a step. */
async function lossOf(model: Model): Promise<number> {
  const { history } = await train(model, digits, options(model, { batchSize: 64, learningRate: 0 }))
  return history[0].loss
}

describe('tie', () => {
  it.each(['sum', 'mean'] as const)('a step follows the gradient of the loss by the shared value, %s', async (step) => {
    // Small clusters: the loss bends less where fewer weights move.
    const net = await shared(256)
    const rate = 0.01
    const more = { batchSize: 64, learningRate: rate, optimizer: sgd({ momentum: 0 }), regimes: [tie({ step })] }
    const { model } = await train(net, digits, options(net, more))
    for (const name of ['conv2.w', 'fc2.w']) {
      const [before, after] = [weight(net, name), weight(model, name)]
      const placesOf = (value: number): number[] => Array.from(before.keys()).filter((i) => before[i] === value)
      const clusters = [...new Set(before)].filter((v) => v !== 0).map((value) => ({ value, places: placesOf(value) }))
      clusters.sort((a, b) => a.places.length - b.places.length)
      for (const { value, places } of clusters.slice(0, 4)) {
        const at = async (delta: number): Promise<number> => {
          const moved = before.map((v) => (v === value ? v + delta : v))
          const { dims } = net.graph.initializers.get(name)!
          const initializers = new Map(net.graph.initializers).set(name, floatTensor(name, dims, moved))
          return lossOf(withGraph(net, { initializers }))
        }
        const slope = ((await at(1e-3)) - (await at(-1e-3))) / 2e-3
        const moved = (value - after[places[0]]) / rate
        const gradient = step === 'mean' ? moved * places.length : moved
        expect(Math.abs(gradient - slope)).toBeLessThan(0.02 * Math.abs(slope) + 2e-3)
      }
    }
  })

  it.each(['plain', 'blocked'] as const)('equal weights stay equal, zeros zero, values learn, %s', async (id) => {
    const { engine } = await chooseEngine(id)
    const net = await shared()
    const { model } = await train(net, digits, options(net, { engine, epochs: 3, regimes: [tie()] }))
    expect(model.graph.nodes).toEqual(net.graph.nodes)
    for (const name of names) {
      const [before, after] = [weight(net, name), weight(model, name)]
      const now = new Map<number, number>()
      before.forEach((v, i) => {
        if (!now.has(v)) now.set(v, after[i])
        expect(after[i]).toBe(now.get(v))
      })
      if (before.includes(0)) expect(now.get(0)).toBe(0)
      expect(after).not.toEqual(before)
    }
  })

  it('goes on from a checkpoint bit for bit', async () => {
    const net = await shared()
    const saved: Uint8Array[] = []
    const run = (store: CheckpointStore) =>
      train(net, digits, options(net, { epochs: 3, regimes: [tie()], checkpoint: { store, everySteps: 1 } }))
    const whole = await run({ save: async (bytes) => void saved.push(bytes.slice()), load: async () => undefined })
    const resumed = await run({ save: async () => {}, load: async () => saved[2] })
    expect(writeModel(resumed.model)).toEqual(writeModel(whole.model))
  })

  it('finetune does it by itself, for equal values and for codebooks in the graph', async () => {
    const net = await shared()
    const data = dataHandle({ train: digits, batcher: options(net).batcher as never }, { seed: 1 })
    const tuned = await finetune(net, { epochs: 1, batch: 32, rate: 0.01 }, { data, seed: 1 })
    for (const name of names) {
      expect(new Set(weight(tuned, name)).size).toBeLessThanOrEqual(new Set(weight(net, name)).size)
      expect(weight(tuned, name)).not.toEqual(weight(net, name))
    }
    const free = await finetune(net, { epochs: 1, batch: 32, rate: 0.01, keep: 'zeros' }, { data, seed: 1 })
    expect(new Set(weight(free, 'fc2.w')).size).toBeGreaterThan(1000)
    const compacted = await compact(net)
    const { initializers } = (await finetune(compacted, { epochs: 1, batch: 32 }, { data, seed: 1 })).graph
    expect([...initializers.values()].map((t) => t.dims)).toEqual(
      [...compacted.graph.initializers.values()].map((t) => t.dims),
    )
  })

  it('what a Constant node holds learns beside tied weights', async () => {
    const net = await shared()
    const tensor = net.graph.initializers.get('conv1.w')!
    const initializers = new Map(net.graph.initializers)
    initializers.delete('conv1.w')
    const held = node('Constant', [], ['conv1.w'], { value: tensor })
    const model = withGraph(net, { initializers, nodes: [held, ...net.graph.nodes] })
    const { model: tuned } = await train(model, digits, options(model, { regimes: [tie({ names: ['fc2.w'] })] }))
    const value = tuned.graph.nodes.find((n) => n.op === 'Constant')?.attributes.value
    if (value?.type !== 'tensor') throw new Error('the Constant node is gone')
    expect(floats(value.value)).not.toEqual(floats(tensor))
    expect(new Set(weight(tuned, 'fc2.w')).size).toBeLessThanOrEqual(9)
  })

  it('weights that differ are left alone; a wrong name is told', async () => {
    const net = lenet5(1)
    expect(sharesValues(net.graph.initializers.get('fc1.w')!)).toBe(false)
    const [tied, free] = [
      await train(net, digits, options(net, { regimes: [tie()] })),
      await train(net, digits, options(net)),
    ]
    expect(writeModel(tied.model)).toEqual(writeModel(free.model))
    await expect(train(net, digits, options(net, { regimes: [tie({ names: ['fc9'] })] }))).rejects.toThrow(
      /^tie: the model has no weight "fc9"; expected conv1.w/,
    )
  })
})
