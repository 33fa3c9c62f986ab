/** Matrices in 4 bits: the runtime's operators give what the blocks mean. */
import { describe, expect, it } from 'vitest'
import { f, model as makeModel, node, valueInfo } from '../graph/build.ts'
import { intAttribute } from '../graph/walk.ts'
import type { Model, Tensor } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { inferShapes } from '../ops/shape.ts'
import { floats, floatTensor, integers } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { largestDifference, outputsOf } from '../testing/real-models.ts'
import { transformer } from '../testing/sequence-nets.ts'
import { int4 } from './int4.ts'

const normal = (name: string, dims: readonly number[], seed: number): Tensor => {
  const rng = random(seed)
  return floatTensor(
    name,
    dims,
    Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => rng.normal()),
  )
}

/** A lookup of rows, a product, and two Gemms with a bias; no length is a multiple of the blocks'. */
function net(width = 40): Model {
  const stored = [
    normal('table', [50, width], 1),
    normal('w1', [width, 70], 2),
    normal('w2', [70, 30], 3),
    normal('w3', [20, 30], 4),
    normal('b2', [30], 5),
  ]
  return makeModel({
    nodes: [
      node('Gather', ['table', 'x'], ['rows']),
      node('MatMul', ['rows', 'w1'], ['h1']),
      node('Relu', ['h1'], ['r1']),
      node('Gemm', ['r1', 'w2', 'b2'], ['h2']),
      node('Gemm', ['h2', 'w3'], ['y'], { transB: 1 }),
    ],
    initializers: new Map(stored.map((t) => [t.name, t])),
    inputs: [valueInfo('x', 'int64', ['N'])],
    outputs: [valueInfo('y', 'float32', ['N', 20])],
  })
}

const feeds = { x: { dtype: 'int64', dims: [4], data: BigInt64Array.from([0n, 7n, 49n, 21n]) } }

/** The float model with the weights that the 4-bit one says, read as ONNX Runtime's documentation has it. */
function decoded(before: Model, after: Model): Model {
  const initializers = new Map(before.graph.initializers)
  const get = (name: string): Tensor => after.graph.initializers.get(name) as Tensor
  const put = (name: string, at: (row: number, column: number) => number, isTurned: boolean): void => {
    const { dims } = before.graph.initializers.get(name) as Tensor
    const values = Array.from({ length: dims[0] * dims[1] }, (_, i) => {
      const [row, column] = [Math.floor(i / dims[1]), i % dims[1]]
      return isTurned ? at(column, row) : at(row, column)
    })
    initializers.set(name, floatTensor(name, dims, values))
  }
  for (const made of after.graph.nodes) {
    const size = intAttribute(made, 'block_size', 0)
    if (made.op === 'MatMulNBits') {
      const [, b, s, z] = made.inputs
      const name = b.replace('_int4', '')
      const [, perRow] = get(b).dims
      const nibble = (bytes: Uint8Array, i: number): number => (bytes[i >> 1] >> (4 * (i & 1))) & 15
      const at = (row: number, column: number): number => {
        const block = Math.floor(column / size)
        const zero = z ? nibble(get(z).data.subarray(row * Math.ceil(perRow / 2)), block) : 8
        const level = nibble(get(b).data, (row * perRow + block) * size + (column % size))
        return floats(get(s))[row * perRow + block] * (level - zero)
      }
      put(name, at, name !== 'w3')
    } else if (made.op === 'GatherBlockQuantized') {
      const [table, , s] = made.inputs
      const [levels, scales] = [integers(get(table)), get(s)]
      const width = get(table).dims[1]
      put(
        'table',
        (row, column) =>
          levels[row * width + column] * floats(scales)[row * scales.dims[1] + Math.floor(column / size)],
        false,
      )
    }
  }
  return { ...before, graph: { ...before.graph, initializers } }
}

/** Signal to noise in dB. */
function quality(a: Float32Array, b: Float32Array): number {
  let [signal, noise] = [0, 0]
  a.forEach((v, i) => {
    signal += v * v
    noise += (v - b[i]) ** 2
  })
  return 10 * Math.log10(signal / noise)
}

