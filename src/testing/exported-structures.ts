/**
 * Models of the structure that people's files have, made up and seeded: what exporters write around the weights, and what kinds of
 * tensors there are. For tests and benches of packing: none of them may pack worse than general compressors make of its file.
 */
import { f, node, valueInfo } from '../graph/build.ts'
import type { Attribute, Model, Node, Tensor } from '../model.ts'
import { floatTensor, floatToHalf, halfToFloat, integerTensor, tensorOfFloats } from '../tensor/dtype.ts'
import { type Random, random } from '../tensor/random.ts'

/** A model for each structure, by its name. */
export function exportedStructures(): Record<string, Model> {
  return {
    ...Object.fromEntries(Object.entries(graphs).map(([name, make]) => [name, make(random(11))])),
    ...Object.fromEntries(Object.entries(tensors).map(([name, make]) => [name, modelOf([relu], make(random(12)))])),
  }
}

const relu = node('Relu', ['x'], ['y'])

export function modelOf(nodes: readonly Node[], stored: readonly Tensor[]): Model {
  return {
    irVersion: 10,
    opsets: [{ domain: '', version: 18 }],
    graph: {
      name: 'main_graph',
      nodes,
      initializers: new Map(stored.map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', ['n', 8])],
      outputs: [valueInfo('y', 'float32', ['n', 8])],
    },
  }
}

const list = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i))

const lines = new TextEncoder().encode(
  list(300, (i) => `{"id": ${i}, "token": "tok${(i * 7919) % 997}", "score": ${-i / 8}}`).join('\n'),
)

/** Nodes in a row, from x to y. */
function chain(n: number, make: (i: number, input: string, output: string) => Node): Node[] {
  return list(n, (i) => make(i, i === 0 ? 'x' : `v${i}`, i === n - 1 ? 'y' : `v${i + 1}`))
}

const graphs: Record<string, (rng: Random) => Model> = {
  'exporter notes on nodes (PyTorch, dynamo)': () =>
    modelOf(
      chain(60, (i, input, output) => ({
        ...node('Relu', [input], [output], {}, { name: `node_relu_${i}` }),
        metadata: notes(i),
      })),
      [],
    ),
  'exporter notes in documentation': () =>
    modelOf(
      chain(60, (i, input, output) => ({
        ...node('Relu', [input], [output], {}, { name: `/layers.${i}/Relu` }),
        docString: notes(i)
          .map(({ key, value }) => `${key}=${value}`)
          .join('\n'),
      })),
      [],
    ),
  'long names (TensorFlow, Keras)': (rng) => {
    const name = (i: number): string =>
      `StatefulPartitionedCall/functional_1/${'residual_block_with_a_long_name/'.repeat(5)}BiasAdd_${i}`
    return modelOf(
      chain(80, (i, input, output) =>
        node('MatMul', [input, `${name(i)}/ReadVariableOp:0`], [output], {}, { name: name(i) }),
      ),
      list(80, (i) =>
        floatTensor(
          `${name(i)}/ReadVariableOp:0`,
          [3, 3],
          list(9, () => Math.fround(rng.normal())),
        ),
      ),
    )
  },
  'a forest of trees (scikit-learn)': (rng) =>
    modelOf([node('TreeEnsembleRegressor', ['x'], ['y'], forest(rng), { domain: 'ai.onnx.ml' })], []),
  'a vocabulary (scikit-learn)': (rng) => {
    const syllables = ['re', 'con', 'ta', 'mi', 'ble', 'ing', 'er', 'so', 'lu', 'tion', 'pre', 'al']
    const words = new Set(list(2500, () => list(2 + rng.below(3), () => syllables[rng.below(12)]).join('')))
    const strings: Attribute = { type: 'strings', value: [...words].sort() }
    const attributes = {
      pool_strings: strings,
      ngram_counts: [0],
      ngram_indexes: list(words.size, (i) => i),
      mode: 'TF',
    }
    return modelOf([node('TfIdfVectorizer', ['x'], ['y'], attributes)], [])
  },
  'the same support vectors in two nodes, many of them twice (scikit-learn)': (rng) => {
    const vectors = list(30, () => list(24, () => Math.fround(rng.normal())))
    const value = list(150, () => vectors[rng.below(30)]).flat()
    const svm = (input: string, output: string): Node =>
      node('SVMRegressor', [input], [output], { support_vectors: { type: 'floats', value } }, { domain: 'ai.onnx.ml' })
    return modelOf(
      chain(2, (_, input, output) => svm(input, output)),
      [],
    )
  },
  'pieces of words in the order of a text': (rng) => {
    const words = list(120, () => list(2 + rng.below(8), () => 'etaoinshrdlu'[rng.below(12)]).join(''))
    const text = list(700, () => words[Math.floor(120 * rng.next() ** 3)]).join(' ')
    const pieces = [...new Set([4, 3].flatMap((n) => list(text.length - n, (i) => text.slice(i, i + n))))]
    const value = pieces.map((piece) => new TextEncoder().encode(piece))
    return modelOf([node('TfIdfVectorizer', ['x'], ['y'], { pool_strings: { type: 'strings', value } })], [])
  },
  'random text': (rng) => {
    const value = Uint8Array.from({ length: 3000 }, () => rng.below(256))
    return modelOf([node('Relu', ['x'], ['y'], { note: { type: 'string', value } })], [])
  },
}

