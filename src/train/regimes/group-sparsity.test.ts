/** Group lasso and the growing penalty by their formulas, and that norms of units fall while a network learns. */
import { describe, expect, it } from 'vitest'
import { openChannels } from '../../channels/channel-groups.ts'
import { batcherFor, requiredInputs } from '../../data/batcher.ts'
import { drawDigits } from '../../data/digits.ts'
import { plainEngine } from '../../grad/engine.ts'
import { model as makeModel, valueInfo } from '../../graph/build.ts'
import type { Model } from '../../model.ts'
import { writeModel } from '../../onnx/write.ts'
import { floats } from '../../tensor/dtype.ts'
import { netBuilder } from '../../testing/small-nets.ts'
import { type CheckpointStore, decodeCheckpoint } from '../checkpoint.ts'
import { chooseEngine } from '../choose-engine.ts'
import { train } from '../train.ts'
import type { TrainOptions } from '../train-options.ts'
import { groupLasso } from './group-lasso.ts'
import { growingPenalty } from './growing-penalty.ts'
import { unitNorms } from './unit-norms.ts'

const digits = drawDigits(128, 5)
const net = small()
const groups = openChannels(net).groups.filter((g) => g.held.size === 0)

/** Two convolutions of 8 and 12 filters, and a dense layer. */
function small(): Model {
  const b = netBuilder(3)
  const conv = (x: string, name: string, from: number, to: number): string =>
    b.op('Relu', [
      b.op('Conv', [x, b.weight(name, [to, from, 5, 5]), b.weight(`${name}.b`, [to], 50)], { strides: [2, 2] }),
    ])
  const x = b.op('GlobalAveragePool', [conv(conv('x', 'conv1', 1, 8), 'conv2', 8, 12)])
  const y = b.op('Gemm', [b.op('Flatten', [x]), b.weight('dense', [10, 12])], { transB: 1 })
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', ['N', 1, 28, 28])],
    outputs: [valueInfo(y, 'float32', ['N', 10])],
  })
}

function options(model: Model, more: Partial<TrainOptions> = {}): TrainOptions {
  const batcher = batcherFor(requiredInputs(model), digits, { range: [0, 1], layout: 'NCHW' })
  return { batcher, epochs: 1, batchSize: 32, learningRate: 0, threads: 1, engine: plainEngine, ...more }
}

/** Of each unit of the first group, conv1's, the sum of squares and how many weights it has. */
const first = Array.from({ length: 8 }, (_, u) => {
  const of = (name: string): Float32Array => floats(net.graph.initializers.get(name)!)
  const [w, b, next] = [of('conv1'), of('conv1.b'), of('conv2')]
  const read = [...next].filter((_, k) => Math.floor(k / 25) % 8 === u)
  const own = [...w.subarray(25 * u, 25 * u + 25), b[u], ...read]
  return { squares: own.reduce((sum, v) => sum + v * v, 0), count: own.length }
})

const loss = async (regimes: TrainOptions['regimes']): Promise<number> =>
  (await train(net, digits, options(net, { regimes }))).history[0].loss

describe('group-lasso', () => {
  it('adds lambda times the norm of each unit, weighted by the root of its size', async () => {
    const [group] = groups
    const expected = first.reduce((sum, { squares, count }) => sum + Math.sqrt(count * squares), 0)
    const added = (await loss([groupLasso({ groups: [group], lambda: 1e-3 })])) - (await loss([]))
    expect(added / (1e-3 * expected)).toBeCloseTo(1, 4)
  })

  it.each(['plain', 'chosen'] as const)('brings the norms of units down, on the %s engine', async (which) => {
    const engine = which === 'plain' ? plainEngine : (await chooseEngine()).engine
    const norm = (model: Model): number =>
      groups.reduce((sum, g) => sum + unitNorms(model, g).reduce((a, b) => a + b, 0), 0)
    const learnt = async (regimes: TrainOptions['regimes']): Promise<Model> =>
      (await train(net, digits, options(net, { engine, learningRate: 0.02, epochs: 3, regimes }))).model
    const lasso = groupLasso({ groups, lambda: 2e-2 })
    expect(norm(await learnt([lasso]))).toBeLessThan(0.8 * norm(await learnt([])))
  })

  it('refuses what it cannot count', () => {
    expect(() => groupLasso({ groups, lambda: -1 })).toThrow('group-lasso: lambda must be 0 or more, got -1')
    const other = { name: 'a', units: 1, members: [{ tensor: 'b', axis: 0, units: new Int32Array(1) }] }
    const setting = { batchSize: 1, seed: 1 }
    expect(() => groupLasso({ groups: [other], lambda: 1 }).enter(net, setting)).toThrow(
      'group-lasso: group "a" counts "b", which is no stored tensor of the model',
    )
  })
})