describe('int4', () => {
  it.each([
    [16, true],
    [32, true],
    [32, false],
    [64, false],
    [128, true],
  ])(
    'blocks of %i, zero in the middle: %s: ONNX Runtime computes with the weights that are stored',
    async (blockSize, symmetric) => {
      const small = await int4(net(), { blockSize, symmetric, minElements: 1 })
      expect(small.graph.nodes.map((n) => n.op)).toEqual([
        'GatherBlockQuantized',
        'MatMulNBits',
        'Relu',
        'MatMulNBits',
        'Add',
        'MatMulNBits',
      ])
      const [y, exact] = [await outputsOf(small, feeds), await outputsOf(decoded(net(), small), feeds)]
      expect(largestDifference(exact, y)).toBeLessThan(1e-5)
      const float = await outputsOf(net(), feeds)
      // Four rounded factors in a row; each alone keeps about 20 dB.
      expect(quality(float.y.data as Float32Array, y.y.data as Float32Array)).toBeGreaterThan(10)
    },
  )

  it('keeps the shapes that the model had', async () => {
    const small = await int4(net(), { minElements: 1 })
    const shapes = (model: Model): unknown => inferShapes(model, { inputShapes: { x: [4] } }).values.get('h1')?.shape
    expect(shapes(small)).toEqual(shapes(net()))
    expect(inferShapes(small).unsupported).toEqual([])
  })

  it('takes 5 bits per weight, and a smaller error with zeros of their own and with smaller blocks', async () => {
    const wide = net(512)
    const float = (await outputsOf(wide, feeds)).y.data as Float32Array
    const error = async (options: Parameters<typeof int4>[1]): Promise<number> =>
      -quality(float, (await outputsOf(await int4(wide, { minElements: 1, ...options }), feeds)).y.data as Float32Array)
    expect(writeModel(await int4(wide, { minElements: 1 })).length / writeModel(wide).length).toBeLessThan(0.17)
    const plain = await error({})
    expect(await error({ blockSize: 16 })).toBeLessThan(plain)
    expect(await error({ blockSize: 256 })).toBeGreaterThan(plain)
    expect(await error({ activations: 'int8' })).toBeLessThan(plain + 1)
  })

  it('a transformer answers nearly the same', async () => {
    const before = transformer({ steps: 6, words: 40, classes: 5, width: 64 })
    const small = await int4(before)
    expect(small.graph.nodes.filter((n) => n.op === 'MatMulNBits').length).toBeGreaterThanOrEqual(6)
    const words = { x: { dtype: 'int64', dims: [1, 6], data: BigInt64Array.from([1n, 2n, 39n, 0n, 7n, 8n]) } }
    const [a, b] = [await outputsOf(before, words), await outputsOf(small, words)]
    const [[, x], [, y]] = [Object.entries(a)[0], Object.entries(b)[0]]
    expect(quality(x.data as Float32Array, y.data as Float32Array)).toBeGreaterThan(8)
  })

  it('leaves what it cannot round, and says so', async () => {
    const base = net()
    const warnings: string[] = []
    const context = { warn: (w: string) => warnings.push(w) }
    // A table that a product reads too, one with a number that is not finite, and a Gemm with a factor.
    const initializers = new Map(base.graph.initializers)
    const odd = floats(initializers.get('w1') as Tensor).slice()
    odd[3] = Number.POSITIVE_INFINITY
    initializers.set('w1', floatTensor('w1', [40, 70], odd))
    const nodes = [
      ...base.graph.nodes.slice(0, 4),
      node('Gemm', ['h2', 'w3'], ['y'], { transB: 1, alpha: f(0.5) }),
      node('MatMul', ['z', 'table'], ['t']),
    ]
    const inputs = [...base.graph.inputs, valueInfo('z', 'float32', [2, 50])]
    const outputs = [...base.graph.outputs, valueInfo('t', 'float32', [2, 40])]
    const left = { ...base, graph: { ...base.graph, nodes, initializers, inputs, outputs } }
    const small = await int4(left, { minElements: 1 }, context)
    expect(small.graph.nodes.map((n) => n.op)).toEqual([
      'Gather',
      'MatMul',
      'Relu',
      'MatMulNBits',
      'Add',
      'Gemm',
      'MatMul',
    ])
    expect(warnings).toEqual([
      'int4: "table" and 2 more matrices stay in float: other nodes than products and lookups read them, they are read in more than one way, or numbers in them are not finite',
    ])
    expect(await int4(base, {}, context)).not.toBe(base)
    expect(await int4(base, { minElements: 1e6 }, context)).toBe(base)
  })

  it('keeps excluded nodes and tables in float', async () => {
    const small = await int4(net(), { minElements: 1, excludeNodes: ['h1'], tables: false })
    expect(small.graph.nodes.map((n) => n.op)).toEqual([
      'Gather',
      'MatMul',
      'Relu',
      'MatMulNBits',
      'Add',
      'MatMulNBits',
    ])
    await expect(int4(net(), { excludeNodes: ['h9'] })).rejects.toThrow('"h9", which is no node')
    await expect(int4(net(), { blockSize: 48 })).rejects.toThrow('expected 16, 32, 64, 128 or 256')
  })
})
