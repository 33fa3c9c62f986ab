/** Size in the loss: what it estimates against what the packer makes, what it presses on, and what leaves. */
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../../data/batcher.ts'
import { drawDigits } from '../../data/digits.ts'
import { packModel } from '../../formats/pack.ts'
import { plainEngine } from '../../grad/engine.ts'
import { model as makeModel, node, valueInfo } from '../../graph/build.ts'
import type { Model } from '../../model.ts'
import { writeModel } from '../../onnx/write.ts'
import { floats, floatTensor } from '../../tensor/dtype.ts'
import { random } from '../../tensor/random.ts'
import { lenet300 } from '../../zoo/lenet.ts'
import type { CheckpointStore } from '../checkpoint.ts'
import { chooseEngine } from '../choose-engine.ts'
import { adam, sgd } from '../optimizers.ts'
import { train } from '../train.ts'
import type { TrainOptions } from '../train-options.ts'
import { codedSize } from './coded-size.ts'
import { bitsPerStep, codedBits } from './level-costs.ts'

const digits = drawDigits(128, 5)

function options(model: Model, more: Partial<TrainOptions> = {}): TrainOptions {
  const batcher = batcherFor(requiredInputs(model), digits, { range: [0, 1], layout: 'NCHW' })
  const optimizer = adam()
  return { batcher, optimizer, epochs: 1, batchSize: 32, learningRate: 0.002, threads: 1, engine: plainEngine, ...more }
}

/** Levels whose rows and columns differ in scale; about so many of them are not zero. */
function drawnLevels(rows: number, columns: number, scale: number): Float32Array {
  const rng = random(7)
  const [byRow, byColumn] = [rows, columns].map((n) => Array.from({ length: n }, () => Math.exp(1.5 * rng.normal())))
  return Float32Array.from({ length: rows * columns }, (_, i) => {
    const laplace = -Math.log(1 - rng.next()) * (rng.next() < 0.5 ? -1 : 1)
    return Math.round(laplace * scale * byRow[Math.floor(i / columns)] * byColumn[i % columns]) + 0
  })
}

