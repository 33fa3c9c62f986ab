/** The search for a fast int8 form, on made-up and measured times. */
import { describe, expect, it } from 'vitest'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { int8 } from '../quantize/int8.ts'
import { type SpeedUp, speedVerdict } from '../speed-up.ts'
import { largestDifference, outputsOf } from '../testing/real-models.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { type FastInt8, type FastOptions, openFastInt8 } from './fast-int8.ts'

const calibration = () => exampleBatches(5)
const [feeds] = exampleBatches(9)

/** Layers whose weights are integers, by the name of the weight. */
const onIntegers = (m: Model) =>
  [...m.graph.initializers.keys()].filter((n) => /^w\d(_folded)?_quantized$/.test(n)).map((n) => n.slice(0, 2))

/** 0 for the float model's outputs, lower the further they are off. */
async function score(m: Model): Promise<number> {
  return -100 * largestDifference(await outputsOf(exampleModel(), feeds), await outputsOf(m, feeds))
}

const exactly = (ratio: number): SpeedUp => ({ median: ratio, low: ratio * 0.99, high: ratio * 1.01, rounds: 100 })

/** Pretends that each layer takes 10 in float and a given time on integers. */
const pretend = (times: Record<string, number>) => async (before: Model, after: Model) => {
  const time = (m: Model): number => onIntegers(m).reduce((t, w) => t - 10 + times[w], 30)
  return exactly(time(before) / time(after))
}

/** The fast form of a model that may score so far below the float one. */
async function makeFast(
  model: Model,
  { validate, maxLoss, ...options }: FastOptions & { validate(m: Model): Promise<number>; maxLoss: number },
): Promise<FastInt8> {
  const before = await validate(model)
  const search = await openFastInt8(model, options)
  return search.find(async (m) => {
    const lost = before - (await validate(m))
    return { spent: lost <= maxLoss ? 0 : 2, findings: [] }
  })
}

/** The layers in float. */
const inFloat = ({ kept }: FastInt8): string[] => [...kept.keys()]

describe('the fast int8 form', () => {
  it('puts every layer on integers where that costs nothing, and measures the speed-up', async () => {
    const result = await makeFast(exampleModel(), {
      data: { calibration },
      validate: score,
      compareSpeed: pretend({ w1: 4, w2: 4, w3: 4 }),
      maxLoss: 50,
    })
    expect(onIntegers(result.model).sort()).toEqual(['w1', 'w2', 'w3'])
    expect(inFloat(result)).toEqual([])
    expect(result.speedUp?.median).toBeCloseTo(30 / 12)
    expect(result.notes).toEqual(['3 of 3 layers compute on integers'])
  })

  it('keeps in float what is faster there in two measured runs, and says by how much', async () => {
    const result = await makeFast(exampleModel(), {
      data: { calibration },
      validate: score,
      compareSpeed: pretend({ w1: 16, w2: 4, w3: 9.9 }),
      maxLoss: 50,
    })
    expect([...result.kept]).toEqual([
      ['first', 'speed: with the first convolution in float the model is 1.25 x faster (1.24 to 1.26)'],
    ])
    expect(onIntegers(result.model).sort()).toEqual(['w2', 'w3'])
    // What was measured is in the list alone: with it, int8 gives the same bytes again.
    const again = await int8(exampleModel(), { excludeNodes: inFloat(result) }, { data: { calibration } })
    expect(Buffer.compare(writeModel(again), writeModel(result.model))).toBe(0)
  })

  it('does not believe a gain that its second run does not show', async () => {
    let runs = 0
    const result = await makeFast(exampleModel(), {
      data: { calibration },
      validate: score,
      compareSpeed: async () => exactly(++runs === 1 ? 1.5 : 1.001),
      maxLoss: 50,
    })
    expect(inFloat(result)).toEqual([])
    expect(result.speedUp && speedVerdict(result.speedUp)).toBe('could not tell')
  })

  it('believes no median whose interval has both sides', async () => {
    const result = await makeFast(exampleModel(), {
      data: { calibration },
      validate: score,
      compareSpeed: async () => ({ median: 1.5, low: 0.9, high: 2, rounds: 100 }),
      maxLoss: 50,
    })
    expect(inFloat(result)).toEqual([])
  })

  it('keeps in float no layer that fits on integers beside the others', async () => {
    const layers = ['first', 'second', 'dense']
    const scoreWithout = async (exclude: readonly string[]) =>
      score(await int8(exampleModel(), { excludeNodes: [...exclude] }, { data: { calibration } }))
    const singles = await Promise.all(layers.map((name) => scoreWithout([name])))
    // Any one layer in float may not be enough, the best one is.
    const floor = Math.max(...singles)
    expect(floor).toBeGreaterThan(await scoreWithout([]))
    for (const maxLoss of [-floor, -Math.min(...singles)]) {
      const result = await makeFast(exampleModel(), {
        data: { calibration },
        validate: score,
        compareSpeed: pretend({ w1: 4, w2: 4, w3: 4 }),
        maxLoss,
      })
      const kept = inFloat(result)
      expect(result.verdict.spent).toBeLessThanOrEqual(1)
      for (const name of kept) expect(await scoreWithout(kept.filter((k) => k !== name)), name).toBeLessThan(-maxLoss)
    }
  })

  it('gives the room that layers in float for their speed leave to those in float for accuracy', async () => {
    // Either convolution alone on integers is within the limit, both are not.
    const allowed = async (m: Model) => (onIntegers(m).filter((w) => w !== 'w3').length > 1 ? -1 : 0)
    const result = await makeFast(exampleModel(), {
      data: { calibration },
      validate: allowed,
      compareSpeed: pretend({ w1: 16, w2: 4, w3: 4 }),
      maxLoss: 0.5,
    })
    expect(onIntegers(result.model).sort()).toEqual(['w2', 'w3'])
  })

  it('leaves a model that computes on integers already as it is', async () => {
    const model = await int8(exampleModel(), {}, { data: { calibration } })
    const compareSpeed = pretend({ w1: 4, w2: 4, w3: 4 })
    const result = await makeFast(model, { data: { calibration }, validate: score, compareSpeed, maxLoss: 0 })
    expect(result.model).toBe(model)
    expect(result.notes.join()).toMatch(/already/)
  })

  it('leaves the model as it was where nothing is left on integers, or where integers are slower', async () => {
    const none = await makeFast(exampleModel(), {
      data: { calibration },
      validate: score,
      compareSpeed: pretend({ w1: 4, w2: 4, w3: 4 }),
      maxLoss: 0,
    })
    expect(none.notes[0]).toBe('0 of 3 layers compute on integers')
    // The model that was given, as a recipe with these layers in float gives it too.
    expect(Buffer.compare(writeModel(none.model), writeModel(exampleModel()))).toBe(0)
    const again = await int8(exampleModel(), { excludeNodes: inFloat(none) }, { data: { calibration } })
    expect(Buffer.compare(writeModel(again), writeModel(none.model))).toBe(0)
    const slow = await makeFast(exampleModel(), {
      data: { calibration },
      validate: score,
      compareSpeed: async (before) => exactly(onIntegers(before).length > 0 ? 1 : 1 / 1.2),
      maxLoss: 50,
    })
    expect(Buffer.compare(writeModel(slow.model), writeModel(exampleModel()))).toBe(0)
    expect(slow.notes).toEqual(['0 of 3 layers compute on integers', 'all layers are left in float'])
    expect(slow.speedUp).toBe(undefined)
    expect(new Set(slow.kept.values())).toEqual(
      new Set(['speed: on integers the model is 1.20 x slower (1.19 to 1.21)']),
    )
  })
})