describe('growing-penalty', () => {
  it('adds half of lambda times the squares, and lambda grows most for the smallest unit', async () => {
    const [group] = groups
    const regime = growingPenalty({ groups: [group], start: 0.01, growth: 0.1, every: 2 })
    const saved: Uint8Array[] = []
    const store: CheckpointStore = { save: async (bytes) => void saved.push(bytes), load: async () => undefined }
    const { history } = await train(
      net,
      digits,
      options(net, { regimes: [regime], checkpoint: { store, everySteps: 1 } }),
    )
    const squares = first.map((f) => f.squares)
    const [least, most] = [Math.min(...squares), Math.max(...squares)]
    // The rate is 0, so that weights stay: four steps, two with the first lambda and two with the next.
    const step = squares.map((s) => (0.1 * (most - s)) / (most - least))
    const penalty = (times: number): number =>
      squares.reduce((sum, s, u) => sum + ((0.01 + times * step[u]) / 2) * s, 0)
    const added = history[0].loss - (await loss([]))
    expect(added / ((penalty(0) + penalty(1)) / 2)).toBeCloseTo(1, 3)
    const { arrays } = decodeCheckpoint(saved[3])
    const lambda = [...arrays.get('state/0-growing-penalty/lambda/0')!]
    for (const [u, v] of lambda.entries()) expect(v).toBeCloseTo(0.01 + 2 * step[u], 5)
  })

  it('presses the smallest units of a group down, and hardly the largest', async () => {
    const grow = growingPenalty({ groups, start: 0, growth: 0.05, every: 1 })
    const settings = { learningRate: 0.02, epochs: 6 }
    const { model } = await train(net, digits, options(net, { ...settings, regimes: [grow] }))
    const plain = (await train(net, digits, options(net, settings))).model
    for (const group of groups) {
      const before = unitNorms(net, group)
      const order = [...before.keys()].sort((a, b) => before[a] - before[b])
      const share = (unit: number): number => unitNorms(model, group)[unit] / unitNorms(plain, group)[unit]
      expect(share(order[0]), group.name).toBeLessThan(0.8 * share(order[order.length - 1]))
    }
  })

  it('goes on where it was stopped, to the same bytes', async () => {
    const regimes = () => [growingPenalty({ groups, every: 2 })]
    const settings = { learningRate: 0.01, epochs: 2 }
    const whole = await train(net, digits, options(net, { ...settings, regimes: regimes() }))
    let kept: Uint8Array | undefined
    const store: CheckpointStore = { save: async (bytes) => void (kept = bytes), load: async () => kept }
    const stop = new AbortController()
    const stopped = train(net, digits, {
      ...options(net, { ...settings, regimes: regimes(), checkpoint: { store, everySteps: 3 } }),
      signal: stop.signal,
      onProgress: ({ step }) => void (step >= 5 && stop.abort()),
    })
    await expect(stopped).rejects.toThrow()
    const resumed = await train(net, digits, options(net, { ...settings, regimes: regimes(), checkpoint: { store } }))
    expect(writeModel(resumed.model)).toEqual(writeModel(whole.model))
  })
})
