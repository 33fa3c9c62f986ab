/** Pruning and quantisation by Taylor score: exact zeros, few levels, learns classes and numbers, the same bytes after a stop. */
import { expect, it } from 'vitest'
import { batcherFor } from '../data/batcher.ts'
import type { Dataset } from '../data/dataset.ts'
import { dataHandle } from '../data/handle.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import type { Model } from '../model.ts'
import { integers, sizeOf } from '../tensor/dtype.ts'
import { outputsOf } from '../testing/real-models.ts'
import { expectSameBytesResumed } from '../testing/stopped-and-resumed.ts'
import { exampleModel, exampleTraining } from '../testing/test-method.ts'
import { validate } from '../train/validate.ts'
import { taylorBits } from './taylor-bits.ts'

const training = exampleTraining(4, 256)
const data = dataHandle(training, { seed: 1 })
const options = { epochs: 4, batch: 32, rate: 0.05, sparsity: 0.5, rounds: 2, meanBits: 3, samples: 128 } as const

/** Of each weight on integers: its elements, zeros and distinct values. */
const shapesOf = (m: Model) =>
  [...m.graph.initializers.values()]
    .filter(({ dims, dtype }) => dims.length > 1 && dtype === 'int8')
    .map((tensor) => {
      const values = Array.from(integers(tensor) as ArrayLike<number>)
      return {
        size: sizeOf(tensor.dims),
        zeros: values.filter((v) => v === 0).length,
        levels: new Set(values.map(Math.abs)).size,
      }
    })

it('leaves zeros as they were pruned and few levels, and learns', async () => {
  const before = exampleModel()
  const after = await taylorBits(before, options, { data, seed: 1 })
  const shapes = shapesOf(after)
  const all = shapes.reduce((n, { size }) => n + size, 0)
  expect(shapes.length).toBe(3)
  expect(shapes.reduce((n, { zeros }) => n + zeros, 0)).toBeGreaterThanOrEqual(Math.round(0.5 * all))
  // At 3 bits on average no tensor of most of the weights has the 128 magnitudes of 8.
  expect(Math.min(...shapes.map(({ levels }) => levels))).toBeLessThanOrEqual(5)
  const accuracyOf = async (m: Model): Promise<number> =>
    (await validate(m, training.train, { batcher: training.batcher, batchSize: 64 })).accuracy as number
  expect(await accuracyOf(after)).toBeGreaterThan((await accuracyOf(before)) + 0.3)
})

it('learns numbers, by gradients of the squared error', async () => {
  const { labels, classes: _, ...inputs } = training.train
  const targets = {
    ...{ shape: [5], kind: 'values' as const },
    data: Float32Array.from({ length: 5 * inputs.length }, (_, i) => (labels![Math.floor(i / 5)] - 2) * ((i % 5) - 2)),
  }
  const train: Dataset = { ...inputs, targets }
  const { graph } = exampleModel()
  const batcher = batcherFor(graph.inputs, train, guessPreprocess(graph.inputs, train), graph.outputs)
  const handle = dataHandle({ train, batcher }, { seed: 1 })
  const told: string[] = []
  const after = await taylorBits(
    exampleModel(),
    { ...options, rate: 0.02 },
    { data: handle, seed: 1, warn: (m) => void told.push(m) },
  )
  expect(told.filter((m) => m.includes('no data'))).toEqual([])
  const indices = Uint32Array.from({ length: 256 }, (_, i) => i)
  const errorOf = async (m: Model): Promise<number> => {
    const y = (await outputsOf(m, batcher(train, indices))).y.data as Float32Array
    return y.reduce((sum, v, i) => sum + (v - targets.data[i]) ** 2, 0) / y.length
  }
  expect(await errorOf(after)).toBeLessThan(0.5 * (await errorOf(exampleModel())))
})

it('sparsity 0 quantises alone', async () => {
  const after = await taylorBits(exampleModel(), { ...options, epochs: 1, sparsity: 0, meanBits: 8 }, { data, seed: 1 })
  expect(shapesOf(after).reduce((n, { zeros }) => n + zeros, 0)).toBeLessThan(100)
})

it('stopped in pruning or under quantisation and resumed, it gives the same bytes', async () => {
  const short = { ...options, epochs: 2 }
  await expectSameBytesResumed((c) => taylorBits(exampleModel(), short, { data, seed: 2, ...c }), [1, 6])
})
