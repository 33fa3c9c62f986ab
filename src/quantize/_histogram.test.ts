/** Histograms do not depend on the order of batches, and ranges chosen from them are those of their definitions. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { random } from '../tensor/random.ts'
import {
  addToHistogram,
  emptyHistogram,
  entropyRange,
  minMaxRange,
  mseRange,
  oneBitRange,
  percentileRange,
} from './_histogram.ts'

const fill = (...batches: Float32Array[]) => {
  const h = emptyHistogram()
  for (const b of batches) addToHistogram(h, b)
  return h
}
const normals = (n: number, seed = 1, scale = 1) => {
  const rng = random(seed)
  return Float32Array.from({ length: n }, () => scale * rng.normal())
}
const realError = (values: Float32Array, min: number, max: number) => {
  const step = (max - min) / 255
  const zero = Math.round(-min / step)
  return values.reduce((sum, v) => {
    const q = Math.min(255, Math.max(0, Math.round(v / step) + zero))
    return sum + ((q - zero) * step - v) ** 2
  }, 0)
}

describe('histogram', () => {
  it('counts every value, in a bin that holds it, however it grows', () => {
    const batch = fc.array(fc.float({ noNaN: true, min: -1e6, max: 1e6 }), { maxLength: 30 })
    fc.assert(
      fc.property(fc.array(batch, { minLength: 1, maxLength: 5 }), (batches) => {
        const h = fill(...batches.map((b) => Float32Array.from(b)))
        const all = batches.flat().map(Math.fround)
        expect(h.total).toBe(all.length)
        expect(h.zeros).toBe(all.filter((v) => v === 0).length)
        const expected = new Float64Array(h.counts.length)
        for (const v of all) if (v !== 0) expected[Math.floor(v / h.width) - h.first]++
        expect(h.counts).toEqual(expected)
        expect(h.counts.length).toBeLessThanOrEqual(4096)
      }),
      { seed: 1 },
    )
  })

  it('does not depend on the order of batches', () => {
    const [a, b, c] = [normals(1000, 1, 0.01), normals(1000, 2, 5), normals(1000, 3, 300)]
    const one = fill(a, b, c)
    const other = fill(c, a, b)
    expect(other.counts).toEqual(one.counts)
    expect(other.width).toBe(one.width)
  })

  it('leaves out what is not finite, and refuses where most is not', () => {
    const some = fill(Float32Array.of(1, Number.NaN, -2, Number.NEGATIVE_INFINITY, 0))
    expect([some.total, some.zeros, some.min, some.max]).toEqual([3, 1, -2, 1])
    expect(some.counts.reduce((a, b) => a + b, 0)).toBe(2)
    expect(() => fill(Float32Array.of(1, Number.NaN, Number.NaN))).toThrow('expected finite numbers')
    expect(() => fill(Float32Array.of(Number.NEGATIVE_INFINITY))).toThrow('expected finite numbers')
  })
})

describe('ranges', () => {
  it('all contain zero, lie within the extremes, and are [0, 0] for zeros alone', () => {
    for (const values of [Float32Array.of(3, 4, 5), Float32Array.of(-5, -4), normals(500), new Float32Array(9)]) {
      const h = fill(values)
      const all = minMaxRange(h)
      for (const r of [all, percentileRange(h, 99), mseRange(h), entropyRange(h)]) {
        expect(r.min).toBeLessThanOrEqual(0)
        expect(r.max).toBeGreaterThanOrEqual(0)
        expect(r.min).toBeGreaterThanOrEqual(all.min)
        expect(r.max).toBeLessThanOrEqual(all.max)
      }
    }
  })

  it('percentile: cuts that share of the values off, within a bin', () => {
    const values = normals(100_000)
    const h = fill(values)
    const { min, max } = percentileRange(h, 99)
    const sorted = values.slice().sort()
    expect(Math.abs(min - sorted[1000])).toBeLessThan(2 * h.width)
    expect(Math.abs(max - sorted[99_000])).toBeLessThan(2 * h.width)
  })

  it('mse: no worse, measured by quantising, than min-max and a grid of symmetric cuts', () => {
    const values = normals(50_000)
    values[7] = 60
    const { min, max } = mseRange(fill(values))
    const found = realError(values, min, max)
    for (let cut = 1; cut <= 60; cut += 0.5) {
      expect(found).toBeLessThan(1.02 * realError(values, Math.max(-cut, -5), cut))
    }
  })

  it('one bit: signs of the size with the least squared error; two levels that part at the mean behind a Relu', () => {
    const values = normals(50_000)
    const { min, max } = oneBitRange(fill(values))
    expect(min).toBe(-max)
    const error = (s: number): number => values.reduce((n, v) => n + (v - s * Math.sign(v)) ** 2, 0)
    for (const other of [0.5, 0.9, 0.99, 1.01, 1.1, 2]) expect(error(max)).toBeLessThan(error(other * max))
    const positive = values.map((v) => Math.max(0, v))
    const mean = positive.reduce((n, v) => n + v, 0) / positive.length
    const range = oneBitRange(fill(positive))
    expect(range.min).toBe(0)
    expect(range.max / 2).toBeCloseTo(mean, 3)
  })

  it('entropy: drops far outliers of a wide distribution', () => {
    const values = normals(50_000)
    values[7] = 60
    const { min, max } = entropyRange(fill(values))
    expect(max).toBeLessThan(30)
    expect(max).toBeGreaterThan(2)
    expect(min).toBeLessThan(-2)
  })
})
