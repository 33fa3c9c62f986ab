/** Weights are compressed however they reach their layer, and every constant is listed. */
import { describe, expect, it } from 'vitest'
import { findRandomInputs } from '../evaluate/random-inputs.ts'
import { packModel } from '../formats/pack.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import { storedBytes } from '../graph/walk.ts'
import { writeModel } from '../onnx/write.ts'
import { constantRows } from '../report/constant-rows.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { floatValues, tensorOfFloats } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { outputsOf } from '../testing/real-models.ts'
import { weightWays } from '../testing/weight-ways.ts'
import { compress } from './compress.ts'

describe('compress, for size', () => {
  it.each(Object.entries(weightWays))('%s', async (_, make) => {
    const { model } = make()
    const original = writeModel(model)
    const result = await compress(model, { seed: 1 })
    expect(result.packed.byteLength / original.byteLength).toBeLessThan(0.5)
    expect(result.onnx.byteLength / original.byteLength).toBeLessThan(0.75)
    const feeds = await withSession(
      () => openSession(model),
      async (session) => (await findRandomInputs(model, session, { batchSize: 4 })).make(9),
    )
    const [before, after] = [await outputsOf(model, feeds), await outputsOf(result.model, feeds)]
    expect(after.y.dtype).toBe(before.y.dtype)
    expect(signalToNoise(floatValues(before.y) as Float32Array, floatValues(after.y) as Float32Array)).toBeGreaterThan(
      20,
    )
    const { layers, untouched } = constantRows(result.floatForm, result.model, result)
    const listed = [...layers.map((l) => l.bytesBefore), ...untouched.map((u) => u.bytes)].reduce((a, b) => a + b, 0)
    expect(listed).toBe(storedBytes(result.floatForm))
    expect(untouched.every((u) => u.reason.length > 0)).toBe(true)
    expect(untouched.reduce((sum, u) => sum + u.bytes, 0)).toBeLessThan(0.1 * storedBytes(result.floatForm))
  })
})

it('where float16 weights need more than 8 bits, so that the .onnx gets no smaller, the packed file does', async () => {
  const rng = random(5)
  const values = Float32Array.from({ length: 64 * 96 }, () => rng.normal() / 8)
  const net = model({
    nodes: [node('MatMul', ['x', 'w'], ['y'])],
    initializers: new Map([['w', tensorOfFloats('w', 'float16', [64, 96], values)]]),
    inputs: [valueInfo('x', 'float16', ['N', 64])],
    outputs: [valueInfo('y', 'float16', ['N', 96])],
  })
  const result = await compress(net, { seed: 1, maxLoss: '46 dB' })
  expect(result.packed.byteLength).toBeLessThan(0.8 * packModel(net).byteLength)
  expect(result.onnx.byteLength).toBeLessThan(1.02 * writeModel(net).byteLength)
  expect(result.holds).toBe(true)
})

function signalToNoise(exact: ArrayLike<number>, noisy: ArrayLike<number>): number {
  let [signal, noise] = [0, 0]
  for (let i = 0; i < exact.length; i++) {
    signal += exact[i] ** 2
    noise += (exact[i] - noisy[i]) ** 2
  }
  return 10 * Math.log10(signal / noise)
}
