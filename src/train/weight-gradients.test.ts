/** Gradients where samples have targets: beside differences of the squared error, of batches and of single samples. */
import { expect, it } from 'vitest'
import { batcherFor } from '../data/batcher.ts'
import type { Dataset } from '../data/dataset.ts'
import { dataHandle } from '../data/handle.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import { replaceTensors, weightTensors } from '../graph/weights.ts'
import type { Model } from '../model.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { outputsOf } from '../testing/real-models.ts'
import { exampleModel, exampleTraining } from '../testing/test-method.ts'
import { gradientBatches, gradientOptions, openGradients, singles } from './weight-gradients.ts'

const rng = random(9)
const { labels: _, classes: __, ...inputs } = exampleTraining(5, 24).train
const targets = { shape: [5], kind: 'values' as const, data: Float32Array.from({ length: 24 * 5 }, () => rng.normal()) }
const train: Dataset = { ...inputs, targets }
const { graph } = exampleModel()
const batcher = batcherFor(graph.inputs, train, guessPreprocess(graph.inputs, train), graph.outputs)
const context = { seed: 2, data: dataHandle({ train, batcher }, { seed: 2 }) }

it('are those of the mean squared error', async () => {
  const model = exampleModel()
  const weights = weightTensors(model)
  const [batch] = (await gradientBatches(model, context, { samples: 16 }))!
  expect(batch.labels.length).toBe(16)
  const gradients = await openGradients(model, weights, gradientOptions(batch))
  const found = await gradients.of(batch)
  await gradients.release()
  const wanted = batch.answers!.data.targets!.data as Float32Array
  const errorOf = async (m: Model): Promise<number> => {
    const y = (await outputsOf(m, batch.feeds)).y.data as Float32Array
    return y.reduce((sum, v, i) => sum + (v - wanted[i]) ** 2, 0) / y.length
  }
  for (const [i, w] of weights.entries()) {
    // Along a random direction: one difference checks every element.
    const direction = floats(w.tensor).map(() => rng.normal())
    const at = (by: number): Model =>
      replaceTensors(
        model,
        new Map([
          [
            w.tensor,
            floatTensor(
              w.name,
              w.tensor.dims,
              floats(w.tensor).map((v, k) => v + by * direction[k]),
            ),
          ],
        ]),
      )
    const step = 2e-4
    const difference = ((await errorOf(at(step))) - (await errorOf(at(-step)))) / (2 * step)
    const slope = found[i].reduce((sum, g, k) => sum + g * direction[k], 0)
    expect(Math.abs(slope - difference)).toBeLessThan(0.01 * Math.abs(difference) + 0.01)
  }
})

it('of single samples have the mean of the batch', async () => {
  const model = exampleModel()
  const weights = weightTensors(model)
  const [batch] = (await gradientBatches(model, context, { samples: 8 }))!
  const whole = await openGradients(model, weights, gradientOptions(batch))
  const [mean] = await whole.of(batch)
  const each = [...singles(model, batch)]
  const one = await openGradients(model, weights, gradientOptions(each[0]))
  const sum = new Float32Array(mean.length)
  for (const sample of each) for (const [k, v] of (await one.of(sample))[0].entries()) sum[k] += v / each.length
  await whole.release()
  await one.release()
  for (const [k, v] of sum.entries()) expect(v).toBeCloseTo(mean[k], 4)
})
