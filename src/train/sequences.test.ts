/** Networks over sequences learn seeded tasks from their start, and both engines compute the same step. */
import { describe, expect, it } from 'vitest'
import { splitDataset } from '../data/batches.ts'
import type { Batcher, Dataset } from '../data/dataset.ts'
import { plainEngine } from '../grad/engine.ts'
import type { Model } from '../model.ts'
import { random } from '../tensor/random.ts'
import { recurrentNet, transformer } from '../testing/sequence-nets.ts'
import { stepGradients } from '../testing/step-gradients.ts'
import { chooseEngine } from './choose-engine.ts'
import { adam } from './optimizers.ts'
import { cosine } from './schedules.ts'
import { train } from './train.ts'
import { validate } from './validate.ts'

const steps = 20
const features = 4

/** A tone in one of three places of a noisy sequence of features, from step `earliest` on: which one. */
function tones(samples: number, seed: number, earliest = 0): Dataset {
  const rng = random(seed)
  const data = new Float32Array(samples * steps * features)
  const labels = new Int32Array(samples)
  for (let i = 0; i < samples; i++) {
    labels[i] = rng.below(3)
    const at = earliest + rng.below(14 - earliest)
    for (let k = 0; k < steps * features; k++) data[i * steps * features + k] = 0.3 * rng.normal()
    for (let t = at; t < at + 6; t++) data[(i * steps + t) * features + labels[i]] += 1.5
  }
  const x = { shape: [steps, features], data, kind: 'values' } as const
  return { id: 'tones', length: samples, fields: { x }, labels, classes: 3 }
}

/** Words of 12: whether the word 1 or the word 2 comes first. */
function sentences(samples: number, seed: number): Dataset {
  const rng = random(seed)
  const data = Int32Array.from({ length: samples * steps }, () => 3 + rng.below(9))
  const labels = new Int32Array(samples)
  for (let i = 0; i < samples; i++) {
    labels[i] = rng.below(2)
    const first = rng.below(steps - 1)
    const second = first + 1 + rng.below(steps - 1 - first)
    data[i * steps + first] = 1 + labels[i]
    data[i * steps + second] = 2 - labels[i]
  }
  const x = { shape: [steps], data, kind: 'values' } as const
  return { id: 'sentences', length: samples, fields: { x }, labels, classes: 2 }
}

const batcher: Batcher = (data, indices) => {
  const { x } = data.fields
  const size = x.shape.reduce((a, b) => a * b, 1)
  const taken = Array.from(indices, (i) => x.data.subarray(i * size, (i + 1) * size))
  const dims = [indices.length, ...x.shape]
  if (x.data instanceof Int32Array)
    return { x: { dtype: 'int64', dims, data: BigInt64Array.from(taken.flatMap((t) => Array.from(t, BigInt))) } }
  return { x: { dtype: 'float32', dims, data: Float32Array.from(taken.flatMap((t) => Array.from(t))) } }
}

const sequence = { steps, features, classes: 3 }
const nets: readonly (readonly [string, Model, Dataset, number])[] = [
  ['GRU', recurrentNet('GRU', sequence), tones(600, 5), 12],
  ['LSTM', recurrentNet('LSTM', sequence), tones(600, 5), 12],
  // A plain RNN forgets what was long ago.
  ['RNN', recurrentNet('RNN', sequence), tones(600, 5, 11), 12],
  ['transformer', transformer({ steps, words: 12, classes: 2 }), sentences(1000, 6), 12],
]

describe('from its start', () => {
  for (const [name, net, data, epochs] of nets) {
    it(`a small ${name} learns`, async () => {
      const [training, heldBack] = splitDataset(data, 0.2, 1)
      const options = { batcher, batchSize: 40, threads: 1, learningRate: 0.01, optimizer: adam(), schedule: cosine() }
      const { model, history } = await train(net, training, { ...options, epochs })
      expect(history[epochs - 1].loss).toBeLessThan(history[0].loss / 2)
      expect((await validate(model, heldBack, options)).accuracy).toBeGreaterThan(0.9)
    })
  }
})

describe('both engines compute the same gradients', () => {
  for (const [name, net, data] of nets) {
    it(name, async () => {
      const { engine } = await chooseEngine('auto')
      const inputs = batcher(
        data,
        Uint32Array.from({ length: 6 }, (_, i) => i),
      )
      const target = ([rows, classes]: readonly number[]): Float32Array => {
        const oneHot = new Float32Array(rows * classes)
        for (let i = 0; i < rows; i++) oneHot[i * classes + (i % classes)] = 1
        return oneHot
      }
      const common = { loss: 'cross-entropy', inputs, target } as const
      const plain = await stepGradients(net, { ...common, engine: plainEngine })
      const other = await stepGradients(net, { ...common, engine })
      expect(plain.step.untrained).toEqual([])
      for (const [parameter, values] of plain.gradients) {
        const found = other.gradients.get(parameter)!
        const largest = values.reduce((a, v) => Math.max(a, Math.abs(v)), 1e-6)
        for (const [i, v] of values.entries()) expect(Math.abs(v - found[i]) / largest).toBeLessThan(1e-4)
      }
    })
  }
})
