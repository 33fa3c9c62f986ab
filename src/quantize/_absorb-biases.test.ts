import { describe, expect, it } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { largestDifference, outputsOf } from '../testing/real-models.ts'
import { netBuilder } from '../testing/small-nets.ts'
import { absorbBiases } from './_absorb-biases.ts'
import { int8 } from './int8.ts'

/** Images of 3 x 8 x 8, within -1 and 1. */
function images(seed: number, count = 16): Feeds {
  const rng = random(seed)
  const data = Float32Array.from({ length: count * 3 * 64 }, () => 2 * rng.next() - 1)
  return { x: { dtype: 'float32', dims: [count, 3, 8, 8], data } }
}

/** By how much every second channel of a planted network lies above zero. */
const offset = 50

interface Form {
  /** Padding of the convolution that reads the planted values. */
  readonly padding?: number
  readonly activation?: string
  /** Makes of the planted value what is read. */
  readonly between?: (b: ReturnType<typeof netBuilder>, x: string) => string
}

/** Every second channel in the middle is `offset` and a little; a convolution and a sum over places read it. */
function planted({ padding = 0, activation = 'Relu', between = (_, x) => x }: Form = {}): Model {
  const b = netBuilder(3)
  const w = b.weight('w1', [8, 3, 1, 1], 24)
  const bias = floatTensor(
    'b1',
    [8],
    Float32Array.from({ length: 8 }, (_, c) => (c % 2 ? offset : 0)),
  )
  b.initializers.set('b1', bias)
  const x = between(b, b.op(activation, [b.op('Conv', ['x', w, 'b1'])]))
  // It has no bias of its own.
  const pads = [padding, padding, padding, padding]
  const read = b.op('Conv', [x, b.weight('w2', [6, 8, 3, 3])], { pads })
  // Taps that nearly cancel out: what offsets make is no larger than what values make.
  const taps = floats(b.initializers.get('w2')!)
  const centred = taps.map((v, i) => v - taps.slice(i - (i % 9), i - (i % 9) + 9).reduce((n, t) => n + t, 0) / 9.1)
  b.initializers.set('w2', floatTensor('w2', [6, 8, 3, 3], centred))
  const y = b.op('Conv', [b.op('Sigmoid', [read]), b.weight('w3', [4, 6, 1, 1]), b.weight('b3', [4])])
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', ['n', 3, 8, 8])],
    outputs: [valueInfo(read, 'float32'), valueInfo(y, 'float32')],
  })
}

const seen = { batches: [images(1), images(2)], context: {}, subject: 'test' }
const firstBias = (m: Model): number[] => [...floats(m.graph.initializers.get('b1')!)]

/** The bias of the first layer and the largest change of outputs that absorbing makes. */
async function absorbed(form: Form) {
  const before = planted(form)
  const after = await absorbBiases(before, seen)
  const difference = largestDifference(await outputsOf(before, images(1)), await outputsOf(after, images(1)))
  return { before, after, difference }
}

const followed: readonly [string, Form][] = [
  ['directly', {}],
  ['pooled by the largest', { between: (b, x) => b.op('MaxPool', [x], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }) }],
  ['pooled by the mean', { between: (b, x) => b.op('AveragePool', [x], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }) }],
  [
    'split and put together in another order',
    {
      between(b, x) {
        b.nodes.push(node('Split', [x, 'sizes'], ['left', 'right'], { axis: 1 }))
        b.initializers.set('sizes', {
          name: 'sizes',
          dtype: 'int64',
          dims: [2],
          data: new Uint8Array(BigInt64Array.of(3n, 5n).buffer),
        })
        return b.op('Concat', ['right', 'left'], { axis: 1 })
      },
    },
  ],
]

const left: readonly [string, Form][] = [
  ['a padded convolution reads it', { padding: 1 }],
  ['a Clip limits it', { activation: 'Clip' }],
  ['an operator in between does more than shift', { between: (b, x) => b.op('Mul', [x, x]) }],
  [
    'zeros are averaged with it',
    {
      between: (b, x) => b.op('AveragePool', [x], { kernel_shape: [3, 3], pads: [1, 1, 1, 1], count_include_pad: 1 }),
    },
  ],
  [
    'something else that cannot shift lies beside it',
    { between: (b, x) => b.op('Concat', [x, b.op('Sigmoid', [x])], { axis: 2 }) },
  ],
]

describe('absorbBiases', () => {
  it.each(followed)('takes the smallest value of each channel away where it is read %s', async (_, form) => {
    const { before, after, difference } = await absorbed(form)
    const [was, is] = [firstBias(before), firstBias(after)]
    for (let c = 0; c < 8; c += 2) expect(is[c]).toBe(was[c])
    // Three weights of at most 1/2 each.
    for (let c = 1; c < 8; c += 2) expect(Math.abs(is[c])).toBeLessThan(1.5)
    expect(difference).toBeLessThan(1e-4)
    // What is left of a channel begins at zero.
    const relu = after.graph.nodes.find((n) => n.op === 'Relu')!.outputs[0]
    const open = { ...after, graph: { ...after.graph, outputs: [valueInfo(relu, 'float32')] } }
    const least = new Array(8).fill(Number.POSITIVE_INFINITY)
    for (const batch of seen.batches) {
      const values = (await outputsOf(open, batch))[relu].data as Float32Array
      for (const [i, v] of values.entries()) least[(i >> 6) % 8] = Math.min(least[(i >> 6) % 8], v)
    }
    for (const v of least) expect(Math.abs(v)).toBeLessThan(1e-5)
  })

  it.each(left)('leaves a value alone where %s', async (_, form) => {
    const { before, after } = await absorbed(form)
    expect(firstBias(after)).toEqual(firstBias(before))
  })

  it('says where nothing could be absorbed, and asks for inputs', async () => {
    const said = async (model: Model): Promise<string[]> => {
      const warnings: string[] = []
      expect(await absorbBiases(model, { ...seen, context: { warn: (w) => warnings.push(w) } })).toBe(model)
      return warnings
    }
    expect(await said(planted({ padding: 1 }))).toEqual([
      expect.stringMatching(/^int8: no biases were absorbed: no Relu/),
    ])
    const { graph, ...rest } = planted()
    const low = floatTensor('b1', [8], new Float32Array(8).fill(-offset))
    const below = { ...rest, graph: { ...graph, initializers: new Map([...graph.initializers, ['b1', low]]) } }
    expect(await said(below)).toEqual([expect.stringMatching(/^int8: no biases were absorbed: every channel/)])
    await expect(int8(planted(), { absorbBiases: true })).rejects.toThrow('int8: absorbBiases needs calibration inputs')
  })

  it('makes int8 more exact where the offsets take most of the range', async () => {
    const float = Object.values(await outputsOf(planted(), images(5)))
    const squaredErrors = async (absorbBiases: boolean): Promise<number[]> => {
      const data = { calibration: () => [images(1), images(2)] }
      const found = Object.values(await outputsOf(await int8(planted(), { absorbBiases }, { data }), images(5)))
      return float.map((value, k) => {
        const rounded = found[k].data as Float32Array
        return (value.data as Float32Array).reduce((n, v, i) => n + (v - rounded[i]) ** 2, 0)
      })
    }
    const [plain, absorbed] = [await squaredErrors(false), await squaredErrors(true)]
    for (const [k, error] of absorbed.entries()) expect(error).toBeLessThan(plain[k] / 8)
  })
})