function notes(i: number): { key: string; value: string }[] {
  return [
    { key: 'namespace', value: `: Net/layers.${i}: torch.nn.ReLU/relu_${i}: aten.relu.default` },
    { key: 'pkg.torch.onnx.class_hierarchy', value: "['Net', 'torch.nn.ReLU', 'aten.relu.default']" },
    {
      key: 'pkg.torch.onnx.stack_trace',
      value: `File "net.py", line ${20 + i}, in forward\n    x = self.layers[${i}](x)\n`.repeat(4),
    },
  ]
}

/** Trees in depth-first order, as skl2onnx lists their nodes. */
function forest(rng: Random): Record<string, Attribute> {
  const columns = { ids: [], trees: [], yes: [], no: [], features: [], values: [] } as Record<string, number[]>
  const modes: string[] = []
  const grow = (tree: number, depth: number, next: { id: number }): void => {
    const at = columns.ids.length
    const isLeaf = depth === 0 || rng.next() < 0.15
    columns.ids.push(next.id++)
    columns.trees.push(tree)
    columns.features.push(isLeaf ? 0 : rng.below(12))
    columns.values.push(isLeaf ? 0 : Math.fround(rng.below(160) / 16 + 0.5))
    modes.push(isLeaf ? 'LEAF' : 'BRANCH_LEQ')
    columns.yes[at] = isLeaf ? 0 : next.id
    columns.no[at] = 0
    if (isLeaf) return
    grow(tree, depth - 1, next)
    columns.no[at] = next.id
    grow(tree, depth - 1, next)
  }
  for (let tree = 0; tree < 12; tree++) grow(tree, 7, { id: 0 })
  const ints = (value: number[]): Attribute => ({ type: 'ints', value })
  return {
    n_targets: { type: 'int', value: 1 },
    nodes_falsenodeids: ints(columns.no),
    nodes_featureids: ints(columns.features),
    nodes_hitrates: { type: 'floats', value: columns.ids.map(() => 1) },
    nodes_modes: { type: 'strings', value: modes },
    nodes_nodeids: ints(columns.ids),
    nodes_treeids: ints(columns.trees),
    nodes_truenodeids: ints(columns.yes),
    nodes_values: { type: 'floats', value: columns.values },
    base: f(0.5),
  }
}

/** Weights of rows and columns of different scales, as trained networks have them. */
function weights(rng: Random, dims: readonly [number, number, ...number[]]): Float32Array {
  const [rows, columns, ...kernel] = dims
  const taps = kernel.reduce((a, b) => a * b, 1)
  const rowScales = list(rows, () => Math.exp(0.5 * rng.normal()))
  const columnScales = list(columns, () => Math.exp(0.4 * rng.normal()))
  return Float32Array.from(
    { length: rows * columns * taps },
    (_, i) =>
      0.05 * rng.normal() * rowScales[Math.floor(i / columns / taps)] * columnScales[Math.floor(i / taps) % columns],
  )
}

/** Rounded to `levels` on either side of 0 along an axis of a matrix, and back in float32. */
function dequantised(values: Float32Array, columns: number, axis: 0 | 1, levels: number): Float32Array {
  const channel = (i: number): number => (axis === 0 ? Math.floor(i / columns) : i % columns)
  const steps = new Map<number, number>()
  values.forEach((v, i) => {
    steps.set(channel(i), Math.max(steps.get(channel(i)) ?? 0, Math.fround(Math.abs(v) / levels)))
  })
  return values.map((v, i) => {
    const step = steps.get(channel(i)) as number
    return Math.fround(Math.round(v / step) * step)
  })
}

