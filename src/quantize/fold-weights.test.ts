/** What constants alone compute is stored, where the file does not grow. */
import { describe, expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import { constantsOf } from '../graph/constants.ts'
import { storedBytes } from '../graph/walk.ts'
import type { Tensor } from '../model.ts'
import { floats, floatTensor, integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { largestDifference, outputsOf, randomFeeds } from '../testing/real-models.ts'
import { weightWays } from '../testing/weight-ways.ts'
import { foldWeights } from './fold-weights.ts'

describe('fold-weights', () => {
  it.each(['a quantiser of float weights', 'weight normalisation', 'a low-rank side, merged', 'a constant scale'])(
    '%s',
    async (name) => {
      const { model: given } = weightWays[name]()
      const after = await foldWeights(given)
      expect(storedBytes(after)).toBeLessThanOrEqual(storedBytes(given))
      const direct = constantsOf(after).filter((c) => c.role === 'weight')
      expect(direct.every((c) => c.uses.every((u) => u.direct))).toBe(true)
      const feeds = randomFeeds(given)
      expect(largestDifference(await outputsOf(given, feeds), await outputsOf(after, feeds))).toBeLessThan(1e-5)
    },
  )

  it.each(['a Transpose', 'a Cast of float16', 'a table tied to the output', 'gates joined by Concat'])(
    'leaves what is only rearranged: %s',
    async (name) => {
      const { model: given } = weightWays[name]()
      expect(await foldWeights(given)).toBe(given)
    },
  )

  it.each(['Where', 'Mul'])('what a stored mask leaves out is exactly zero, by %s', async (op) => {
    const rng = random(3)
    const draw = (count: number) => Float32Array.from({ length: count }, () => rng.normal())
    const mask = Uint8Array.from({ length: 128 }, () => (rng.next() < 0.3 ? 1 : 0))
    const masks = {
      Where: { dtype: 'bool', nodes: [node('Where', ['m', 'w', 'zero'], ['masked'])] },
      Mul: { dtype: 'int8', nodes: [node('Cast', ['m'], ['f'], { to: 1 }), node('Mul', ['f', 'w'], ['masked'])] },
    } as const
    const { dtype, nodes } = masks[op as keyof typeof masks]
    const tensors = [floatTensor('w', [16, 8], draw(128)), floatTensor('zero', [], [0])]
    const given = model({
      nodes: [...nodes, node('MatMul', ['x', 'masked'], ['y'])],
      initializers: new Map([...tensors, integerTensor('m', dtype, [16, 8], mask)].map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', ['N', 16])],
      outputs: [valueInfo('y', 'float32', ['N', 8])],
    })
    const { graph } = await foldWeights(given)
    expect(graph.nodes.map((n) => n.op)).toEqual(['MatMul'])
    const kept = floats(graph.initializers.get('masked') as Tensor)
    expect(kept.map((v) => (v === 0 ? 0 : 1))).toEqual(Float32Array.from(mask))
    const feeds = randomFeeds(given)
    expect(largestDifference(await outputsOf(given, feeds), await outputsOf({ ...given, graph }, feeds))).toBe(0)
  })

  it('leaves the bias of a layer on integers an integer, as its kernels take it', async () => {
    const whole = (name: string, dtype: 'int8' | 'int32', dims: readonly number[]) =>
      integerTensor(
        name,
        dtype,
        dims,
        Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => ((7 * i) % 101) - 50),
      )
    const tensors = [
      whole('w', 'int8', [4, 3, 3, 3]),
      whole('b', 'int32', [4]),
      ...[floatTensor('s', [4], [0.01, 0.02, 0.03, 0.04]), floatTensor('xs', [], [0.02])],
      ...[integerTensor('z', 'int8', [4], [0, 0, 0, 0]), integerTensor('xz', 'uint8', [], [128])],
    ]
    const quantised = model({
      nodes: [
        node('QuantizeLinear', ['x', 'xs', 'xz'], ['xq']),
        node('DequantizeLinear', ['xq', 'xs', 'xz'], ['xd']),
        node('DequantizeLinear', ['w', 's', 'z'], ['wd'], { axis: 0 }),
        node('DequantizeLinear', ['b', 's'], ['bd'], { axis: 0 }),
        node('Conv', ['xd', 'wd', 'bd'], ['y']),
      ],
      initializers: new Map(tensors.map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', ['N', 3, 8, 8])],
      outputs: [valueInfo('y', 'float32', ['N', 4, 6, 6])],
    })
    expect(await foldWeights(quantised)).toBe(quantised)
  })
})
