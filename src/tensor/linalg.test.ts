/** The factor of an inverse and eigenvalues and vectors, against what makes them those, and where they are known. */
import { describe, expect, it } from 'vitest'
import { inverseCholesky, symmetricEigen } from './linalg.ts'
import { random } from './random.ts'

/** A Aᵀ + k I, of a random A. */
function positive(k: number, seed: number): Float64Array {
  const rng = random(seed)
  const a = Float64Array.from({ length: k * k }, () => rng.normal())
  return Float64Array.from({ length: k * k }, (_, at) => {
    const [i, j] = [Math.floor(at / k), at % k]
    let sum = i === j ? k : 0
    for (let p = 0; p < k; p++) sum += a[i * k + p] * a[j * k + p]
    return sum
  })
}

it.each([1, 2, 3, 4, 5, 8, 17, 40])('gives U with UᵀU H = I and nothing below its diagonal: %i rows', (k) => {
  const h = positive(k, k)
  const u = inverseCholesky(h, k)
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < i; j++) expect(u[i * k + j]).toBe(0)
    // Row i of UᵀU H: (UᵀU)[i, q] = Σ_p U[p, i] U[p, q].
    for (let j = 0; j < k; j++) {
      let sum = 0
      for (let q = 0; q < k; q++) for (let p = 0; p < k; p++) sum += u[p * k + i] * u[p * k + q] * h[q * k + j]
      expect(sum).toBeCloseTo(i === j ? 1 : 0, 9)
    }
  }
})

it('refuses what is not positive definite', () => {
  for (const h of [[Number.NaN], [Number.POSITIVE_INFINITY, 1, 1, 1], [1, Number.NaN, Number.NaN, 2]])
    expect(() => inverseCholesky(Float64Array.from(h), Math.sqrt(h.length))).toThrow('numbers that are not finite')
  for (const h of [[0], [1, 2, 2, 1], [1, 1, 1, 1]])
    expect(() => inverseCholesky(Float64Array.from(h), Math.sqrt(h.length))).toThrow('not positive definite')
})

/** Q diag(values) Qᵀ, of a product Q of random reflections. */
function ofValues(values: readonly number[], seed: number): Float64Array {
  const k = values.length
  const rng = random(seed)
  const a = new Float64Array(k * k)
  for (let i = 0; i < k; i++) a[i * k + i] = values[i]
  for (let step = 0; step < 3; step++) {
    const v = Float64Array.from({ length: k }, () => rng.normal())
    const twice = 2 / v.reduce((sum, x) => sum + x * x, 0)
    // From both sides: rows, then columns.
    for (const [down, along] of [
      [1, k],
      [k, 1],
    ])
      for (let line = 0; line < k; line++) {
        let dot = 0
        for (let i = 0; i < k; i++) dot += v[i] * a[line * down + i * along]
        for (let i = 0; i < k; i++) a[line * down + i * along] -= twice * dot * v[i]
      }
  }
  return a
}

const upTo = (k: number): number[] => Array.from({ length: k }, (_, i) => i)

describe('eigenvalues and vectors of a symmetric matrix', () => {
  it.each<[string, number[]]>([
    ['of one number', [3]],
    ['of two', [-1, 2]],
    ['apart, of both signs', upTo(41).map((i) => i - 20.5)],
    ['that fall by a tenth each', upTo(30).map((i) => 0.9 ** i)],
    ['all equal', upTo(20).map(() => 4)],
    ['of low rank', upTo(50).map((i) => (i < 4 ? i + 1 : 0))],
    ['in clusters that rounding cannot tell apart', upTo(36).map((i) => 1 + (i % 3) + 1e-15 * i)],
    ['of zeros', upTo(9).map(() => 0)],
    ['that are large', upTo(17).map((i) => (i + 1) * 1e200)],
    ['that are small', upTo(17).map((i) => (i + 1) * 1e-200)],
  ])('%s', (_, wanted) => {
    const k = wanted.length
    const a = ofValues(wanted, k)
    const found = symmetricEigen(a, k)
    const descending = [...wanted].sort((x, y) => y - x)
    const size = Math.max(...wanted.map(Math.abs)) || 1
    for (let i = 0; i < k; i++) expect((found.values[i] - descending[i]) / size).toBeCloseTo(0, 12)
    const vectors = found.vectors(k)
    for (let r = 0; r < k; r++) {
      const x = vectors.subarray(r * k, (r + 1) * k)
      expect(x.reduce((sum, v) => sum + v * v, 0)).toBeCloseTo(1, 12)
      for (let i = 0; i < k; i++) {
        let sum = 0
        for (let j = 0; j < k; j++) sum += a[i * k + j] * x[j]
        expect((sum - found.values[r] * x[i]) / size).toBeCloseTo(0, 11)
      }
      // Those of other values are orthogonal to it.
      for (let q = 0; q < r; q++) {
        if (found.values[q] - found.values[r] < 1e-3 * size) continue
        let dot = 0
        for (let i = 0; i < k; i++) dot += x[i] * vectors[q * k + i]
        expect(dot).toBeCloseTo(0, 10)
      }
    }
  })

  it('are those of the second difference, 4 sin²(iπ / 2(k + 1))', () => {
    const k = 25
    const a = new Float64Array(k * k)
    for (let i = 0; i < k; i++) {
      a[i * k + i] = 2
      if (i > 0) a[i * k + i - 1] = -1
      if (i + 1 < k) a[i * k + i + 1] = -1
    }
    const { values } = symmetricEigen(a, k)
    for (let i = 0; i < k; i++)
      expect(values[i]).toBeCloseTo(4 * Math.sin(((k - i) * Math.PI) / (2 * (k + 1))) ** 2, 12)
  })

  it('reads the lower triangle, and leaves its input', () => {
    const a = ofValues([5, 2, 1, 0.5], 3)
    const lower = a.map((v, at) => (at % 4 > Math.floor(at / 4) ? 99 : v))
    const before = lower.slice()
    expect(symmetricEigen(lower, 4).values).toEqual(symmetricEigen(a, 4).values)
    expect(lower).toEqual(before)
  })

  it('fewer vectors are the first of all', () => {
    const found = symmetricEigen(ofValues([5, 4, 3, 2, 1, 0.5, 0.25], 3), 7)
    expect(found.vectors(3)).toEqual(found.vectors(7).subarray(0, 21))
    expect(found.vectors(0)).toHaveLength(0)
  })

  it('refuses what is not finite', () => {
    expect(() => symmetricEigen(Float64Array.of(1, 0, 0, Number.NaN), 2)).toThrow('expected finite numbers')
  })
})