/** The upper half of each float32. */
function upperHalves(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer)
  return Uint16Array.from(bits, (b) => b >>> 16)
}

const bytesOf = (array: { readonly buffer: ArrayBufferLike }): Uint8Array => new Uint8Array(array.buffer as ArrayBuffer)

function fourier(n: number, window: (t: number) => number): Float32Array {
  const bins = n / 2 + 1
  return Float32Array.from({ length: 2 * bins * n }, (_, i) => {
    const row = Math.floor(i / n)
    const angle = (2 * Math.PI * (row % bins) * (i % n)) / n
    return window(i % n) * (row < bins ? Math.cos(angle) : -Math.sin(angle))
  })
}

const tensors: Record<string, (rng: Random) => Tensor[]> = {
  'float32 weights': (rng) => [floatTensor('w', [32, 24, 3, 3], weights(rng, [32, 24, 3, 3]))],
  'float16 weights': (rng) => [
    {
      name: 'w',
      dtype: 'float16',
      dims: [128, 96],
      data: bytesOf(Uint16Array.from(weights(rng, [128, 96]), floatToHalf)),
    },
  ],
  'bfloat16 weights': (rng) => [
    { name: 'w', dtype: 'bfloat16', dims: [128, 96], data: bytesOf(upperHalves(weights(rng, [128, 96]))) },
  ],
  'float32 from float16': (rng) => [
    floatTensor(
      'w',
      [128, 96],
      weights(rng, [128, 96]).map((v) => halfToFloat(floatToHalf(v))),
    ),
  ],
  'float32 from bfloat16': (rng) => [
    floatTensor(
      'w',
      [128, 96],
      new Float32Array(Uint32Array.from(upperHalves(weights(rng, [128, 96])), (b) => b * 65536).buffer),
    ),
  ],
  'float32 from bfloat16, scaled per row': (rng) => {
    const gains = list(256, () => Math.fround(Math.exp(0.3 * rng.normal())))
    const halves = new Float32Array(Uint32Array.from(upperHalves(weights(rng, [256, 256])), (b) => b * 65536).buffer)
    return [
      floatTensor(
        'w',
        [256, 256],
        halves.map((v, i) => v * gains[i >> 8]),
      ),
    ]
  },
  'dequantised a row': (rng) => [floatTensor('w', [64, 128], dequantised(weights(rng, [64, 128]), 128, 0, 127))],
  'dequantised a column': (rng) => [floatTensor('w', [128, 64], dequantised(weights(rng, [128, 64]), 64, 1, 127))],
  'dequantised to 4 bits': (rng) => [floatTensor('w', [64, 128], dequantised(weights(rng, [64, 128]), 128, 0, 7))],
  'dequantised in two roundings': (rng) => {
    const w = weights(rng, [64, 128])
    const rows = list(64, (r) => w.subarray(128 * r, 128 * (r + 1)))
    const { fround, round } = Math
    const matrix = (name: string, of: (row: Float32Array, v: number) => number): Tensor =>
      floatTensor(
        name,
        [64, 128],
        rows.flatMap((row) => Array.from(row, (v) => fround(of(row, v)))),
      )
    const largest = (row: Float32Array): number => row.reduce((m, v) => Math.max(m, Math.abs(v)), 0)
    const q = (row: Float32Array, v: number): number => round((v / largest(row)) * 127)
    const step = (row: Float32Array): number => fround((Math.max(...row) - Math.min(...row)) / 255)
    return [
      matrix('quotient', (row, v) => fround(q(row, v) / 127) * largest(row)),
      matrix('product', (row, v) => fround(q(row, v) * largest(row)) / 127),
      matrix('minimum', (row, v) => fround(round((v - Math.min(...row)) / step(row)) * step(row)) + Math.min(...row)),
    ]
  },
  'codebooks per row and per block': (rng) => {
    const w = weights(rng, [64, 256])
    // 16 levels of a normal distribution, times the largest value of each 64.
    const levels = [-1, -0.7, -0.53, -0.39, -0.28, -0.18, -0.09, 0, 0.08, 0.16, 0.25, 0.34, 0.44, 0.56, 0.72, 1]
    const blocks = list(256, (b) => w.subarray(64 * b, 64 * (b + 1)))
    const nearest = (x: number): number => levels.reduce((a, b) => (Math.abs(b - x) < Math.abs(a - x) ? b : a))
    const byBlock = blocks.flatMap((block) => {
      const largest = block.reduce((m, v) => Math.max(m, Math.abs(v)), 0)
      return Array.from(block, (v) => Math.fround(Math.fround(nearest(v / largest)) * largest))
    })
    const books = list(64, () => list(16, () => rng.normal()))
    return [
      floatTensor('blocks', [64, 256], byBlock),
      floatTensor(
        'rows',
        [64, 256],
        list(64 * 256, (i) => books[i >> 8][rng.below(16)]),
      ),
    ]
  },
  'quantised, then scaled by a normalisation': (rng) => {
    const w = dequantised(weights(rng, [64, 256]), 256, 0, 127)
    const gains = list(64, () => Math.fround(Math.exp(0.3 * rng.normal())))
    return [
      floatTensor(
        'w',
        [64, 256],
        w.map((v, i) => v * gains[i >> 8]),
      ),
    ]
  },
  'dequantised to 16 bits': (rng) => {
    const w = dequantised(weights(rng, [64, 256]), 256, 0, 127)
    return (['float16', 'bfloat16'] as const).map((dtype) => tensorOfFloats(dtype, dtype, [64, 256], w))
  },
  'standardised data': (rng) => {
    const values = list(500 * 16, (i) => (rng.below(17) - 3.7 - (i % 16) / 3) / (1.9 + (i % 16) / 7))
    return [
      floatTensor('single', [500, 16], values),
      { name: 'double', dtype: 'float64', dims: [500, 16], data: bytesOf(Float64Array.from(values)) },
    ]
  },
  'random masks and levels that come again': (rng) => {
    const again = list(2003, () => rng.below(7))
    return [
      {
        name: 'mask',
        dtype: 'bool',
        dims: [20_000],
        data: Uint8Array.from({ length: 20_000 }, (_, i) => again[i % 2003] & 1),
      },
      integerTensor(
        'wide',
        'int64',
        [9000],
        list(9000, (i) => again[i % 1501] & 1),
      ),
      floatTensor(
        'levels',
        [9000],
        Float32Array.from({ length: 9000 }, (_, i) => again[i % 1501] - 3),
      ),
    ]
  },
  'the same bytes as another type': (rng) => {
    const data = Uint8Array.from({ length: 20_000 }, (_, i) => (10 + (Math.floor(i / 200) % 30)) * rng.normal())
    return (['int8', 'uint8'] as const).map((dtype) => ({ name: dtype, dtype, dims: [100, 200], data }))
  },
  'numbers and their conjugates': (rng) => {
    const values = weights(rng, [64, 64, 2])
    const turned = values.map((v, i) => (i % 2 === 0 ? v : -v))
    return [values, turned].map((v, i) => ({ name: `c${i}`, dtype: 'complex64', dims: [64, 64], data: bytesOf(v) }))
  },
  'symmetric matrices': (rng) => {
    const half = list(90 * 90, () => rng.normal())
    const values = half.map((v, i) => v + half[(i % 90) * 90 + Math.floor(i / 90)])
    return [
      floatTensor('single', [90, 90], values),
      { name: 'double', dtype: 'float64', dims: [90, 90], data: bytesOf(Float64Array.from(values)) },
    ]
  },
  'mirrored kernels and filters': (rng) => {
    const w = weights(rng, [32, 16, 3, 3])
    const mirror = (i: number): number => i - 2 * (i % 3) + 2
    return [
      floatTensor('both', [64, 16, 3, 3], [...w, ...w.map((_, i) => w[mirror(i)])]),
      floatTensor(
        'each',
        [32, 16, 3, 3],
        ((each) => each.map((_, i) => each[Math.min(i, mirror(i))]))(weights(rng, [32, 16, 3, 3])),
      ),
      floatTensor(
        'filters',
        [100, 31],
        ((taps) => list(3100, (i) => taps[31 * Math.floor(i / 31) + Math.min(i % 31, 30 - (i % 31))]))(
          list(3100, () => rng.normal()),
        ),
      ),
      floatTensor(
        'bell',
        [1, 1, 21, 21],
        list(441, (i) => Math.exp(-((Math.floor(i / 21) - 10) ** 2 + ((i % 21) - 10) ** 2) / 18)),
      ),
    ]
  },
  'float64, quantised per row': (rng) => {
    const w = weights(rng, [64, 128])
    const values = Float64Array.from(w, (v, i) => Math.round(400 * v) * (0.0123456789 + Math.floor(i / 128) / 97))
    return [{ name: 'w', dtype: 'float64', dims: [64, 128], data: bytesOf(values) }]
  },
  decimals: (rng) => [
    floatTensor(
      'w',
      [4000],
      list(4000, () => Math.fround(Math.round(100 * rng.normal()) / 100)),
    ),
  ],
  'places on a map': (rng) => {
    const degrees = (middle: number, spread: number): Float64Array =>
      Float64Array.from({ length: 4000 }, () => middle + Math.round(1e6 * spread * (rng.next() - 0.5)) / 1e6)
    return [
      { name: 'anywhere', dtype: 'float64', dims: [2000, 2], data: bytesOf(degrees(0, 360)) },
      { name: 'in a town', dtype: 'float64', dims: [2000, 2], data: bytesOf(degrees(48.8, 0.3)) },
    ]
  },
  'Fourier tables': () => [
    floatTensor(
      'forward',
      [66, 1, 64],
      fourier(64, (t) => 0.5 - 0.5 * Math.cos((2 * Math.PI * t) / 64)),
    ),
    floatTensor(
      'plain',
      [130, 1, 128],
      fourier(128, () => 1),
    ),
  ],
  'Fourier tables in single precision': () => {
    const { fround } = Math
    return ([1, 2] as const).map((periods) =>
      floatTensor(
        `basis ${periods}`,
        [66, 1, 128],
        list(66 * 128, (i) => {
          const [row, t] = [Math.floor(i / 128), i % 128]
          const angle = fround(fround(fround(fround(2 * Math.PI) * (row % 33)) * t * periods) / 128)
          const wave = fround(row < 33 ? Math.cos(angle) : -Math.sin(angle))
          return periods === 1 ? wave : fround(wave * fround(0.5 - 0.5 * Math.cos((2 * Math.PI * t) / 128)))
        }),
      ),
    )
  },
  // Of a window that is symmetric, which no row of the other tensor repeats as it is.
  'cosines and sines apart, and a cosine transform': () => {
    const windowed = (wave: (angle: number) => number): number[] =>
      list(81 * 160, (i) => {
        const [row, t] = [Math.floor(i / 160), i % 160]
        return wave((2 * Math.PI * row * t) / 160) * (0.5 - 0.5 * Math.cos((2 * Math.PI * t) / 159))
      })
    return [
      floatTensor('cosines', [81, 1, 160], windowed(Math.cos)),
      floatTensor('sines', [81, 1, 160], windowed(Math.sin)),
      floatTensor(
        'transform',
        [96, 96],
        list(9216, (i) => Math.cos((Math.PI / 96) * (Math.floor(i / 96) + 0.5) * (i % 96))),
      ),
    ]
  },
  'a wave that repeats far apart, almost': () => [
    {
      name: 'sine',
      dtype: 'float64',
      dims: [40000],
      data: bytesOf(Float64Array.from({ length: 40000 }, (_, i) => Math.sin((2 * Math.PI * i) / 1000))),
    },
  ],
  'the same few values, shuffled anew': (rng) => {
    const book = list(600, () => rng.normal())
    return ['first', 'second'].map((name) =>
      floatTensor(
        name,
        [60, 80],
        list(4800, () => book[rng.below(600)]),
      ),
    )
  },
  'Hankel and Toeplitz matrices of the same values': (rng) => {
    const values = list(255, () => rng.normal())
    return [1, -1].map((turn) =>
      floatTensor(
        `turned ${turn}`,
        [128, 128],
        list(128 * 128, (i) => values[(i >> 7) + (turn > 0 ? i & 127 : 127 - (i & 127))]),
      ),
    )
  },
  'Hadamard matrices': (rng) => {
    const ones = (x: number): number => (x === 0 ? 0 : (x & 1) ^ ones(x >> 1))
    const matrix = list(128 * 128, (i) => (ones((i >> 7) & i & 127) ? -1 : 1) / 16)
    const signs = list(128, () => (rng.next() < 0.5 ? -1 : 1))
    return [
      floatTensor('plain', [128, 128], matrix),
      floatTensor(
        'rows of random signs',
        [128, 128],
        matrix.map((v, i) => v * signs[i >> 7]),
      ),
    ]
  },
  'Hadamard matrices as integers': () => {
    const ones = (x: number): number => (x === 0 ? 0 : (x & 1) ^ ones(x >> 1))
    const matrix = list(128 * 128, (i) => (ones((i >> 7) & i & 127) ? -1 : 1))
    return [
      integerTensor('i8', 'int8', [128, 128], matrix),
      integerTensor('i64', 'int64', [128, 128], matrix),
      integerTensor(
        'times a row',
        'int16',
        [128, 128],
        matrix.map((v, i) => v * (i % 128)),
      ),
    ]
  },
  'averages of weights beside them': (rng) => {
    const w = weights(rng, [48, 24, 3, 3])
    const near = (scale: number): Float32Array =>
      w.map((v) => v * (1 + scale * rng.normal()) + (scale * rng.normal()) / 100)
    return [
      floatTensor('w', [48, 24, 3, 3], w),
      floatTensor('average', [48, 24, 3, 3], near(1e-4)),
      floatTensor('slower average', [48, 24, 3, 3], near(1e-3)),
      tensorOfFloats('half', 'float16', [48, 24, 3, 3], w),
      tensorOfFloats('half of an average', 'float16', [48, 24, 3, 3], near(1e-3)),
    ]
  },
  'a tensor and itself times powers of two': (rng) => {
    const w = weights(rng, [64, 64]).map((v) => (rng.next() < 0.2 ? 0 : v))
    return [
      floatTensor('w', [64, 64], w),
      floatTensor(
        'times 8',
        [64, 64],
        w.map((v) => 8 * v),
      ),
      floatTensor(
        'of rows',
        [64, 64],
        w.map((v, i) => -v * 2 ** ((i >> 6) % 5)),
      ),
    ]
  },
  'copies, one turned': (rng) => {
    const w = weights(rng, [48, 64])
    const turned = Float32Array.from(w, (_, i) => w[(i % 48) * 64 + Math.floor(i / 48)])
    return [
      floatTensor('w', [48, 64], w),
      floatTensor('again', [48, 64], w.slice()),
      floatTensor('turned', [64, 48], turned),
    ]
  },
  'rows of another tensor': (rng) => {
    const w = weights(rng, [200, 32])
    const narrow = w.filter((_, i) => i % 32 < 24)
    const more = weights(rng, [3, 32])
    const reversed = Float32Array.from(w, (_, i) => w[32 * (199 - (i >> 5)) + (i & 31)])
    return [
      floatTensor('w', [200, 32], w),
      floatTensor('after', [203, 32], [...w, ...more]),
      floatTensor('before', [203, 32], [...more, ...w]),
      floatTensor('slice', [150, 32], w.slice(320, 5120)),
      floatTensor('columns', [200, 24], narrow),
      floatTensor('rows in reverse', [200, 32], reversed),
      floatTensor('all in reverse', [6400], w.toReversed()),
      floatTensor(
        'other signs, some changed',
        [200, 32],
        w.map((v, i) => (i % 97 === 0 ? 1 : -v)),
      ),
    ]
  },
  'ranges, positions and masks': () => [
    integerTensor(
      'range',
      'int64',
      [2000],
      list(2000, (i) => i),
    ),
    integerTensor(
      'relative',
      'int64',
      [49, 49],
      list(
        2401,
        (i) => (Math.floor(i / 343) - Math.floor((i % 49) / 7) + 6) * 13 + (Math.floor(i / 49) % 7) - (i % 7) + 6,
      ),
    ),
    floatTensor(
      'mask',
      [64, 64],
      list(4096, (i) => (i % 64 > i / 64 ? Number.NEGATIVE_INFINITY : 0)),
    ),
    floatTensor(
      'anchors',
      [1600, 2],
      list(3200, (i) => (i % 2 === 0 ? (i >> 1) % 40 : Math.floor(i / 80))),
    ),
  ],
  'int8 and uint8 weights': (rng) => [
    integerTensor(
      'i8',
      'int8',
      [64, 128],
      Int8Array.from(weights(rng, [64, 128]), (v) => Math.max(-127, Math.min(127, Math.round(400 * v)))),
    ),
    integerTensor(
      'u8',
      'uint8',
      [64, 128],
      Uint8Array.from(weights(rng, [64, 128]), (v) => Math.max(0, Math.min(255, 128 + Math.round(400 * v)))),
    ),
  ],
  'text in bytes': () => [integerTensor('json', 'uint8', [lines.length], lines)],
  'text as code points': () => [
    integerTensor('once', 'int64', [lines.length], lines),
    integerTensor('twice', 'int32', [2 * lines.length], [...lines, ...lines]),
    floatTensor('as floats', [lines.length], [...lines]),
  ],
}
