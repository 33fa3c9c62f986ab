/**
 * Writes test/golden: small packed files and encoded matrices, good ones with the SHA-256 of what comes out, hostile ones with
 * the sentence that they are refused with. Files of a released version of the format are never written again: they show that
 * later decoders still read them.
 * Run: npx tsx tools/golden.mts
 */
import { createHash } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { chooseCoding } from '../src/formats/choose-coding.ts'
import type { Coded } from '../src/formats/coding/coding.ts'
import { codings } from '../src/formats/coding/codings.ts'
import { type Container, readContents, readGroup, writeContainer } from '../src/formats/container.ts'
import type { Mode } from '../src/formats/entropy/integer-coder.ts'
import { BinaryEncoder } from '../src/formats/entropy/range-coder.ts'
import { codeMessage, primedMixer } from '../src/formats/graph-coder.ts'
import * as matrixFormats from '../src/formats/matrix/index.ts'
import type { MatrixFormat } from '../src/formats/matrix/matrix.ts'
import { openMatrix } from '../src/formats/matrix/open.ts'
import { packModel } from '../src/formats/pack.ts'
import { type CodedTensor, infoOf, tensorCoder } from '../src/formats/tensor-coder.ts'
import { decodeOne, readHead, unpackOnnx } from '../src/formats/unpack-onnx.ts'
import type { Attribute, Model, Tensor } from '../src/model.ts'
import { ModelProto } from '../src/onnx/schema.ts'
import { decode, type Message } from '../src/onnx/wire.ts'
import { writeModel } from '../src/onnx/write.ts'
import { type DataType, dataTypes, floatTensor, integerTensor, tensorOfFloats } from '../src/tensor/dtype.ts'
import { random } from '../src/tensor/random.ts'
import { longTexts } from '../src/testing/long-texts.ts'
import { randomModel } from '../src/testing/random-model.ts'
import { exampleModel } from '../src/testing/test-method.ts'

export interface GoldenFile {
  readonly file: string
  readonly what: string
  readonly mode: Mode
  /** Of the ONNX file that comes out. */
  readonly byteLength: number
  readonly sha256: string
  readonly tensors: readonly {
    readonly name: string
    readonly dtype: string
    readonly dims: readonly number[]
    readonly coding: string
    readonly sha256: string
  }[]
}
export interface GoldenMatrix {
  readonly file: string
  readonly format: string
  readonly rows: number
  readonly columns: number
  /** Of the values, row by row, float32 little-endian. */
  readonly sha256: string
}
export interface HostileFile {
  readonly file: string
  /** What a decoder of this project says; others may use their own words. */
  readonly error: string
}
export interface Corpus {
  readonly good: readonly GoldenFile[]
  readonly hostile: readonly HostileFile[]
  readonly matrices: readonly GoldenMatrix[]
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

const rng = random(2)
/** Sums of uniform numbers, which every engine rounds alike. */
const noise = (n: number, scale: number): Float32Array =>
  Float32Array.from({ length: n }, () => Math.fround((rng.next() + rng.next() + rng.next() - 1.5) * scale))
const ints = (n: number, scale: number): number[] => Array.from(noise(n, scale), Math.round)

/** Values that several tensors have. */
const book = noise(800, 1)

function modelOf(tensors: readonly Tensor[]): Model {
  return {
    irVersion: 8,
    opsets: [{ domain: '', version: 17 }],
    graph: {
      name: 'g',
      nodes: [{ op: 'Relu', inputs: ['x'], outputs: ['y'], attributes: {} }],
      initializers: new Map(tensors.map((t) => [t.name, t])),
      inputs: [{ name: 'x', dtype: 'float32', shape: ['n', 6] }],
      outputs: [{ name: 'y', dtype: 'float32', shape: ['n', 6] }],
    },
  }
}

/** What no coding makes smaller: the file is held as bytes. */
function withRandomTexts(model: Model): Model {
  const value = Array.from({ length: 60 }, () => Uint8Array.from({ length: 300 }, () => rng.below(256)))
  const attributes: Record<string, Attribute> = { texts: { type: 'strings', value } }
  return { ...model, graph: { ...model.graph, nodes: [{ ...model.graph.nodes[0], attributes }] } }
}

/** Columns of a made-up tree in attributes, and a vocabulary. */
function withLists(model: Model): Model {
  const n = 40
  const list = <T,>(make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i))
  const leaf = (i: number): boolean => (i * 7) % 5 < 2
  const attributes: Record<string, Attribute> = {
    ids: { type: 'ints', value: list((i) => i % 17) },
    trees: { type: 'ints', value: list((i) => Math.floor(i / 17)) },
    next: { type: 'ints', value: list((i) => (leaf(i) ? 0 : (i % 17) + 1)) },
    wide: { type: 'ints', value: list((i) => (i - 20) * 2 ** (i % 40)) },
    far: { type: 'ints', value: list((i) => -70000 * i + (i % 3)) },
    values: { type: 'floats', value: list((i) => (leaf(i) ? 0.5 : Math.fround(((i * 37) % 11) / 7))) },
    modes: { type: 'strings', value: list((i) => (leaf(i) ? 'LEAF' : 'BRANCH_LEQ')) },
    words: { type: 'strings', value: list((i) => `word${(i * 13) % 29}`) },
  }
  return { ...model, graph: { ...model.graph, nodes: [{ ...model.graph.nodes[0], attributes }] } }
}

