/** Fake quantisers: what they round to, and the gradients of the papers' formulas, worked out here by hand. */
import { describe, expect, it } from 'vitest'
import { backward } from '../../grad/backward.ts'
import { lowerPlain } from '../../grad/lower-plain.ts'
import { f, model as makeModel, nameSource, node, valueInfo } from '../../graph/build.ts'
import { openSession } from '../../runtime/session.ts'
import { floatTensor } from '../../tensor/dtype.ts'
import { random } from '../../tensor/random.ts'
import { createEmitter, mul, sum, type ValueType } from './emit.ts'
import { macroDomain } from './rule.ts'

interface Case {
  readonly x: Float32Array
  readonly shape: readonly number[]
  readonly p: readonly number[]
  readonly attributes: Parameters<typeof node>[3]
}

/** y, and the gradients of Σ y·c for a fixed c. */
async function run({ x, shape, p, attributes }: Case, c: Float32Array) {
  const types = new Map<string, ValueType>([
    ['x', { dtype: 'float32', shape }],
    ['p', { dtype: 'float32', shape: [p.length] }],
    ['y', { dtype: 'float32', shape }],
  ])
  const fake = node('FakeQuantize', ['x', 'p'], ['y'], attributes, { domain: macroDomain })
  const graph = {
    name: 'g',
    nodes: [fake],
    initializers: new Map([['p', floatTensor('p', [p.length], p)]]),
    inputs: [valueInfo('x', 'float32', shape)],
    outputs: [],
  }
  const g = createEmitter(types, nameSource(graph))
  const loss = sum(g, mul(g, 'y', g.constant(c, 'float32', shape)))
  const whole = {
    graph: { ...graph, nodes: [fake, ...g.nodes], initializers: new Map([...graph.initializers, ...g.initializers]) },
    types: g.types,
  }
  const result = backward(whole, loss, ['x', 'p'])
  const lowered = lowerPlain(result)
  const names = ['y', result.gradients.get('x')!, result.gradients.get('p')!]
  const outputs = names.map((name) => valueInfo(name, 'float32', lowered.types.get(name)!.shape))
  const session = await openSession(makeModel({ ...lowered.graph, outputs }, 20), { threads: 1 })
  const found = await session.run({ x: { dtype: 'float32', dims: shape, data: x } })
  await session.release()
  const [y, dx, dp] = names.map((name) => found[name].data as Float32Array)
  return { y, dx, dp }
}

const rng = random(3)
const drawn = (size: number, spread: number): Float32Array =>
  Float32Array.from({ length: size }, () => spread * rng.normal())
const sumOf = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0)

