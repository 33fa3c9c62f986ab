/** Seeded draws: repeatable, resumable, and of the distributions that they are named after. */
import { expect, it } from 'vitest'
import { permutation, random } from './random.ts'

const draws = (seed: number, count: number, draw: (rng: ReturnType<typeof random>) => number): number[] => {
  const rng = random(seed)
  return Array.from({ length: count }, () => draw(rng))
}

it('the same seed draws the same, another seed something else', () => {
  const next = (seed: number) => draws(seed, 20, (r) => r.next())
  expect(next(7)).toEqual(next(7))
  expect(next(7)).not.toEqual(next(8))
})

it('goes on from its state', () => {
  const rng = random(3)
  for (let i = 0; i < 5; i++) rng.normal()
  const resumed = random(rng.state)
  expect(Array.from({ length: 9 }, () => resumed.next())).toEqual(Array.from({ length: 9 }, () => rng.next()))
})

it('uniform and normal draws have their means and variances, whole numbers their range', () => {
  const count = 40_000
  const moments = (values: readonly number[]) => {
    const mean = values.reduce((a, b) => a + b, 0) / count
    return [mean, values.reduce((a, b) => a + (b - mean) ** 2, 0) / count]
  }
  // Five standard errors of a mean: 5 σ / √n.
  const [uniform, uniformVariance] = moments(draws(1, count, (r) => r.next()))
  expect(Math.abs(uniform - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / count))
  expect(Math.abs(uniformVariance - 1 / 12)).toBeLessThan(0.002)
  const [normal, normalVariance] = moments(draws(2, count, (r) => r.normal()))
  expect(Math.abs(normal)).toBeLessThan(5 / Math.sqrt(count))
  expect(Math.abs(normalVariance - 1)).toBeLessThan(5 * Math.sqrt(2 / count))
  expect([...new Set(draws(3, 1000, (r) => r.below(6)))].sort()).toEqual([0, 1, 2, 3, 4, 5])
})

it('a permutation has each number once, and any may come first', () => {
  expect([...permutation(50, random(4))].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i))
  expect(new Set(Array.from({ length: 200 }, (_, seed) => permutation(4, random(seed))[0])).size).toBe(4)
  expect(permutation(0, random(1))).toHaveLength(0)
})