/** A matrix and itself turned, a kernel and itself with its dimensions in another order. */
const turned = [
  [
    [12, 20],
    [1, 0],
  ],
  [
    [3, 4, 5, 6],
    [2, 3, 1, 0],
  ],
].flatMap(([dims, order]) => {
  const size = dims.reduce((a, b) => a * b, 1)
  const t = floatTensor(`of ${dims}`, dims, noise(size, 1))
  const strides = dims.map((_, i) => dims.slice(i + 1).reduce((a, b) => a * b, 1))
  const to = order.map((axis) => dims[axis])
  const values = new Float32Array(t.data.buffer)
  const out = Float32Array.from({ length: size }, (_, i) => {
    let from = 0
    for (let axis = to.length - 1, rest = i; axis >= 0; rest = Math.floor(rest / to[axis]), axis--)
      from += (rest % to[axis]) * strides[order[axis]]
    return values[from]
  })
  return [t, floatTensor(`of ${dims} in order ${order}`, to, out)]
})

const magnitudes = noise(12, 2)
/** Whole numbers from 0 to 6, in no order. */
const few = Array.from({ length: 700 }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 13) % 7)
const words = new TextEncoder().encode(
  Array.from({ length: 90 }, (_, i) => `word ${(i * i) % 17} of ${i}, `)
    .join('')
    .slice(0, 1200),
)

