/** The blocked engine computes what the plain one does, wherever channels, sizes and strides are awkward. */
import { expect, it } from 'vitest'
import { f, model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Model, Node, Tensor } from '../model.ts'
import { floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { stepGradients } from '../testing/step-gradients.ts'
import { chooseEngine } from '../train/choose-engine.ts'
import { weightPacking } from './blocked/layout.ts'
import { type Engine, plainEngine } from './engine.ts'

interface Net {
  readonly name: string
  readonly input: readonly number[]
  layers(b: Builder): string
}

interface Builder {
  conv(
    x: string,
    dims: readonly number[],
    attributes?: Record<string, number | readonly number[]>,
    bias?: boolean,
  ): string
  norm(x: string, channels: number): string
  op(kind: string, inputs: readonly string[], attributes?: Parameters<typeof node>[3]): string
  constant(value: number): string
  ints(values: readonly number[]): string
}

function build({ input, layers }: Net): Model {
  const rng = random(4)
  const nodes: Node[] = []
  const initializers = new Map<string, Tensor>()
  const weight = (dims: readonly number[], bound: number, offset = 0): string => {
    const name = `w${initializers.size}`
    const values = Float32Array.from({ length: sizeOf(dims) }, () => offset + bound * (2 * rng.next() - 1))
    initializers.set(name, floatTensor(name, dims, values))
    return name
  }
  const op: Builder['op'] = (kind, inputs, attributes = {}) => {
    const name = `v${nodes.length}`
    nodes.push(node(kind, inputs, [name], attributes))
    return name
  }
  const y = layers({
    op,
    constant: (value) => {
      const name = `k${initializers.size}`
      initializers.set(name, floatTensor(name, [], [value]))
      return name
    },
    ints: (values) => {
      const name = `k${initializers.size}`
      initializers.set(name, integerTensor(name, 'int64', [values.length], values))
      return name
    },
    conv: (x, dims, attributes = {}, bias = true) => {
      const inputs = [x, weight(dims, Math.sqrt(3 / sizeOf(dims.slice(1))))]
      return op('Conv', bias ? [...inputs, weight([dims[0]], 0.3)] : inputs, {
        kernel_shape: dims.slice(2),
        ...attributes,
      })
    },
    norm: (x, channels) => {
      const vector = (offset: number): string => weight([channels], 0.2, offset)
      return op('BatchNormalization', [x, vector(1), vector(0), vector(0), vector(1)])
    },
  })
  return makeModel({
    nodes,
    initializers,
    inputs: [valueInfo('x', 'float32', input)],
    outputs: [valueInfo(y, 'float32')],
  })
}

const nets: readonly Net[] = [
  {
    name: 'first layer, biased, then dense',
    input: [3, 3, 9, 8],
    layers: (b) => b.conv(b.op('Tanh', [b.conv('x', [20, 3, 3, 3])]), [7, 20, 3, 3], { pads: [1, 1, 1, 1] }),
  },
  {
    name: 'stride 2 on odd sizes',
    input: [2, 16, 11, 9],
    layers: (b) =>
      b.conv(b.op('Tanh', [b.conv('x', [16, 16, 1, 1])]), [24, 16, 3, 3], { strides: [2, 2], pads: [1, 1, 1, 1] }),
  },
  {
    name: 'stride 2 pointwise',
    input: [2, 16, 8, 8],
    layers: (b) => b.conv(b.op('Tanh', [b.conv('x', [32, 16, 3, 3])]), [16, 32, 1, 1], { strides: [2, 2] }),
  },
  {
    name: 'stride 2, kernel 5, uneven pads',
    input: [2, 16, 12, 12],
    layers: (b) =>
      b.conv(b.op('Tanh', [b.conv('x', [16, 16, 1, 1])]), [16, 16, 5, 5], { strides: [2, 2], pads: [2, 1, 2, 3] }),
  },
  {
    name: 'stride 3',
    input: [2, 16, 13, 10],
    layers: (b) => b.conv(b.op('Tanh', [b.conv('x', [16, 16, 1, 1])]), [16, 16, 3, 3], { strides: [3, 3] }),
  },
  {
    name: 'dilated (plain gradients)',
    input: [2, 16, 10, 10],
    layers: (b) => b.conv(b.op('Tanh', [b.conv('x', [16, 16, 1, 1])]), [16, 16, 3, 3], { dilations: [2, 2] }),
  },
  {
    name: 'grouped (plain)',
    input: [2, 16, 6, 6],
    layers: (b) => b.conv(b.op('Tanh', [b.conv('x', [32, 16, 1, 1])]), [32, 8, 3, 3], { group: 4 }),
  },
  {
    name: 'depthwise, stride 2, channels to pad',
    input: [3, 20, 9, 10],
    layers: (b) =>
      b.conv(b.op('Tanh', [b.conv('x', [20, 20, 1, 1])]), [20, 1, 3, 3], {
        group: 20,
        strides: [2, 2],
        pads: [1, 1, 1, 1],
      }),
  },
  {
    name: 'depthwise, kernel 5',
    input: [3, 32, 7, 7],
    layers: (b) =>
      b.conv(b.op('Tanh', [b.conv('x', [32, 32, 1, 1])]), [32, 1, 5, 5], { group: 32, pads: [2, 2, 2, 2] }),
  },
  {
    name: 'more samples than a block, not a multiple',
    input: [21, 16, 6, 6],
    layers: (b) => b.conv(b.op('Tanh', [b.conv('x', [16, 16, 3, 3])]), [16, 16, 3, 3], { pads: [1, 1, 1, 1] }),
  },
  {
    name: 'pointwise on small maps',
    input: [5, 32, 3, 3],
    layers: (b) => b.conv(b.op('Tanh', [b.conv('x', [64, 32, 1, 1])]), [32, 64, 1, 1]),
  },
  {
    name: 'BatchNormalization, residual, ReLU6',
    input: [5, 20, 6, 6],
    layers: (b) => {
      const x = b.op('Tanh', [b.conv('x', [20, 20, 1, 1])])
      const y = b.op('Clip', [
        b.norm(b.conv(x, [20, 20, 3, 3], { pads: [1, 1, 1, 1] }, false), 20),
        b.constant(0),
        b.constant(6),
      ])
      return b.conv(b.op('Relu', [b.op('Add', [b.norm(b.conv(y, [20, 20, 1, 1]), 20), b.norm(x, 20)])]), [4, 20, 1, 1])
    },
  },
  {
    name: 'BatchNormalization of values far from zero',
    input: [8, 16, 8, 8],
    layers: (b) => {
      const far = b.op('Add', [b.conv('x', [16, 16, 3, 3], {}, false), b.constant(30)])
      return b.conv(b.op('Tanh', [b.norm(far, 16)]), [4, 16, 1, 1])
    },
  },
  {
    name: 'sums of samples, as many as channels',
    input: [16, 16, 5, 5],
    layers: (b) => {
      const x = b.op('Tanh', [b.conv('x', [16, 16, 3, 3])])
      const sums = b.op('ReduceSum', [x, b.ints([1, 2, 3])], { keepdims: 0 })
      return b.op('Mul', [sums, b.op('ReduceSum', [x, b.ints([0, -1, -2])], { keepdims: 0 })])
    },
  },
  {
    name: 'max pool apart, with ties',
    input: [3, 16, 8, 6],
    layers: (b) =>
      b.conv(
        b.op('MaxPool', [b.op('Relu', [b.conv('x', [20, 16, 3, 3], { pads: [1, 1, 1, 1] })])], {
          kernel_shape: [2, 2],
          strides: [2, 2],
        }),
        [4, 20, 1, 1],
      ),
  },
  {
    name: 'max pool overlapping',
    input: [3, 16, 9, 9],
    layers: (b) =>
      b.conv(
        b.op('MaxPool', [b.conv('x', [20, 16, 3, 3])], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }),
        [4, 20, 1, 1],
      ),
  },
  {
    name: 'average pool and global pool',
    input: [3, 16, 9, 9],
    layers: (b) =>
      b.op('GlobalAveragePool', [
        b.op('Tanh', [b.op('AveragePool', [b.conv('x', [20, 16, 3, 3])], { kernel_shape: [3, 3], strides: [2, 2] })]),
      ]),
  },
  {
    name: 'branches joined, channels shuffled',
    input: [3, 16, 5, 5],
    layers: (b) => {
      const joined = b.op(
        'Concat',
        [b.conv('x', [16, 16, 3, 3], { pads: [1, 1, 1, 1] }), b.conv('x', [32, 16, 1, 1])],
        { axis: 1 },
      )
      return b.conv(b.op('Sigmoid', [joined]), [6, 48, 1, 1])
    },
  },
  {
    name: 'every second row and column',
    input: [3, 16, 9, 8],
    layers: (b) => {
      const x = b.op('Tanh', [b.conv('x', [20, 16, 1, 1])])
      const far = b.ints([1000, 1000])
      const thin = b.op('Slice', [x, b.ints([0, 0]), far, b.ints([2, 3]), b.ints([2, 2])])
      return b.op('Add', [b.conv(x, [20, 20, 3, 3], { strides: [2, 2], pads: [1, 1, 1, 1] }), thin])
    },
  },
  {
    name: 'other bends',
    input: [3, 16, 5, 5],
    layers: (b) =>
      b.conv(b.op('HardSwish', [b.op('LeakyRelu', [b.conv('x', [20, 16, 1, 1])], { alpha: f(0.2) })]), [6, 20, 1, 1]),
  },
  {
    name: 'scaled by channel',
    input: [3, 16, 5, 5],
    layers: (b) =>
      b.op('Mul', [
        b.conv('x', [20, 16, 1, 1]),
        b.op('Sigmoid', [b.op('GlobalAveragePool', [b.conv('x', [20, 16, 1, 1])])]),
      ]),
  },
]

