/** The layer table: shapes, parameters, multiply-adds and bytes of models made here, of the zoo, and of real files. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runInspect } from '../cli/commands/inspect.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import { constantsOf } from '../graph/constants.ts'
import type { Attribute, Graph, Node, Tensor } from '../model.ts'
import { compact } from '../quantize/compact.ts'
import { floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { modelsFolder, needsModels, realModel } from '../testing/real-models.ts'
import { weightWays } from '../testing/weight-ways.ts'
import { zoo } from '../zoo/index.ts'
import { inspectModel } from './inspect.ts'

const tensors = (...list: Tensor[]): Map<string, Tensor> => new Map(list.map((t) => [t.name, t]))

const fs = (...value: number[]): Attribute => ({ type: 'floats', value })

function around(nodes: Node[], initializers: Map<string, Tensor>, shape: (number | string)[]) {
  return model({ nodes, initializers, inputs: [valueInfo('x', 'float32', shape)], outputs: [{ name: 'y' }] })
}

describe('multiply-adds', () => {
  test('a convolution with groups, stride, dilation and padding: as many as a plain loop makes', () => {
    const w = floatTensor('w', [6, 2, 3, 2], new Float32Array(72))
    const conv = node('Conv', ['x', 'w'], ['y'], { group: 2, strides: [2, 1], dilations: [1, 2], pads: [1, 0, 1, 0] })
    let macs = 0
    for (let channel = 0; channel < 6; channel++)
      for (let row = 0; row + 3 <= 9 + 2; row += 2) for (let column = 0; column + 3 <= 7; column++) macs += 2 * 3 * 2
    const { layers, totals } = inspectModel(around([conv], tensors(w), ['N', 4, 9, 7]))
    expect(layers[0]).toMatchObject({
      outputShape: ['N', 6, 5, 5],
      macs,
      params: 72,
      bytes: 288,
      sparsity: 1,
      distinct: 1,
    })
    expect(totals.macs).toBe(macs)
  })

  test('weights of whole numbers of 8 and 16 bits, behind a type and a scale', () => {
    for (const dtype of ['int8', 'int16'] as const) {
      const stored = tensors(
        integerTensor(
          'q',
          dtype,
          [8, 4],
          Array.from({ length: 32 }, (_, i) => i - 16),
        ),
        floatTensor('s', [], new Float32Array([0.5])),
      )
      const nodes = [
        node('Cast', ['q'], ['f'], { to: 1 }),
        node('Mul', ['f', 's'], ['w']),
        node('MatMul', ['x', 'w'], ['y']),
      ]
      expect(inspectModel(around(nodes, stored, ['N', 8])).layers[0], dtype).toMatchObject({ params: 32, distinct: 32 })
    }
  })

  test('matrix products and recurrent layers', () => {
    const zeros = (name: string, ...dims: number[]): Tensor =>
      floatTensor(name, dims, new Float32Array(dims.reduce((a, b) => a * b)))
    const macsOf = (n: Node, init: Tensor[], shape: number[]): number | null =>
      inspectModel(around([n], tensors(...init), shape)).totals.macs
    expect(macsOf(node('MatMul', ['x', 'w'], ['y']), [zeros('w', 5, 7)], [2, 3, 5])).toBe(2 * 3 * 5 * 7)
    expect(macsOf(node('Gemm', ['x', 'w'], ['y'], { transA: 1 }), [zeros('w', 5, 7)], [5, 3])).toBe(3 * 5 * 7)
    expect(macsOf(node('ConvTranspose', ['x', 'w'], ['y'], { strides: [2] }), [zeros('w', 4, 3, 2)], [1, 4, 5])).toBe(
      4 * 5 * 3 * 2,
    )
    const lstm = node('LSTM', ['x', 'w', 'r'], ['y'], { hidden_size: 4 })
    expect(macsOf(lstm, [zeros('w', 1, 16, 3), zeros('r', 1, 16, 4)], [5, 2, 3])).toBe(5 * 2 * 16 * (3 + 4))
    expect(macsOf(node('Einsum', ['x', 'w'], ['y'], { equation: 'ij,jk->ik' }), [zeros('w', 3, 4)], [2, 3])).toBe(24)
  })
})

test('a model that draws random numbers as it runs is told of', () => {
  const nodes = [node('RandomNormalLike', ['x'], ['r'], {}, { name: 'noise' }), node('Add', ['x', 'r'], ['y'])]
  expect(inspectModel(around(nodes, new Map(), [2, 3])).remarks).toContain(
    'it draws random numbers as it runs (RandomNormalLike "noise"), so its outputs may differ from run to run',
  )
})

test('multiply-adds and parameters of MobileNetV2 are those of its paper and torchvision', () => {
  const { totals, problems, unsupported } = inspectModel(zoo.mobilenetV2.build())
  expect({ params: totals.params, macs: totals.macs, problems, unsupported }).toEqual({
    params: 3_504_872,
    macs: 300_774_272,
    problems: [],
    unsupported: [],
  })
})

describe('parameters belong to the layer that computes with them', () => {
  test('through a codebook, through DequantizeLinear, and only once', () => {
    const init = tensors(
      floatTensor('book', [3], [0, 0.5, -1]),
      integerTensor('index', 'uint8', [4, 2], [0, 1, 2, 0, 0, 1, 1, 0]),
      integerTensor('q', 'int8', [2, 3], [0, 5, 5, -3, 0, 1]),
      floatTensor('scale', [], [0.1]),
    )
    const nodes = [
      node('Cast', ['index'], ['index32'], { to: 6 }),
      node('Gather', ['book', 'index32'], ['w1']),
      node('DequantizeLinear', ['q', 'scale'], ['w2']),
      node('MatMul', ['x', 'w1'], ['a'], {}, { name: 'shared' }),
      node('MatMul', ['a', 'w2'], ['b'], {}, { name: 'integers' }),
      node('MatMul', ['x', 'w1'], ['y'], {}, { name: 'again' }),
    ]
    const { layers, totals } = inspectModel(around(nodes, init, [1, 4]))
    expect(
      layers.map(({ name, params, bytes, sparsity, distinct }) => ({ name, params, bytes, sparsity, distinct })),
    ).toEqual([
      { name: 'shared', params: 8, bytes: 12 + 8, sparsity: 0.5, distinct: 3 },
      { name: 'integers', params: 6, bytes: 6 + 4, sparsity: 2 / 6, distinct: 4 },
      { name: 'again', params: 0, bytes: 0, sparsity: 0.5, distinct: 3 },
    ])
    expect(totals).toEqual({ layers: 3, params: 14, macs: 8 + 6 + 8, bytes: 30 })
  })

  test('in nested graphs, from outside and inside; a branch costs its dearer side', () => {
    const branch = (op: string, inner: boolean): Graph => ({
      name: op,
      nodes: [
        ...(inner ? [node('Constant', [], ['k'], { value: floatTensor('', [4, 5], new Float32Array(20)) })] : []),
        node('MatMul', ['x', inner ? 'k' : 'w'], [`${op}_y`], {}, { name: op }),
      ],
      initializers: new Map(),
      inputs: [],
      outputs: [{ name: `${op}_y` }],
    })
    const choose = node(
      'If',
      ['c'],
      ['y'],
      {
        then_branch: { type: 'graph', value: branch('yes', false) },
        else_branch: { type: 'graph', value: branch('no', true) },
      },
      { name: 'if' },
    )
    const m = around([choose], tensors(floatTensor('w', [4, 2], new Float32Array(8))), [1, 4])
    const inputs = [...m.graph.inputs, valueInfo('c', 'bool', [])]
    const { layers, totals } = inspectModel({ ...m, graph: { ...m.graph, inputs } })
    expect(layers.map((l) => [l.name, l.params, l.macs, l.bytes])).toEqual([
      ['if', 0, 20, 0],
      ['if/yes', 8, 8, 32],
      ['if/no', 20, 20, 80],
    ])
    expect(totals).toEqual({ layers: 3, params: 28, macs: 20, bytes: 112 })
  })

  test('a table that is tied to the output counts once', () => {
    const nodes = [
      node('Gather', ['table', 'x'], ['e']),
      node('Transpose', ['table'], ['t'], { perm: [1, 0] }),
      node('MatMul', ['e', 't'], ['y']),
    ]
    const m = around(nodes, tensors(floatTensor('table', [5, 3], new Float32Array(15).fill(1))), ['N'])
    const inputs = [valueInfo('x', 'int64', ['N'])]
    const { layers, totals } = inspectModel({ ...m, graph: { ...m.graph, inputs } })
    expect(layers.map((l) => [l.op, l.params])).toEqual([
      ['Gather', 15],
      ['MatMul', 0],
    ])
    expect(totals).toMatchObject({ params: 15, bytes: 60 })
  })

  test('initial states are no parameters, weights that a Scan goes over are', () => {
    const zeros = (name: string, ...dims: number[]): Tensor =>
      floatTensor(name, dims, new Float32Array(dims.reduce((a, b) => a * b)))
    const lstm = node('LSTM', ['x', 'w', 'r', '', '', 'h'], ['y'], { hidden_size: 4 })
    const init = [zeros('w', 1, 16, 3), zeros('r', 1, 16, 4), zeros('h', 1, 2, 4)]
    expect(inspectModel(around([lstm], tensors(...init), [5, 2, 3])).totals.params).toBe(16 * 3 + 16 * 4)
    expect(inspectModel(weightWays['layers that a Scan goes over']().model).totals.params).toBe(3 * 32 * 32)
  })

  test.each(Object.entries(weightWays))('however the weight reaches its layer: %s', (_, make) => {
    const { model: m, weights } = make()
    const stored = constantsOf(m)
    const size = (name: string): number => sizeOf(stored.find((c) => c.name === name)?.tensor.dims ?? [])
    const others = stored.filter((c) => !weights.includes(c.name) && ['bias', 'norm'].includes(c.role))
    const { layers, totals } = inspectModel(m)
    expect(totals.params).toBe([...weights, ...others.map((c) => c.name)].reduce((sum, name) => sum + size(name), 0))
    expect(layers.reduce((sum, l) => sum + l.bytes, 0)).toBeGreaterThan(0.9 * totals.bytes)
  })

  test('weights that an operator reads two to a byte count as what they stand for', () => {
    const packed = integerTensor('w', 'uint8', [24, 2, 16], new Uint8Array(24 * 2 * 16))
    const scales = floatTensor('s', [24, 2], new Float32Array(48))
    const attributes = { K: 64, N: 24, bits: 4, block_size: 32 }
    const product = node('MatMulNBits', ['x', 'w', 's'], ['y'], attributes, { domain: 'com.microsoft' })
    const { layers } = inspectModel(around([product], tensors(packed, scales), [5, 64]))
    // A byte of zeros is no zero: the zero point is 8.
    expect(layers[0]).toMatchObject({ params: 24 * 64, zeros: 0, distinct: 1 })
    // Two numbers a byte, the first in the low half: 8 here, then 3.
    const half = integerTensor('w', 'uint8', [24, 2, 16], new Uint8Array(24 * 2 * 16).fill(0x38))
    expect(inspectModel(around([product], tensors(half, scales), [5, 64])).layers[0]).toMatchObject({ sparsity: 0.5 })
    // The second block of each row has 3 for its zero point.
    const points = integerTensor('z', 'uint8', [24], new Uint8Array(24).fill(0x30))
    const own = { ...product, inputs: [...product.inputs, 'z'] }
    expect(inspectModel(around([own], tensors(half, scales, points), [5, 64])).layers[0]).toMatchObject({
      sparsity: 0.25,
      distinct: 4,
    })
  })

  test('a table that is added counts as much once it is stored as integers', async () => {
    const table = floatTensor(
      't',
      [16, 32],
      Float32Array.from({ length: 512 }, (_, i) => (i % 200) - 100),
    )
    const added = around([node('Add', ['x', 't'], ['y'])], tensors(table), [1, 16, 32])
    const small = await compact(added)
    expect(small.graph.initializers.get('t')).toBeUndefined()
    expect([added, small].map((m) => inspectModel(m).totals.params)).toEqual([512, 512])
  })

  test('those that are zero are counted one by one, in biases and behind zero points too', () => {
    const init = tensors(
      floatTensor('w', [4, 3], [0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]),
      floatTensor('b', [3], [0, 1, 2]),
      integerTensor('q', 'uint8', [3, 4], [7, 7, 0, 1, 2, 3, 7, 5, 6, 8, 9, 10]),
      integerTensor('z', 'uint8', [], [7]),
    )
    const nodes = [
      node('Gemm', ['x', 'w', 'b'], ['a']),
      node('DynamicQuantizeLinear', ['a'], ['a8', 'as', 'az']),
      node('MatMulInteger', ['a8', 'q', 'az', 'z'], ['y']),
    ]
    const { layers } = inspectModel(around(nodes, init, [2, 4]))
    expect(layers.map(({ op, params, zeros }) => [op, params, zeros])).toEqual([
      ['Gemm', 15, 7],
      ['DynamicQuantizeLinear', 0, 0],
      ['MatMulInteger', 12, 3],
    ])
  })

  describe('behind a zero point for each channel, row or block', () => {
    /** 6 rows and 4 columns of small numbers, and zero points along an axis; how many numbers equal theirs. */
    const made = (axis: 0 | 1, block = 6) => {
      const rng = random(7)
      const count = axis === 1 ? 4 : 6 / (block === 6 ? 1 : block)
      const points = Array.from({ length: count }, (_, i) => 3 + i)
      const numbers = Array.from({ length: 24 }, () => 3 + Math.floor(7 * rng.next()))
      const pointOf = (i: number): number =>
        axis === 1 ? points[i % 4] : points[Math.floor(Math.floor(i / 4) / (block === 6 ? 1 : block))]
      return { numbers, points, zeros: numbers.filter((n, i) => n === pointOf(i)).length }
    }
    const zerosOf = (nodes: Node[], stored: Tensor[], shape: number[]): (number | null)[] => {
      const { layers } = inspectModel(around(nodes, tensors(...stored), shape))
      const layer = layers.find((l) => l.params > 0)
      return [layer?.params ?? null, layer?.zeros ?? null, layer?.sparsity ?? null]
    }
    const u8 = (name: string, dims: number[], values: number[]): Tensor => integerTensor(name, 'uint8', dims, values)

    test('of products and convolutions in integers', () => {
      const { numbers, points, zeros } = made(1)
      expect(zeros).toBeGreaterThan(0)
      const expected = [24, zeros, zeros / 24]
      const inner = node('DynamicQuantizeLinear', ['x'], ['x8', 'xs', 'xz'])
      const product = node('MatMulInteger', ['x8', 'q', 'xz', 'z'], ['y'])
      expect(zerosOf([inner, product], [u8('q', [6, 4], numbers), u8('z', [4], points)], [2, 6])).toEqual(expected)
      const stacked = [u8('q', [1, 6, 4], numbers), u8('z', [1, 1, 4], points)]
      expect(zerosOf([inner, product], stacked, [1, 2, 6])).toEqual(expected)

      const filters = made(0, 1)
      const kernels = [u8('q', [6, 1, 2, 2], filters.numbers), u8('z', [6], filters.points)]
      const byFilter = [24, filters.zeros, filters.zeros / 24]
      const conv = node('ConvInteger', ['x8', 'q', 'xz', 'z'], ['y'])
      expect(zerosOf([inner, conv], kernels, [1, 1, 5, 5])).toEqual(byFilter)
      const scales = [floatTensor('s', [], [0.1]), u8('p', [], [0])]
      const quantised = node('QuantizeLinear', ['x', 's', 'p'], ['x8'])
      const qconv = node('QLinearConv', ['x8', 's', 'p', 'q', 's', 'z', 's', 'p'], ['y'])
      expect(zerosOf([quantised, qconv], [...kernels, ...scales], [1, 1, 5, 5])).toEqual(byFilter)
      const qproduct = node('QLinearMatMul', ['x8', 's', 'p', 'q', 's', 'z', 's', 'p'], ['y'])
      const columns = [u8('q', [6, 4], numbers), u8('z', [4], points)]
      expect(zerosOf([quantised, qproduct], [...columns, ...scales], [2, 6])).toEqual(expected)
      // A constant on the left has a zero point for each row.
      const left = [u8('q', [6, 4], filters.numbers), u8('z', [6], filters.points)]
      const swapped = node('MatMulInteger', ['q', 'x8', 'z', 'xz'], ['y'])
      expect(zerosOf([inner, swapped], left, [4, 3])).toEqual(byFilter)
    })

    test('of DequantizeLinear, turned and reshaped before and after it', () => {
      const { numbers, points, zeros } = made(1)
      const scale = floatTensor('s', [4], [0.1, 0.2, 0.3, 0.4])
      const plain = [u8('q', [6, 4], numbers), u8('z', [4], points), scale]
      const product = node('MatMul', ['x', 'w'], ['y'])
      const whole = node('DequantizeLinear', ['q', 's', 'z'], ['w'], { axis: -1 })
      expect(zerosOf([whole, product], plain, [2, 6])).toEqual([24, zeros, zeros / 24])
      const turned = [
        node('Transpose', ['q'], ['t'], { perm: [1, 0] }),
        node('DequantizeLinear', ['t', 's', 'z'], ['v'], { axis: 0 }),
        node('Transpose', ['v'], ['w'], { perm: [1, 0] }),
        product,
      ]
      expect(zerosOf(turned, plain, [2, 6])).toEqual([24, zeros, zeros / 24])
      const flat = [u8('q', [24], numbers), integerTensor('shape', 'int64', [2], [6, 4]), ...plain.slice(1)]
      expect(
        zerosOf([node('Reshape', ['q', 'shape'], ['r']), { ...whole, inputs: ['r', 's', 'z'] }, product], flat, [2, 6]),
      ).toEqual([24, zeros, zeros / 24])
    })

    test('of DequantizeLinear in blocks', () => {
      const { numbers, points, zeros } = made(0, 2)
      const blocked = [
        u8('q', [6, 4], numbers),
        floatTensor('s', [3, 4], Array(12).fill(0.1)),
        u8(
          'z',
          [3, 4],
          points.flatMap((p) => [p, p, p, p]),
        ),
      ]
      const nodes = [
        node('DequantizeLinear', ['q', 's', 'z'], ['w'], { axis: 0, block_size: 2 }),
        node('MatMul', ['x', 'w'], ['y']),
      ]
      expect(zerosOf(nodes, blocked, [2, 6])).toEqual([24, zeros, zeros / 24])
    })

    test('what cannot be known is not known, and no zero', async () => {
      const { numbers, points } = made(1)
      const inner = node('DynamicQuantizeLinear', ['x'], ['x8', 'xs', 'xz'])
      // Zero points that an input gives.
      const nodes = [
        inner,
        node('Slice', ['x8', 'from', 'to'], ['z1']),
        node('Squeeze', ['z1', 'from'], ['z']),
        node('MatMulInteger', ['x8', 'q', 'xz', 'z'], ['y']),
      ]
      const list = (name: string, value: number): Tensor => integerTensor(name, 'int64', [1], [value])
      const stored = [u8('q', [4, 4], numbers.slice(0, 16)), list('from', 0), list('to', 1)]
      expect(zerosOf(nodes, stored, [2, 4])).toEqual([16, null, null])
      // As many zero points as no axis has numbers.
      const wrong = node('DequantizeLinear', ['q', 's', 'z'], ['w'], { axis: 0 })
      const columns = [u8('q', [6, 4], numbers), u8('z', [4], points), floatTensor('s', [4], [1, 1, 1, 1])]
      const [params, zeros] = zerosOf([wrong, node('MatMul', ['x', 'w'], ['y'])], columns, [2, 6])
      expect([params, zeros]).toEqual([24, null])
    })
  })

  test('zeros of a mask that multiplies the weight are counted, and those behind a table of rows', () => {
    const nodes = [node('Mul', ['w', 'mask'], ['v']), node('MatMul', ['x', 'v'], ['y'])]
    const w = floatTensor('w', [2, 3], [1, 2, 0, 3, 4, 5])
    const columns = floatTensor('mask', [3], [1, 0, 1])
    expect(inspectModel(around(nodes, tensors(w, columns), [2, 2])).layers[0]).toMatchObject({ zeros: 3 })
    const all = floatTensor('mask', [2, 3], [0, 1, 1, 1, 1, 0])
    expect(inspectModel(around(nodes, tensors(w, all), [2, 2])).layers[0].sparsity).toBe(3 / 6)
    const choose = [node('Where', ['mask', 'w', 'none'], ['v']), node('MatMul', ['x', 'v'], ['y'])]
    const flags: Tensor = { name: 'mask', dtype: 'bool', dims: [2, 1], data: new Uint8Array([1, 0]) }
    const chosen = inspectModel(around(choose, tensors(w, flags, floatTensor('none', [], [0])), [2, 2])).layers[0]
    expect(chosen.sparsity).toBe(4 / 6)
    const book = floatTensor('book', [2, 2], [0, 1, 0, 0])
    const index = integerTensor('index', 'int64', [3], [0, 1, -2])
    const rows = [node('Gather', ['book', 'index'], ['v']), node('MatMul', ['x', 'v'], ['y'])]
    expect(inspectModel(around(rows, tensors(book, index), [2, 3])).layers[0].sparsity).toBe(4 / 6)
  })

  test('zeros of parts that are cut and joined are counted, and those of a single number that is added', () => {
    const stored = [
      floatTensor('w', [2, 4], [0, 1, 2, 3, 0, 0, 4, 5]),
      floatTensor('b', [], [0]),
      ...[0, 2, 4].map((n) => integerTensor(`n${n}`, 'int64', [1], [n])),
      integerTensor('axes', 'int64', [1], [1]),
    ]
    const nodes = [
      node('Slice', ['w', 'n0', 'n2', 'axes'], ['left']),
      node('Slice', ['w', 'n2', 'n4', 'axes'], ['right']),
      node('Concat', ['right', 'left'], ['v'], { axis: 1 }),
      node('MatMul', ['x', 'v'], ['h']),
      node('Add', ['h', 'b'], ['y']),
    ]
    const { layers } = inspectModel(around(nodes, tensors(...stored), [3, 2]))
    expect(layers.map(({ op, params, zeros }) => [op, params, zeros])).toEqual([
      ['MatMul', 8, 3],
      ['Add', 1, 1],
    ])
  })

  test('zeros of a table that is cut to the length of an input are counted', () => {
    const table = floatTensor('w', [4, 2], [0, 1, 2, 3, 0, 0, 4, 5])
    const nodes = [
      node('Shape', ['x'], ['length'], { end: 1 }),
      node('Slice', ['w', 'n0', 'length'], ['v']),
      node('Add', ['x', 'v'], ['y']),
    ]
    const [layer] = inspectModel(
      around(nodes, tensors(table, integerTensor('n0', 'int64', [1], [0])), ['N', 2]),
    ).layers.filter((l) => l.params > 0)
    expect([layer.op, layer.params, layer.zeros]).toEqual(['Add', 8, 3])
  })

  test('what a learner has in its attributes is counted as other parameters are, zeros too', () => {
    const tree = {
      nodes_values: fs(0.5, 0, 0),
      target_weights: fs(0.1, 0),
      nodes_hitrates_as_tensor: floatTensor('', [3], [1, 0.5, 0]),
      nodes_truenodeids: [1, 0, 0],
    }
    const learner = node('TreeEnsembleRegressor', ['x'], ['y'], tree, { domain: 'ai.onnx.ml' })
    const [layer] = inspectModel(around([learner], new Map(), [1, 4])).layers
    expect(layer).toMatchObject({ params: 8, zeros: 4, sparsity: 0.5, distinct: 4 })
  })

  test('running statistics are no parameters', () => {
    const part = (name: string): Tensor => floatTensor(name, [4], [1, 2, 3, 4])
    const norm = node('BatchNormalization', ['x', 's', 'b', 'm', 'v'], ['y'])
    const { layers } = inspectModel(around([norm], tensors(part('s'), part('b'), part('m'), part('v')), [1, 4, 2, 2]))
    expect(layers[0]).toMatchObject({ params: 8, bytes: 64, macs: 0 })
  })
})

