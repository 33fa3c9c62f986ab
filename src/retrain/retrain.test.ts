/** Training as a step of a recipe: it learns, keeps zeros, and goes on from a checkpoint to the same bytes. */
import { expect, it } from 'vitest'
import { openChannels } from '../channels/channel-groups.ts'
import { splitDataset } from '../data/batches.ts'
import { dataHandle } from '../data/handle.ts'
import { packModel } from '../formats/pack.ts'
import { weightTensors } from '../graph/weights.ts'
import type { Model } from '../model.ts'
import { magnitude } from '../prune/magnitude.ts'
import { runSteps, type Step } from '../recipe.ts'
import { floats } from '../tensor/dtype.ts'
import { expectSameBytesResumed } from '../testing/stopped-and-resumed.ts'
import { exampleModel, exampleTraining } from '../testing/test-method.ts'
import { unitNorms } from '../train/regimes/unit-norms.ts'
import { validate } from '../train/validate.ts'
import { finetune } from './finetune.ts'
import { learnSparsity } from './learn-sparsity.ts'
import { pruneInRounds } from './prune-in-rounds.ts'
import { trainShallow } from './train-shallow.ts'
import { trainSmall } from './train-small.ts'
import { trainSparse } from './train-sparse.ts'

const training = exampleTraining(4, 256)
const data = dataHandle(training, { seed: 1 })
const accuracyOf = async (m: Model): Promise<number> =>
  (await validate(m, training.train, { batcher: training.batcher, batchSize: 64 })).accuracy as number
const zeroShare = (m: Model): number => {
  const all = weightTensors(m).map((w) => floats(w.tensor))
  return all.reduce((n, a) => n + a.filter((v) => v === 0).length, 0) / all.reduce((n, a) => n + a.length, 0)
}

it('a recipe prunes in rounds, fine-tunes and shares: the network learns, and its zeros stay', async () => {
  const steps: Step[] = [
    ['prune-in-rounds', { sparsity: 0.6, pruning: 'iterative', rounds: 2, epochs: 3, rate: 0.05, batch: 32 }],
    ['finetune', { epochs: 2, rate: 0.02, batch: 32 }],
    ['share', { values: 16, minElements: 8 }],
  ]
  const before = exampleModel()
  const after = await runSteps(before, steps, { data, seed: 1 })
  expect(await accuracyOf(after)).toBeGreaterThan((await accuracyOf(before)) + 0.3)
  expect(zeroShare(after)).toBeGreaterThanOrEqual(0.599)
})

it('wrong options of a later step are told before the first step runs', async () => {
  const told: number[] = []
  const steps: Step[] = [
    ['finetune', { epochs: 1 }],
    ['share', { valus: 4 }],
  ]
  await expect(runSteps(exampleModel(), steps, { data, progress: (done) => void told.push(done) })).rejects.toThrow(
    /share: there is no option "valus"; did you mean "values"/,
  )
  expect(told).toEqual([])
})

it.each([finetune, trainShallow])('goes on from a checkpoint to the same bytes (%#)', async (method) => {
  const options = { epochs: 4, batch: 32, rate: 0.02 }
  await expectSameBytesResumed((c) => method(exampleModel(), options, { data, seed: 2, ...c }), [2])
})

it('scores weights on what is trained on alone: what is held back is seen by none but validation', async () => {
  const sizes = new Set<number>()
  const spying = Object.assign((...args: Parameters<typeof training.batcher>) => {
    sizes.add(args[0].length)
    return training.batcher(...args)
  }, training.batcher)
  const options = { sparsity: 0.5, score: 'taylor', validation: 0.25, epochs: 1, batch: 32 } as const
  const handle = dataHandle({ train: training.train, batcher: spying }, { seed: 1, usual: { samples: 1000 } })
  await pruneInRounds(exampleModel(), options, { data: handle, seed: 1 })
  const [rest, heldBack] = splitDataset(training.train, 0.25, 1)
  // The drawn samples of the score are all that is trained on.
  expect([...sizes.keys()].sort((a, b) => a - b)).toEqual([heldBack.length, rest.length])
})

