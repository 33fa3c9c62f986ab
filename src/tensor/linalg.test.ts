/** The factor of an inverse, against what makes it one. */
import { expect, it } from 'vitest'
import { inverseCholesky } from './linalg.ts'
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
  for (const h of [[0], [1, 2, 2, 1], [1, 1, 1, 1], [Number.NaN]])
    expect(() => inverseCholesky(Float64Array.from(h), Math.sqrt(h.length))).toThrow('not positive definite')
})
