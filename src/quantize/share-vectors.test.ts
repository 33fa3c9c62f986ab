/** Product and residual vector quantisation: what the graph computes, the theory's gain over scalars, and what packs. */
import { describe, expect, it } from 'vitest'
import { dataHandle } from '../data/handle.ts'
import { packModel } from '../formats/pack.ts'
import { unpackModel } from '../formats/unpack.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { finetune } from '../retrain/finetune.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { vectorKmeans } from '../tensor/vector-kmeans.ts'
import { optimizedOps } from '../testing/optimized-ops.ts'
import { outputsOf } from '../testing/real-models.ts'
import { exampleModel, exampleTraining } from '../testing/test-method.ts'
import { shareVectors } from './share-vectors.ts'

/** y = x·w: an identity as x gives the weights as ONNX Runtime computes them. */
function product(rows: number, columns: number): Model {
  const rng = random(5)
  const w = floatTensor(
    'w',
    [rows, columns],
    Float32Array.from({ length: rows * columns }, () => rng.normal()),
  )
  return model({
    nodes: [node('MatMul', ['x', 'w'], ['y'])],
    initializers: new Map([['w', w]]),
    inputs: [valueInfo('x', 'float32', ['n', rows])],
    outputs: [valueInfo('y', 'float32', ['n', columns])],
  })
}

async function weightsOf(m: Model, rows: number): Promise<Float32Array> {
  const data = new Float32Array(rows * rows)
  for (let i = 0; i < rows; i++) data[i * rows + i] = 1
  return (await outputsOf(m, { x: { dtype: 'float32', dims: [rows, rows], data } })).y.data as Float32Array
}

const before = product(128, 64)
const exact = floats(before.graph.initializers.get('w')!)
const errorOf = (values: Float32Array): number => values.reduce((s, v, i) => s + (v - exact[i]) ** 2, 0) / exact.length

describe('share-vectors', () => {
  it('each piece is one of the vectors, the nearest; nodes that look it up are folded when the model is loaded', async () => {
    const after = await shareVectors(before, { length: 4, vectors: 64 }, { seed: 1 })
    const found = await weightsOf(after, 128)
    const vectors = floats(after.graph.initializers.get('w_vectors')!)
    for (let piece = 0; piece < 2048; piece += 7) {
      const apart = Array.from({ length: 64 }, (_, c) =>
        [0, 1, 2, 3].reduce((s, d) => s + (vectors[4 * c + d] - exact[4 * piece + d]) ** 2, 0),
      )
      const chosen = apart.indexOf(Math.min(...apart))
      expect([...found.subarray(4 * piece, 4 * piece + 4)]).toEqual([...vectors.subarray(4 * chosen, 4 * chosen + 4)])
    }
    expect(await optimizedOps(after)).toEqual({ MatMul: 1 })
  })

  it('a codebook per place, residuals, more vectors: each loses less than without', async () => {
    const errors = []
    for (const options of [
      { vectors: 8 },
      { vectors: 64 },
      { vectors: 64, residuals: 1 },
      { vectors: 64, residuals: 2 },
    ])
      errors.push(errorOf(await weightsOf(await shareVectors(before, options, { seed: 1 }), 128)))
    expect(errors).toEqual([...errors].sort((a, b) => b - a))
    expect(errors[3]).toBeLessThan(0.3 * errors[1])
    const shared = errorOf(await weightsOf(await shareVectors(before, { vectors: 32 }, { seed: 1 }), 128))
    const own = errorOf(await weightsOf(await shareVectors(before, { vectors: 32, books: 'place' }, { seed: 1 }), 128))
    expect(own).toBeLessThan(shared)
  })

  it('codes beyond 256 vectors, and shorter pieces where rows are not divisible', async () => {
    const many = await shareVectors(before, { vectors: 300 }, { seed: 1 })
    expect(many.graph.initializers.get('w_codes')!.dtype).toBe('uint16')
    expect(errorOf(await weightsOf(many, 128))).toBeLessThan(0.3)
    const odd = await shareVectors(product(128, 63), { length: 4, vectors: 32 }, { seed: 1 })
    expect(odd.graph.initializers.get('w_vectors')!.dims).toEqual([32, 3])
    expect(await weightsOf(odd, 128)).toHaveLength(128 * 63)
  })

  it('packs to the codebooks and the codes, which come back bit for bit', async () => {
    const after = await shareVectors(before, { length: 4, vectors: 16 }, { seed: 1 })
    const packed = packModel(after)
    // Half a byte per piece, 64 floats, the graph.
    expect(packed.length).toBeLessThan(2048 / 2 + 256 + 400)
    expect(await weightsOf(unpackModel(packed), 128)).toEqual(await weightsOf(after, 128))
  })

  it('finetune trains the vectors, and codes stay', async () => {
    const data = dataHandle(exampleTraining(4, 128), { seed: 1 })
    const shared = await shareVectors(exampleModel(), { vectors: 16, length: 9, minElements: 64 }, { seed: 1 })
    const trained = await finetune(shared, { epochs: 1, batch: 32, rate: 0.02 }, { data, seed: 1 })
    const [before, after] = [shared, trained].map((m) => m.graph.initializers)
    expect(after.get('w2_codes')).toEqual(before.get('w2_codes'))
    const [old, now] = [before, after].map((stored) => floats(stored.get('w2_vectors')!))
    expect(now.filter((v, i) => v !== old[i]).length).toBeGreaterThan(0.9 * old.length)
  })

  it('leaves what would be no smaller, and says so', async () => {
    const warnings: string[] = []
    const after = await shareVectors(before, { length: 32, vectors: 255 }, { warn: (w) => void warnings.push(w) })
    expect(after.graph).toBe(before.graph)
    expect(warnings).toEqual(['share-vectors: "w": codebooks would be no smaller; left as it is'])
  })
})

it('pairs at two bits per number beat the best scalar quantiser of two bits on Gaussian numbers', () => {
  const rng = random(8)
  const values = Float32Array.from({ length: 2 * 20_000 }, () => rng.normal())
  const { centres, codes } = vectorKmeans(values, 2, 16, rng)
  const error = values.reduce((s, v, i) => s + (v - centres[2 * codes[i >> 1] + (i % 2)]) ** 2, 0) / values.length
  // Lloyd and Max: 0.1175 with 4 levels; the rate-distortion function: 1/16.
  expect(error).toBeLessThan(0.112)
  expect(error).toBeGreaterThan(1 / 16)
})
