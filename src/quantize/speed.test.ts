import { describe, expect, it } from 'vitest'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { checkOptions } from '../options.ts'
import { largestDifference, outputsOf } from '../testing/real-models.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { calibrateInt8, int8, prepareInt8 } from './int8.ts'
import { layerNoise, makeFast } from './speed.ts'

const calibration = () => exampleBatches(5)
const [feeds] = exampleBatches(9)
const settings = checkOptions(int8.id, int8.options)

/** Layers whose weights are integers, by the name of the weight. */
const onIntegers = (m: Model) =>
  [...m.graph.initializers.keys()].filter((n) => /^w\d(_folded)?_quantized$/.test(n)).map((n) => n.slice(0, 2))

/** 0 for the float model's outputs, lower the further they are off. */
async function score(m: Model): Promise<number> {
  return -100 * largestDifference(await outputsOf(exampleModel(), feeds), await outputsOf(m, feeds))
}

/** Pretends that each layer takes 10 in float and a given time on integers. */
const pretend = (times: Record<string, number>) => async (models: readonly Model[]) =>
  models.map((m) => onIntegers(m).reduce((t, w) => t - 10 + times[w], 30))

describe('makeFast', () => {
  it('puts every layer on integers where that costs nothing, and measures the speed-up', async () => {
    const result = await makeFast(exampleModel(), {
      calibration,
      validate: score,
      latency: pretend({ w1: 4, w2: 4, w3: 4 }),
      maxLoss: 50,
    })
    expect(onIntegers(result.model).sort()).toEqual(['w1', 'w2', 'w3'])
    expect(result.keptFloat).toEqual([])
    expect(result.speedup).toBeCloseTo(30 / 12)
    expect(result.notes).toEqual(['3 of 3 layers compute on integers'])
  })

  it('keeps in float what is faster there in two measured runs, and says by how much', async () => {
    const result = await makeFast(exampleModel(), {
      calibration,
      validate: score,
      latency: pretend({ w1: 16, w2: 4, w3: 9.9 }),
      maxLoss: 50,
    })
    expect(result.keptFloat).toEqual([
      { node: 'first', why: 'speed: with the first convolution in float the model takes 0.80 x the time' },
    ])
    expect(onIntegers(result.model).sort()).toEqual(['w2', 'w3'])
    // What was measured is in the list alone: with it, int8 gives the same bytes again.
    const again = await int8(exampleModel(), { exclude: result.keptFloat.map((k) => k.node) }, { calibration })
    expect(Buffer.compare(writeModel(again), writeModel(result.model))).toBe(0)
  })

  it('does not believe a gain that its second run does not show', async () => {
    const times = [30, 20, 30, 30, 30, 30] // of the first run: now, then a candidate that looks faster, the others
    const result = await makeFast(exampleModel(), {
      calibration,
      validate: score,
      latency: async (models) => (models.length > 2 ? times.slice(0, models.length) : models.map(() => 30)),
      maxLoss: 50,
    })
    expect(result.keptFloat).toEqual([])
    expect(result.notes.join()).toContain('not faster')
  })

  it('gives back to float the noisiest layers, as few as the allowed loss needs', async () => {
    const prepared = await prepareInt8(exampleModel(), settings, { calibration })
    const calibrated = await calibrateInt8(prepared, settings, { calibration })
    const ranked = await layerNoise(prepared, calibrated, { settings, calibration })
    expect(ranked).toHaveLength(3)
    const scores: number[] = []
    for (let kept = 0; kept <= 3; kept++) {
      scores.push(
        await score(await int8(exampleModel(), { exclude: ranked.slice(0, kept).map((l) => l.node) }, { calibration })),
      )
    }
    expect(scores[3]).toBeGreaterThan(scores[0])
    const maxLoss = -scores[2]
    const result = await makeFast(exampleModel(), {
      calibration,
      validate: score,
      latency: pretend({ w1: 4, w2: 4, w3: 4 }),
      maxLoss,
    })
    const fewest = scores.findIndex((s) => s >= -maxLoss)
    expect(result.keptFloat.map((k) => k.node)).toEqual(ranked.slice(0, fewest).map((l) => l.node))
    expect(result.score.before - result.score.after).toBeLessThanOrEqual(maxLoss)
  })

  it('leaves a model that computes on integers already as it is', async () => {
    const model = await int8(exampleModel(), {}, { calibration })
    const latency = pretend({ w1: 4, w2: 4, w3: 4 })
    const result = await makeFast(model, { calibration, validate: score, latency, maxLoss: 0 })
    expect(result.model).toBe(model)
    expect(result.notes.join()).toMatch(/already/)
  })

  it('leaves the model as it was where nothing is left on integers, or where integers are slower in two runs', async () => {
    const none = await makeFast(exampleModel(), {
      calibration,
      validate: score,
      latency: pretend({ w1: 4, w2: 4, w3: 4 }),
      maxLoss: 0,
    })
    expect(none.notes[0]).toBe('0 of 3 layers compute on integers')
    // The model that was given, as a recipe with these layers in float gives it too.
    expect(Buffer.compare(writeModel(none.model), writeModel(exampleModel()))).toBe(0)
    const again = await int8(exampleModel(), { exclude: none.keptFloat.map((k) => k.node) }, { calibration })
    expect(Buffer.compare(writeModel(again), writeModel(none.model))).toBe(0)
    const slow = await makeFast(exampleModel(), {
      calibration,
      validate: score,
      latency: async (models) => models.map((m) => (onIntegers(m).length > 0 ? 36 : 30)),
      maxLoss: 50,
    })
    expect(Buffer.compare(writeModel(slow.model), writeModel(exampleModel()))).toBe(0)
    expect(slow.notes).toEqual(['0 of 3 layers compute on integers', 'the model stays as it was'])
    expect(new Set(slow.keptFloat.map((k) => k.why))).toEqual(
      new Set(['speed: on integers the model takes 1.20 x the time of the float one']),
    )
    let runs = 0
    const once = await makeFast(exampleModel(), {
      calibration,
      validate: score,
      // Slower than the float model in the first run beside it only.
      latency: async (models) =>
        models.map((_, i) => (i === 1 && onIntegers(models[0]).length === 0 && ++runs === 1 ? 36 : 30)),
      maxLoss: 50,
    })
    expect(runs).toBe(2)
    expect(once.notes).toEqual([
      '3 of 3 layers compute on integers',
      'the result is not faster: it takes 1.00 x the time of the float model',
    ])
  })
})