describe.skipIf(!modelsFolder)(`real models${needsModels}`, () => {
  // He et al. 2016 (ResNets, with the shortcut that has no parameters) and the MLPerf Tiny model cards.
  test.each([
    ['cifar10-resnet20', 269_722, 40_551_040],
    ['cifar10-resnet56', 853_018, 125_485_696],
    ['mlperf-tiny-ic-resnet8', 77_706, 12_501_632],
    ['mnist-8', 5994, 786_560],
  ])('%s: %d parameters, %d multiply-adds', (name, params, macs) => {
    const { totals, unsupported, problems } = inspectModel(realModel(name))
    expect({ params: totals.params, macs: totals.macs, unsupported, problems }).toEqual({
      params,
      macs,
      unsupported: [],
      problems: [],
    })
  })

  test('silero_vad: its weights, in Constant nodes of nested graphs, are found', () => {
    const { layers, totals } = inspectModel(realModel('silero_vad'))
    // The LSTMs of nested branches share their weights, which count once.
    expect(totals.params).toBeGreaterThan(0.9 * (totals.bytes / 4))
    expect(layers.reduce((sum, l) => sum + l.bytes, 0) / totals.bytes).toBeGreaterThan(0.99)
    expect(layers.some((l) => l.name.startsWith('If_0/') && l.op === 'LSTM' && l.params > 100_000)).toBe(true)
  })

  const bad = (file: string): string => join(modelsFolder as string, 'not-loadable', file)
  test('a model of an old operator set, a contradiction and foreign operators: one sentence each', async () => {
    const old = await runInspect(bad('mnist-opset1.onnx'))
    expect(old.output).toMatch(/operator set 1, /)
    const pp = await runInspect(bad('ppocrv3_det_en.onnx'))
    expect(pp.error?.message).toMatch(
      /it cannot run: Conv "p2o.Conv.2": its window of 1 does not fit its input: spatial size \[0, 0\]/,
    )
    const foreign = await runInspect(bad('supres.onnx'), { json: true })
    expect(foreign.error).toBeUndefined()
    expect(JSON.parse(foreign.output).unsupported).toHaveLength(2)
    expect(pp.error?.message).not.toMatch(/\n|corrupt|damaged/)
  })

  test('the table is aligned and ends in the total and what the bytes of the file are', async () => {
    const { output, error } = await runInspect(join(modelsFolder as string, 'mnist-8.onnx'))
    expect(error).toBeUndefined()
    expect(output.split('\n').slice(4, -1).join('\n')).toMatchInlineSnapshot(`
      "layer           op      output           params     MACs   bytes  zeros  distinct
      --------------  ------  ---------------  ------  -------  ------  -----  --------
      Convolution28   Conv    [1, 8, 28, 28]      200  156,800     800   0.0%       200
      Plus30          Add     [1, 8, 28, 28]        8        0      32   0.0%         8
      Convolution110  Conv    [1, 16, 14, 14]   3,200  627,200  12,800   0.0%     3,200
      Plus112         Add     [1, 16, 14, 14]      16        0      64   0.0%        16
      Times212        MatMul  [1, 10]           2,560    2,560  10,256   0.0%     2,560
      Plus214         Add     [1, 10]              10        0      40   0.0%        10
      --------------  ------  ---------------  ------  -------  ------  -----  --------
      total                                     5,994  786,560  24,008
      and 5 more: Relu 2, MaxPool 2, Reshape 1

      constants, as stored  23,982
      metadata                  24
      nodes, names           2,448"
    `)
  })
})
