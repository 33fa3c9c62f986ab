/** Adaptive rounding against trying every combination. */
import { expect, it } from 'vitest'
import { random } from '../tensor/random.ts'
import { adaptiveRounding } from './_adaptive-rounding.ts'

const rng = random(4)

/** Second moments of inputs that go together. */
function moments(k: number): Float64Array {
  const mix = Float64Array.from({ length: k * k }, () => rng.normal())
  const second = new Float64Array(k * k)
  for (let n = 0; n < 4 * k; n++) {
    const [common, own] = [rng.normal(), Float64Array.from({ length: k }, () => 0.4 * rng.normal())]
    const x = own.map((v, i) => v + common * (1 + 0.2 * mix[i]))
    for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) second[i * k + j] += (x[i] * x[j]) / (4 * k)
  }
  return second
}

const errorOf = (weights: ArrayLike<number>, levels: ArrayLike<number>, second: Float64Array): number => {
  const k = weights.length
  const e = Float64Array.from({ length: k }, (_, i) => levels[i] - weights[i])
  let sum = 0
  for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) sum += e[i] * second[i * k + j] * e[j]
  return sum
}

it('is never worse than plain rounding, and near the best of all combinations', () => {
  const k = 9
  let [plain, found, best] = [0, 0, 0]
  for (let round = 0; round < 20; round++) {
    const second = moments(k)
    const weights = Float64Array.from({ length: k }, () => 2 * rng.normal())
    const levels = adaptiveRounding({ weights, rows: 1, columns: k, second, levels: [-7, 7] })
    levels.forEach((q, i) => {
      expect(Math.abs(q - weights[i])).toBeLessThan(1.0001)
    })
    const nearest = errorOf(weights, weights.map(Math.round), second)
    const own = errorOf(weights, levels, second)
    expect(own).toBeLessThanOrEqual(nearest * (1 + 1e-9))
    const all = Array.from({ length: 2 ** k }, (_, bits) =>
      errorOf(
        weights,
        weights.map((w, i) => Math.floor(w) + ((bits >> i) & 1)),
        second,
      ),
    )
    plain += nearest
    found += own
    best += Math.min(...all)
  }
  expect(found).toBeLessThan(0.5 * plain)
  expect(found).toBeLessThan(1.5 * best)
})

it('keeps within the levels, and rounds plainly where inputs have nothing to do with each other', () => {
  const second = new Float64Array(16)
  for (let i = 0; i < 4; i++) second[i * 5] = 1 + i
  const weights = Float64Array.of(3.4, -0.6, 9.2, -9.9)
  expect([...adaptiveRounding({ weights, rows: 1, columns: 4, second, levels: [-7, 7] })]).toEqual([3, -1, 7, -7])
})

it('leaves at zero what is exactly zero, however much turning it over would help', () => {
  const k = 9
  for (let round = 0; round < 20; round++) {
    const second = moments(k)
    const weights = Float64Array.from({ length: k }, (_, i) => (i % 3 === 1 ? 0.45 : 0))
    const levels = adaptiveRounding({ weights, rows: 1, columns: k, second, levels: [-7, 7] })
    expect(levels.filter((q, i) => weights[i] === 0 && q !== 0)).toHaveLength(0)
  }
})
