/** What has a teacher learns from it, and not from itself. */
import { expect, it } from 'vitest'
import { dataHandle } from '../data/handle.ts'
import type { Context, Method } from '../method.ts'
import type { Model } from '../model.ts'
import { exampleModel, exampleTraining } from '../testing/test-method.ts'
import { train } from '../train/train.ts'
import { validate } from '../train/validate.ts'
import { finetune } from './finetune.ts'
import { trainQuantised } from './train-quantised.ts'
import { trainSmall } from './train-small.ts'

const { train: labelled, batcher } = exampleTraining(4, 256)
const { labels: _labels, ...unlabelled } = labelled
const data = dataHandle({ train: unlabelled, batcher }, { seed: 1 })
const shares = { epochs: 8, batch: 16, rate: 0.02, alpha: 1, temperature: 2 }

async function accuracyOf(model: Model): Promise<number> {
  return (await validate(model, labelled, { batcher, batchSize: 64 })).accuracy as number
}

const teacher = (
  await train(exampleModel(7), labelled, { batcher, epochs: 12, batchSize: 16, learningRate: 0.05, seed: 1 })
).model

it.each([
  ['finetune', finetune, {}],
  ['train-small', trainSmall, { price: 0.01, rate: 0.01, epochs: 16 }],
  ['train-quantised', trainQuantised, {}],
] as [string, Method, object][])(
  '%s learns classes from a teacher that knows them, without labels',
  async (_, method, own) => {
    const accuracy = async (context: Context): Promise<number> =>
      accuracyOf(await method(exampleModel(3), { ...shares, ...own }, { data, seed: 1, ...context }))
    const known = await accuracyOf(teacher)
    expect(known).toBeGreaterThan(0.8)
    expect(await accuracy({ teacher })).toBeGreaterThan(known - 0.1)
    expect(await accuracy({})).toBeLessThan(known - 0.3)
  },
)

it('a teacher has a share of the loss where none is told, labels the rest', async () => {
  const options = { epochs: 1, batch: 32, rate: 0.02 }
  const context = { data: dataHandle({ train: labelled, batcher }, { seed: 1 }), seed: 1 }
  const told = await finetune(exampleModel(), { ...options, alpha: 0.9 }, { ...context, teacher })
  expect(await finetune(exampleModel(), options, { ...context, teacher })).toEqual(told)
  expect(await finetune(exampleModel(), options, context)).not.toEqual(told)
})

it('a teacher of whom nothing is learnt is said so', async () => {
  const warnings: string[] = []
  const context = { data: dataHandle({ train: labelled, batcher }, { seed: 1 }), seed: 1 }
  const options = { epochs: 1, batch: 64, rate: 0.02, alpha: 0 }
  const withTeacher = { ...context, teacher, warn: (message: string) => warnings.push(message) }
  expect(await finetune(exampleModel(), options, withTeacher)).toEqual(await finetune(exampleModel(), options, context))
  expect(warnings).toEqual(['alpha is 0, so nothing is learnt from the teacher'])
})
