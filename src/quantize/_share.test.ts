/** The ways to share weights, each against what defines it. */
import { describe, expect, it } from 'vitest'
import { entropyOf } from '../formats/matrix/_alphabet.ts'
import { replaceTensors, weightTensors } from '../graph/weights.ts'
import { writeModel } from '../onnx/write.ts'
import { magnitude } from '../prune/magnitude.ts'
import { floats, tensorOfFloats } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { densities, quantiles } from '../testing/quantiles.ts'
import { outputsOf } from '../testing/real-models.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
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

it('each method keeps zeros, at most k values per tensor, and follows the seed', async () => {
  const model = exampleModel()
  for (const method of ['k-means', 'probabilistic', 'uniform', 'entropy'] as const) {
    const options = { method, values: 6, minSize: 1 }
    const once = writeModel(await share(model, options, { seed: 3 }))
    expect(Buffer.compare(writeModel(await share(model, options, { seed: 3 })), once), method).toBe(0)
    const other = Buffer.compare(writeModel(await share(model, options, { seed: 4 })), once) !== 0
    expect(other, method).toBe(method === 'probabilistic')
  }
})

describe.each(['gauss', 'laplace'] as const)('beside the theory, on %s', (source) => {
  const { density, entropy: bitsOfSource } = densities[source]
  const sorted = quantiles(20_000, density).filter((v) => v !== 0)
  const measured = (shared: Float64Array) => {
    const counts = new Map<number, number>()
    for (const v of shared) counts.set(v, (counts.get(v) ?? 0) + 1)
    const error = shared.reduce((s, v, i) => s + (v - sorted[i]) ** 2, 0) / shared.length
    return { k: counts.size, rate: entropyOf([...counts.values()]), error }
  }

  /** How many levels of a step get a sample: those that expect one, and a share of those that expect less. */
  const levelsHit = (step: number): number => {
    const levels = Array.from({ length: 2 * Math.ceil(16 / step) + 1 }, (_, i) => (i - Math.ceil(16 / step)) * step)
    const total = levels.reduce((sum, x) => sum + density(x), 0)
    return levels.reduce((sum, x) => sum + Math.min(1, (sorted.length * density(x)) / total), 0)
  }

  it('UQ: error step² / 12, rate h - log2(step), and as many levels as the density reaches', () => {
    for (const k of [31, 63, 127]) {
      const shared = sorted.map(shareUniformly(sorted, k))
      const step = Math.min(...shared.map((v) => (v > 0 ? v : 99)))
      const { k: found, rate, error } = measured(shared)
      expect(found).toBeLessThanOrEqual(k + 1)
      expect(Math.abs(found - levelsHit(step))).toBeLessThanOrEqual(0.06 * found)
      expect(error / (step ** 2 / 12)).toBeGreaterThan(0.9)
      expect(error / (step ** 2 / 12)).toBeLessThan(1.02)
      expect(Math.abs(rate - (bitsOfSource - Math.log2(step)))).toBeLessThan(0.03)
    }
  })

  it("ECSQ: never below Shannon's bound; from even bins at most the theory's 0.255 bits above it (Gish, Pierce 1968)", () => {
    for (const k of [4, 8, 16, 32, 64]) {
      for (const start of ['density', 'linear'] as const) {
        const { k: found, rate, error } = measured(sorted.map(shareByEntropy(sorted, k, start)))
        expect(found).toBeLessThanOrEqual(k)
        expect(found).toBeGreaterThan(0.9 * k)
        const excess = rate - (bitsOfSource - 0.5 * Math.log2(2 * Math.PI * Math.E * error))
        expect(excess, `${k} values`).toBeGreaterThan(0)
        // At low rates a source that is not Gaussian does not come up to Shannon's bound, however it is coded.
        if (start === 'linear' && (source === 'gauss' || rate > 2.5))
          expect(excess, `${k} values`).toBeLessThan(0.255 + 0.015)
      }
    }
  })

  it('PWS: all k values, and the error that rounding by chance has, the mean of (w - low)(high - w)', () => {
    const shared = sorted.map(shareProbabilistically(sorted, 17, random(4)))
    const values = [...new Set(shared)].sort((a, b) => a - b)
    expect(values).toHaveLength(17)
    const expected = sorted.reduce((sum, w) => {
      const above = values.findIndex((v) => v >= w)
      return above <= 0 ? sum : sum + (w - values[above - 1]) * (values[above] - w)
    }, 0)
    expect(measured(shared).error / (expected / sorted.length)).toBeGreaterThan(0.95)
    expect(measured(shared).error / (expected / sorted.length)).toBeLessThan(1.05)
  })
})