const tensors: Record<string, readonly Tensor[]> = {
  none: [],
  raw: [
    { name: 'complex', dtype: 'complex64', dims: [20], data: Uint8Array.from({ length: 160 }, () => rng.below(256)) },
  ],
  inline: [
    integerTensor('shape', 'int64', [3], [1, -1, 49]),
    floatTensor('scalar', [], [0.1]),
    floatTensor('empty', [0, 3], []),
  ],
  letters: [
    integerTensor('bytes', 'uint8', [words.length], words),
    integerTensor('code points', 'int32', [2, words.length / 2], words),
  ],
  // Few different elements that come again further away: masks in one byte, levels in four.
  'few-elements': [
    {
      name: 'mask',
      dtype: 'bool',
      dims: [60, 100],
      data: Uint8Array.from({ length: 6000 }, (_, i) => few[i % 700] & 1),
    },
    floatTensor(
      'levels',
      [40, 50],
      Float32Array.from({ length: 2000 }, (_, i) => few[i % 450] - 3),
    ),
  ],
  constant: [
    floatTensor('zeros', [30, 30], new Float32Array(900)),
    floatTensor('minus', [80], new Float32Array(80).fill(-0)),
  ],
  integers: [
    integerTensor('int8', 'int8', [8, 3, 3, 3], Int8Array.from(ints(216, 6))),
    integerTensor('wide', 'int8', [12, 12], Int8Array.from(ints(144, 80))),
    {
      name: 'uint4',
      dtype: 'uint4',
      dims: [5, 7],
      data: Uint8Array.from({ length: 18 }, (_, i) => (i * 37) & (i === 17 ? 15 : 255)),
    },
    integerTensor(
      'int32',
      'int32',
      [40],
      Int32Array.from({ length: 40 }, (_, i) => (i % 2 ? 2 ** 31 - 1 - i : -(2 ** 31) + i)),
    ),
    integerTensor('int64', 'int64', [40], ints(40, 900)),
    {
      name: 'float8',
      dtype: 'float8e4m3fn',
      dims: [64],
      data: Uint8Array.from(ints(64, 60), (v) => (v < 0 ? 128 | -v : v)),
    },
  ],
  grid: [
    floatTensor(
      'whole',
      [6, 20],
      Float32Array.from(ints(120, 5), (v) => v * 0.125),
    ),
    floatTensor(
      'rows',
      [4, 30],
      Float32Array.from(ints(120, 9), (v, i) => Math.fround(v * Math.fround(0.1 + Math.floor(i / 30)))),
    ),
    floatTensor(
      'columns',
      [30, 4],
      Float32Array.from(ints(120, 9), (v, i) => Math.fround(v * Math.fround(0.1 + (i % 4)))),
    ),
    floatTensor(
      'doubles',
      [4, 30],
      Float32Array.from(ints(120, 9), (v, i) => Math.fround(v * (0.1 + Math.floor(i / 30) / 7))),
    ),
    floatTensor(
      'decimals',
      [100],
      Float32Array.from(ints(100, 900), (v) => Math.fround(v / 100)),
    ),
    {
      name: 'decimals of doubles',
      dtype: 'float64',
      dims: [50],
      data: new Uint8Array(Float64Array.from(ints(50, 900), (v, i) => (v === 0 && i % 2 ? -0 : v / 1000)).buffer),
    },
    {
      name: 'decimals of many digits, and sums of them',
      dtype: 'float64',
      dims: [120],
      data: new Uint8Array(Float64Array.from(ints(120, 1.8e8), (v, i) => (i % 3 ? v / 1e6 : 48.8 + v / 1e6)).buffer),
    },
    // In two roundings.
    floatTensor(
      'quotients',
      [4, 60],
      Float32Array.from(ints(240, 7), (v, i) =>
        Math.fround(Math.fround(v / 7) * Math.fround(0.3 + Math.floor(i / 60) / 9)),
      ),
    ),
    floatTensor(
      'products',
      [4, 60],
      Float32Array.from(ints(240, 7), (v, i) =>
        Math.fround(Math.fround(v * Math.fround(0.3 + Math.floor(i / 60) / 9)) / 7),
      ),
    ),
    floatTensor(
      'minima',
      [4, 60],
      Float32Array.from(ints(240, 7), (v, i) =>
        Math.fround(
          Math.fround((v + 7) * Math.fround(0.3 + Math.floor(i / 60) / 9)) - Math.fround(1.1 + Math.floor(i / 60) / 5),
        ),
      ),
    ),
    // With corrections.
    floatTensor(
      'folded',
      [4, 200],
      Float32Array.from(ints(800, 90), (v, i) =>
        Math.fround(
          Math.fround(v * Math.fround(0.3 + Math.floor(i / 200) / 9)) * Math.fround(0.7 + Math.floor(i / 200) / 7),
        ),
      ),
    ),
    floatTensor(
      'standardised',
      [200, 4],
      Float32Array.from(ints(800, 8), (v, i) => (v + 8 - (7.3 + (i % 4) / 3)) / (4.1 + (i % 4) / 7)),
    ),
    {
      name: 'standardised doubles',
      dtype: 'float64',
      dims: [200, 4],
      data: new Uint8Array(
        Float64Array.from(ints(800, 8), (v, i) => (v + 8 - (7.3 + (i % 4) / 3)) / (4.1 + (i % 4) / 7)).buffer,
      ),
    },
    ...(['float16', 'bfloat16'] as const).map((dtype) =>
      tensorOfFloats(
        `rows ${dtype}`,
        dtype,
        [4, 300],
        Float32Array.from(ints(1200, 40), (v, i) => Math.fround(v * Math.fround(0.003 + Math.floor(i / 300) / 900))),
      ),
    ),
    floatTensor(
      'signs',
      [50],
      Float32Array.from(ints(50, 3), (v, i) => (v === 0 && i % 2 ? -0 : v)),
    ),
  ],
  codebook: [
    floatTensor(
      'book',
      [10, 20],
      Float32Array.from({ length: 200 }, (_, i) => [0.1, -0.3, 0, 0.77, -0][(i * 37) % 5]),
    ),
    {
      name: 'half',
      dtype: 'float16',
      dims: [64],
      data: new Uint8Array(Uint16Array.from({ length: 64 }, (_, i) => [0x3c00, 0xbc01, 0, 0x7e00][i % 4]).buffer),
    },
  ],
  floats: [
    floatTensor('random', [40, 5], noise(200, 1)),
    floatTensor(
      'pruned',
      [40, 5],
      noise(200, 1).map((v, i) => (i % 5 ? 0 : v)),
    ),
    floatTensor(
      'special',
      [70],
      Float32Array.from({ length: 70 }, (_, i) => [0, -0, Number.NaN, 1 / 0, -1 / 0, 1e-45, -3e38][i % 7]),
    ),
    {
      name: 'double',
      dtype: 'float64',
      dims: [12],
      data: new Uint8Array(Float64Array.from(noise(12, 1), (v) => v / 3).buffer),
    },
    { name: 'bfloat', dtype: 'bfloat16', dims: [60], data: new Uint8Array(noise(30, 1).buffer) },
  ],
  copy: [floatTensor('first', [200], noise(200, 1)), floatTensor('other', [20], noise(20, 1))]
    .flatMap((t) => [t, { ...t, name: `${t.name}-again` }])
    .concat(turned),
  // Rows between others; columns; backwards; with other signs and some elements changed; times powers of two.
  runs: ['float32', 'float64', 'int8'].flatMap((dtype): Tensor[] => {
    const of = (name: string, dims: number[], values: readonly number[]): Tensor =>
      dtype === 'float64'
        ? { name: `${name} ${dtype}`, dtype, dims, data: new Uint8Array(Float64Array.from(values).buffer) }
        : dtype === 'int8'
          ? integerTensor(`${name} ${dtype}`, dtype, dims, values)
          : floatTensor(`${name} ${dtype}`, dims, values)
    const some = (n: number): number[] => (dtype === 'int8' ? ints(n, 50) : Array.from(noise(n, 1), (v) => v / 3))
    const values = some(640)
    return [
      of('all', [20, 32], values),
      of('between', [24, 32], [...some(64), ...values, ...some(64)]),
      of(
        'columns',
        [20, 24],
        values.filter((_, i) => i % 32 >= 8),
      ),
      of('backwards', [20, 32], values.toReversed()),
      of(
        'negated',
        [640],
        values.map((v, i) => (i % 100 === 7 ? 1 : dtype === 'int8' ? v : -v)),
      ),
      of(
        'scaled',
        [640],
        values.map((v, i) => (dtype === 'int8' ? v : i < 320 ? 8 * v : -v / 4)),
      ),
    ]
  }),
  bytes: [
    {
      name: 'text',
      dtype: 'uint8',
      dims: [1200],
      data: Uint8Array.from({ length: 1200 }, (_, i) =>
        'a tale told twice is half forgotten; '.charCodeAt((i + (i >> 7)) % 37),
      ),
    },
    {
      name: 'far',
      dtype: 'int64',
      dims: [10, 20],
      data: new Uint8Array(
        BigInt64Array.from({ length: 200 }, (_, i) => BigInt(i % 20) * 0x123456789an + BigInt(i >> 4)).buffer,
      ),
    },
  ],
  // Runs on, backwards, down columns; of few values a row; mirrored in kernels; with other signs; of each width.
  elements: [
    floatTensor(
      'waves',
      [16, 32],
      Float32Array.from({ length: 512 }, (_, i) => magnitudes[(i * ((i >> 5) + 1)) % 12] * ((i >> 4) % 3 ? 1 : -1)),
    ),
    ...['float16', 'bfloat16', 'float32', 'float64', 'int64'].map((dtype): Tensor => {
      const width = dataTypes[dtype as DataType].bits / 8
      const values = ints(900 * width, 120)
      const data = new Uint8Array(900 * width)
      for (let i = 0; i < 900; i++) {
        const [row, column] = [Math.floor(i / 30), i % 30]
        const from = Math.max(row, column) * 30 + Math.min(row, column)
        for (let b = 0; b < width; b++) data[i * width + b] = values[from * width + b]
        if (i % 53 === 0) data[(i + 1) * width - 1] ^= 0x80
      }
      return { name: `symmetric ${dtype}`, dtype: dtype as DataType, dims: [30, 30], data }
    }),
    floatTensor(
      'rows of few',
      [12, 64],
      ((book) => Float32Array.from({ length: 768 }, (_, i) => book[Math.floor(i / 64) * 9 + (((i * i * 7) % 61) % 9)]))(
        noise(108, 1),
      ),
    ),
    floatTensor(
      'kernels',
      [10, 4, 3, 3],
      ((values) => Float32Array.from({ length: 360 }, (_, i) => values[i < 180 ? i : i - 180 - 2 * (i % 3) + 2]))(
        noise(180, 1),
      ),
    ),
    floatTensor(
      'many',
      [1, 3000],
      ((values) => Float32Array.from({ length: 3000 }, (_, i) => values[i < 1500 ? i : (i * 7) % 1500]))(
        noise(1500, 1),
      ),
    ),
    // Each column's own, further down or up in another.
    floatTensor(
      'columns',
      [60, 24],
      ((values) =>
        Float32Array.from({ length: 1440 }, (_, i) => values[(i % 24) * 30 + Math.abs((((i / 24) | 0) % 58) - 29)]))(
        noise(720, 1),
      ),
    ),
  ],
  // Elements of a tensor before, in another order: floats with other signs, integers by sign and magnitude.
  'elements-of-others': [
    floatTensor('book', [20, 40], book),
    floatTensor(
      'shuffled',
      [10, 160],
      Float32Array.from({ length: 1600 }, (_, i) => book[(i * 37) % 800] * (i % 3 ? 1 : -1)),
    ),
    floatTensor(
      'columns of it',
      [30, 40],
      Float32Array.from({ length: 1200 }, (_, i) => book[((i % 40) * 9 + ((i / 40) | 0)) % 800]),
    ),
    ...[800, 3200].map((n) =>
      integerTensor(
        `${n} integers`,
        'int32',
        [40, n / 40],
        Array.from({ length: n }, (_, i) => Math.round(1e9 * book[(i * 7) % 800]) * (i % 3 ? 1 : -1)),
      ),
    ),
  ],
  // Integers as signs and magnitudes, of which the lowest is a sign alone.
  signs: (['int8', 'int16', 'int32', 'int64'] as const).map((dtype) => {
    const lowest = -(2 ** (Math.min(32, dataTypes[dtype].bits) - 1))
    const ones = (x: number): number => (x === 0 ? 0 : (x & 1) ^ ones(x >> 1))
    const values = Array.from({ length: 2048 }, (_, i) => (ones((i >> 6) & i & 63) ? -1 : 1) * (i % 700 === 9 ? 0 : 3))
    return integerTensor(`signs ${dtype}`, dtype, [32, 64], [...values.slice(1), dtype === 'int64' ? -3 : lowest])
  }),
  // Close to one before: averages of it, the last with some other signs.
  beside: (['float32', 'float16', 'bfloat16'] as const).flatMap((dtype) => {
    const values = Float32Array.from({ length: 600 }, (_, i) => Math.sin(i * i) + 1.5)
    const near = (i: number): number => 1 + Math.sin(7 * i * i) / 1000
    return [
      tensorOfFloats(`first ${dtype}`, dtype, [20, 30], values),
      tensorOfFloats(
        `average ${dtype}`,
        dtype,
        [20, 30],
        values.map((v, i) => v * near(i)),
      ),
      tensorOfFloats(
        `turned ${dtype}`,
        dtype,
        [20, 30],
        values.map((v, i) => (i % 40 === 0 ? -v : v * near(i + 1))),
      ),
    ]
  }),
  predicted: [
    integerTensor(
      'range',
      'int64',
      [300],
      Array.from({ length: 300 }, (_, i) => 5 + 8 * i),
    ),
    integerTensor(
      'plane',
      'int32',
      [20, 30],
      Array.from({ length: 600 }, (_, i) => 7 * Math.floor(i / 30) - 3 * (i % 30)),
    ),
    floatTensor(
      'mask',
      [24, 24],
      Float32Array.from({ length: 576 }, (_, i) => (i % 24 > i / 24 ? Number.NEGATIVE_INFINITY : 0)),
    ),
  ],
  // A second group begins after 2^20 elements.
  groups: [
    integerTensor(
      'sparse',
      'int8',
      [1024, 1024],
      Int8Array.from({ length: 2 ** 20 }, (_, i) => (i % 65537 === 0 ? 1 : 0)),
    ),
    floatTensor('after', [64], noise(64, 1)),
  ],
  // Where there are many, each 0 has a sign of its own; a single -0 is a number like others.
  'signed-zeros': [
    floatTensor(
      'masked',
      [20, 10],
      Float32Array.from({ length: 200 }, (_, i) => (i % 7 ? ((i * i) % 3 ? -0 : 0) : ((i * 37) % 101) / 97 - 0.5)),
    ),
    floatTensor(
      'one',
      [500],
      Float32Array.from({ length: 500 }, (_, i) => (i % 7 ? (i === 100 ? -0 : 0) : ((i * 37) % 101) / 97 - 0.5)),
    ),
    {
      name: 'double',
      dtype: 'float64',
      dims: [60],
      data: new Uint8Array(Float64Array.from({ length: 60 }, (_, i) => (i % 4 ? (i % 2 ? -0 : 0) : i / 7)).buffer),
    },
    {
      name: 'half',
      dtype: 'float16',
      dims: [90],
      data: new Uint8Array(
        Uint16Array.from({ length: 90 }, (_, i) => (i % 3 ? (i % 2 ? 0x8000 : 0) : 0x3c00 + i)).buffer,
      ),
    },
  ],
}