it.each(['group-lasso', 'growing'] as const)(
  'train-sparse with %s presses channels down, so that removing them costs less',
  async (penalty) => {
    const learning = { epochs: 6, batch: 32, rate: 0.05 }
    const strength = penalty === 'growing' ? 0.05 : 0.02
    const before = exampleModel()
    const dense = await finetune(before, { ...learning, keep: 'none' }, { data, seed: 1 })
    const sparse = await trainSparse(before, { ...learning, penalty, strength }, { data, seed: 1 })
    const [group] = openChannels(before).groups
    const least = (m: Model): number => Math.min(...unitNorms(m, group))
    expect(least(sparse)).toBeLessThan(0.9 * least(dense))
    expect(await accuracyOf(sparse)).toBeGreaterThan((await accuracyOf(before)) + 0.2)
  },
)

it('train-small: a higher price packs smaller, the network learns, and zeros stay', async () => {
  const at = (price: number, model: Model) =>
    trainSmall(model, { epochs: 12, batch: 32, rate: 0.01, price, rise: 0.2 }, { data, seed: 1 })
  const [free, dear] = [await at(0, exampleModel()), await at(385, exampleModel())]
  expect(packModel(dear).byteLength).toBeLessThan(packModel(free).byteLength - 40)
  expect(zeroShare(dear)).toBeGreaterThan(zeroShare(free) + 0.1)
  expect(await accuracyOf(dear)).toBeGreaterThan((await accuracyOf(exampleModel())) + 0.3)
  expect(free.graph.nodes.some((n) => n.op === 'BatchNormalization')).toBe(false)
  const pruned = await magnitude(exampleModel(), { sparsity: 0.7 })
  expect(zeroShare(await at(0, pruned))).toBeGreaterThanOrEqual(0.69)
})

it.each([
  ['l0', 'weight', { strength: 1, dropRate: 0.5 }],
  ['l0', 'channel', { strength: 1 }],
  ['bayesian-groups', 'input', { strength: 0.3 }],
  ['bayesian-groups', 'channel', { strength: 1 }],
] as const)('learn-sparsity by %s, unit %s: it learns, and what is not needed becomes zero', async (by, unit, how) => {
  const options = { by, unit, epochs: 10, batch: 32, rate: 0.1, ...how }
  const before = exampleModel()
  const sparse = await learnSparsity(before, options, { data, seed: 1 })
  const dense = await learnSparsity(before, { ...options, strength: 0 }, { data, seed: 1 })
  expect(zeroShare(sparse)).toBeGreaterThan(zeroShare(dense) + 0.1)
  expect(await accuracyOf(sparse)).toBeGreaterThan((await accuracyOf(before)) + 0.1)
})

it('learn-sparsity by variational dropout: the stronger, the more weights are mostly noise', async () => {
  // A few steps do not reach the usual threshold.
  const options = { by: 'variational-dropout', epochs: 10, batch: 32, rate: 0.05, threshold: -4 } as const
  const zeros = async (strength: number): Promise<number> =>
    zeroShare(await learnSparsity(exampleModel(), { ...options, strength }, { data, seed: 1 }))
  expect(await zeros(1)).toBeGreaterThan((await zeros(0)) + 0.15)
})

it('learn-sparsity says which units go with what', async () => {
  await expect(learnSparsity(exampleModel(), { by: 'variational-dropout', unit: 'input' }, { data })).rejects.toThrow(
    'learn-sparsity: variational-dropout with unit input; expected unit weight',
  )
  await expect(learnSparsity(exampleModel(), { by: 'bayesian-groups', unit: 'weight' }, { data })).rejects.toThrow(
    'learn-sparsity: bayesian-groups with unit weight; expected unit input or channel',
  )
})
