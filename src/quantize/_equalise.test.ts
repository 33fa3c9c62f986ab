import { describe, expect, it } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Feeds } from '../method.ts'
import type { Model, Tensor } from '../model.ts'
import { gathersForShuffles } from '../simplify/gather-shuffles.ts'
import { floats, integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { largestDifference, outputsOf } from '../testing/real-models.ts'
import { netBuilder } from '../testing/small-nets.ts'
import { equalise } from './_equalise.ts'
import { int8 } from './int8.ts'

/** Images of 3 x 8 x 8. */
function images(seed: number, count = 16): Feeds {
  const rng = random(seed)
  const data = Float32Array.from({ length: count * 3 * 64 }, () => rng.normal())
  return { x: { dtype: 'float32', dims: [count, 3, 8, 8], data } }
}

/** Every second, third, ... output of a convolution made larger by up to 2^7, so that one range fits its channels badly. */
function uneven(tensor: Tensor): Tensor {
  const values = floats(tensor).slice()
  const size = values.length / tensor.dims[0]
  for (let i = 0; i < values.length; i++) values[i] *= 2 ** ((Math.floor(i / size) * 3) % 8)
  return { ...tensor, data: new Uint8Array(values.buffer) }
}

/** Two units of ShuffleNetV2, their shuffles as Gathers, a sum and a dense end; `between` stands where the units' first convolution ends. */
function shuffled(between = 'Relu'): Model {
  const b = netBuilder(3)
  const shape = (dims: readonly number[]): string => {
    const name = `shape${b.initializers.size}`
    b.initializers.set(name, integerTensor(name, 'int64', [dims.length], dims))
    return name
  }
  const conv = (x: string, [to, from, k]: readonly number[], group = 1): string => {
    const w = b.weight(`w${b.initializers.size}`, [to, from, k, k])
    b.initializers.set(w, uneven(b.initializers.get(w) as Tensor))
    const bias = b.weight(`b${b.initializers.size}`, [to], 40)
    return b.op('Conv', [x, w, bias], { pads: [k >> 1, k >> 1, k >> 1, k >> 1], group })
  }
  let x = b.op('Relu', [conv('x', [8, 3, 3])])
  for (let unit = 0; unit < 2; unit++) {
    const halves = [`left${unit}`, `right${unit}`]
    b.nodes.push(node('Split', [x, shape([4, 4])], halves, { axis: 1 }))
    let right = b.op(between, [conv(halves[1], [4, 4, 1])])
    right = conv(right, [4, 1, 3], 4)
    right = b.op('Relu', [conv(right, [4, 4, 1])])
    x = b.op('Concat', [halves[0], right], { axis: 1 })
    x = b.op('Reshape', [x, shape([-1, 2, 4, 8, 8])])
    x = b.op('Transpose', [x], { perm: [0, 2, 1, 3, 4] })
    x = b.op('Reshape', [x, shape([-1, 8, 8, 8])])
  }
  const sum = b.op('Add', [b.op('Relu', [conv(x, [8, 8, 1])]), x])
  const pooled = b.op('GlobalAveragePool', [b.op('Relu', [conv(sum, [6, 8, 3])])])
  const y = b.op('Gemm', [b.op('Flatten', [pooled]), b.weight('dense', [6, 5])])
  const net = {
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', ['n', 3, 8, 8])],
    outputs: [valueInfo(y, 'float32', ['n', 5])],
  }
  return gathersForShuffles(makeModel(net))
}

const options = { batches: [images(1), images(2)], context: {}, subject: 'test' }
const calibration = () => [images(1), images(2)]

const weights = (m: Model): number[] =>
  [...m.graph.initializers.values()].flatMap((t) => (t.dtype === 'float32' ? [...floats(t)] : []))

describe('equalise', () => {
  it('changes weights, and no bit of the outputs', async () => {
    const before = shuffled()
    const after = await equalise(before, options)
    expect(weights(after)).not.toEqual(weights(before))
    const [a, b] = [await outputsOf(before, images(5)), await outputsOf(after, images(5))]
    expect(largestDifference(a, b)).toBe(0)
  })

  it('halves what integers cost where channels differ', async () => {
    const float = await outputsOf(shuffled(), images(5))
    const error = async (equalise: boolean): Promise<number> => {
      const made = await int8(shuffled(), { equalise, rounding: 'nearest' }, { data: { calibration } })
      return largestDifference(float, await outputsOf(made, images(5)))
    }
    expect(await error(true)).toBeLessThan((await error(false)) / 2)
  })

  it('leaves channels alone on both sides of an operator that is not homogeneous', async () => {
    const [before, after] = [shuffled('Sigmoid'), await equalise(shuffled('Sigmoid'), options)]
    const [a, b] = [await outputsOf(before, images(5)), await outputsOf(after, images(5))]
    expect(largestDifference(a, b)).toBe(0)
    // The first convolution of a unit makes what Sigmoid reads: its rows stay, its columns need not.
    const sigmoid = before.graph.nodes.filter((n) => n.op === 'Sigmoid')
    expect(sigmoid).toHaveLength(2)
    for (const { inputs } of sigmoid) {
      const layer = before.graph.nodes.find((n) => n.outputs[0] === inputs[0])
      const bias = layer?.inputs[2] ?? ''
      expect(after.graph.initializers.get(bias)).toEqual(before.graph.initializers.get(bias))
    }
  })

  it('leaves a model alone whose inner values are outputs or whose weights are shared', async () => {
    const net = shuffled()
    const { graph } = net
    const seen = graph.nodes.flatMap((n) => n.outputs).filter((name) => name !== graph.outputs[0].name)
    const open = {
      ...net,
      graph: { ...graph, outputs: [...graph.outputs, ...seen.map((name) => valueInfo(name, 'float32'))] },
    }
    expect(weights(await equalise(open, options))).toEqual(weights(net))
  })
})
