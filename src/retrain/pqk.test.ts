/** PQK as a step of a recipe: what leaves is sparse and of few bits, it learns, it goes on from a checkpoint to the same bytes. */
import { describe, expect, it } from 'vitest'
import { dataHandle } from '../data/handle.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { floats, integers } from '../tensor/dtype.ts'
import { expectSameBytesResumed } from '../testing/stopped-and-resumed.ts'
import { exampleModel, exampleTraining } from '../testing/test-method.ts'
import { validate } from '../train/validate.ts'
import { pqk } from './pqk.ts'

const training = exampleTraining(4, 256)
const data = dataHandle(training, { seed: 1 })
const accuracyOf = async (m: Model): Promise<number> =>
  (await validate(m, training.train, { batcher: training.batcher, batchSize: 64 })).accuracy as number
const options = {
  epochs: 6,
  batch: 32,
  rate: 0.05,
  sparsity: 0.5,
  weightBits: 4,
  edgeBits: 0,
} as const

/** Of each weight, on integers or not: its elements, zeros, and distinct values. */
const shapesOf = (m: Model) =>
  [...m.graph.initializers.values()]
    .filter(({ dims, dtype }) => dims.length > 1 && (dtype === 'int8' || dtype === 'float32'))
    .map((tensor) => {
      const values = Array.from(tensor.dtype === 'int8' ? (integers(tensor) as ArrayLike<number>) : floats(tensor))
      return { size: values.length, zeros: values.filter((v) => v === 0).length, values: new Set(values).size }
    })

describe.each(['lsq', 'float'] as const)('activations %s', (activations) => {
  it('gives exact zeros and few values, and learns', async () => {
    const before = exampleModel()
    const after = await pqk(
      before,
      { ...options, activations, ...(activations === 'lsq' ? { activationBits: 4 } : {}) },
      { data, seed: 1 },
    )
    const shapes = shapesOf(after)
    expect(shapes.length).toBe(3)
    for (const { size, zeros, values } of shapes) {
      // Rounding may put some more at zero.
      expect(zeros).toBeGreaterThanOrEqual(Math.round(0.5 * size))
      // Per tensor 16 levels; those of channels differ once normalisation is folded in.
      if (activations === 'float') expect(values).toBeLessThanOrEqual(16)
    }
    expect(shapes.some(({ size, zeros }) => zeros < 0.9 * size)).toBe(true)
    expect(await accuracyOf(after)).toBeGreaterThan((await accuracyOf(before)) + 0.3)
  })
})

it('leaves excluded weights unpruned', async () => {
  const after = await pqk(exampleModel(), { ...options, epochs: 2, weightBits: 8, exclude: ['w3'] }, { data, seed: 1 })
  const [first, second, last] = shapesOf(after).map(({ size, zeros }) => zeros / size)
  expect(Math.min(first, second)).toBeGreaterThanOrEqual(0.5)
  expect(last).toBeLessThan(0.2)
  const wrong = pqk(exampleModel(), { ...options, exclude: ['w8'] }, { data, seed: 1 })
  await expect(wrong).rejects.toThrow('pqk: exclude names "w8", which is no weight of the model; expected w1, w2, w3')
})

it('the teacher changes what is learnt; without one the second phase trains under the mask alone', async () => {
  const short = { ...options, epochs: 2 }
  const taught = await pqk(exampleModel(), short, { data, seed: 1 })
  const without = await pqk(exampleModel(), { ...short, alpha: 0 }, { data, seed: 1 })
  expect(Buffer.compare(writeModel(taught), writeModel(without))).not.toBe(0)
})

it('stopped within either phase and resumed, it gives the same bytes', async () => {
  const short = { ...options, epochs: 3, teacherEpochs: 2 }
  await expectSameBytesResumed((c) => pqk(exampleModel(), short, { data, seed: 2, ...c }), [2, 2])
})
