/** k-means in one dimension: the exact one against trying all, the starts against it, and the tables of Lloyd and Max. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { densities, quantiles } from '../testing/quantiles.ts'
import { kmeans1d, kmeansStarts, nearest } from './kmeans.ts'
import { random } from './random.ts'

const errorOf = (values: ArrayLike<number>, centres: Float64Array): number =>
  Array.from(values).reduce((sum, v) => sum + (v - centres[nearest(centres, v)]) ** 2, 0)

/** The least squared error of k intervals, by dynamic programming over all. */
function leastError(values: readonly number[], k: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const around = (part: readonly number[]): number => {
    const mean = part.reduce((s, v) => s + v, 0) / part.length
    return part.reduce((s, v) => s + (v - mean) ** 2, 0)
  }
  let least = sorted.map((_, i) => around(sorted.slice(0, i + 1)))
  for (let c = 1; c < k; c++)
    least = least.map((one, i) =>
      Math.min(one, ...Array.from({ length: i }, (_, j) => least[j] + around(sorted.slice(j + 1, i + 1)))),
    )
  return least[sorted.length - 1]
}

describe('exact k-means', () => {
  it('has the least error of all intervals, ties and equal values included', () => {
    // Few whole numbers: many clusterings cost the same.
    const values = fc.oneof(
      fc.array(fc.integer({ min: -6, max: 6 }), { minLength: 1, maxLength: 24 }),
      fc.array(fc.integer({ min: -1e6, max: 1e6 }), { minLength: 1, maxLength: 24 }),
    )
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 9 }), (given, k) => {
        const centres = kmeans1d(given, k, { start: 'exact' })
        expect(centres.length).toBe(Math.min(k, new Set(given.map((v) => v + 0)).size))
        expect(errorOf(given, centres)).toBeLessThanOrEqual(leastError(given, k) * (1 + 1e-9) + 1e-9)
      }),
      { numRuns: 400, seed: 1 },
    )
  })

  it('gets by with a length of path that no price has', () => {
    // Two pairs far apart, alike: three clusters are on no corner of the curve.
    expect([...kmeans1d([0, 1, 10, 11], 3, { start: 'exact' })]).toHaveLength(3)
    const even = Array.from({ length: 64 }, (_, i) => i)
    for (let k = 1; k <= 64; k++) expect(kmeans1d(even, k, { start: 'exact' })).toHaveLength(k)
  })
})

describe('starts', () => {
  const rng = random(3)
  const values = Float64Array.from({ length: 20_000 }, () => rng.normal())

  it.each(kmeansStarts)('%s: ascending centres, each the mean of what is nearest, none better than exact', (start) => {
    const centres = kmeans1d(values, 16, { start, rng: random(5), maxRounds: 1000 })
    expect(centres).toHaveLength(16)
    expect([...centres]).toEqual([...centres].sort((a, b) => a - b))
    const [sums, counts] = [new Float64Array(16), new Float64Array(16)]
    for (const v of values) {
      sums[nearest(centres, v)] += v
      counts[nearest(centres, v)]++
    }
    for (const [i, c] of centres.entries()) expect(Math.abs(sums[i] / counts[i] - c)).toBeLessThan(2e-3)
    const least = errorOf(values, kmeans1d(values, 16, { start: 'exact' }))
    expect(errorOf(values, centres)).toBeGreaterThanOrEqual(least * (1 - 1e-9))
    expect(errorOf(values, centres)).toBeLessThan(least * 1.2)
  })

  it('only random and k-means++ follow the seed', () => {
    for (const start of kmeansStarts) {
      const at = (seed: number) => kmeans1d(values, 7, { start, rng: random(seed), maxRounds: 1 })
      expect(at(1)).toEqual(at(1))
      expect(String(at(1)) !== String(at(2)), start).toBe(start === 'random' || start === 'k-means++')
    }
  })
})

it('the exact one meets the tables of optimal quantisers (Max 1960; Adams, Giesler 1978)', () => {
  const n = 40_000
  const sources = {
    gauss: quantiles(n, densities.gauss.density),
    laplace: quantiles(n, densities.laplace.density),
  }
  const tables = {
    gauss: { 2: 0.3634, 4: 0.1175, 8: 0.03454, 16: 0.009497, 32: 0.002499 },
    laplace: { 2: 0.5, 4: 0.1762, 8: 0.0545, 16: 0.0154 },
  }
  for (const source of ['gauss', 'laplace'] as const) {
    for (const [k, expected] of Object.entries(tables[source])) {
      const found = errorOf(sources[source], kmeans1d(sources[source], Number(k), { start: 'exact' })) / n
      expect(found / expected, `${source}, ${k} values`).toBeGreaterThan(0.98)
      expect(found / expected, `${source}, ${k} values`).toBeLessThan(1.02)
    }
  }
})
