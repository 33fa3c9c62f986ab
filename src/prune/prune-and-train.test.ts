/** Pruning in rounds: the schedule of sparsity, masks that only grow, resuming. */
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import { drawDigits } from '../data/digits.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import { model as makeModel, valueInfo } from '../graph/build.ts'
import { weightTensors } from '../graph/weights.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { floats } from '../tensor/dtype.ts'
import { lenet5, mobileNet, netBuilder } from '../testing/small-nets.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import type { CheckpointStore } from '../train/checkpoint.ts'
import type { Progress } from '../train/train-options.ts'
import { restartUniform } from './_restart.ts'
import { magnitude } from './magnitude.ts'
import { type PruneOptions, type PruneRound, pruneAndTrain, pruneScores, sparsityAt } from './prune-and-train.ts'

const zerosOf = (m: Model) => weightTensors(m).map((w) => Array.from(floats(w.tensor), (v) => v === 0))

describe('sparsityAt', () => {
  it('reaches the target, iterative by the same share of survivors, gradual with most at first', () => {
    const path = (schedule: 'iterative' | 'gradual') =>
      [1, 2, 3, 4].map((round) => sparsityAt(schedule, 0.9, { round, rounds: 4 }))
    const iterative = path('iterative')
    const kept = [1, ...iterative.map((s) => 1 - s)]
    for (let i = 1; i < 4; i++) expect(kept[i + 1] / kept[i]).toBeCloseTo(kept[i] / kept[i - 1], 10)
    expect(iterative[3]).toBe(0.9)
    expect(path('gradual')).toEqual([0.9 * (1 - 0.75 ** 3), 0.9 * (1 - 0.5 ** 3), 0.9 * (1 - 0.25 ** 3), 0.9])
    expect(sparsityAt('one-shot', 0.7, { round: 1, rounds: 1 })).toBe(0.7)
  })

  it('starts from what is zero already, and does not bring weights back', () => {
    const at = (schedule: 'iterative' | 'gradual', round: number) =>
      sparsityAt(schedule, 0.9, { round, rounds: 2, start: 0.6 })
    expect(at('iterative', 1)).toBeCloseTo(1 - Math.sqrt(0.4 * 0.1), 10)
    expect(at('gradual', 1)).toBeCloseTo(0.9 - 0.3 / 8, 10)
    expect([at('iterative', 2), at('gradual', 2)]).toEqual([0.9, 0.9])
    expect(sparsityAt('iterative', 0.5, { round: 1, rounds: 2, start: 1 })).toBe(0.5)
  })
})

describe('restartUniform', () => {
  it('draws every survivor anew within its bound, keeps zeros, and resets normalisations; by the seed', () => {
    const model = mobileNet(1)
    const [stem] = weightTensors(model)
    const again = restartUniform(model, 3)
    const values = floats(weightTensors(again)[0].tensor)
    const bound = 1 / Math.sqrt(9)
    expect(values.every((v) => Math.abs(v) <= bound)).toBe(true)
    expect(values.some((v, i) => v === floats(stem.tensor)[i])).toBe(false)
    expect(Array.from(floats(again.graph.initializers.get('bn0.var')!))).toEqual(new Array(20).fill(1))
    expect(Array.from(floats(again.graph.initializers.get('bn0.bias')!))).toEqual(new Array(20).fill(0))
    expect(Buffer.compare(writeModel(restartUniform(model, 3)), writeModel(again))).toBe(0)
    expect(Buffer.compare(writeModel(restartUniform(model, 4)), writeModel(again))).not.toBe(0)
  })

  it('sets biases to 0, wherever they are added', () => {
    const b = netBuilder(1)
    const product = b.op('MatMul', ['x', b.weight('w', [4, 3])])
    const y = b.op('Add', [b.weight('bias', [3]), product])
    const gates = b.op('LSTM', ['s', b.weight('l', [1, 8, 3]), b.weight('r', [1, 8, 2]), b.weight('lb', [1, 16])], {
      hidden_size: 2,
    })
    const model = makeModel({
      nodes: b.nodes,
      initializers: b.initializers,
      inputs: [valueInfo('x', 'float32', ['n', 4]), valueInfo('s', 'float32', [5, 'n', 3])],
      outputs: [y, gates].map((name) => valueInfo(name, 'float32')),
    })
    const { initializers } = restartUniform(model, 1).graph
    for (const name of ['bias', 'lb']) expect(floats(initializers.get(name)!).every((v) => v === 0)).toBe(true)
    for (const name of ['w', 'l', 'r']) expect(floats(initializers.get(name)!)).not.toContain(0)
  })
})

