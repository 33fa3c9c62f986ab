import { expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import { drawDigits } from '../data/digits.ts'
import { plainEngine } from '../grad/engine.ts'
import { lenet5 } from '../testing/small-nets.ts'
import { sgd } from './optimizers.ts'
import { type FeedSource, feedsOf } from './step-feeds.ts'
import { buildStep } from './step-graph.ts'
import type { TrainState } from './train-state.ts'

it('mixup gives each sample and its target the same share of the same other one', async () => {
  const net = lenet5(1)
  const data = drawDigits(16, 3)
  const batcher = batcherFor(requiredInputs(net), data, { range: [0, 1], layout: 'NCHW' })
  const indices = Uint32Array.from({ length: 8 }, (_, i) => 2 * i)
  const whole = batcher(data, indices)
  const [name] = Object.keys(whole)
  const step = buildStep(net, {
    inputShapes: { [name]: [...whole[name].dims] },
    loss: 'cross-entropy',
    optimizer: sgd(),
    engine: plainEngine,
  })
  const source = (mixup: number): FeedSource => ({
    ...{ data, step, seed: 5, mainLoss: 1, optimizer: sgd(), stepsPerEpoch: 1, state: {} as TrainState },
    objective: { kind: 'classes' } as FeedSource['objective'],
    options: { batcher, epochs: 1, batchSize: 8, learningRate: 1, ...(mixup > 0 ? { augment: { mixup } } : {}) },
  })
  const plain = await feedsOf(source(0), 3, indices)
  const mixed = await feedsOf(source(1), 3, indices)
  const [x, m] = [plain[name].data, mixed[name].data] as Float32Array[]
  const [t, u] = [plain[step.target.name].data, mixed[step.target.name].data] as Float32Array[]
  const row = (of: Float32Array, i: number): Float32Array => of.subarray((i * of.length) / 8, ((i + 1) * of.length) / 8)
  const distance = (a: Float32Array, b: (i: number) => number): number =>
    Math.max(...a.map((v, i) => Math.abs(v - b(i))))
  // The share is the same for all, and shows in any target that is two classes.
  const share = u.reduce((best, v, i) => (t[i] === 1 && v < 1 ? v : best), 1)
  expect(share).toBeLessThan(1)
  for (let i = 0; i < 8; i++) {
    const partners = [0, 1, 2, 3, 4, 5, 6, 7].filter((j) =>
      [
        [m, x],
        [u, t],
      ].every(
        ([after, before]) =>
          distance(row(after, i), (k) => share * row(before, i)[k] + (1 - share) * row(before, j)[k]) < 1e-5,
      ),
    )
    expect(partners).toHaveLength(1)
  }
  // Another step mixes anew.
  expect((await feedsOf(source(1), 4, indices))[name].data).not.toEqual(m)
})
