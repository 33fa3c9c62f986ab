/** Outputs of whole numbers without data: what they are judged by, and that a report is silent about none. */
import { expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { reportOf } from '../report/report-of.ts'
import { renderText } from '../report/text.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { dataTypes, floatTensor, integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { compress } from './compress.ts'

const rng = random(7)
const drawn = (name: string, dims: readonly [number, number]) =>
  floatTensor(
    name,
    dims,
    Float32Array.from({ length: dims[0] * dims[1] }, () => rng.normal() / Math.sqrt(dims[0])),
  )

/** A place in a table of `entries`, found by a score, and what stands there; beside it a number that is always the same. */
function lookedUp(entries: readonly number[]): Model {
  return model({
    nodes: [
      node('MatMul', ['x', 'w1'], ['h']),
      node('Relu', ['h'], ['r']),
      node('MatMul', ['r', 'w2'], ['s']),
      node('Sigmoid', ['s'], ['p']),
      node('Mul', ['p', 'most'], ['place']),
      node('Round', ['place'], ['rounded']),
      node('Cast', ['rounded'], ['at'], { to: dataTypes.int64.code }),
      node('Gather', ['table', 'at'], ['y']),
      node('Shape', ['y'], ['shape']),
      node('Gather', ['shape', 'first'], ['width']),
    ],
    initializers: new Map([
      ['w1', drawn('w1', [16, 48])],
      ['w2', drawn('w2', [48, 1])],
      ['most', floatTensor('most', [], [entries.length - 1])],
      ['table', integerTensor('table', 'int64', [entries.length], entries)],
      ['first', integerTensor('first', 'int64', [1], [1])],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', 16])],
    outputs: [valueInfo('y', 'int64', ['N', 1]), valueInfo('width', 'int64', [1])],
  })
}

const places = Array.from({ length: 800 }, (_, i) => i)
const mixed = [...places].sort((a, b) => ((a * 7919) % 800) - ((b * 7919) % 800))

async function sameShare(before: Model, after: Model): Promise<number> {
  const x = {
    dtype: 'float32',
    dims: [500, 16],
    data: Float32Array.from({ length: 8000 }, () => rng.normal()),
  } as const
  const run = (m: Model) =>
    withSession(
      () => openSession(m),
      async (session) => (await session.run({ x })).y.data as BigInt64Array,
    )
  const [from, to] = [await run(before), await run(after)]
  return from.filter((v, i) => v === to[i]).length / from.length
}

it('an entry of a table without order is right or wrong: a place that is nearly right is not', async () => {
  const original = lookedUp(mixed)
  const result = await compress(original, { seed: 3, maxLoss: '2' })
  expect(result.holds).toBe(true)
  expect(await sameShare(original, result.model)).toBeGreaterThan(0.97)
})

it('where the places say enough, what is decided by them is listed with what became of it', async () => {
  const original = lookedUp([2, 3, 5, 7, 11])
  const result = await compress(original, { seed: 3 })
  const text = renderText(await reportOf(result, { skipLatency: true })).replace(/\s+/g, ' ')
  expect(text).toMatch(/"place".* dB of signal to noise/)
  expect(text).toMatch(/"y" is judged by what it is made of, "place"; \d+\.\d\d % of its values stayed as they were/)
  expect(text).toContain('"width" is the same for every input here, but for rounding, so nothing is judged there')
})

/** Sixteen yes-or-no answers as the bits of one number, put together as whole numbers or as floats. */
function packedBits(type: 'int64' | 'float32'): Model {
  const worth = [...new Array(16).keys()].map((k) => 2 ** k)
  const isWhole = type === 'int64'
  return model({
    nodes: [
      node('MatMul', ['x', 'w1'], ['h']),
      node('Relu', ['h'], ['r']),
      node('MatMul', ['r', 'w2'], ['s']),
      node('Greater', ['s', 'zero'], ['yes']),
      node('Cast', ['yes'], ['bits'], { to: dataTypes[type].code }),
      ...(isWhole
        ? [node('Mul', ['bits', 'worth'], ['worths']), node('ReduceSum', ['worths', 'last'], ['y'], { keepdims: 0 })]
        : [node('MatMul', ['bits', 'worth'], ['sum']), node('Cast', ['sum'], ['y'], { to: dataTypes.int64.code })]),
    ],
    initializers: new Map([
      ['w1', drawn('w1', [16, 48])],
      ['w2', drawn('w2', [48, 16])],
      ['zero', floatTensor('zero', [], [0])],
      ['worth', isWhole ? integerTensor('worth', 'int64', [16], worth) : floatTensor('worth', [16, 1], worth)],
      ['last', integerTensor('last', 'int64', [1], [1])],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', 16])],
    outputs: [valueInfo('y', 'int64', isWhole ? ['N'] : ['N', 1])],
  })
}

it.each(['int64', 'float32'] as const)(
  'a number of several decisions, put together as %s, is right where all are',
  async (type) => {
    const original = packedBits(type)
    const result = await compress(original, { seed: 3, maxLoss: '1' })
    expect(result.holds).toBe(true)
    expect(await sameShare(original, result.model)).toBeGreaterThan(0.97)
    expect(result.packed.byteLength).toBeLessThan(5000)
  },
)
