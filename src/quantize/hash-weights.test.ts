/** Hashed weights: what the graph computes, that only buckets are stored, and that they can be trained. */
import { describe, expect, it } from 'vitest'
import { dataHandle } from '../data/handle.ts'
import { packModel } from '../formats/pack.ts'
import { unpackModel } from '../formats/unpack.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { finetune } from '../retrain/finetune.ts'

import { floats, floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { optimizedOps } from '../testing/optimized-ops.ts'
import { outputsOf } from '../testing/real-models.ts'
import { exampleModel, exampleTraining } from '../testing/test-method.ts'
import { validate } from '../train/validate.ts'
import { hashWeights } from './hash-weights.ts'

const size = 96

/** y = x·w. */
function product(): Model {
  const rng = random(5)
  const w = floatTensor(
    'w',
    [size, size],
    Float32Array.from({ length: size * size }, () => rng.normal()),
  )
  return model({
    nodes: [node('MatMul', ['x', 'w'], ['y'])],
    initializers: new Map([['w', w]]),
    inputs: [valueInfo('x', 'float32', ['n', size])],
    outputs: [valueInfo('y', 'float32', ['n', size])],
  })
}

async function weightsOf(m: Model): Promise<Float32Array> {
  const data = new Float32Array(size * size)
  for (let i = 0; i < size; i++) data[i * size + i] = 1
  return (await outputsOf(m, { x: { dtype: 'float32', dims: [size, size], data } })).y.data as Float32Array
}

describe('hash-weights', () => {
  it('ONNX Runtime computes the hash that the buckets were filled by: each is the mean of its weights, signs undone', async () => {
    const after = await hashWeights(product(), { share: 1 / 16 }, { seed: 3 })
    const buckets = floats(after.graph.initializers.get('w_buckets')!)
    expect(buckets).toHaveLength((size * size) / 16)
    const exact = floats(product().graph.initializers.get('w')!)
    const found = await weightsOf(after)
    const members = new Map<number, number[]>()
    found.forEach((v, i) => {
      const key = Math.abs(v)
      members.set(key, [...(members.get(key) ?? []), v < 0 ? -exact[i] : exact[i]])
    })
    const known = new Set([...buckets].map(Math.abs))
    for (const [key, values] of members) {
      expect(known.has(key)).toBe(true)
      expect(Math.abs(Math.abs(values.reduce((a, b) => a + b, 0) / values.length) - key)).toBeLessThan(1e-5)
    }
    // Spread as chance would: 16 on average, and half of the signs turned.
    const counts = [...members.values()].map((m) => m.length)
    const variance = counts.reduce((s, n) => s + (n - 16) ** 2, 0) / counts.length
    expect(variance).toBeGreaterThan(11)
    expect(variance).toBeLessThan(22)
    const negative = found.filter((v, i) => v < 0 !== exact[i] < 0).length
    expect(negative).toBeGreaterThan(0.3 * found.length)
  })

  it('only the buckets are stored, packed too, and the weights are computed once, when the model is loaded', async () => {
    const after = await hashWeights(product(), { share: 1 / 16 }, { seed: 3 })
    expect(await optimizedOps(after)).toEqual({ MatMul: 1 })
    const packed = packModel(after)
    expect(packed.length).toBeLessThan(4 * ((size * size) / 16) + 500)
    expect(await weightsOf(unpackModel(packed))).toEqual(await weightsOf(after))
  })

  it('another seed is another hash; old operator sets are raised', async () => {
    const [a, b] = [1, 2].map((seed) => hashWeights(product(), {}, { seed }))
    expect(await weightsOf(await a)).not.toEqual(await weightsOf(await b))
    const old = { ...product(), opsets: [{ domain: '', version: 8 }] }
    expect(await weightsOf(await hashWeights(old, {}, { seed: 1 }))).toEqual(await weightsOf(await a))
  })

  it('finetune trains the buckets, and the network learns again', async () => {
    const { train, batcher } = exampleTraining(4, 256)
    const data = dataHandle({ train, batcher }, { seed: 1 })
    const options = { epochs: 8, batch: 32, rate: 0.02 }
    const hashed = await hashWeights(exampleModel(), { share: 0.25, minElements: 64 }, { seed: 1 })
    const trained = await finetune(hashed, options, { data, seed: 1 })
    const [before, after] = [hashed, trained].map((m) => floats(m.graph.initializers.get('w2_buckets')!))
    expect(after).toHaveLength(144)
    expect(after.filter((v, i) => v !== before[i]).length).toBeGreaterThan(100)
    const accuracy = async (m: Model) => (await validate(m, train, { batcher, batchSize: 64 })).accuracy as number
    expect(await accuracy(trained)).toBeGreaterThan((await accuracy(hashed)) + 0.2)
  })
})
