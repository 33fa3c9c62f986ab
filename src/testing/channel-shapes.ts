/** Small networks of the shapes that people's have, as exporters write them, for tests of removing channels. */
import { f, model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Dim, Model, Node } from '../model.ts'
import { integerTensor, sizeOf } from '../tensor/dtype.ts'
import { netBuilder } from './small-nets.ts'

type Attributes = Parameters<typeof node>[3]

interface Ends {
  readonly inputs: Readonly<Record<string, readonly Dim[]>>
  readonly outputs: Readonly<Record<string, readonly Dim[]>>
  readonly opset?: number
}

/** A builder with layers that name their own weights. */
function shapes(seed = 1) {
  const b = netBuilder(seed)
  let count = 0
  const name = (): string => `w${count++}`
  const op = (kind: string, inputs: readonly string[], attributes: Attributes = {}, domain = ''): string => {
    const y = b.op(kind, inputs, attributes)
    if (domain) b.nodes.push({ ...(b.nodes.pop() as Node), domain })
    return y
  }
  const ints = (...values: number[]): string => {
    const n = name()
    b.initializers.set(n, integerTensor(n, 'int64', [values.length], values))
    return n
  }
  const index = (value: number): string => {
    const n = name()
    b.initializers.set(n, integerTensor(n, 'int64', [], [value]))
    return n
  }
  const weight = (...dims: number[]): string => b.weight(name(), dims, 2 * sizeOf(dims.slice(1)))
  const conv = (x: string, from: number, to: number, kernel = 3, attributes: Attributes = {}): string => {
    const group = Number(attributes?.group ?? 1)
    const pads = [kernel >> 1, kernel >> 1, kernel >> 1, kernel >> 1]
    return b.op('Conv', [x, weight(to, from / group, kernel, kernel), b.weight(name(), [to], 40)], {
      pads,
      ...attributes,
    })
  }
  const norm = (x: string, channels: number): string => {
    const vector = (offset: number): string => b.weight(name(), [channels], 60, offset)
    return b.op('BatchNormalization', [x, vector(1), vector(0), vector(0), vector(1)])
  }
  const relu = (x: string): string => b.op('Relu', [x])
  const block = (x: string, from: number, to: number, kernel = 3, attributes: Attributes = {}): string =>
    relu(norm(conv(x, from, to, kernel, attributes), to))
  const dense = (x: string, from: number, to: number): string =>
    b.op('Add', [b.op('MatMul', [x, weight(from, to)]), b.weight(name(), [to], 40)])
  const several = (kind: string, inputs: string[], outputs: number, attributes: Attributes): string[] => {
    const names = Array.from({ length: outputs }, () => `s${count++}`)
    b.nodes.push(node(kind, inputs, names, attributes))
    return names
  }
  const pooled = (x: string): string => b.op('Flatten', [b.op('GlobalAveragePool', [x])])
  const layerNorm = (x: string, width: number): string =>
    b.op('LayerNormalization', [x, b.weight(name(), [width], 60, 1), b.weight(name(), [width], 60)])
  const done = ({ inputs, outputs, opset = 17 }: Ends): Model => {
    const made = makeModel(
      {
        nodes: b.nodes,
        initializers: b.initializers,
        inputs: Object.entries(inputs).map(([n, dims]) => valueInfo(n, 'float32', dims)),
        outputs: Object.entries(outputs).map(([n, dims]) => valueInfo(n, 'float32', dims)),
      },
      opset,
    )
    return { ...made, opsets: [...made.opsets, { domain: 'com.microsoft', version: 1 }] }
  }
  return { ...b, op, ints, index, weight, conv, norm, relu, block, dense, several, pooled, layerNorm, done }
}

type Shapes = ReturnType<typeof shapes>

const image = { x: ['N', 3, 8, 8] } as const

/** A network on images, from 3 channels to 5 classes. */
const classifier = (make: (s: Shapes) => [features: string, channels: number]) => (): Model => {
  const s = shapes()
  const [x, channels] = make(s)
  const y = s.dense(s.pooled(x), channels, 5)
  return s.done({ inputs: image, outputs: { [y]: ['N', 5] } })
}

/** A network on sequences [N, 6, 12], with as many features out. */
const sequence = (make: (s: Shapes, x: string) => string, { batch = 'N' as Dim, opset = 17 } = {}) => {
  return (): Model => {
    const s = shapes()
    const y = s.dense(make(s, s.dense('x', 12, 16)), 16, 5)
    return s.done({ inputs: { x: [batch, 6, 12] }, outputs: { [y]: [batch, 6, 5] }, opset })
  }
}