describe('pruneAndTrain', () => {
  it('refuses shares by name where none is named', async () => {
    await expect(pruneAndTrain(lenet5(1), drawDigits(10, 1), { sparsity: 0.5, sparsities: {} })).rejects.toThrow(
      'prune: sparsities by name, but none is named; expected at least one',
    )
  })

  it('zeros only grow, training leaves them zero and moves the others, and the end has the share that was asked for', async () => {
    const model = lenet5(1)
    const data = drawDigits(100, 1)
    const inputs = requiredInputs(model)
    const batcher = batcherFor(inputs, data, guessPreprocess(inputs, data, {}))
    const training = { batcher, epochs: 1, batchSize: 50, learningRate: 0.01, threads: 1 }
    const rounds: (PruneRound & { zeros: boolean[][] })[] = []
    const result = await pruneAndTrain(model, data, {
      sparsity: 0.8,
      scope: 'layer',
      schedule: 'iterative',
      rounds: 3,
      training,
      onRound: (round, m) => void rounds.push({ ...round, zeros: zerosOf(m) }),
    })
    expect(rounds.map((r) => r.history.length)).toEqual([1, 1, 1])
    expect(rounds[2].sparsity).toBeCloseTo(0.8, 3)
    for (const [i, next] of rounds.slice(1).entries()) {
      rounds[i].zeros.forEach((tensor, t) => {
        expect(tensor.every((zero, k) => !zero || next.zeros[t][k])).toBe(true)
      })
    }
    expect(zerosOf(result)).toEqual(rounds[2].zeros)
    const before = floats(weightTensors(model)[0].tensor)
    const kept = Array.from(floats(weightTensors(result)[0].tensor)).filter((v, k) => v !== 0 && v !== before[k])
    expect(kept.length).toBeGreaterThan(0)
  }, 60_000)

  it('goes on where it was stopped, within a round and between two, to the same bytes', async () => {
    const model = lenet5(1)
    const data = drawDigits(100, 1)
    const inputs = requiredInputs(model)
    const batcher = batcherFor(inputs, data, guessPreprocess(inputs, data, {}))
    const stopped = { at: Number.POSITIVE_INFINITY, epochs: 0 }
    const prune = (checkpoint?: CheckpointStore, sparsity = 0.8): Promise<Model> => {
      const stop = new AbortController()
      const training = { batcher, epochs: 2, batchSize: 50, learningRate: 0.01, threads: 1, signal: stop.signal }
      const onProgress = (p: Progress): void => {
        if (p.finished && ++stopped.epochs === stopped.at) stop.abort()
      }
      const options = { sparsity, schedule: 'iterative', rounds: 2, training: { ...training, onProgress } } as const
      return pruneAndTrain(model, data, { ...options, ...(checkpoint ? { checkpoint } : {}) })
    }
    const whole = writeModel(await prune())
    for (const at of [1, 2]) {
      let kept: Uint8Array | undefined
      const store = { load: async () => kept, save: async (bytes: Uint8Array) => void (kept = bytes) }
      Object.assign(stopped, { at, epochs: 0 })
      // The last epoch of a round ends it: the stop is seen in the next one.
      await expect(prune(store)).rejects.toThrow('stopped')
      expect(kept).toBeDefined()
      Object.assign(stopped, { at: Number.POSITIVE_INFINITY, epochs: 0 })
      expect(Buffer.compare(writeModel(await prune(store)), whole)).toBe(0)
      expect(stopped.epochs).toBe(4 - at)
      await expect(prune(store, 0.7)).rejects.toThrow('another pruning')
      kept = kept?.slice(0, -1)
      await expect(prune(store)).rejects.toThrow('checksum')
    }
  }, 60_000)
})

