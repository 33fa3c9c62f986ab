/** Trained ternary weights: what they round to, and the gradients of the paper's equations 7 and 8, worked out by hand. */
import { expect, it } from 'vitest'
import { backward } from '../grad/backward.ts'
import { lowerPlain } from '../grad/lower-plain.ts'
import { specialize } from '../grad/specialize.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { openSession } from '../runtime/session.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { fakeWeight } from './_weight-quantisers.ts'

it('ttq: two learnt sizes, whose gradients are sums over their sides, over the root of all; a weight has that of its size, or its own', async () => {
  const tensor = floatTensor('w', [6], [1, 0.5, 0.03, -0.02, -0.5, -0.75])
  const names = new Map<string, number>()
  const fresh = (base: string): string => {
    names.set(base, (names.get(base) ?? 0) + 1)
    return `${base}_${names.get(base)}`
  }
  const setting = { quantiser: 'ttq', bits: 2, axis: 0, perChannel: false, reduceRange: true, opset: 17 } as const
  const fake = fakeWeight({ ...setting, tensor, fresh })
  const [p, n] = fake.parameters
  const special = specialize(
    makeModel({
      nodes: [
        ...fake.nodes,
        node('Mul', [fake.output, 'c'], ['cw']),
        node('ReduceSum', ['cw'], ['y'], { keepdims: 0 }),
      ],
      initializers: new Map([tensor, ...fake.stored].map((t) => [t.name, t])),
      inputs: [valueInfo('c', 'float32', [6])],
      outputs: [valueInfo('y', 'float32', [])],
    }),
    { c: [6] },
  )
  const whole = { graph: special.model.graph, types: special.types }
  const result = backward(whole, 'y', ['w', p, n])
  const lowered = lowerPlain(result)
  const wanted = [fake.output, ...['w', p, n].map((name) => result.gradients.get(name)!)]
  const outputs = wanted.map((name) => valueInfo(name, 'float32'))
  const session = await openSession(makeModel({ ...lowered.graph, outputs }, 20), { threads: 1 })
  const found = await session.run({ c: { dtype: 'float32', dims: [6], data: Float32Array.of(1, 2, 3, 4, 5, 6) } })
  await session.release()
  const [w, dw, dp, dn] = wanted.map((name) => [...(found[name].data as Float32Array)])
  // The sides: 1 and 0.5 above 0.05; -0.5 and -0.75 below. Their means 0.75 and 0.625, the latter in 64ths of the former.
  const low = (0.75 / 64) * Math.round(0.625 / (0.75 / 64))
  expect(w.map((v) => v + 0)).toEqual([0.75, 0.75, 0, 0, -low, -low].map(Math.fround))
  expect(dp[0] * Math.sqrt(6)).toBeCloseTo(3, 5)
  expect(dn[0] * Math.sqrt(6)).toBeCloseTo(-11, 5)
  expect(dw).toEqual([0.75, 1.5, 3, 4, 3.125, 3.75].map(Math.fround))
  const { levels, steps } = fake.levels(Float32Array.of(1, 0.5, 0.03, -0.02, -0.5, -0.75), (name) =>
    name === p ? Float32Array.of(0.75) : Float32Array.of(0.625),
  )
  expect([...levels].map((q) => q * steps[0] + 0)).toEqual(w.map((v) => v + 0))
})