// ---- good files

const good: { what: string; model: Model; modes: readonly Mode[] }[] = [
  ...Object.entries(tensors).map(([what, list]) => ({
    what,
    model: modelOf(list),
    modes: (what === 'integers' ? ['fast', 'default', 'max'] : ['fast']) as Mode[],
  })),
  { what: 'no-graph', model: withRandomTexts(modelOf([])), modes: ['fast'] },
  ...Object.entries(longTexts()).map(([what, model]) => ({
    what: `text-${what.replaceAll(' ', '-')}`,
    model,
    modes: ['fast'] as Mode[],
  })),
  { what: 'lists', model: withLists(modelOf([])), modes: ['default'] },
  { what: 'network', model: exampleModel(), modes: ['fast', 'default', 'max'] },
  ...[1, 4, 9].map((seed) => ({ what: `everything-${seed}`, model: randomModel(seed), modes: ['default'] as Mode[] })),
]

// ---- hostile files: a good one, changed

const base = modelOf([...tensors.grid.slice(0, 1), ...tensors.floats.slice(0, 1), ...tensors.inline.slice(0, 1)])
const onnx = writeModel(base)
const file = packModel(base, { mode: 'fast' })
const contents = readContents(file)
const parts: Container = {
  ...contents,
  groups: contents.groups.map((g, i) =>
    readGroup(contents, i, file.subarray(g.at, g.at + g.integersLength + g.rawLength)),
  ),
}
const [group] = parts.groups
const withBytes = (bytes: Uint8Array, change: Record<number, number>): Uint8Array => {
  const out = bytes.slice()
  for (const [at, value] of Object.entries(change)) out[Number(at)] = value
  return out
}
const withParts = (change: Partial<Container>): Uint8Array => writeContainer({ ...parts, ...change })

