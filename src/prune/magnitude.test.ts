/** Magnitude pruning: exact shares, thresholds, filters, ties. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { weightTensors } from '../graph/weights.ts'
import type { Model } from '../model.ts'
import { floats } from '../tensor/dtype.ts'
import { modelsFolder, needsModels, outputsOf, randomFeeds, realModel } from '../testing/real-models.ts'
import { exampleModel } from '../testing/test-method.ts'
import { smallest } from './_select.ts'
import { magnitude } from './magnitude.ts'

const zeros = (a: Float32Array) => a.reduce((n, v) => n + (v === 0 ? 1 : 0), 0)
const counts = (m: Model) =>
  weightTensors(m).map((w) => ({ zero: zeros(floats(w.tensor)), of: floats(w.tensor).length }))

describe('smallest', () => {
  it('marks exactly round(share * n), none larger than one that stays, ties first come first', () => {
    const values = fc.array(fc.oneof(fc.constantFrom(0, -0, 1, -1, 0.5), fc.float({ noNaN: true })), { maxLength: 40 })
    fc.assert(
      fc.property(
        fc.array(values, { minLength: 1, maxLength: 3 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (lists, share) => {
          const arrays = lists.map((l) => Float32Array.from(l))
          const masks = smallest(arrays, share)
          const flat = arrays.flatMap((a, j) =>
            Array.from(a, (v, i) => ({ size: Math.abs(v), out: masks[j][i] === 1 })),
          )
          const order = flat.map((_, i) => i).sort((a, b) => flat[a].size - flat[b].size || a - b)
          const expected = new Set(order.slice(0, Math.round(share * flat.length)))
          expect(flat.map((e) => e.out)).toEqual(flat.map((_, i) => expected.has(i)))
        },
      ),
      { seed: 1 },
    )
  })

  it('keeps a NaN longest', () => {
    expect(smallest([Float32Array.of(Number.NaN, 1e30, Number.POSITIVE_INFINITY)], 0.67)).toEqual([
      Uint8Array.of(0, 1, 1),
    ])
  })
})

describe('magnitude', () => {
  it('by layer: every weight tensor has exactly that share of zeros; biases and BatchNormalization are untouched', async () => {
    const before = exampleModel()
    const after = await magnitude(before, { sparsity: 0.7 })
    for (const { zero, of } of counts(after)) expect(zero).toBe(Math.round(0.7 * of))
    for (const name of ['gamma', 'b2', 'b3']) {
      expect(after.graph.initializers.get(name)).toBe(before.graph.initializers.get(name))
    }
  })

  it('global: one threshold over all, so the shares differ and the total is exact', async () => {
    const after = counts(await magnitude(exampleModel(), { sparsity: 0.6, scope: 'global' }))
    const total = after.reduce((n, c) => n + c.of, 0)
    expect(after.reduce((n, c) => n + c.zero, 0)).toBe(Math.round(0.6 * total))
    expect(new Set(after.map((c) => (c.zero / c.of).toFixed(2))).size).toBeGreaterThan(1)
  })

  it('counts zeros that are there already: pruning again changes nothing', async () => {
    const once = await magnitude(exampleModel(), { sparsity: 0.5 })
    expect(counts(await magnitude(once, { sparsity: 0.5 }))).toEqual(counts(once))
    expect(counts(await magnitude(once, { sparsity: 0.25 }))).toEqual(counts(once))
  })

  it('leaves alone what is excluded or small', async () => {
    const after = await magnitude(exampleModel(), { sparsity: 1, exclude: ['w1'], minElements: 100 })
    expect(counts(after).map((c) => c.zero / c.of)).toEqual([0, 1, 0])
    await expect(magnitude(exampleModel(), { exclude: ['w11'] })).rejects.toThrow('did you mean "w1"?')
  })
})

describe('magnitude, other ways to choose', () => {
  it('by name: only the named weights, each with its own share', async () => {
    const after = counts(await magnitude(exampleModel(), { sparsities: { w1: 0.25, w3: 0.9 } }))
    expect(after.map((c) => c.zero)).toEqual([Math.round(0.25 * after[0].of), 0, Math.round(0.9 * after[2].of)])
    await expect(magnitude(exampleModel(), { sparsities: { w9: 0.1 } })).rejects.toThrow('no weight of the model')
    await expect(magnitude(exampleModel(), { sparsities: { w1: 1.1 } })).rejects.toThrow('within [0, 1]')
    const both = magnitude(exampleModel(), { sparsities: { w1: 0.5 }, quality: 1 })
    await expect(both).rejects.toThrow('quality: sparsities is given too; expected one of them')
  })

  it('by quality: zero is what lies below q standard deviations of its tensor, and nothing else', async () => {
    const before = weightTensors(exampleModel())
    const after = weightTensors(await magnitude(exampleModel(), { quality: 0.8 }))
    before.forEach(({ tensor }, i) => {
      const values = floats(tensor)
      const mean = values.reduce((a, v) => a + v, 0) / values.length
      const limit = 0.8 * Math.sqrt(values.reduce((a, v) => a + (v - mean) ** 2, 0) / values.length)
      expect(Array.from(floats(after[i].tensor))).toEqual(Array.from(values, (v) => (Math.abs(v) < limit ? 0 : v)))
    })
    const excluding = weightTensors(await magnitude(exampleModel(), { quality: 0.8, exclude: ['w1'] }))
    expect(excluding.map(({ tensor }, i) => floats(tensor).every((v, k) => v === floats(before[i].tensor)[k]))).toEqual(
      [true, false, false],
    )
  })

  it.each(['l1', 'l2'] as const)(
    'by filter (%s): whole output channels of the smallest norms, shapes kept',
    async (norm) => {
      const before = weightTensors(exampleModel())
      const after = weightTensors(await magnitude(exampleModel(), { unit: 'filter', sparsity: 0.5, norm }))
      after.forEach(({ tensor }, i) => {
        expect(tensor.dims).toEqual(before[i].tensor.dims)
        const size = floats(tensor).length / tensor.dims[0]
        const rows = (t: typeof tensor) =>
          Array.from({ length: t.dims[0] }, (_, r) => floats(t).subarray(r * size, (r + 1) * size))
        const norms = rows(before[i].tensor).map((r) =>
          r.reduce((a, v) => a + (norm === 'l1' ? Math.abs(v) : v * v), 0),
        )
        const gone = rows(tensor).map((r) => r.every((v) => v === 0))
        expect(gone.filter(Boolean).length).toBe(Math.round(0.5 * tensor.dims[0]))
        const largestGone = Math.max(...norms.filter((_, r) => gone[r]))
        expect(norms.every((n, r) => gone[r] || n >= largestGone)).toBe(true)
      })
    },
  )
})

describe.skipIf(!modelsFolder)(`magnitude on real models${needsModels}`, () => {
  it('prunes weights in Constant nodes of nested graphs, and those that reach their layer rearranged', async () => {
    const after = await magnitude(realModel('silero_vad'), { sparsity: 0.5 })
    expect(counts(after).every((c) => c.zero === Math.round(0.5 * c.of))).toBe(true)
    const mnist = await magnitude(realModel('mnist-8'), { sparsity: 0.9, scope: 'global' })
    const total = counts(mnist).reduce((n, c) => n + c.of, 0)
    expect(counts(mnist).reduce((n, c) => n + c.zero, 0)).toBe(Math.round(0.9 * total))
    expect(Object.keys(await outputsOf(mnist, randomFeeds(mnist)))).toEqual(['Plus214_Output_0'])
  })
})