describe('FakeQuantize', () => {
  it('LSQ: the nearest of the levels, dx within the range, and the step gradient of equation 3 times its scale', async () => {
    const [low, high, s] = [-4, 3, 0.3]
    const [x, c] = [drawn(60, 1), drawn(60, 1)]
    const attributes = { low: f(low), high: f(high), learns: 'step' }
    const { y, dx, dp } = await run({ x, shape: [4, 15], p: [s], attributes }, c)
    const v = Array.from(x, (value) => value / Math.fround(s))
    const inside = v.map((value) => value > low && value < high)
    expect(inside.filter((i) => !i).length).toBeGreaterThan(5)
    v.forEach((value, i) => {
      expect(y[i]).toBeCloseTo(s * Math.max(low, Math.min(high, Math.round(value))), 5)
      expect(dx[i]).toBeCloseTo(inside[i] ? c[i] : 0, 6)
    })
    const terms = v.map((value, i) => c[i] * (inside[i] ? Math.round(value) - value : value <= low ? low : high))
    expect(dp[0]).toBeCloseTo(sumOf(terms) / Math.sqrt(60 * high), 4)
  })

  it('LSQ of activations: N is the number of elements per sample', async () => {
    const [x, c] = [drawn(60, 1), drawn(60, 1)]
    const of = (samples: number) => ({ low: f(0), high: f(15), learns: 'step', samples })
    const [all, perSample] = [
      await run({ x, shape: [4, 15], p: [0.1], attributes: of(0) }, c),
      await run({ x, shape: [4, 15], p: [0.1], attributes: of(1) }, c),
    ]
    expect(perSample.dp[0] / all.dp[0]).toBeCloseTo(2, 4)
  })

  it('PACT: the gradient of the limit is the sum of those beyond it, as finite differences have it', async () => {
    const high = 7
    const alpha = 0.8
    const x = drawn(200, 1).map(Math.abs)
    const c = drawn(200, 1)
    const attributes = { low: f(0), high: f(high), factor: f(1 / high), learns: 'clip' }
    const { dp, dx } = await run({ x, shape: [200], p: [alpha], attributes }, c)
    const beyond = x.map((v) => (v > alpha ? 1 : 0))
    expect(dp[0]).toBeCloseTo(sumOf(c.map((v, i) => v * beyond[i])), 3)
    expect(Array.from(dx, (v) => v + 0)).toEqual(Array.from(c, (v, i) => (beyond[i] ? 0 : v)))
    // Where all values lie beyond the limit, nothing is rounded: the gradient is a true derivative.
    const far = x.map((v) => v + 2)
    const at = async (a: number) =>
      sumOf((await run({ x: far, shape: [200], p: [a], attributes }, c)).y.map((v, i) => v * c[i]))
    const difference = ((await at(alpha + 0.05)) - (await at(alpha - 0.05))) / 0.1
    expect((await run({ x: far, shape: [200], p: [alpha], attributes }, c)).dp[0]).toBeCloseTo(difference, 2)
  })

  it('one step per channel: the gradients of each channel alone', async () => {
    const [x, c] = [drawn(24, 1), drawn(24, 1)]
    const attributes = { low: f(-2), high: f(1), learns: 'step', axis: 1 }
    const steps = [0.2, 0.5, 0.9]
    const whole = await run({ x, shape: [2, 3, 4], p: steps, attributes }, c)
    for (const [channel, step] of steps.entries()) {
      const own = (values: Float32Array) => values.filter((_, i) => Math.floor(i / 4) % 3 === channel)
      const alone = await run({ x: own(x), shape: [8], p: [step], attributes: { ...attributes, axis: 0 } }, own(c))
      expect(own(whole.y)).toEqual(alone.y)
      expect(own(whole.dx)).toEqual(alone.dx)
      // N of the whole tensor.
      expect(whole.dp[channel]).toBeCloseTo(alone.dp[0] / Math.sqrt(3), 4)
    }
  })

  it('signs: s · sign(x), dx where |x| < s, and the step gradient of LSQ with sign(v) for round(v)', async () => {
    const [s, c] = [0.8, drawn(60, 1)]
    const x = drawn(60, 1)
    x[7] = 0
    const attributes = { low: f(-1), high: f(1), signs: 1 }
    const of = (learns: string, p = s, of = x) =>
      run({ x: of, shape: [4, 15], p: [p], attributes: { ...attributes, learns } }, c)
    const inside = x.map((v) => (Math.abs(v) < Math.fround(s) ? 1 : 0))
    expect(sumOf(inside)).toBeGreaterThan(10)
    expect(sumOf(inside)).toBeLessThan(50)
    const term = (v: number, i: number): number => c[i] * (Math.sign(v) - (inside[i] ? v / s : 0))
    const expected = {
      none: 0,
      step: sumOf(x.map(term)) / Math.sqrt(60),
      clip: sumOf(x.map((v, i) => (inside[i] ? 0 : c[i] * Math.sign(v)))),
    }
    for (const [learns, total] of Object.entries(expected)) {
      const { y, dx, dp } = await of(learns)
      expect(Array.from(y, (v) => v + 0)).toEqual(Array.from(x, (v) => Math.fround(s) * Math.sign(v) + 0))
      expect(Array.from(dx, (v) => v + 0)).toEqual(Array.from(c, (v, i) => v * inside[i] + 0))
      expect(dp[0]).toBeCloseTo(total, 4)
    }
    // Beyond s nothing is straight through: the gradient of s is a true derivative.
    const far = x.map((v) => v + 2 * Math.sign(v))
    const loss = async (p: number) => sumOf((await of('clip', p, far)).y.map((v, i) => v * c[i]))
    const difference = ((await loss(s + 0.05)) - (await loss(s - 0.05))) / 0.1
    expect((await of('clip', s, far)).dp[0]).toBeCloseTo(difference, 2)
  })

  it('without a learnt step dx reaches the half step beyond the last level, and the parameter gets zero', async () => {
    const x = Float32Array.of(-0.36, -0.34, 0, 0.2, 0.34, 0.36)
    const attributes = { low: f(-3), high: f(3), learns: 'none' }
    const { dx, dp } = await run({ x, shape: [6], p: [0.1], attributes }, new Float32Array(6).fill(1))
    expect(Array.from(dx)).toEqual([0, 1, 1, 1, 1, 0])
    expect(dp[0]).toBe(0)
  })
})

it('StraightThrough is its second input, whose gradient the first one gets', async () => {
  const graph = {
    name: 'g',
    nodes: [
      node('Round', ['x'], ['rounded']),
      node('StraightThrough', ['x', 'rounded'], ['y'], {}, { domain: macroDomain }),
    ],
    initializers: new Map(),
    inputs: [valueInfo('x', 'float32', [3])],
    outputs: [],
  }
  const types = new Map(['x', 'rounded', 'y'].map((name) => [name, { dtype: 'float32', shape: [3] } as const]))
  const result = backward({ graph, types }, 'y', ['x'])
  const lowered = lowerPlain(result)
  const names = ['y', result.gradients.get('x')!]
  const outputs = names.map((name) => valueInfo(name, 'float32', [3]))
  const session = await openSession(makeModel({ ...lowered.graph, outputs }, 20), { threads: 1 })
  const found = await session.run({ x: { dtype: 'float32', dims: [3], data: Float32Array.of(0.2, 1.7, -2.4) } })
  await session.release()
  expect(names.map((name) => Array.from(found[name].data as Float32Array))).toEqual([
    [0, 2, -2],
    [1, 1, 1],
  ])
})
