/** Bits by Taylor score: within the budget, more where the loss feels it, and less lost than with equal bits. */
import { expect, it } from 'vitest'
import { random } from '../tensor/random.ts'
import { bestStep } from './_weight-quantisers.ts'
import { bitsByTaylor, type ScoredWeight } from './bits-by-taylor.ts'

const rng = random(4)
const weight = (name: string, count: number, slope: number, zeros = 0): ScoredWeight => ({
  name,
  values: Float32Array.from({ length: count }, (_, i) => (i < zeros * count ? 0 : rng.normal())),
  gradients: Float32Array.from({ length: count }, () => slope * (0.5 + rng.next())),
})
const weights = [weight('calm', 400, 0.01), weight('usual', 300, 1), weight('tense', 100, 50, 0.5)]
const leftIn = ({ values }: ScoredWeight): number => values.filter((v) => v !== 0).length

function lossOf(bits: Record<string, number>): number {
  return weights.reduce((sum, { name, values, gradients }) => {
    const [low, high] = [-(2 ** (bits[name] - 1)), 2 ** (bits[name] - 1) - 1]
    const step = bestStep(values, [low, high])
    const error = (v: number): number => Math.abs(step * Math.max(low, Math.min(high, Math.round(v / step))) - v)
    return sum + values.reduce((s, v, i) => s + gradients[i] * error(v), 0)
  }, 0)
}

it.each([2, 3, 4.5, 8])('keeps to a mean of %f bits per weight that is not zero', (mean) => {
  const bits = bitsByTaylor(weights, mean)
  const spent = weights.reduce((n, w) => n + bits[w.name] * leftIn(w), 0)
  const budget = mean * weights.reduce((n, w) => n + leftIn(w), 0)
  expect(spent).toBeLessThanOrEqual(budget * 1.000001)
  // Nothing that would still fit is left out.
  for (const w of weights) if (bits[w.name] < 8) expect(spent + leftIn(w)).toBeGreaterThan(budget * 0.75)
})

it('gives bits where rounding costs, and loses less than equal bits do', () => {
  const bits = bitsByTaylor(weights, 4)
  expect(bits.tense).toBeGreaterThan(bits.usual)
  expect(bits.usual).toBeGreaterThan(bits.calm)
  expect(lossOf(bits)).toBeLessThan(0.5 * lossOf({ calm: 4, usual: 4, tense: 4 }))
})

it('says when there are too few bits', () => {
  expect(() => bitsByTaylor(weights, 1.5)).toThrow(/the budget is \d+ bits in all; expected at least \d+/)
})