describe('share', () => {
  const valuesOf = (model: Parameters<typeof share>[0]) =>
    weightTensors(model).map(({ tensor }) => new Set([...floats(tensor)].filter((v) => v !== 0)))

  it.each(['k-means', 'probabilistic', 'uniform', 'entropy'] as const)(
    '%s: zeros of a pruned model stay, and nothing else becomes -0',
    async (method) => {
      const pruned = await magnitude(exampleModel(), { sparsity: 0.6 })
      const shared = await share(pruned, { method, values: 5, minElements: 1 })
      const [before, after] = [weightTensors(pruned), weightTensors(shared)].map((all) =>
        all.map((w) => [...floats(w.tensor)]),
      )
      before.forEach((values, t) => {
        values.forEach((v, i) => {
          if (v === 0) expect(Object.is(after[t][i], 0)).toBe(true)
          else if (method !== 'uniform') expect(after[t][i]).not.toBe(0)
        })
      })
    },
  )

  it('a codebook per tensor, per kind of layer, or one', async () => {
    const distinctOf = async (scope: 'layer' | 'kind' | 'global') => {
      const [first, second, dense] = valuesOf(
        await share(exampleModel(), { values: 6, scope, start: 'density', minElements: 1 }),
      )
      return { convolutions: new Set([...first, ...second]).size, all: new Set([...first, ...second, ...dense]).size }
    }
    expect(await distinctOf('layer')).toEqual({ convolutions: 12, all: 18 })
    expect(await distinctOf('kind')).toEqual({ convolutions: 6, all: 12 })
    expect(await distinctOf('global')).toEqual({ convolutions: 6, all: 6 })
  })

  it('refuses a start that the method does not have', async () => {
    const start = 'exact' as const
    await expect(share(exampleModel(), { method: 'entropy', start })).rejects.toThrow(
      'share: start exact with method entropy; expected density or linear',
    )
    await expect(share(exampleModel(), { method: 'uniform', start })).rejects.toThrow(
      'expected none, as it has no start',
    )
  })

  it('says where fewer values than asked for are in use', async () => {
    const warnings: string[] = []
    const context = { warn: (text: string) => void warnings.push(text) }
    await share(exampleModel(), { values: 30, minElements: 1, start: 'exact' }, context)
    expect(warnings).toEqual([])
    await share(exampleModel(), { values: 300, minElements: 1, start: 'exact' }, context)
    expect(warnings).toEqual(['share: fewer than 300 values are in use: "w1" 216, "w3" 40'])
  })

  it('exact means lose least', async () => {
    const error = async (start: 'linear' | 'density' | 'random' | 'k-means++' | 'exact') => {
      const before = exampleModel()
      const after = weightTensors(await share(before, { values: 8, start, minElements: 1 }, { seed: 2 }))
      return weightTensors(before).reduce(
        (sum, w, t) => sum + floats(w.tensor).reduce((s, v, i) => s + (v - floats(after[t].tensor)[i]) ** 2, 0),
        0,
      )
    }
    const least = await error('exact')
    for (const start of ['linear', 'density', 'random', 'k-means++'] as const)
      expect(await error(start), start).toBeGreaterThanOrEqual(least * (1 - 1e-6))
  })

  it('bits: within the budget, more values where they matter, and less lost than with as many values for all', async () => {
    const before = exampleModel()
    // Turned down tenfold, the second convolution hardly matters to the sum that it is added to.
    const quiet = before.graph.initializers.get('w2')!
    const model = replaceTensors(
      before,
      new Map([
        [
          quiet,
          tensorOfFloats(
            'w2',
            'float32',
            quiet.dims,
            floats(quiet).map((v) => v / 10),
          ),
        ],
      ]),
    )
    const data = { calibration: () => exampleBatches(5) }
    const bitsOf = (m: typeof model): number =>
      weightTensors(m).reduce((sum, { tensor }) => {
        const counts = new Map<number, number>()
        for (const v of floats(tensor)) counts.set(v, (counts.get(v) ?? 0) + 1)
        return sum + floats(tensor).length * entropyOf([...counts.values()]) + 32 * counts.size
      }, 0)
    const lost = async (m: typeof model): Promise<number> => {
      let sum = 0
      for (const feeds of data.calibration()) {
        const [a, b] = [await outputsOf(model, feeds), await outputsOf(m, feeds)].map((o) => o.y.data as Float32Array)
        a.forEach((v, i) => {
          sum += (v - b[i]) ** 2
        })
      }
      return sum
    }
    const size = weightTensors(model).reduce((n, w) => n + floats(w.tensor).length, 0)
    const alike = await share(model, { values: 8, start: 'exact', minElements: 1 })
    const bits = bitsOf(alike) / size
    const options = { bits, start: 'exact', minElements: 1 } as const
    const found = await share(model, options, { data })
    expect(bitsOf(found)).toBeLessThanOrEqual(bits * size)
    expect(await lost(found)).toBeLessThan(await lost(alike))
    const [first, second] = valuesOf(found).map((values) => values.size)
    expect(first).toBeGreaterThan(second)
    const byFisher = await share(model, { ...options, sensitivity: 'fisher' }, { data })
    expect(bitsOf(byFisher)).toBeLessThanOrEqual(bits * size)
    expect(await lost(byFisher)).toBeLessThan(await lost(alike))
    expect(bitsOf(await share(model, options))).toBeLessThanOrEqual(bits * size)
    await expect(share(model, { ...options, bits: 0.01 })).rejects.toThrow(/^share: bits is 0.01; expected at least \d/)
  })
})
