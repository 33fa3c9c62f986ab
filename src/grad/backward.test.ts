/** Small graphs: straight-through quantisers, values with many readers, and what has no rule. */
import { expect, it } from 'vitest'
import { f, model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { openSession } from '../runtime/session.ts'
import { bytesOf, floatTensor } from '../tensor/dtype.ts'
import { backward, type TypedGraph } from './backward.ts'
import { lowerPlain } from './lower-plain.ts'
import { specialize } from './specialize.ts'

/** The values of a graph's outputs, in float32, with weights as they are given. */
async function evaluate(
  { graph, types }: TypedGraph,
  outputs: readonly string[],
  weights: ReadonlyMap<string, Float32Array>,
  x: Float32Array,
): Promise<Record<string, Float32Array>> {
  const lowered = lowerPlain({ graph, types })
  const initializers = new Map(lowered.graph.initializers)
  for (const [name, values] of weights) initializers.set(name, { ...initializers.get(name)!, data: bytesOf(values) })
  const infos = outputs.map((name) => valueInfo(name, 'float32', lowered.types.get(name)!.shape))
  const session = await openSession(makeModel({ ...lowered.graph, initializers, outputs: infos }, 20), { threads: 1 })
  const { name, shape } = lowered.graph.inputs[0]
  const results = await session.run({ [name]: { dtype: 'float32', dims: shape as number[], data: x } })
  await session.release()
  return Object.fromEntries(outputs.map((o) => [o, results[o].data as Float32Array]))
}

/** y = dequantised quantised x, with a scale that is trained too. */
function fakeQuantise(x: readonly number[], step: number): Model {
  const zero = { name: 'zero', dtype: 'int8', dims: [], data: new Uint8Array(1) } as const
  return makeModel({
    nodes: [
      node('QuantizeLinear', ['x', 'step', 'zero'], ['q']),
      node('DequantizeLinear', ['q', 'step', 'zero'], ['y']),
    ],
    initializers: new Map([
      ['step', floatTensor('step', [], [step])],
      ['zero', zero],
    ]),
    inputs: [valueInfo('x', 'float32', [x.length])],
    outputs: [valueInfo('y', 'float32', [x.length])],
  })
}

it('quantisers pass gradients straight through within their range, and give their step the one of LSQ', async () => {
  const x = [-30, -12.9, -0.3, 0, 0.26, 1.11, 12.66, 20]
  const step = 0.1
  const special = specialize(fakeQuantise(x, step), {})
  const { graph, types, gradients } = backward(special, 'y', ['x', 'step'])
  const names = [gradients.get('x')!, gradients.get('step')!]
  const values = await evaluate({ graph, types }, names, new Map(), Float32Array.from(x))
  expect([...values[names[0]]]).toEqual(x.map((v) => (v / step >= -128.5 && v / step <= 127.5 ? 1 : 0)))
  const expected = x.reduce((total, v) => {
    const level = v / step
    return total + (level < -128.5 ? -128 : level > 127.5 ? 127 : Math.round(level) - level)
  }, 0)
  expect(values[names[1]][0]).toBeCloseTo(expected, 3)
})

it('values that many layers read collect the gradients of all', async () => {
  const net = makeModel({
    nodes: [
      node('Mul', ['x', 'x'], ['a']),
      node('Add', ['a', 'x'], ['b']),
      node('LeakyRelu', ['b'], ['c'], { alpha: f(0.5) }),
      node('Mul', ['c', 'a'], ['y']),
    ],
    initializers: new Map(),
    inputs: [valueInfo('x', 'float32', [3])],
    outputs: [valueInfo('y', 'float32', [3])],
  })
  const special = specialize(net, {})
  const { graph, types, gradients } = backward(special, 'y', ['x'])
  const name = gradients.get('x')!
  const x = [-2, 0.5, 3]
  const values = await evaluate({ graph, types }, [name], new Map(), Float32Array.from(x))
  x.forEach((v, i) => {
    expect(values[name][i]).toBeCloseTo(4 * v ** 3 + 3 * v ** 2, 3) // all three have x² + x > 0
  })
})

it('a missing rule is told before anything runs, by operator and node', () => {
  const net = makeModel({
    nodes: [node('Det', ['x'], ['y'], {}, { name: 'volume' })],
    initializers: new Map(),
    inputs: [valueInfo('x', 'float32', [2, 2])],
    outputs: [valueInfo('y', 'float32', [])],
  })
  const types = new Map([
    ['x', { dtype: 'float32', shape: [2, 2] }],
    ['y', { dtype: 'float32', shape: [] }],
  ] as const)
  expect(() => backward({ graph: net.graph, types }, 'y', ['x'])).toThrow(/Det "volume".*Det has no gradient/)
})