/** The same file with another head: the message, or what is said of its tensors, is changed before it is coded. */
function withHead(
  change: { message?: (m: Message) => void; tensor?: (t: CodedTensor) => Partial<Coded> & { coding?: string } },
  more: Partial<Container> = {},
): Uint8Array {
  const coder = new BinaryEncoder()
  const mixer = primedMixer(coder)
  const describe = tensorCoder(mixer)
  const message = decode(ModelProto, onnx)
  change.message?.(message)
  codeMessage(mixer, ModelProto, message, {
    check: () => {},
    codeTensor(parent, data) {
      if (change.message) return // a decoder stops before what would be said here
      const tensor = chooseCoding(infoOf(parent), data as Uint8Array)
      const { coding: name, ...coded } = change.tensor?.(tensor) ?? {}
      const coding =
        name === undefined ? tensor.coding : (codings.find((c) => c.name === name) ?? { ...tensor.coding, name })
      describe.code({ ...tensor, coding, coded: { ...tensor.coded, ...coded } }, tensor.info)
    },
  })
  return withParts({ head: coder.finish(), ...more })
}
const first =
  (change: Partial<Coded> & { coding?: string }) =>
  ({ info }: CodedTensor): Partial<Coded> & { coding?: string } =>
    info.size === 120 ? change : {}
