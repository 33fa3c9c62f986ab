/** The ways to share weights, each against what defines it. */
import { expect, it } from 'vitest'
import { entropyOf } from '../formats/matrix/_alphabet.ts'
import { writeModel } from '../onnx/write.ts'
import { random } from '../tensor/random.ts'
import { exampleModel } from '../testing/test-method.ts'
import { shareByEntropy } from './_share-entropy.ts'
import { shareProbabilistically } from './_share-probabilistic.ts'
import { shareUniformly } from './_share-uniform.ts'
import { share } from './share.ts'

const rng = random(1)
const weights = Float64Array.from({ length: 8000 }, () => Math.fround(0.05 * rng.normal())).sort()

const distinct = (values: ArrayLike<number>): number => new Set(Array.from(values)).size
const meanSquare = (shared: Float64Array): number =>
  shared.reduce((s, v, i) => s + (v - weights[i]) ** 2, 0) / shared.length
const entropy = (shared: Float64Array): number => {
  const counts = new Map<number, number>()
  for (const v of shared) counts.set(v, (counts.get(v) ?? 0) + 1)
  return entropyOf([...counts.values()])
}

it('probabilistic: a weight keeps its mean over many seeds', () => {
  const few = [-0.07, -0.001, 0.02, 0.0333].map(Math.fround)
  const sums = few.map(() => 0)
  const seeds = 4000
  for (let seed = 0; seed < seeds; seed++) {
    const sharer = shareProbabilistically(weights, 5, random(seed))
    for (const [i, w] of few.entries()) sums[i] += sharer(w)
  }
  // The gap between two values is below 0.2, so the standard error of a mean is below 0.1 / sqrt(4000) = 0.0016.
  for (const [i, w] of few.entries()) expect(Math.abs(sums[i] / seeds - w)).toBeLessThan(5 * 0.0016)
})

it('probabilistic: values are quantiles of the weights, and fewer where these fall together', () => {
  const shared = weights.map(shareProbabilistically(weights, 9, random(1)))
  expect(distinct(shared)).toBe(9)
  expect(shared.every((v) => weights.includes(v))).toBe(true)
  const tied = Float64Array.of(1, 1, 1, 1, 1, 2)
  expect(Array.from(tied.map(shareProbabilistically(tied, 4, random(1))))).toEqual([1, 1, 1, 1, 1, 2])
})

it('uniform: levels are whole steps, at most k beside 0, and errors half a step at most', () => {
  for (const k of [1, 2, 7, 32]) {
    const shared = weights.map(shareUniformly(weights, k))
    const levels = [...new Set(shared)].filter((v) => v !== 0).sort((a, b) => a - b)
    expect(levels.length).toBeLessThanOrEqual(k)
    expect(levels.length).toBeGreaterThan(k / 2 - 1)
    const step = Math.min(...levels.map(Math.abs))
    for (const v of levels) expect(Math.abs(v / step - Math.round(v / step))).toBeLessThan(1e-4)
    for (const [i, v] of shared.entries()) expect(Math.abs(v - weights[i])).toBeLessThanOrEqual(step * 0.5001)
  }
  expect(shareUniformly(Float64Array.of(-1, 2), 3)(-1e-9)).toBe(0)
})

it('entropy: at most k values, and better than uniform steps of as many bits', () => {
  const rivals = Array.from({ length: 40 }, (_, i) => weights.map(shareUniformly(weights, i + 1))).map((shared) => ({
    bits: entropy(shared),
    error: meanSquare(shared),
  }))
  for (const k of [1, 2, 8, 32]) {
    const shared = weights.map(shareByEntropy(weights, k))
    const bits = entropy(shared)
    expect(distinct(shared)).toBeLessThanOrEqual(k)
    expect(distinct(shared)).toBeGreaterThan(k / 2 - 1)
    for (const rival of rivals) {
      if (rival.bits <= bits) expect(meanSquare(shared)).toBeLessThanOrEqual(rival.error * 1.02)
    }
  }
})

it('entropy: at most k values also of few weights', () => {
  for (const n of [1, 2, 33, 50, 96, 200]) {
    const few = weights.filter((_, i) => i % Math.floor(weights.length / n) === 0).slice(0, n)
    expect(distinct(few.map(shareByEntropy(few, 32)))).toBeLessThanOrEqual(32)
  }
})

it('each method keeps zeros, at most k values a tensor, and follows the seed', async () => {
  const model = exampleModel()
  for (const method of ['k-means', 'probabilistic', 'uniform', 'entropy'] as const) {
    const options = { method, values: 6, minSize: 1 }
    const once = writeModel(await share(model, options, { seed: 3 }))
    expect(Buffer.compare(writeModel(await share(model, options, { seed: 3 })), once), method).toBe(0)
    const other = Buffer.compare(writeModel(await share(model, options, { seed: 4 })), once) !== 0
    expect(other, method).toBe(method === 'probabilistic')
  }
})
