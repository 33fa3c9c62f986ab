/** Progressive ADMM: stages that only add zeros, filters and few values, resuming, what is refused. */
import { describe, expect, it } from 'vitest'
import { weightTensors } from '../graph/weights.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { floats } from '../tensor/dtype.ts'
import { exampleModel, exampleTraining } from '../testing/test-method.ts'
import type { CheckpointStore } from '../train/checkpoint.ts'
import { shareOver } from '../train/stages.ts'
import type { Progress } from '../train/train-options.ts'
import { validate } from '../train/validate.ts'
import { valuesTarget, zerosTarget } from './admm-targets.ts'
import { type AdmmStage, type AdmmStagesOptions, pruneByAdmm } from './prune-by-admm.ts'

const { train: data, batcher } = exampleTraining(4, 256)
const training = { batcher, epochs: 2, batchSize: 32, learningRate: 0.02, threads: 1, seed: 1 }

function options(more: Partial<AdmmStagesOptions> = {}): AdmmStagesOptions {
  const given = { sparsity: 0.8, stages: 2, rho: 0.01, rhoEnd: 0.1, updates: 2, training, retraining: training }
  return { ...given, ...more }
}

const valuesOf = (m: Model): Float32Array[] => weightTensors(m).map((w) => floats(w.tensor))
const zerosOf = (m: Model): boolean[][] => valuesOf(m).map((values) => Array.from(values, (v) => v === 0))
const zeroCounts = (m: Model): number[] => zerosOf(m).map((z) => z.filter(Boolean).length)

describe('what weights are drawn to', () => {
  const [w1] = weightTensors(exampleModel())

  it('filters: those of the smallest mean square are zero, the others as they were', () => {
    const values = floats(w1.tensor)
    const near = zerosTarget({ w1: 0.5 }, 'filter').nearest(w1, values)
    const squares = Array.from({ length: 8 }, (_, f) =>
      values.subarray(27 * f, 27 * f + 27).reduce((n, v) => n + v * v, 0),
    )
    const limit = [...squares].sort((a, b) => a - b)[4]
    expect(near).toEqual(values.map((v, i) => (squares[Math.floor(i / 27)] < limit ? 0 : v)))
  })

  it('values: no more than were asked for, zero kept, and none nearer among them', () => {
    const values = floats(w1.tensor).map((v, i) => (i % 3 === 0 ? 0 : v))
    const near = valuesTarget(4).nearest(w1, values)
    const book = [...new Set(near.filter((v) => v !== 0))]
    expect(book.length).toBeLessThanOrEqual(4)
    for (const [i, v] of values.entries()) {
      if (v === 0) expect(near[i]).toBe(0)
      else for (const b of book) expect(Math.abs(v - near[i])).toBeLessThanOrEqual(Math.abs(v - b) + 1e-6)
    }
  })
})