const graphOf = (m: Message): Message => m.graph as Message
const initializersOf = (m: Message): Message[] => graphOf(m).initializers as Message[]

/** What no encoder can be made to write: heads of changed bytes, tried until one is refused so. */
function search(sentence: RegExp): Uint8Array {
  const r = random(1)
  for (let i = 0; i < 50_000; i++) {
    const head = parts.head.slice()
    head[r.below(head.length)] = r.below(256)
    const bytes = withParts({ head })
    // Reading the head alone is enough to meet it.
    if (sentence.test(errorOf(() => readHead(readContents(bytes))))) return bytes
  }
  throw new Error(`golden: no head found that is refused with ${sentence}`)
}

const hostile: Record<string, Uint8Array> = {
  empty: new Uint8Array(0),
  'another-format': Uint8Array.of(0x50, 0x4b, 3, 4),
  'version-1': withBytes(file, { 3: 1 }),
  'only-magic': file.slice(0, 4),
  'cut-in-contents': file.slice(0, 14),
  'cut-in-head': file.slice(0, contents.groups[0].at - 3),
  'cut-in-group': file.slice(0, -1),
  'bytes-after-end': Uint8Array.of(...file, 0),
  'head-bit-flipped': withBytes(file, { [contents.groups[0].at - 2]: file[contents.groups[0].at - 2] ^ 16 }),
  'group-bit-flipped': withBytes(file, { [file.length - 2]: file[file.length - 2] ^ 1 }),
  'unknown-mode': withBytes(file, { 8: 3 }),
  'length-of-8-bytes': Uint8Array.of(...file.slice(0, 9), ...new Array(8).fill(255)),
  'many-groups': Uint8Array.of(...file.slice(0, 12), 255, 255, 255, 127, ...file.slice(13)),
  'two-gibibytes': withParts({ byteLength: 2 ** 31 }),
  'no-graph-said': withParts({ graphByteLength: 0 }),
  'graph-larger-than-file': withParts({ graphByteLength: parts.byteLength + 1 }),
  'graph-from-nothing': withParts({ byteLength: 2 ** 30, graphByteLength: 2 ** 29 }),
  'one-byte-too-many-said': withParts({ byteLength: parts.byteLength + 1 }),
  'less-data-than-tensors': withParts({ byteLength: parts.byteLength - 200 }),
  'head-cut': withParts({ head: parts.head.slice(0, parts.head.length >> 1) }),
  'head-of-zeros': withParts({ head: new Uint8Array(64) }),
  'head-of-ones': withParts({ head: new Uint8Array(64).fill(255) }),
  'group-missing': withParts({ groups: [] }),
  'group-too-many': withParts({ groups: [group, group] }),
  'integers-cut': withParts({ groups: [{ ...group, integers: group.integers.slice(0, 3) }] }),
  'raw-bits-cut': withParts({ groups: [{ ...group, raw: group.raw.slice(0, -1) }] }),
  'raw-bits-to-spare': withParts({ groups: [{ ...group, raw: Uint8Array.of(...group.raw, 0) }] }),
  'unknown-element-type': withHead({ tensor: () => ({}), message: (m) => void (initializersOf(m)[0].dataType = 99) }),
  'negative-shape': withHead({ message: (m) => void (initializersOf(m)[0].dims = [-6, 20]) }),
  'unknown-coding': search(/: tensor coding /),
  'copy-of-itself': withHead({ tensor: first({ coding: 'copy', parameters: [0, 0] }) }),
  'copy-of-nothing': withHead({ tensor: first({ coding: 'copy', parameters: [1, 0] }) }),
  'grid-of-no-steps': withHead({ tensor: first({ table: new Uint8Array(0) }) }),
  'grid-of-two-steps': withHead({ tensor: first({ parameters: [0, 0], table: new Uint8Array(8) }) }),
  'grid-of-half-a-step': withHead({ tensor: first({ table: new Uint8Array(6) }) }),
  'table-longer-than-tensor': search(/ a table of /),
  'codebook-index-out-of-range': withHead({
    tensor: first({ coding: 'codebook', parameters: [7], table: new Uint8Array(4) }),
  }),
  'exponent-out-of-range': withHead({ tensor: first({ coding: 'floats', parameters: [256, 0] }) }),
  'inline-of-another-size': withHead({ tensor: first({ coding: 'inline', parameters: [], table: new Uint8Array(3) }) }),
  'bytes-of-no-kind': withHead({ tensor: first({ coding: 'bytes', parameters: [7 + 8] }) }),
  'bytes-behind-none': withHead(
    { tensor: first({ coding: 'bytes', parameters: [1 + 8] }) },
    { groups: [{ ...group, raw: new Uint8Array(8) }] },
  ),
  'beside-nothing': withHead({ tensor: first({ coding: 'beside', parameters: [1] }) }),
  'runs-that-end': withHead({ tensor: first({ coding: 'runs', parameters: [0], table: Uint8Array.of(0, 8, 0, 1) }) }),
  'run-of-no-tensor': withHead({
    tensor: first({ coding: 'runs', parameters: [0], table: Uint8Array.of(0, 8, 0, 1, 0) }),
  }),
  'runs-beyond-tensor': withHead({
    tensor: first({ coding: 'runs', parameters: [0], table: Uint8Array.of(0, 121, 0, 1, 0) }),
  }),
  'bytes-that-end': withHead({ tensor: first({ coding: 'bytes', parameters: [0] }) }),
  'too-many-low-bits': search(/ low bits;/),
  'name-of-nothing': search(/a name refers to one that is not there/),
}