describe('pruneAndTrain, what goes', () => {
  const nothing = { id: 'nothing', length: 0, fields: {} }
  const labelled = () => [...exampleBatches(5, 2)].map((feeds) => ({ feeds, labels: [0, 1, 2, 3] }))
  const context = { seed: 1, data: { labelled, calibration: () => exampleBatches() } }
  const counts = (m: Model) => zerosOf(m).map((z) => z.filter(Boolean).length)

  it.each(pruneScores)('by %s: the same shares of all weights, of each tensor, and by name', async (score) => {
    const prune = (options: Partial<PruneOptions>) =>
      pruneAndTrain(exampleModel(), nothing, { sparsity: 0.5, score, context, ...options })
    expect(counts(await prune({}))).toEqual([108, 288, 20])
    const all = counts(await prune({ scope: 'global', schedule: 'gradual', rounds: 2 }))
    expect(all.reduce((a, b) => a + b)).toBe(416)
    expect(counts(await prune({ sparsities: { w3: 0.25 } }))).toEqual([0, 0, 10])
  })

  it('by obs what stays is moved to make up for it, by the others it is not', async () => {
    const before = weightTensors(exampleModel()).map((w) => floats(w.tensor))
    const moved = async (score: PruneOptions['score']) => {
      const after = weightTensors(await pruneAndTrain(exampleModel(), nothing, { sparsity: 0.5, score, context }))
      return after.some((w, i) => floats(w.tensor).some((v, k) => v !== 0 && v !== before[i][k]))
    }
    expect(await Promise.all(pruneScores.map(async (s) => [s, await moved(s)]))).toEqual(
      pruneScores.map((s) => [s, s === 'obs']),
    )
  })

  it("the Hessian's diagonal is another than Fisher's", async () => {
    const by = (diagonal?: 'fisher' | 'hessian') =>
      pruneAndTrain(exampleModel(), nothing, { sparsity: 0.5, score: 'obd', diagonal, context })
    expect(zerosOf(await by('fisher'))).toEqual(zerosOf(await by()))
    expect(zerosOf(await by('hessian'))).not.toEqual(zerosOf(await by()))
  })

  it.each(['iterative', 'gradual'] as const)(
    'by quality, %s: the threshold rises, and ends at it',
    async (schedule) => {
      const seen: number[][] = []
      const options = {
        sparsity: 0,
        quality: 1.5,
        schedule,
        rounds: 3,
        onRound: (_: PruneRound, m: Model) => void seen.push(counts(m)),
      }
      await pruneAndTrain(exampleModel(), nothing, options)
      const [first, second, last] = seen.map((c) => c.reduce((a, b) => a + b))
      expect(first).toBeGreaterThan(0)
      expect(second).toBeGreaterThan(first)
      expect(last).toBeGreaterThan(second)
      // Zeros make a deviation smaller: it is that of the weights as they were.
      expect(seen[2]).toEqual(counts(await magnitude(exampleModel(), { quality: 1.5 })))
    },
  )

  it('by filter, single weights that are zero at the start do not count on the way', async () => {
    const scattered = await magnitude(exampleModel(), { sparsity: 0.5 })
    const seen: number[] = []
    const zeroFilters = (m: Model): number =>
      floats(weightTensors(m)[0].tensor)
        .reduce((n, v, k) => (v === 0 ? n : n.with(Math.floor(k / 27), 1)), new Array<number>(8).fill(0))
        .filter((v) => v === 0).length
    await pruneAndTrain(scattered, nothing, {
      sparsity: 0.5,
      unit: 'filter',
      schedule: 'iterative',
      rounds: 2,
      onRound: (_, m) => void seen.push(zeroFilters(m)),
    })
    // 1 - sqrt(1 - 0.5) of 8, then half.
    expect(seen).toEqual([2, 4])
  })

  it('says in one sentence which choices do not go together', async () => {
    const cases: readonly (readonly [Partial<PruneOptions>, string])[] = [
      [{ score: 'obs', quality: 1 }, 'prune: score obs with a quality; expected score magnitude with that'],
      [{ diagonal: 'hessian' }, 'prune: score magnitude with diagonal hessian; expected score obd with that'],
      [{ scope: 'global', quality: 1 }, 'prune: scope global with a quality; expected scope layer with that'],
      [{ scope: 'global', sparsities: { w1: 0.5 } }, 'prune: scope global with a share for each tensor; expected'],
      [{ quality: 0 }, 'prune: quality 0; expected a number of standard deviations above 0'],
      [{ quality: 1, sparsities: { w1: 0.5 } }, 'prune: sparsities by name and a quality are both given'],
    ]
    for (const [more, message] of cases)
      await expect(pruneAndTrain(exampleModel(), nothing, { sparsity: 0.5, ...more })).rejects.toThrow(message)
  })
})