describe('pruneByAdmm', () => {
  it('reaches the share of each tensor in stages; what is zero stays zero, and the network learns', async () => {
    const seen: (AdmmStage & { model: Model })[] = []
    const onStage = (stage: AdmmStage, model: Model): void => void seen.push({ ...stage, model })
    const result = await pruneByAdmm(exampleModel(), data, options({ onStage }))
    expect(seen.map(({ stage, stages, drawn }) => [stage, stages, drawn])).toEqual([
      [1, 2, true],
      [1, 2, false],
      [2, 2, true],
      [2, 2, false],
    ])
    const share = 1 - Math.sqrt(0.2)
    const counts = [216, 576, 40]
    expect(zeroCounts(seen[0].model)).toEqual(counts.map((n) => Math.round(share * n)))
    expect(zeroCounts(result)).toEqual(counts.map((n) => Math.round(0.8 * n)))
    for (const [i, next] of seen.slice(1).entries())
      zerosOf(seen[i].model).forEach((tensor, t) => {
        expect(tensor.every((zero, k) => !zero || zerosOf(next.model)[t][k])).toBe(true)
      })
    const accuracy = async (m: Model) => (await validate(m, data, { batcher, batchSize: 64 })).accuracy as number
    expect(await accuracy(result)).toBeGreaterThan((await accuracy(exampleModel())) + 0.3)
  })

  it('tells how far all its trainings are, not each alone', async () => {
    const told: number[] = []
    const telling = { ...training, epochs: 1, onProgress: (p: Progress) => void told.push(shareOver(p)) }
    await pruneByAdmm(exampleModel(), data, options({ training: telling, retraining: telling }))
    expect(told).toEqual([...told].sort((a, b) => a - b))
    expect(new Set(told).size).toBe(4 * (256 / 32))
    expect(told.at(-1)).toBe(1)
  })

  it('all together: so many zeros in all, and shares of their own; excluded weights have none', async () => {
    const together = await pruneByAdmm(exampleModel(), data, options({ scope: 'global', stages: 1, sparsity: 0.5 }))
    const counts = zeroCounts(together)
    expect(counts.reduce((a, b) => a + b)).toBe(416)
    expect(counts).not.toEqual([108, 288, 20])
    expect(zeroCounts(await pruneByAdmm(exampleModel(), data, options({ exclude: ['w3'] })))[2]).toBe(0)
    const named = await pruneByAdmm(exampleModel(), data, options({ sparsities: { w2: 0.75 }, stages: 1 }))
    expect(zeroCounts(named)).toEqual([0, 432, 0])
  })

  it('whole filters', async () => {
    const result = await pruneByAdmm(exampleModel(), data, options({ unit: 'filter', sparsity: 0.5, exclude: ['w3'] }))
    const [first] = valuesOf(result)
    const zeroFilters = Array.from({ length: 8 }, (_, f) => first.subarray(27 * f, 27 * f + 27).every((v) => v === 0))
    expect(zeroFilters.filter(Boolean)).toHaveLength(4)
  })

  it('few values, which go on learning as values, beside the zeros', async () => {
    const seen: Model[] = []
    const onStage = (_: AdmmStage, m: Model): void => void seen.push(m)
    const result = await pruneByAdmm(exampleModel(), data, options({ stages: 1, values: 4, onStage }))
    for (const values of valuesOf(result)) expect(new Set(values.filter((v) => v !== 0)).size).toBeLessThanOrEqual(4)
    expect(zeroCounts(result)).toEqual(zeroCounts(seen[0]))
    expect(valuesOf(result)[1]).not.toEqual(valuesOf(seen[2])[1])
  })

  it('goes on where it was stopped, in any stage, to the same bytes; not as another run', async () => {
    const saved: Uint8Array[] = []
    const run = (checkpoint: CheckpointStore, more: Partial<AdmmStagesOptions> = {}) =>
      pruneByAdmm(exampleModel(), data, options({ values: 8, checkpoint, ...more }))
    const whole = await run({ load: async () => undefined, save: async (b) => void saved.push(b.slice()) })
    // Six trainings of two epochs, and the end of each.
    expect(saved).toHaveLength(18)
    for (const at of [0, 2, 3, 7, 12, 16]) {
      const resumed = await run({ load: async () => saved[at], save: async () => {} })
      expect(Buffer.compare(writeModel(resumed), writeModel(whole))).toBe(0)
    }
    const store = { load: async () => saved[4], save: async () => {} }
    await expect(run(store, { rhoEnd: 0.2 })).rejects.toThrow('another pruning by ADMM')
  })

  it('says in one sentence what it cannot do', async () => {
    const cases: readonly (readonly [Partial<AdmmStagesOptions>, string])[] = [
      [{ sparsity: 0 }, 'progressive-admm: sparsity 0 and values 0 leave nothing to do; expected one of them above 0'],
      [{ rhoEnd: 0.001 }, 'progressive-admm: rhoEnd 0.001 is below rho 0.01; expected as much or more'],
      [{ sparsities: { w9: 0.5 } }, 'progressive-admm: the model has no weight "w9"; expected w1, w2, w3'],
      [{ sparsities: { w1: 2 } }, 'progressive-admm: w1 must be within [0, 1], got 2'],
      [{ scope: 'global', sparsities: { w1: 0.5 } }, 'progressive-admm: scope global with a share for each tensor'],
      [{ updates: 20 }, 'progressive-admm: updates 20 in an epoch of 8 steps; expected at most one per step'],
    ]
    for (const [more, message] of cases)
      await expect(pruneByAdmm(exampleModel(), data, options(more))).rejects.toThrow(message)
  })
})