// ---- writing

function tensorRows(packed: Uint8Array): GoldenFile['tensors'] {
  const places = readContents(packed).groups
  const head = readHead(readContents(packed))
  const groupBytes = (i: number) =>
    packed.subarray(places[i].at, places[i].at + places[i].integersLength + places[i].rawLength)
  return head.tensors.map((t) => ({
    name: t.name,
    dtype: t.info.dtype,
    dims: t.info.dims,
    coding: t.parts[0].coding.name,
    sha256: sha256(decodeOne(head, t, groupBytes)),
  }))
}

function main(): void {
  const folder = new URL('../test/golden/', import.meta.url)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  const write = (name: string, bytes: Uint8Array): string => {
    writeFileSync(new URL(name, folder), bytes)
    return name
  }
  const corpus: Corpus = {
    good: good.flatMap(({ what, model, modes }) =>
      modes.map((mode) => {
        const packed = packModel(model, { mode })
        const out = unpackOnnx(packed)
        const name = write(`${what}${modes.length > 1 ? `-${mode}` : ''}.cop`, packed)
        return { file: name, what, mode, byteLength: out.length, sha256: sha256(out), tensors: tensorRows(packed) }
      }),
    ),
    hostile: Object.entries(hostile).map(([what, bytes]) => ({
      file: write(`hostile-${what}.cop`, bytes),
      error: errorOf(() => unpackOnnx(bytes)),
    })),
    matrices: (Object.values(matrixFormats) as MatrixFormat[]).map((format) => {
      const values = Float32Array.from(ints(600, 4), (v) => (v < 0 ? 0 : v * 0.25))
      const bytes = format.encode({ rows: 40, columns: 15, values })
      const name = write(`${format.id}.cmx`, bytes)
      const decoded = openMatrix(bytes).decode().values
      return { file: name, format: format.id, rows: 40, columns: 15, sha256: sha256(new Uint8Array(decoded.buffer)) }
    }),
  }
  writeFileSync(new URL('corpus.json', folder), `${JSON.stringify(corpus, null, 1)}\n`)
}

function errorOf(read: () => unknown): string {
  try {
    read()
  } catch (error) {
    return (error as Error).message
  }
  return 'nothing was wrong'
}

main()