for (const net of nets) {
  it(`${net.name}`, async () => {
    const { engine, reason } = await chooseEngine('auto')
    expect(reason).toBeUndefined()
    const built = build(net)
    const values = (seed: number, dims: readonly number[]) => {
      const rng = random(seed)
      return Float32Array.from({ length: sizeOf(dims) }, () => rng.normal())
    }
    const inputs = { x: { dtype: 'float32', dims: net.input, data: values(9, net.input) } } as const
    const gradients = async (by: Engine) =>
      (await stepGradients(built, { engine: by, loss: 'mse', inputs, target: (shape) => values(10, shape) })).gradients
    const [plain, blocked] = [await gradients(plainEngine), await gradients(engine)]
    expect([...blocked.keys()].sort()).toEqual([...plain.keys()].sort())
    const largest = Math.max(...[...plain.values()].flatMap((v) => [...v].map(Math.abs)))
    for (const [name, values] of plain) {
      const found = blocked.get(name)!
      values.forEach((v, i) => {
        expect(Math.abs(v - found[i]), `${name}[${i}]: ${v} and ${found[i]}`).toBeLessThan(2e-5 * largest)
      })
    }
  })
}

it('packing a weight and unpacking it gives the same bytes, padding is zero', () => {
  const rng = random(1)
  for (const kind of ['dense', 'depthwise', 'first'] as const) {
    for (const block of [8, 16]) {
      const shape = kind === 'depthwise' ? [20, 1, 3, 2] : [20, kind === 'first' ? 3 : 18, 3, 2]
      const values = Float32Array.from({ length: sizeOf(shape) }, () => rng.normal())
      const packing = weightPacking(shape, kind, block)
      const packed = packing.pack(values)
      expect(packing.unpack(packed)).toEqual(values)
      expect(packed.filter((v) => v !== 0)).toHaveLength(values.length)
    }
  }
})
