/** Masks: as many zeros as asked for, the other weights as they came, without labels, and the same bytes after a stop. */
import { expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import { drawDigits } from '../data/digits.ts'
import { dataHandle } from '../data/handle.ts'
import { rotations } from '../data/rotations.ts'
import { weightTensors } from '../graph/weights.ts'
import type { Model } from '../model.ts'
import { floats } from '../tensor/dtype.ts'
import { mobileNet } from '../testing/small-nets.ts'
import { expectSameBytesResumed } from '../testing/stopped-and-resumed.ts'
import { exampleModel, exampleTraining } from '../testing/test-method.ts'
import { train } from '../train/train.ts'
import { withNewHead } from './_new-head.ts'
import { findMask } from './find-mask.ts'

const { train: labelled, batcher } = exampleTraining(4, 256)
const { labels: _, classes: __, ...unlabelled } = labelled
const data = dataHandle({ train: labelled, batcher }, { seed: 1 })
const options = { epochs: 2, batch: 32, rate: 0.02, sparsity: 0.6, rounds: 2 } as const
const weightsOf = (m: Model) => weightTensors(m).map((w) => floats(w.tensor))
const zerosOf = (values: Float32Array): number => values.filter((v) => v === 0).length

it.each(['rotation', 'labels', 'random'] as const)(
  'by %s: exactly the share, and other weights as they came',
  async (by) => {
    const before = exampleModel()
    const [first, second, last] = weightsOf(before)
    const after = await findMask(before, { ...options, by }, { data, seed: 1 })
    const now = weightsOf(after)
    expect(now.map(zerosOf)).toEqual([Math.round(0.6 * first.length), Math.round(0.6 * second.length), 0])
    expect(now[2]).toEqual(last)
    for (const [i, was] of [first, second].entries()) expect(now[i].map((v, k) => v || was[k])).toEqual(was)
  },
)

it('masks differ by what is learnt, and follow from the seed', async () => {
  const mask = async (by: 'rotation' | 'labels' | 'random', seed: number): Promise<boolean[]> =>
    weightsOf(await findMask(exampleModel(), { ...options, by, rate: 0.1 }, { data, seed })).flatMap((w) =>
      Array.from(w, (v) => v === 0),
    )
  const [rotation, labels, random] = [await mask('rotation', 1), await mask('labels', 1), await mask('random', 1)]
  expect(rotation).not.toEqual(labels)
  expect(random).not.toEqual(await mask('random', 2))
  expect(random).toEqual(await mask('random', 1))
})

it('needs no labels, unless by labels', async () => {
  const bare = dataHandle({ train: unlabelled, batcher }, { seed: 1 })
  const [found] = weightsOf(await findMask(exampleModel(), options, { data: bare, seed: 1 }))
  expect(zerosOf(found)).toBe(Math.round(0.6 * found.length))
  await expect(findMask(exampleModel(), { ...options, by: 'labels' }, { data: bare })).rejects.toThrow(/labels/)
})

it('start found leaves what the network had learnt, with as many zeros', async () => {
  const before = exampleModel()
  const [after] = weightsOf(await findMask(before, { ...options, start: 'found' }, { data, seed: 1 }))
  expect(zerosOf(after)).toBe(Math.round(0.6 * after.length))
  const [was] = weightsOf(before)
  expect(after.some((v, i) => v !== 0 && v !== was[i])).toBe(true)
})

it('a network with a new head learns how digits are turned', async () => {
  const digits = rotations(drawDigits(256, 3), 1)
  const net = withNewHead('test', mobileNet(1, { channels: 8 }), { classes: 4, seed: 1 })
  const trained = await train(net, digits, {
    batcher: batcherFor(requiredInputs(net), digits, { range: [0, 1], layout: 'NCHW' }),
    ...{ epochs: 8, batchSize: 32, learningRate: 0.05, threads: 1 },
  })
  expect(trained.history.at(-1)?.accuracy).toBeGreaterThan(0.5)
})

it('stopped in any round and resumed, it gives the same bytes', async () => {
  await expectSameBytesResumed((c) => findMask(exampleModel(), options, { data, seed: 2, ...c }), [1, 3])
})
