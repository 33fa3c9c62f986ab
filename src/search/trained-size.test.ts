/** Training for size as a search: what it trains on, where its prices go, and that its recipe makes the same model again. */
import { describe, expect, it } from 'vitest'
import { compress } from '../compress/compress.ts'
import { teacherOf, teacherSum } from '../compress/recipe-teacher.ts'
import { runRecipe } from '../compress/run-recipe.ts'
import { bindSplits } from '../data/bind-splits.ts'
import type { Dataset } from '../data/dataset.ts'
import { drawDigits } from '../data/digits.ts'
import { dataHandle } from '../data/handle.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import type { Recipe } from '../recipe.ts'
import { guessTask } from '../task/guess.ts'
import { parseMaxLoss } from '../task/max-loss.ts'
import type { Verdict } from '../task/verdict.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import type { CheckpointStore } from '../train/checkpoint.ts'
import { seal } from '../train/checkpoint-bytes.ts'
import { train } from '../train/train.ts'
import { holdBack, holdBackOfTest } from './held-back.ts'
import { openTrainedSize } from './knobs/trained-size.ts'

const splits = { train: drawDigits(400, 1), test: drawDigits(100, 2) }
const rng = random(1)
const weight = (name: string, dims: readonly number[]) =>
  floatTensor(
    name,
    dims,
    Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => rng.normal() / Math.sqrt(dims[0])),
  )
const net: Model = model({
  nodes: [
    node('Flatten', ['x'], ['flat']),
    node('MatMul', ['flat', 'w1'], ['h']),
    node('Relu', ['h'], ['r']),
    node('MatMul', ['r', 'w2'], ['logits']),
  ],
  initializers: new Map([
    ['w1', weight('w1', [784, 16])],
    ['w2', weight('w2', [16, 10])],
  ]),
  inputs: [valueInfo('x', 'float32', ['N', 1, 28, 28])],
  outputs: [valueInfo('logits', 'float32', ['N', 10])],
})
const bound = bindSplits(net, splits)

async function opened(budget: number, more: Context = {}) {
  const data = dataHandle({ train: splits.train, batcher: bound.batcher }, { seed: 1 })
  const task = guessTask(net, { dataset: splits.train })
  const context = { ...more, data, task, max: parseMaxLoss('0.5'), seed: 1 }
  return { search: await openTrainedSize({ budget, crop: 1 })(net, context), context }
}

/** What a search finds where `spent` says how each model that it makes stands, in turn. */
async function found(spent: readonly number[], budget = 2_000) {
  const { search } = await opened(budget)
  let judged = 0
  const verdictOf = (): Promise<Verdict> =>
    Promise.resolve({ spent: spent[Math.min(judged++, spent.length - 1)], findings: [] })
  const result = await search.find(verdictOf)
  return { search, result, rounds: judged }
}

const prices = (steps: readonly (readonly [string, Readonly<Record<string, unknown>>])[]): number[] =>
  steps.flatMap(([id, { price }]) => (id === 'train-small' ? [price as number] : []))