/** Scores, a softmax, the mix: of queries and values [N, heads, T, size] and keys [N, heads, size, T]. */
const attended = (s: Shapes, q: string, k: string, v: string): string =>
  s.op('MatMul', [s.op('Softmax', [s.op('MatMul', [q, k])], { axis: -1 }), v])

/** Each a network and the share of its bytes that may be left when half of its channels are removed. */
export const channelShapes: Readonly<Record<string, readonly [make: () => Model, most: number]>> = {
  'residual blocks': [
    classifier((s) => {
      const x = s.block('x', 3, 12)
      return [s.relu(s.op('Add', [s.norm(s.conv(s.block(x, 12, 16), 16, 12), 12), x])), 12]
    }),
    0.45,
  ],
  'dense blocks': [
    classifier((s) => {
      let x = s.block('x', 3, 8)
      for (let i = 0; i < 3; i++)
        x = s.op('Concat', [x, s.conv(s.relu(s.norm(x, 8 + 6 * i)), 8 + 6 * i, 6)], { axis: 1 })
      return [s.relu(s.norm(x, 26)), 26]
    }),
    0.5,
  ],
  inception: [
    classifier((s) => {
      const x = s.block('x', 3, 12)
      const pool = s.op('MaxPool', [x], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })
      const parts = [s.block(x, 12, 6, 1), s.block(s.block(x, 12, 6, 1), 6, 8), s.block(pool, 12, 4, 1)]
      return [s.op('Concat', parts, { axis: 1 }), 18]
    }),
    0.5,
  ],
  'squeeze and excite, by convolutions': [
    classifier((s) => {
      const x = s.block('x', 3, 16)
      const gate = s.conv(s.relu(s.conv(s.op('GlobalAveragePool', [x]), 16, 8, 1)), 8, 16, 1)
      return [s.op('Mul', [x, s.op('Sigmoid', [gate])]), 16]
    }),
    0.6,
  ],
  'squeeze and excite, by dense layers': [
    classifier((s) => {
      const x = s.block('x', 3, 16)
      const flat = s.op('ReduceMean', [x], { axes: [2, 3], keepdims: 0 })
      const gate = s.op('Sigmoid', [s.dense(s.relu(s.dense(flat, 16, 8)), 8, 16)])
      return [s.op('Mul', [x, s.op('Reshape', [gate, s.ints(-1, 16, 1, 1)])]), 16]
    }),
    0.6,
  ],
  'grouped convolutions and a shuffle': [
    classifier((s) => {
      const x = s.block(s.block('x', 3, 16), 16, 16, 3, { group: 2 })
      const apart = s.op('Transpose', [s.op('Reshape', [x, s.ints(-1, 2, 8, 8, 8)])], { perm: [0, 2, 1, 3, 4] })
      return [s.block(s.op('Reshape', [apart, s.ints(-1, 16, 8, 8)]), 16, 16, 3, { group: 2 }), 16]
    }),
    0.55,
  ],
  'halves that are stacked and dealt out': [
    classifier((s) => {
      const [a, b] = s.several('Split', [s.block('x', 3, 16), s.ints(8, 8)], 2, { axis: 1 })
      const parts = [a, s.block(b, 8, 8)].map((p) => s.op('Unsqueeze', [p, s.ints(1)]))
      const turned = s.op('Transpose', [s.op('Concat', parts, { axis: 1 })], { perm: [0, 2, 1, 3, 4] })
      return [s.block(s.op('Reshape', [turned, s.ints(-1, 16, 8, 8)]), 16, 12), 12]
    }),
    0.5,
  ],
  'depthwise convolutions': [
    classifier((s) => {
      const x = s.block(s.block('x', 3, 12), 12, 12, 3, { group: 12 })
      return [s.block(s.block(x, 12, 24, 1), 24, 48, 3, { group: 24 }), 48]
    }),
    0.5,
  ],
  'skips that are concatenated': [
    () => {
      const s = shapes()
      const a = s.block('x', 3, 8)
      const low = s.block(s.op('MaxPool', [a], { kernel_shape: [2, 2], strides: [2, 2] }), 8, 16)
      const up = s.op('ConvTranspose', [low, s.weight(16, 8, 2, 2)], { kernel_shape: [2, 2], strides: [2, 2] })
      const y = s.conv(s.block(s.op('Concat', [up, a], { axis: 1 }), 16, 12), 12, 2, 1)
      return s.done({ inputs: image, outputs: { [y]: ['N', 2, 8, 8] } })
    },
    0.5,
  ],
  'shared weights': [
    classifier((s) => {
      const w = s.weight(12, 12, 3, 3)
      const twice = (x: string): string => s.relu(s.op('Conv', [x, w], { pads: [1, 1, 1, 1] }))
      return [s.op('Add', [twice(s.block('x', 3, 12)), twice(s.block('x', 3, 12))]), 12]
    }),
    0.7,
  ],
  'transposed convolutions, in groups and depthwise': [
    classifier((s) => {
      const x = s.block('x', 3, 16)
      const two = s.op('ConvTranspose', [x, s.weight(16, 8, 3, 3)], { pads: [1, 1, 1, 1], group: 2 })
      const each = s.op('ConvTranspose', [s.relu(two), s.weight(16, 1, 3, 3)], { pads: [1, 1, 1, 1], group: 16 })
      return [s.block(each, 16, 12, 1), 12]
    }),
    0.6,
  ],
  'sound in one dimension, with what came before as a state': [
    () => {
      const s = shapes()
      const line = (x: string, from: number, to: number, kernel: number): string =>
        s.op('Conv', [x, s.weight(to, from, kernel)], { kernel_shape: [kernel] })
      const a = s.relu(line('x', 2, 12, 1))
      const all = s.op('Concat', ['cache_in', a], { axis: 2 })
      s.nodes.push(node('Slice', [all, s.ints(-2), s.ints(1000), s.ints(2)], ['cache_out']))
      const y = line(s.relu(line(all, 12, 16, 3)), 16, 4, 1)
      return s.done({
        inputs: { x: [1, 2, 10], cache_in: [1, 12, 2] },
        outputs: { [y]: [1, 4, 10], cache_out: [1, 12, 2] },
      })
    },
    0.5,
  ],
  'a state that slices are assigned to': [
    () => {
      const s = shapes()
      const a = s.relu(s.op('Conv', ['x', s.weight(8, 2, 1)], {}))
      const before = s.op('Unsqueeze', [s.op('Gather', ['cache_in', s.index(0)], { axis: 0 }), s.ints(0)])
      s.initializers.set('second', integerTensor('second', 'int64', [1, 1], [1]))
      s.nodes.push(node('ScatterND', ['cache_in', 'second', a], ['cache_out']))
      // The first two steps of every channel, each place by its three indices.
      const list = Array.from({ length: 8 * 2 }, (_, k) => [0, k >> 1, k & 1]).flat()
      s.initializers.set('places', integerTensor('places', 'int64', [1, 8, 2, 3], list))
      const now = s.op('Slice', [a, s.ints(0), s.ints(2), s.ints(2)])
      const y = s.op('Conv', [s.op('ScatterND', [before, 'places', now]), s.weight(3, 8, 1)], {})
      return s.done({
        inputs: { x: [1, 2, 4], cache_in: [2, 8, 4] },
        outputs: { [y]: [1, 3, 4], cache_out: [2, 8, 4] },
      })
    },
    0.95,
  ],
  'attention, three products': [
    sequence((s, x) => {
      const heads = (perm: number[]): string =>
        s.op('Transpose', [s.op('Reshape', [s.dense(x, 16, 16), s.ints(0, 0, 4, 4)])], { perm })
      const mixed = attended(s, heads([0, 2, 1, 3]), heads([0, 2, 3, 1]), heads([0, 2, 1, 3]))
      const joined = s.op('Reshape', [s.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }), s.ints(0, 0, 16)])
      return s.op('Add', [x, s.dense(joined, 16, 16)])
    }),
    0.6,
  ],
  'attention, with sizes that are asked for': [
    () => {
      const s = shapes()
      const x = s.dense('x', 12, 16)
      const asked = (i: number): string =>
        s.op('Unsqueeze', [s.op('Gather', [s.op('Shape', [x]), s.index(i)], { axis: 0 }), s.ints(0)])
      const sizes = (...last: number[]): string => s.op('Concat', [asked(0), asked(1), s.ints(...last)], { axis: 0 })
      const heads = (perm: number[]): string =>
        s.op('Transpose', [s.op('Reshape', [s.dense(x, 16, 16), sizes(4, 4)])], { perm })
      const mixed = attended(s, heads([0, 2, 1, 3]), heads([0, 2, 3, 1]), heads([0, 2, 1, 3]))
      const joined = s.op('Reshape', [s.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }), sizes(16)])
      const y = s.dense(s.op('Add', [x, s.dense(joined, 16, 16)]), 16, 5)
      return s.done({ inputs: { x: ['N', 'T', 12] }, outputs: { [y]: ['N', 'T', 5] } })
    },
    0.6,
  ],
  'attention, one product taken apart': [
    sequence((s, x) => {
      const all = s.op('Reshape', [s.dense(x, 16, 48), s.ints(0, 0, 3, 4, 4)])
      const turned = s.op('Transpose', [all], { perm: [2, 0, 3, 1, 4] })
      const [q, k, v] = [0, 1, 2].map((i) => s.op('Gather', [turned, s.index(i)], { axis: 0 }))
      const mixed = attended(s, q, s.op('Transpose', [k], { perm: [0, 1, 3, 2] }), v)
      const joined = s.op('Reshape', [s.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }), s.ints(0, 0, 16)])
      return s.layerNorm(s.op('Add', [x, s.dense(joined, 16, 16)]), 16)
    }),
    0.8,
  ],
  'attention with heads in the batch': [
    sequence(
      (s, x) => {
        const heads = (perm: number[]): string =>
          s.op('Transpose', [s.op('Reshape', [s.dense(x, 16, 16), s.ints(6, 4, 4)])], { perm })
        const mixed = attended(s, heads([1, 0, 2]), heads([1, 2, 0]), heads([1, 0, 2]))
        const joined = s.op('Reshape', [s.op('Transpose', [mixed], { perm: [1, 0, 2] }), s.ints(1, 6, 16)])
        return s.op('Add', [x, s.dense(joined, 16, 16)])
      },
      { batch: 1 },
    ),
    0.6,
  ],
  'attention with heads in a batch that is not known': [
    () => {
      const s = shapes()
      const x = s.dense('x', 12, 16)
      const batch = s.op('Gather', [s.op('Shape', [x]), s.index(1)], { axis: 0 })
      const times = s.op('Unsqueeze', [s.op('Mul', [batch, s.index(4)]), s.ints(0)])
      const heads = (perm: number[]): string => {
        const sizes = s.op('Concat', [s.ints(6), times, s.ints(4)], { axis: 0 })
        return s.op('Transpose', [s.op('Reshape', [s.dense(x, 16, 16), sizes])], { perm })
      }
      const mixed = attended(s, heads([1, 0, 2]), heads([1, 2, 0]), heads([1, 0, 2]))
      const whole = s.op('Concat', [s.ints(6), s.op('Unsqueeze', [batch, s.ints(0)]), s.ints(16)], { axis: 0 })
      const joined = s.op('Reshape', [s.op('Transpose', [mixed], { perm: [1, 0, 2] }), whole])
      const y = s.dense(s.op('Add', [x, s.dense(joined, 16, 16)]), 16, 5)
      return s.done({ inputs: { x: [6, 'N', 12] }, outputs: { [y]: [6, 'N', 5] } })
    },
    0.6,
  ],
  'attention by einsum': [
    sequence((s, x) => {
      const heads = (): string => s.op('Einsum', [x, s.weight(16, 4, 4)], { equation: 'btd,dhe->bhte' })
      const scores = s.op('Softmax', [s.op('Einsum', [heads(), heads()], { equation: 'bhte,bhse->bhts' })], {
        axis: -1,
      })
      const mixed = s.op('Einsum', [scores, heads()], { equation: 'bhts,bhse->bthe' })
      const out = s.op('Einsum', [mixed, s.weight(4, 4, 16)], { equation: 'bthe,hed->btd' })
      return s.op('Add', [x, out])
    }),
    0.6,
  ],
  'attention as one operator': [
    sequence(
      (s, x) => {
        const [q, k, v] = [0, 1, 2].map(() => s.dense(x, 16, 16))
        return s.dense(s.op('Attention', [q, k, v], { q_num_heads: 4, kv_num_heads: 4 }), 16, 16)
      },
      { opset: 23 },
    ),
    0.6,
  ],
  'attention as one operator of ONNX Runtime': [
    sequence((s, x) => {
      const mixed = s.op('Attention', [x, s.weight(16, 48), s.weight(48)], { num_heads: 4 }, 'com.microsoft')
      const [q, k, v] = [0, 1, 2].map(() => s.dense(x, 16, 16))
      const other = s.op('MultiHeadAttention', [q, k, v], { num_heads: 4 }, 'com.microsoft')
      return s.op('Add', [s.dense(mixed, 16, 16), s.dense(other, 16, 16)])
    }),
    0.6,
  ],
  'a transformer block': [
    sequence((s, x) => {
      const up = s.dense(s.layerNorm(x, 16), 16, 64)
      const gelu = s.op('Mul', [up, s.op('Erf', [up])])
      return s.layerNorm(s.op('Add', [x, s.dense(gelu, 64, 16)]), 16)
    }),
    0.75,
  ],
  'tokens that are mixed': [
    sequence((s, x) => {
      const turned = s.op('Transpose', [x], { perm: [0, 2, 1] })
      const mixed = s.dense(s.relu(s.dense(turned, 6, 20)), 20, 6)
      return s.op('Add', [x, s.op('Transpose', [mixed], { perm: [0, 2, 1] })])
    }),
    0.6,
  ],
  'gated linear units': [
    sequence((s, x) => {
      const [a, b] = s.several('Split', [s.dense(x, 16, 48), s.ints(24, 24)], 2, { axis: -1 })
      return s.dense(s.op('Mul', [a, s.op('Sigmoid', [b])]), 24, 16)
    }),
    0.5,
  ],
  'blocks with channels last': [
    classifier((s) => {
      const x = s.conv('x', 3, 12)
      const last = s.layerNorm(s.op('Transpose', [s.conv(x, 12, 12, 3, { group: 12 })], { perm: [0, 2, 3, 1] }), 12)
      const inner = s.dense(s.relu(s.dense(last, 12, 48)), 48, 12)
      return [s.op('Add', [x, s.op('Transpose', [inner], { perm: [0, 3, 1, 2] })]), 12]
    }),
    0.75,
  ],
  'a GRU with its state': [
    () => {
      const s = shapes()
      const weights = [s.weight(1, 36, 4), s.weight(1, 36, 12), s.weight(1, 72)]
      const [y, last] = s.several('GRU', ['x', ...weights, '', 'h_in'], 2, { hidden_size: 12, linear_before_reset: 1 })
      const out = s.dense(s.op('Squeeze', [y, s.ints(1)]), 12, 5)
      s.nodes.push(node('Identity', [last], ['h_out']))
      return s.done({
        inputs: { x: [5, 2, 4], h_in: [1, 2, 12] },
        outputs: { [out]: [5, 2, 5], h_out: [1, 2, 12] },
      })
    },
    0.5,
  ],
  'two LSTMs whose states are stacked': [
    () => {
      const s = shapes()
      const layer = (x: string, from: number, at: number): string[] => {
        const part = (k: number): string =>
          s.op('Unsqueeze', [
            s.op('Gather', [s.op('Gather', ['states', s.index(at)], { axis: 0 }), s.index(k)], { axis: 2 }),
            s.ints(0),
          ])
        const weights = [s.weight(1, 32, from), s.weight(1, 32, 8), s.weight(1, 64)]
        const made = s.several('LSTM', [x, ...weights, '', part(0), part(1)], 3, { hidden_size: 8 })
        const both = made.slice(1).map((h) => s.op('Unsqueeze', [s.op('Squeeze', [h, s.ints(0)]), s.ints(2)]))
        return [s.op('Squeeze', [made[0], s.ints(1)]), s.op('Concat', both, { axis: 2 })]
      }
      const [a, first] = layer('x', 4, 0)
      const [c, second] = layer(a, 8, 1)
      const stacked = [first, second].map((h) => s.op('Unsqueeze', [h, s.ints(0)]))
      s.nodes.push(node('Concat', stacked, ['stack'], { axis: 0 }))
      const y = s.dense(c, 8, 5)
      return s.done({
        inputs: { x: [5, 2, 4], states: [2, 2, 8, 2] },
        outputs: { [y]: [5, 2, 5], stack: [2, 2, 8, 2] },
      })
    },
    0.5,
  ],
  'an LSTM in both directions': [
    () => {
      const s = shapes()
      const weights = [s.weight(2, 32, 4), s.weight(2, 32, 8), s.weight(2, 64)]
      const [y] = s.several('LSTM', ['x', ...weights], 1, { hidden_size: 8, direction: 'bidirectional' })
      const joined = s.op('Reshape', [s.op('Transpose', [y], { perm: [0, 2, 1, 3] }), s.ints(0, 0, -1)])
      const out = s.dense(joined, 16, 5)
      return s.done({ inputs: { x: [5, 2, 4] }, outputs: { [out]: [5, 2, 5] } })
    },
    0.5,
  ],
  'groups that are normalised, as one operator': [
    () => {
      const s = shapes()
      const x = s.conv('x', 3, 12)
      const normed = s.op('GroupNormalization', [x, s.weight(12), s.weight(12)], { num_groups: 4 })
      const y = s.conv(s.relu(normed), 12, 5)
      return s.done({ inputs: image, outputs: { [y]: ['N', 5, 8, 8] }, opset: 21 })
    },
    0.6,
  ],
  'groups that are normalised, by instances': [
    () => {
      const s = shapes()
      const apart = s.op('Reshape', [s.conv('x', 3, 12), s.ints(0, 4, -1)])
      const normed = s.op('InstanceNormalization', [apart, s.weight(4), s.weight(4)])
      const whole = s.op('Reshape', [normed, s.ints(-1, 12, 8, 8)])
      const y = s.conv(s.relu(s.op('Add', [s.op('Mul', [whole, s.weight(12, 1, 1)]), s.weight(12, 1, 1)])), 12, 5)
      return s.done({ inputs: image, outputs: { [y]: ['N', 5, 8, 8] } })
    },
    0.6,
  ],
  'pixels that are shuffled, as one operator': [
    () => {
      const s = shapes()
      const up = s.op('DepthToSpace', [s.block('x', 3, 32)], { blocksize: 2, mode: 'CRD' })
      const down = s.op('SpaceToDepth', [s.block(up, 8, 6)], { blocksize: 2 })
      const y = s.conv(down, 24, 2)
      return s.done({ inputs: image, outputs: { [y]: ['N', 2, 8, 8] } })
    },
    0.6,
  ],
  'pixels that are shuffled, by hand': [
    () => {
      const s = shapes()
      const apart = s.op('Reshape', [s.block('x', 3, 32), s.ints(-1, 8, 2, 2, 8, 8)])
      const turned = s.op('Transpose', [apart], { perm: [0, 1, 4, 2, 5, 3] })
      const y = s.conv(s.op('Reshape', [turned, s.ints(-1, 8, 16, 16)]), 8, 2)
      return s.done({ inputs: image, outputs: { [y]: ['N', 2, 16, 16] } })
    },
    0.6,
  ],
  'an image that is flattened': [
    () => {
      const s = shapes()
      const flat = s.op('Reshape', [s.block('x', 3, 8), s.ints(0, -1)])
      const y = s.dense(s.relu(s.dense(flat, 512, 16)), 16, 5)
      return s.done({ inputs: image, outputs: { [y]: ['N', 5] } })
    },
    0.4,
  ],
  'an image that is flattened, channels last': [
    () => {
      const s = shapes()
      const flat = s.op('Reshape', [s.op('Transpose', [s.block('x', 3, 8)], { perm: [0, 2, 3, 1] }), s.ints(0, -1)])
      const y = s.dense(s.relu(s.dense(flat, 512, 16)), 16, 5)
      return s.done({ inputs: image, outputs: { [y]: ['N', 5] } })
    },
    0.4,
  ],
  'a vector that is spread over an image': [
    classifier((s) => {
      const x = s.block('x', 3, 8)
      const sizes = s.ints(1, 6, 8, 8)
      const all = s.op('Expand', [s.conv(s.op('GlobalAveragePool', [x]), 8, 6, 1), sizes])
      return [s.block(s.op('Concat', [x, all], { axis: 1 }), 14, 12), 12]
    }),
    0.5,
  ],
  'an operator that nobody knows, in one branch': [
    classifier((s) => {
      const x = s.block('x', 3, 12)
      const seen = s.block(s.op('LpNormalization', [s.block('x', 3, 4)], { axis: 1, p: 2 }), 4, 12)
      return [s.block(s.op('Add', [x, seen]), 12, 12), 12]
    }),
    0.5,
  ],
  'leaky slopes, stored and in attributes': [
    classifier((s) => {
      const x = s.op('PRelu', [s.conv('x', 3, 12), s.weight(12, 1, 1)])
      return [s.op('LeakyRelu', [s.conv(x, 12, 12)], { alpha: f(0.2) }), 12]
    }),
    0.4,
  ],
}
