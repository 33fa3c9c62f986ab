/** Inputs made from statistics: the layers answer them with the statistics that the model remembers. */
import { expect, it } from 'vitest'
import { valueInfo } from '../graph/build.ts'
import { replaceTensors } from '../graph/weights.ts'
import type { Feeds } from '../method.ts'
import { type Model, withGraph } from '../model.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { outputsOf } from '../testing/real-models.ts'
import { exampleModel } from '../testing/test-method.ts'
import { hasStatistics, inputsFromStatistics } from './inputs-from-statistics.ts'
import { inventedSplits, statisticsSamples } from './invented-splits.ts'

/** Inputs whose neighbours go together, shifted and wide: what the model remembers is of these. */
function real(): Feeds {
  const rng = random(6)
  const data = new Float32Array(64 * 192)
  for (let sample = 0; sample < 64; sample++) {
    const level = 2 + rng.normal()
    for (let i = 0; i < 192; i++) data[sample * 192 + i] = level + 0.5 * rng.normal()
  }
  return { x: { dtype: 'float32', dims: [64, 3, 8, 8], data } }
}

/** Mean and variance of each channel of what the normalisation reads. */
async function statistics(model: Model, feeds: Feeds): Promise<{ mean: Float32Array; variance: Float32Array }> {
  const seen = withGraph(model, { outputs: [...model.graph.outputs, valueInfo('c1', 'float32')] })
  const { data, dims } = (await outputsOf(seen, feeds)).c1
  const values = data as Float32Array
  const [n, channels, inner] = [dims[0], dims[1], dims[2] * dims[3]]
  const own = (c: number) =>
    Float64Array.from(
      { length: n * inner },
      (_, i) => values[(Math.floor(i / inner) * channels + c) * inner + (i % inner)],
    )
  const mean = Float32Array.from({ length: channels }, (_, c) => own(c).reduce((a, b) => a + b, 0) / (n * inner))
  const variance = mean.map((m, c) => own(c).reduce((s, v) => s + (v - m) ** 2, 0) / (n * inner))
  return { mean, variance }
}

async function remembering(): Promise<Model> {
  const model = exampleModel()
  const { mean, variance } = await statistics(model, real())
  const { initializers } = model.graph
  return replaceTensors(
    model,
    new Map([
      [initializers.get('mean')!, floatTensor('mean', [8], mean)],
      [initializers.get('variance')!, floatTensor('variance', [8], variance)],
    ]),
  )
}

it('batches have the statistics that the model remembers, where noise has not', async () => {
  const model = await remembering()
  expect(hasStatistics(model)).toBe(true)
  const [mean, variance] = ['mean', 'variance'].map((name) => floats(model.graph.initializers.get(name)!))
  const apart = async (feeds: Feeds): Promise<number> => {
    const found = await statistics(model, feeds)
    return mean.reduce(
      (sum, m, c) =>
        sum + ((found.mean[c] - m) ** 2 + (Math.sqrt(found.variance[c]) - Math.sqrt(variance[c])) ** 2) / variance[c],
      0,
    )
  }
  const rng = random(1)
  const data = Float32Array.from({ length: 32 * 192 }, () => rng.normal())
  const noise = await apart({ x: { dtype: 'float32', dims: [32, 3, 8, 8], data } })
  const [feeds] = await inputsFromStatistics(model, { batches: 1, batchSize: 32, seed: 2 })
  expect(feeds.x.dims).toEqual([32, 3, 8, 8])
  expect(await apart(feeds)).toBeLessThan(0.05 * noise)
})

it('is a data set without labels, by the seed, and says that it is no real one', async () => {
  const model = await remembering()
  const at = (seed: number) => inventedSplits(model, { samples: 16, seed })
  const [a, again, other] = [await at(1), await at(1), await at(2)]
  expect(a.train.length).toBe(16)
  expect(a.test.length).toBe(16)
  expect(a.train.labels).toBeUndefined()
  expect(a.train.fields.x.data).toEqual(again.train.fields.x.data)
  expect(a.train.fields.x.data).not.toEqual(other.train.fields.x.data)
  expect(a.train.fields.x.data).not.toEqual(a.test.fields.x.data)
  expect(a.notes?.join()).toMatch(/no real ones/)
})

it('refuses models that remember nothing, and counts that are none', async () => {
  const nodes = exampleModel().graph.nodes.filter((n) => n.op !== 'BatchNormalization')
  const renamed = nodes.map((n) => ({ ...n, inputs: n.inputs.map((name) => (name === 'n1' ? 'c1' : name)) }))
  await expect(inventedSplits(withGraph(exampleModel(), { nodes: renamed }), { samples: 16 })).rejects.toThrow(
    /^data: "statistics" makes inputs from BatchNormalizations, and the model has none/,
  )
  expect(statisticsSamples('statistics')).toBe(256)
  expect(statisticsSamples('cifar10:DIR')).toBeUndefined()
  expect(() => statisticsSamples('statistics:few')).toThrow(/^data: "statistics:few"; expected/)
})
