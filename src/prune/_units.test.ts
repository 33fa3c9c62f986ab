/** Scores pooled by filter and by coupled channel, and marks spread back to weights. */
import { expect, it } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { weightTensors } from '../graph/weights.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { poolUnits, type UnitKind } from './_units.ts'
import { lamp } from './lamp.ts'
import { magnitude } from './magnitude.ts'
import { obd } from './obd.ts'
import { obs } from './obs.ts'
import { taylor } from './taylor.ts'

it.each([magnitude, lamp, taylor, obd, obs])('$id zeroes whole filters, and no others', async (method) => {
  const context = { seed: 1, data: { calibration: () => exampleBatches() } }
  const pruned = await method(exampleModel(), { unit: 'filter', scope: 'layer', sparsity: 0.25 }, context)
  for (const w of weightTensors(pruned)) {
    const filters = poolUnits(w, floats(w.tensor), { kind: 'filter', pool: 'mean' })
    const zeros = filters.filter((v) => v === 0).length
    expect(zeros, w.name).toBe(Math.round(0.25 * filters.length))
    const gone = floats(w.tensor).map((v) => (v === 0 ? 1 : 0))
    const whole = poolUnits(w, gone, { kind: 'filter', pool: 'mean' })
    // Those that stay have no zeros.
    expect(whole.filter((v) => v > 0).length).toBe(zeros)
  }
})

/** Which elements of a [2, 3, 3, 3] weight go with one, by their [output, input, row, column]. */
it.each<[UnitKind, number, (o: number, i: number, tap: number) => unknown]>([
  ['filter', 2, (o) => o],
  ['kernel', 2, (o, i) => [o, i]],
  ['stride', 2, (_, i, tap) => [i, tap % 2]],
  ['stride', 3, (_, i, tap) => [i, tap % 3]],
])('%s (stride %i): all weights of a unit go, those of the smallest mean square', async (unit, stride, unitOf) => {
  const rng = random(5)
  const values = Float32Array.from({ length: 54 }, () => rng.normal())
  const tensors = [floatTensor('w', [2, 3, 3, 3], values)]
  const net = makeModel({
    nodes: [node('Conv', ['x', 'w'], ['y'])],
    initializers: new Map(tensors.map((t) => [t.name, t])),
    inputs: [valueInfo('x', 'float32', ['N', 3, 8, 8])],
    outputs: [valueInfo('y', 'float32', ['N', 2, 6, 6])],
  })
  const squares = new Map<string, number[]>()
  const keyOf = (k: number): string => JSON.stringify(unitOf(Math.floor(k / 27), Math.floor(k / 9) % 3, k % 9))
  for (const [k, v] of values.entries()) squares.set(keyOf(k), [...(squares.get(keyOf(k)) ?? []), v * v])
  const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length
  const order = [...squares].sort((a, b) => mean(a[1]) - mean(b[1])).map(([key]) => key)
  const gone = order.slice(0, Math.round(0.5 * order.length))
  const [{ tensor }] = weightTensors(await magnitude(net, { unit, stride, sparsity: 0.5 }))
  expect([...floats(tensor)]).toEqual([...values].map((v, k) => (gone.includes(keyOf(k)) ? 0 : v)))
})