describe('the price of a kilobyte', () => {
  it('rises while rounds hold', async () => {
    const { search, rounds } = await found([0.5])
    // For another limit what was made is judged again, not made again: here the last round alone holds.
    let judged = 0
    const last = await search.find(() => Promise.resolve({ spent: ++judged === rounds ? 0.9 : 2, findings: [] }))
    const [first, ...tried] = prices(last.steps)
    expect(tried).toHaveLength(rounds)
    expect(tried[0]).toBe(first)
    expect(tried).toEqual([...new Set(tried)].sort((a, b) => a - b))
    expect(last.verdict.spent).toBe(0.9)
  })

  it('falls where none holds, from the model as it was, and nothing comes of it', async () => {
    const { result, search, rounds } = await found([2])
    expect(result.model).toBe(net)
    expect(result.steps).toEqual([])
    expect(result.notes[0]).toMatch(/^training for size lost more than is allowed/)
    // The original is judged last.
    const tried = rounds - 1
    let judged = 0
    const last = await search.find(() => Promise.resolve({ spent: ++judged === tried ? 0.9 : 2, findings: [] }))
    if (tried > 1) expect(prices(last.steps)).toEqual([expect.closeTo((800 / 12_704) * 0.25 ** (tried - 1), 3)])
  })

  it('and all that it says it did makes the same model again', async () => {
    const { data, samples } = holdBack(bound, 1)
    const task = guessTask(net, { dataset: splits.train })
    const search = await openTrainedSize({ budget: 1_000 })(net, { data, task, max: parseMaxLoss('0.5'), seed: 1 })
    const { model: once, steps } = await search.find(() => Promise.resolve({ spent: 0.5, findings: [] }))
    const calibration = { data: 'digits:400', samples, batchSize: 128 }
    const recipe = { coppice: 1, seed: 1, task, calibration, steps } as const
    expect(writeModel(await runRecipe(net, recipe, { data: bound }))).toEqual(writeModel(once))
  })

  it('rounds learn from a teacher, which a recipe of them then asks for', async () => {
    const { batcher } = bound
    const teacher = (await train(net, splits.train, { batcher, epochs: 1, batchSize: 40, learningRate: 0.02 })).model
    const { search, context } = await opened(0, { teacher })
    const { model: once, steps } = await search.find(() => Promise.resolve({ spent: 0.5, findings: [] }))
    const calibration = { data: 'digits:400', samples: 400, batchSize: 128 }
    const recipe = {
      coppice: 1,
      seed: 1,
      task: context.task,
      calibration,
      steps,
      ...teacherOf(steps, teacher),
    } as const
    expect(writeModel(await runRecipe(net, recipe, { data: bound, teacher }))).toEqual(writeModel(once))
    const refused = (r: Recipe, given?: Model) => expect(runRecipe(net, r, { data: bound, teacher: given })).rejects
    const sum = teacherSum(teacher)
    await refused(recipe).toThrow(
      `recipe: its steps learn from a teacher (${sum}), and none is given; expected a teacher`,
    )
    await refused(recipe, net).toThrow(`recipe: the teacher that is given is ${teacherSum(net)}; expected ${sum}`)
    await refused({ ...recipe, teacher: undefined }, teacher).toThrow(/expected none, as its steps learn from none$/)
  })

  it('a search that is stopped goes on where it was, and finds the same', async () => {
    const holds = (): Promise<Verdict> => Promise.resolve({ spent: 0.5, findings: [] })
    const whole = await (await opened(0)).search.find(holds)
    // Stopped after each of its saves in turn: an epoch of each of two rounds, and their ends.
    for (let stopAt = 1; stopAt <= 4; stopAt++) {
      const stop = new AbortController()
      let bytes: Uint8Array | undefined
      let saves = 0
      const checkpoint: CheckpointStore = {
        load: async () => bytes,
        async save(saved) {
          bytes = saved
          if (++saves === stopAt) stop.abort()
        },
      }
      const stopped = (await opened(0, { checkpoint, signal: stop.signal })).search.find(holds)
      await expect(stopped).rejects.toThrow('stopped on request')
      const again = await (await opened(0, { checkpoint })).search.find(holds)
      expect(again.steps).toEqual(whole.steps)
      expect(writeModel(again.model)).toEqual(writeModel(whole.model))
      expect(saves).toBe(4)
      if (stopAt > 1) continue
      await expect(opened(0, { checkpoint, teacher: net })).rejects.toThrow(/^checkpoint: it is of another search/)
      bytes = seal('COPRND2', { fingerprint: 'x', progress: 3, models: [] }, [])
      await expect(opened(0, { checkpoint })).rejects.toThrow(/^checkpoint: its header is damaged/)
    }
  })

  it('an epoch is trained, whatever the budget', async () => {
    const { result } = await found([0.5], 1)
    expect(prices(result.steps)).toHaveLength(2)
  })
})

it('chooses by one part of the test samples, and leaves the others to report on', () => {
  const { validation, data } = holdBackOfTest(bound, 3)
  const picture = (set: Dataset, i: number): string => {
    const [{ data: pixels, shape }] = Object.values(set.fields)
    const size = shape.reduce((a, b) => a * b, 1)
    return `${Array.prototype.slice.call(pixels, i * size, (i + 1) * size)}`
  }
  const all = (set: Dataset): string[] => Array.from({ length: set.length }, (_, i) => picture(set, i))
  const [chosen, others] = [all(validation), all(data.splits.test)]
  expect([chosen.length, others.length]).toEqual([50, 50])
  expect([...chosen, ...others].sort()).toEqual(all(splits.test).sort())
  expect(data.splits.train).toBe(splits.train)
})

describe('compress', () => {
  it('reports on what it did not choose by, and its recipe makes the same bytes', async () => {
    const { model: taught } = await train(net, splits.train, {
      ...{ batcher: bound.batcher, epochs: 10, batchSize: 40, learningRate: 0.02 },
    })
    const calibration = { data: 'digits:400' }
    const result = await compress(taught, { data: bound, maxLoss: '20', train: true, budget: 0.02, calibration })
    expect(result.trial.on).toBe(`50 samples of ${splits.test.id}, the other part`)
    const again = await runRecipe(taught, result.recipe, { data: bound })
    expect(writeModel(again)).toEqual(writeModel(result.model))
  })

  const refused = (options: object, model: Model = net) => expect(compress(model, { data: bound, ...options })).rejects

  it('refuses in one sentence what cannot be trained', async () => {
    await refused({ train: true, goal: 'speed' }).toThrow('compress: --train with goal speed; expected goal size')
    await refused({ train: true, data: undefined }).toThrow(/^compress: --train needs labels or targets to train on/)
    await refused({ teacher: net }).toThrow('compress: teacher is for training; expected --train with it')
    const checkpoint = { load: async () => undefined, save: async () => {} }
    await refused({ checkpoint }).toThrow('compress: checkpoint is for training; expected --train with it')
    await refused({ budget: 5 }).toThrow('compress: budget: nothing reads it without train; expected train with it')
    const { labels: _labels, ...unlabelled } = splits.train
    const data = { ...bound, splits: { ...splits, train: unlabelled } }
    await refused({ train: true, data }).toThrow(/which digits.* has not/)
  })
})