const dense = (levels: Float32Array, rows: number, columns: number): Model =>
  makeModel({
    nodes: [node('Gemm', ['x', 'w'], ['y'], { transB: 1 })],
    initializers: new Map([
      [
        'w',
        floatTensor(
          'w',
          [rows, columns],
          levels.map((v) => v * 0.01),
        ),
      ],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', columns])],
    outputs: [valueInfo('y', 'float32', ['N', rows])],
  })

describe('bits of levels', () => {
  it.each([0.03, 0.2, 2])('estimates the bytes that levels take packed, mean magnitude about %d', (scale) => {
    const [rows, columns] = [100, 300]
    const levels = drawnLevels(rows, columns, scale)
    const bits = codedBits([{ inSteps: levels, dims: [rows, columns] }])
    const graph = packModel(dense(new Float32Array(rows * columns), rows, columns)).byteLength
    const packed = packModel(dense(levels, rows, columns)).byteLength - graph
    expect(bits / 8 / packed).toBeGreaterThan(0.85)
    expect(bits / 8 / packed).toBeLessThan(1.15)
  })

  it('a weight is dearest where its row and column are empty', () => {
    const inSteps = new Float32Array(20 * 30)
    for (let p = 0; p < 30; p++) inSteps[3 * 30 + p] = p % 2 === 0 ? 1 : -2
    const [bits] = bitsPerStep([{ inSteps, dims: [20, 30] }])
    const at = (row: number): number => bits[row * 30 + 9]
    expect(at(10)).toBeGreaterThan(2 * at(3))
    expect(Math.min(...bits)).toBeGreaterThan(0)
  })
})

const zeros = (model: Model): number =>
  floats(model.graph.initializers.get('fc1.weight')!).filter((v) => v === 0).length

describe('codedSize', () => {
  it('adds price · bits / 8000 to the gradient, straight through the rounding', async () => {
    const net = lenet300({ seed: 1, width: 0.2 })
    const rate = 1e-3
    const stepped = async (price: number): Promise<Map<string, Float32Array>> => {
      const regime = codedSize({ price })
      let now = new Map<string, Float32Array>()
      const watched: typeof regime = {
        ...regime,
        enter: async (...given) => ({
          ...(await regime.enter(...given)),
          leave(trained) {
            now = new Map(['fc2.weight'].map((name) => [name, floats(trained.graph.initializers.get(name)!)]))
            return net
          },
        }),
      }
      const more = { batchSize: 128, learningRate: rate, optimizer: sgd({ momentum: 0 }), regimes: [watched] }
      await train(net, digits, options(net, more))
      return now
    }
    const before = floats(net.graph.initializers.get('fc2.weight')!)
    const [free, priced] = [await stepped(0), await stepped(80)]
    const step = Math.sqrt(before.reduce((n, v) => n + v * v, 0) / before.length) / 2
    let moved = 0
    before.forEach((v, i) => {
      const pull = (free.get('fc2.weight')![i] - priced.get('fc2.weight')![i]) / rate
      expect(Math.sign(pull)).toBe(Math.sign(v))
      moved += Math.abs(pull) * step
    })
    // A weight's pull is price / 8000 for each bit that a level more takes: a few bits.
    const bitsPerLevel = (moved / before.length / 80) * 8000
    expect(bitsPerLevel).toBeGreaterThan(0.2)
    expect(bitsPerLevel).toBeLessThan(4)
  })

  it('what leaves lies on a grid per tensor; a higher price packs smaller, and about as small as told', async () => {
    const net = lenet300({ seed: 1, width: 0.2 })
    const packed: number[] = []
    for (const price of [0, 0.5]) {
      let told = 0
      const regimes = [codedSize({ price, every: 4, onBits: (bits) => void (told = bits / 8) })]
      const { model } = await train(net, digits, options(net, { epochs: 12, regimes }))
      expect(model.graph.nodes).toEqual(net.graph.nodes)
      for (const name of ['fc1.weight', 'fc2.weight', 'fc3.weight', 'fc1.bias']) {
        const values = floats(model.graph.initializers.get(name)!)
        const sizes = [...new Set(values.map(Math.abs))].filter((v) => v > 0).sort((a, b) => a - b)
        const between = sizes.map((v, i) => v - (sizes[i - 1] ?? 0)).filter((v) => v > 1e-6)
        const step = Math.min(...between)
        for (const v of sizes) expect(Math.abs(v / step - Math.round(v / step))).toBeLessThan(1e-3)
      }
      packed.push(packModel(model).byteLength)
      expect(told / packed[packed.length - 1]).toBeGreaterThan(0.75)
      expect(told / packed[packed.length - 1]).toBeLessThan(1.25)
    }
    expect(packed[1]).toBeLessThan(0.5 * packed[0])
  })

  it.each(['plain', 'blocked'] as const)('goes on from a checkpoint bit for bit, %s', async (id) => {
    const { engine } = await chooseEngine(id)
    const net = lenet300({ seed: 1, width: 0.2 })
    const saved: Uint8Array[] = []
    const run = (store: CheckpointStore, price = 0.2) => {
      const regimes = [codedSize({ price, rise: 5, every: 2 })]
      return train(net, digits, options(net, { engine, epochs: 2, regimes, checkpoint: { store, everySteps: 1 } }))
    }
    const whole = await run({ save: async (bytes) => void saved.push(bytes.slice()), load: async () => undefined })
    const from: CheckpointStore = { save: async () => {}, load: async () => saved[2] }
    expect(writeModel((await run(from)).model)).toEqual(writeModel(whole.model))
    await expect(run(from, 0.3)).rejects.toThrow(/^checkpoint: it is of another run/)
    expect(zeros(whole.model)).toBeGreaterThan(0)
  })

  it('refuses a price that is none', () => {
    expect(() => codedSize({ price: -1 })).toThrow('coded-size: price must be 0 or more, got -1')
  })
})
