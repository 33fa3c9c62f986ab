/** Networks without Dropout and BatchNormalization start with normalised outputs. */
import { expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import { drawDigits } from '../data/digits.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import { withGraph } from '../model.ts'
import { openSession } from '../runtime/session.ts'
import { zoo } from '../zoo/index.ts'
import { dropRegularisers } from './drop-regularisers.ts'
import { train } from './train.ts'

const digits = drawDigits(128, 3)

function made() {
  const model = zoo.dsCnn.build({ classes: 10, inputShape: [1, 28, 28], width: 0.25, seed: 1 })
  const inputs = requiredInputs(model)
  return { model, batcher: batcherFor(inputs, digits, guessPreprocess(inputs, digits, {})) }
}

it('has no normalisation left, and convolutions whose outputs have mean 0 and variance 1 on the batch', async () => {
  const { model, batcher } = made()
  const bare = await dropRegularisers(model, digits, { batcher, threads: 1 })
  expect(bare.graph.nodes.filter((n) => n.op === 'BatchNormalization' || n.op === 'Dropout')).toEqual([])
  const convs = bare.graph.nodes.filter((n) => n.op === 'Conv')
  expect(convs).toHaveLength(model.graph.nodes.filter((n) => n.op === 'Conv').length)
  const outputs = convs.map((n) => ({ name: n.outputs[0], dtype: 'float32' as const }))
  const session = await openSession(withGraph(bare, { outputs }), { threads: 1, optimize: 'disabled' })
  const values = await session.run(
    batcher(
      digits,
      Array.from({ length: 128 }, (_, i) => i),
    ),
  )
  await session.release()
  for (const { name } of outputs) {
    const { data, dims } = values[name]
    const plane = dims[2] * dims[3]
    const channel = Array.from({ length: dims[0] * plane }, (_, i) => {
      const at = Math.floor(i / plane) * dims[1] * plane + (i % plane)
      return Number(data[at])
    })
    const mean = channel.reduce((a, b) => a + b, 0) / channel.length
    const variance = channel.reduce((a, v) => a + (v - mean) ** 2, 0) / channel.length
    expect(Math.abs(mean)).toBeLessThan(0.01)
    // A channel that hardly varies before is not blown up without bound: epsilon is in the denominator.
    expect(variance).toBeLessThan(1.01)
    expect(variance).toBeGreaterThan(0.5)
  }
})

it('trains from there, and stops after the first epoch for which `until` holds', async () => {
  const { model, batcher } = made()
  const bare = await dropRegularisers(model, digits, { batcher, threads: 1 })
  const { history } = await train(bare, digits, {
    batcher,
    epochs: 40,
    batchSize: 32,
    learningRate: 0.01,
    clipNorm: 1,
    seed: 1,
    threads: 1,
    until: (epoch) => (epoch.accuracy ?? 0) >= 0.3,
  })
  expect(history.at(-1)?.accuracy).toBeGreaterThanOrEqual(0.3)
  expect(history.slice(0, -1).every((e) => (e.accuracy ?? 0) < 0.3)).toBe(true)
  expect(history.length).toBeLessThan(40)
})
