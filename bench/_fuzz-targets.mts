/** What bench/fuzz.mts runs: for each decoder its seeds, how they are mutated, what is run, and what it may allocate. */

import { crc32 } from '../src/checksum.ts'
import { cifarDataset } from '../src/data/cifar.ts'
import { csvDataset } from '../src/data/csv.ts'
import { idxDataset, readIdx } from '../src/data/idx.ts'
import { deflate } from '../src/data/inflate.ts'
import { readNpy, readNpz, writeNpy, writeNpz } from '../src/data/npy.ts'
import { npzSplits } from '../src/data/npz-dataset.ts'
import { bitReader, bitWriter } from '../src/formats/bits.ts'
import { chooseCoding } from '../src/formats/choose-coding.ts'
import { bytes } from '../src/formats/coding/bytes.ts'
import type { Coded, TensorInfo } from '../src/formats/coding/coding.ts'
import { codings } from '../src/formats/coding/codings.ts'
import { encoders } from '../src/formats/coding/encoders.ts'
import { fillRuns, readRuns, runs, writeRuns } from '../src/formats/coding/runs.ts'
import { plainForm } from '../src/formats/coding/stream-form.ts'
import { readContents, readGroup, writeContainer } from '../src/formats/container.ts'
import { openCop } from '../src/formats/cop-file.ts'
import { maxContexts } from '../src/formats/entropy/context-mixer.ts'
import { beginDecoding, encodeIntegers, type Mode } from '../src/formats/entropy/integer-coder.ts'
import { BinaryEncoder } from '../src/formats/entropy/range-coder.ts'
import { codeMessage, primedMixer } from '../src/formats/graph-coder.ts'
import * as matrixFormats from '../src/formats/matrix/index.ts'
import { headerBytes, type MatrixFormat } from '../src/formats/matrix/matrix.ts'
import { packModel } from '../src/formats/pack.ts'
import { infoOf, tensorCoder } from '../src/formats/tensor-coder.ts'
import { unpackOnnx } from '../src/formats/unpack-onnx.ts'
import type { Model, Tensor } from '../src/model.ts'
import { readTar } from '../src/node/tar.ts'
import { parseModel } from '../src/onnx/parse-text.ts'
import { readModel } from '../src/onnx/read.ts'
import { ModelProto } from '../src/onnx/schema.ts'
import { printModel } from '../src/onnx/text.ts'
import { decode } from '../src/onnx/wire.ts'
import { writeModel } from '../src/onnx/write.ts'
import { parseRecipe } from '../src/recipe.ts'
import { byteLengthOf, type DataType, dataTypes, floatTensor, integerTensor, sizeOf } from '../src/tensor/dtype.ts'
import { type Random, random } from '../src/tensor/random.ts'
import { longTexts } from '../src/testing/long-texts.ts'
import { randomModel } from '../src/testing/random-model.ts'
import { matrixOf, sharedMatrix } from '../src/testing/test-format.ts'
import { decodeCheckpoint, encodeCheckpoint } from '../src/train/checkpoint.ts'
import { joined, mutateBytes, mutateContainer, mutateNumber } from './_fuzz-mutate.mts'

export interface Target {
  readonly name: string
  /** Share of the whole number of mutations. */
  readonly share: number
  readonly seeds: readonly Uint8Array[]
  /** Whether mutations may become seeds; default true. */
  readonly grows?: boolean
  readonly mutate: (seed: Uint8Array, rng: Random, other: Uint8Array) => Uint8Array
  /** Decodes; throws a sentence where the bytes are wrong. */
  readonly run: (bytes: Uint8Array) => unknown
  /** The most bytes that typed arrays and WebAssembly memories may take for these, all together. */
  readonly limit: (bytes: Uint8Array) => number
  /** Milliseconds of processor time that it may take; 2000 unless said. */
  readonly maxMs?: (bytes: Uint8Array) => number
}

const MiB = 2 ** 20

// ---- packed files

const rng = random(5)
const noise = (n: number, scale: number) => Float32Array.from({ length: n }, () => rng.normal() * scale)
const tensors: readonly Tensor[] = [
  floatTensor(
    'grid',
    [6, 20],
    Float32Array.from(noise(120, 3), (v) => Math.round(v) * 0.125),
  ),
  floatTensor(
    'rows',
    [4, 12],
    Float32Array.from(noise(48, 9), (v, i) => Math.fround(Math.round(v) * Math.fround(0.1 + ((i / 12) | 0)))),
  ),
  floatTensor('signs', [10], [0, -0, 1, -1, 0, 2, -0, 3, 1, 1]),
  floatTensor('floats', [40], noise(40, 1)),
  floatTensor(
    'book',
    [10, 10],
    Float32Array.from({ length: 100 }, (_, i) => [0.1, -0.3, 0, 0.77][(i * 37) % 4]),
  ),
  floatTensor(
    'waves',
    [16, 32],
    Float32Array.from({ length: 512 }, (_, i) => Math.cos(((i % 32) * (1 + (i >> 5)) * Math.PI) / 16)),
  ),
  integerTensor('int8', 'int8', [4, 3, 3, 3], Int8Array.from(noise(108, 40))),
  {
    name: 'uint4',
    dtype: 'uint4',
    dims: [5, 7],
    data: Uint8Array.from({ length: 18 }, (_, i) => (i * 37) & (i === 17 ? 15 : 255)),
  },
  integerTensor('shape', 'int64', [3], [1, -1, 49]),
  floatTensor('zeros', [30, 30], new Float32Array(900)),
  { name: 'complex', dtype: 'complex64', dims: [20], data: new Uint8Array(noise(40, 1).buffer) },
  {
    name: 'double',
    dtype: 'float64',
    dims: [12],
    data: new Uint8Array(Float64Array.from(noise(12, 1), Math.exp).buffer),
  },
]
const modelOf = (list: readonly Tensor[]): Model => ({
  irVersion: 8,
  opsets: [{ domain: '', version: 17 }],
  graph: {
    name: 'g',
    nodes: [
      { op: 'Conv', inputs: ['x', list[0].name], outputs: ['y'], attributes: { group: { type: 'int', value: 1 } } },
    ],
    initializers: new Map(list.map((t) => [t.name, t])),
    inputs: [{ name: 'x', dtype: 'float32', shape: ['n', 6] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: undefined }],
  },
})
const twice = modelOf([tensors[3], { ...tensors[3], name: 'again' }])
const models = [...tensors.map((t) => modelOf([t])), modelOf(tensors), twice, randomModel(4), randomModel(9)]
const texts = longTexts()
/** One of each way of coding. */
const textSeeds = ['a key', 'characters that a reader knows', 'a table of numbers', 'compiled code'].map(
  (name) => texts[name],
)
const copSeeds = [
  ...models.map((m) => packModel(m, { mode: 'fast' })),
  ...textSeeds.map((m) => packModel(m, { mode: 'fast' })),
  ...(['default', 'max'] as const).map((mode) => packModel(modelOf(tensors.slice(0, 7)), { mode })),
]

/** Trees of messages cost JavaScript objects beside; maxBytes keeps those few, too. */
const maxBytes = 4 * MiB

/** What a packed file may take: the coders' tables and 40 times what it says it holds. */
const copLimit = (bytes: Uint8Array): number => {
  let said = 0
  try {
    said = Math.min(maxBytes, readContents(bytes).byteLength)
  } catch {
    // It does not get as far as sizes.
  }
  return 48 * MiB + 40 * (said + bytes.length)
}

const cop: Target = {
  name: 'packed file, bytes',
  share: 0.02,
  seeds: copSeeds,
  mutate: (seed, r, other) => {
    try {
      return mutateContainer(seed, r, other)
    } catch {
      return repaired(mutateBytes(seed, r)) // of a corpus member that is no whole container
    }
  },
  run: (bytes) => unpackOnnx(bytes, { maxBytes }),
  limit: copLimit,
}

const layout: Target = {
  ...cop,
  name: 'packed file, layout',
  share: 0.05,
  mutate: (seed, r) => {
    const end = Math.min(seed.length, 8 + r.below(40))
    const out = joined(seed.subarray(0, 8), mutateBytes(seed.subarray(8, end), r), seed.subarray(end))
    return r.below(16) === 0 ? mutateBytes(out, r) : repaired(out)
  },
}

/** The head says something else of its tensors than was coded: other codings, parameters, tables, shapes. */
const descriptions: Target = {
  ...cop,
  name: 'packed file, tensor descriptions',
  grows: false,
  share: 0.01,
  seeds: models.map((m) => writeModel(m)),
  mutate(onnx, r) {
    const contents = readContents(packed(onnx))
    const file = packed(onnx)
    const groups = contents.groups.map((g, i) =>
      readGroup(contents, i, file.subarray(g.at, g.at + g.integersLength + g.rawLength)),
    )
    const coder = new BinaryEncoder()
    const mixer = primedMixer(coder)
    const describe = tensorCoder(mixer)
    codeMessage(mixer, ModelProto, decode(ModelProto, onnx), {
      check: () => {},
      codeTensor(message, data) {
        const info = infoOf(message)
        let { coding, coded } = chooseCoding(info, data as Uint8Array)
        if (r.below(3) === 0) coding = codings[r.below(codings.length)]
        const parameters = Array.from({ length: coding.parameterCount ?? 0 }, (_, i) => coded.parameters[i] ?? 0)
        const table = coding.hasTable ? (coded.table ?? new Uint8Array(4)) : undefined
        const form = coded.form ?? plainForm
        const other = (n: number): number => (r.below(8) === 0 ? mutateNumber(n, r) : n)
        const changedForm = {
          lowBits: r.below(8) === 0 ? r.below(32) : form.lowBits,
          predictor: other(form.predictor),
          offset: other(form.offset),
        }
        const changed: Coded = {
          ...coded,
          parameters: parameters.map((p) => (r.below(3) === 0 ? mutateNumber(p, r) : p)),
          table: table && (r.below(3) === 0 ? mutateBytes(table, r) : table),
          form: changedForm,
        }
        describe.code({ info, coding, coded: { ...changed, table: changed.table?.subarray(0, info.byteLength) } }, info)
      },
    })
    return writeContainer({ ...contents, head: coder.finish(), groups })
  },
}

const packedFiles = new Map<Uint8Array, Uint8Array>()
function packed(onnx: Uint8Array): Uint8Array {
  let file = packedFiles.get(onnx)
  if (!file) packedFiles.set(onnx, (file = packModel(readModel(onnx), { mode: 'fast' })))
  return file
}

const streamed: Target = {
  ...cop,
  name: 'packed file, streamed',
  share: 0.005,
  async run(bytes) {
    let at = 0
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (at >= bytes.length) controller.close()
        else controller.enqueue(bytes.subarray(at, (at += 50)))
      },
    })
    const file = await openCop(stream, { maxBytes })
    for await (const chunk of file.chunks()) void chunk
    const whole = await openCop(bytes, { maxBytes })
    for (const { name } of whole.tensors.slice(0, 2)) await whole.tensor(name)
  },
}

/** Sets the checksums of a packed file right, as far as its layout can be followed. */
function repaired(bytes: Uint8Array): Uint8Array {
  let at = 9
  const varint = (): number => {
    let value = 0
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const b = bytes[at++]
      value += (b & 127) * scale
      if (b < 128) break
    }
    return value
  }
  const put = (where: number, value: number): void => {
    for (let i = 0; i < 4 && where + i < bytes.length; i++) bytes[where + i] = value >>> (8 * i)
  }
  varint()
  varint()
  const headLength = varint()
  const places: { at: number; length: number }[] = []
  for (let left = varint(); left > 0 && at < bytes.length; left--) {
    const length = varint() + varint()
    places.push({ at, length })
    at += 4
  }
  let end = at + headLength
  for (const place of places) {
    put(place.at, crc32(bytes.subarray(end, end + place.length)))
    end += place.length
  }
  put(4, crc32(bytes.subarray(8, at + headLength)))
  return bytes
}

// ---- integer streams: the first two bytes are the shape

function integerTarget(mode: Mode, wasm: boolean): Target {
  const streamOf = (shape: readonly number[], scale: number): Uint8Array => {
    const values = Int32Array.from({ length: sizeOf(shape) }, () => Math.round(rng.normal() * scale))
    return joined(Uint8Array.from([...shape, 1, 1, 1].slice(0, 3)), encodeIntegers(values, shape, { mode, wasm }))
  }
  const shapeOf = (bytes: Uint8Array): number[] => [bytes[0] ?? 0, bytes[1] ?? 0, bytes[2] ?? 0]
  return {
    name: `integers, ${mode}${wasm ? ', WebAssembly' : ''}`,
    share: wasm ? 0.008 : 0.003,
    seeds: [
      streamOf([6, 20], 3),
      streamOf([4, 3, 9], 1),
      streamOf([50], 200),
      streamOf([9, 9], 1e6),
      streamOf([8, 40], 0.1),
    ],
    mutate: (seed, r) => mutateBytes(seed, r),
    run: (bytes) => {
      const [rows, columns, taps] = shapeOf(bytes)
      // Bytes that have ended give zeros for ever, of which the caller's sizes must be the bound.
      beginDecoding(bytes.subarray(3), { mode, wasm }).decodeTensor([rows, columns % 32, taps % 16])
    },
    limit: (bytes) => 32 * MiB + 16 * shapeOf(bytes).reduce((a, b) => a * b, 1) + 16 * bytes.length,
    // In TypeScript a weight of 17 decisions, each from 12 contexts, takes its time, and few bits are many weights.
    maxMs: wasm
      ? undefined
      : (bytes) => {
          const [rows, columns, taps] = shapeOf(bytes)
          return 2000 + (rows * (columns % 32) * (taps % 16)) / 50
        },
  }
}

// ---- codings: dtype, dims, parameters, low bits and lengths, then table, integers and raw bits

interface CodingCase {
  readonly info: TensorInfo
  readonly coded: Coded
  readonly raw: Uint8Array
}
const types = Object.keys(dataTypes) as DataType[]

/** A mixer of bytes has at most 32 slots for each, of 4 bytes, in the table of each of its contexts. */
const mixerPerByte = 32 * 4 * maxContexts

/** What runs are taken from. */
const runSource = new Uint8Array(noise(200, 1).buffer)

/** Tensors that share runs with the source: on, backwards, with other signs, times powers of two. */
function runCases(): CodingCase[] {
  const found = [
    { at: 3, length: 40, distance: 1, from: 10, backward: false, negated: false, added: 0 },
    { at: 50, length: 30, distance: 1, from: 5, backward: true, negated: false, added: 0 },
    { at: 81, length: 60, distance: 1, from: 100, backward: false, negated: true, added: 0 },
  ]
  const scaled = [
    { at: 0, length: 100, distance: 1, from: 10, backward: false, negated: false, added: -384 },
    { at: 100, length: 30, distance: 1, from: 5, backward: true, negated: true, added: 128 },
  ]
  const cases = [
    ['float32', found],
    ['int8', found],
    ['float32', scaled],
    ['float16', scaled],
  ] as const
  return cases.map(([dtype, found]) => {
    const info = { dtype, dims: [150], size: 150, byteLength: byteLengthOf(dtype, 150) }
    const coded = { parameters: [0], table: writeRuns(found) }
    const out = bitWriter()
    encoders[codings.indexOf(runs)].writeRaw?.({ info, data: runSource.subarray(0, info.byteLength) }, coded, out)
    return { info, coded, raw: out.finish() }
  })
}

function codingTarget(index: number): Target | undefined {
  const coding = codings[index]
  const encoder = encoders[index]
  const cases: CodingCase[] = []
  for (const { dtype, dims, data } of tensors) {
    const info = { dtype, dims, size: sizeOf(dims), byteLength: data.length }
    const found = encoder.encode(info, data)
    if (!found) continue
    const bits = bitWriter()
    encoder.writeRaw?.({ info, data }, found.coded, bits)
    cases.push({ info, coded: found.coded, raw: bits.finish() })
  }
  if (coding === runs) cases.push(...runCases())
  if (cases.length === 0) return undefined
  const isMixed = coding === runs || coding === bytes
  const changed = (c: CodingCase, r: Random): CodingCase => {
    const dims =
      r.below(4) === 0 ? c.info.dims.map((d) => (r.below(2) === 0 ? mutateNumber(d, r) % 40 : d)) : c.info.dims
    const dtype = r.below(6) === 0 ? types[r.below(types.length)] : c.info.dtype
    const size = sizeOf(dims)
    const integers = c.coded.integers && new Int32Array(size)
    integers?.set(c.coded.integers!.subarray(0, size))
    for (let n = r.below(4); integers && size > 0 && n > 0; n--) {
      integers[r.below(size)] = r.below(2) === 0 ? mutateNumber(3, r) : -mutateNumber(3, r)
    }
    return {
      info: { dtype, dims, size, byteLength: byteLengthOf(dtype, size) },
      coded: {
        parameters: c.coded.parameters.map((p) => (r.below(3) === 0 ? mutateNumber(p, r) : p)),
        table: c.coded.table && (r.below(3) === 0 ? mutateBytes(c.coded.table, r) : c.coded.table),
        integers,
      },
      raw: r.below(2) === 0 ? mutateBytes(c.raw, r) : c.raw,
    }
  }
  let now = cases[0]
  return {
    name: `coding ${coding.name}`,
    share: 0.05,
    seeds: cases.map((_, i) => Uint8Array.of(i)),
    // The bytes are the number of the case and the random state, from which the case follows.
    mutate: (seed, r) => {
      const state = new Uint8Array(Uint32Array.of(r.below(2 ** 32)).buffer)
      return joined(Uint8Array.of(seed[0] % cases.length), state)
    },
    run: (bytes) => {
      const state = new DataView(bytes.buffer).getUint32(1, true)
      now = changed(cases[bytes[0]], random(state))
      const data = coding.decode(now.info, now.coded, bitReader(now.raw))
      if (coding === runs) fillRuns(data, now.info, readRuns(now.coded.table, now.info), () => runSource)
      if (data.length !== now.info.byteLength) throw new TypeError(`${data.length} bytes came out`)
    },
    limit: () => MiB + 64 * (now.info.size + now.info.byteLength) + (isMixed ? mixerPerByte * now.info.byteLength : 0),
  }
}

// ---- matrix formats

function matrixTarget<O extends object>(format: MatrixFormat<O>, options?: O): Target {
  const seeds = [
    sharedMatrix(19, 11, { density: 0.4, k: 5 }),
    sharedMatrix(300, 4, { density: 0.05, k: 2 }),
    sharedMatrix(9, 9, { density: 1, k: 30 }),
    matrixOf(5, 4, () => 0),
    matrixOf(6, 3, () => 2),
    matrixOf(0, 7, () => 0),
  ].map((m) => format.encode(m, options))
  return {
    name: `matrix ${format.id}${options ? ' (options)' : ''}`,
    share: 0.025,
    seeds,
    mutate: (seed, r) => {
      const body = mutateBytes(seed.subarray(16, -4), r)
      const head = seed.slice(0, 16)
      const view = new DataView(head.buffer)
      for (const at of [4, 8]) {
        if (r.below(6) > 0) continue
        // Shapes that are allowed and great take their time by right: few of those.
        const size = mutateNumber(view.getUint32(at, true), r)
        view.setUint32(at, size < 2e4 || size > 2 ** 27 || r.below(100) === 0 ? size : size % 2e4, true)
      }
      view.setUint32(12, headerBytes + body.length, true)
      const bytes = joined(head, body, new Uint8Array(4))
      new DataView(bytes.buffer).setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true)
      return bytes
    },
    run: (bytes) => {
      const open = format.open(bytes)
      // What a sparse file stands for may be great; decoding that is the caller's choice, who knows the shape.
      if (open.rows * open.columns > 1e5 || open.rows > 1e5 || open.columns > 1e5) return
      open.decode()
      open.matvec(new Float32Array(open.rows).fill(1))
    },
    maxMs: (bytes) => {
      const view = new DataView(bytes.buffer)
      return 2000 + Math.min(2 ** 27, view.getUint32(4, true) * view.getUint32(8, true)) * 1e-4
    },
    // Opening keeps an array of a column's entries (8 bytes per row, at most 2^27 rows) and the positions of columns.
    limit: (bytes) => {
      const view = new DataView(bytes.buffer)
      const [rows, columns] = [view.getUint32(4, true), view.getUint32(8, true)]
      return 4 * MiB + 64 * bytes.length + (rows + columns <= 2 ** 28 ? 40 * (rows + columns) : 0) + 4e5 * 16
    },
  }
}

// ---- ONNX, its text form, data files

const text = new TextEncoder()
const fromText = new TextDecoder()
const plain = (
  name: string,
  share: number,
  seeds: readonly Uint8Array[],
  run: Target['run'],
  perByte = 40,
): Target => ({
  name,
  share,
  seeds,
  mutate: (seed, r, other) => mutateBytes(seed, r, other),
  run,
  limit: (bytes) => MiB + perByte * bytes.length,
})
const onnxSeeds = [modelOf(tensors), ...[3, 4, 5, 6].map((s) => randomModel(s))]
const npyArrays = {
  x: { shape: [3, 4], data: noise(12, 1) },
  y: { shape: [3], data: Int32Array.of(0, 1, 2) },
  image: { shape: [3, 2, 2], data: Uint8Array.from({ length: 12 }, (_, i) => i) },
}
const splits = {
  x_train: npyArrays.x,
  y_train: npyArrays.y,
  x_test: npyArrays.x,
  y_test: npyArrays.y,
}
const idxImages = Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, ...new Array(24).fill(7))
const idxLabels = Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 3, 9)
const idxWide = Uint8Array.of(0, 0, 13, 1, 0, 0, 0, 2, 63, 128, 0, 0, 64, 0, 0, 0)
const gzipped = await Promise.all([idxImages, idxLabels].map((b) => deflate(b, 'gzip')))

const runNpz = async (bytes: Uint8Array): Promise<void> => {
  npzSplits(await readNpz(bytes, 'data'), 'data')
}
/** Sets an archive's checksums right, as the central directory lists them. */
function zipRepaired(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer)
  for (let at = 0; at + 46 < bytes.length; at++) {
    if (view.getUint32(at, true) !== 0x02014b50 || view.getUint16(at + 10, true) !== 0) continue
    const start = view.getUint32(at + 42, true)
    if (start + 30 > bytes.length) continue
    const from = start + 30 + view.getUint16(start + 26, true) + view.getUint16(start + 28, true)
    view.setUint32(at + 16, crc32(bytes.subarray(from, from + view.getUint32(at + 20, true))), true)
  }
  return bytes
}

const checkpoint = encodeCheckpoint({
  fingerprint: 'net',
  step: 3,
  progress: { epoch: 1, history: [0.5] },
  arrays: new Map([
    ['w', noise(6, 1)],
    ['b', noise(2, 1)],
  ]),
})

function tarOf(name: string, data: Uint8Array): Uint8Array {
  const head = new Uint8Array(512)
  head.set(text.encode(name))
  head.set(text.encode(data.length.toString(8).padStart(11, '0')), 124)
  head.set(text.encode('        0'), 148)
  return joined(tarRepaired(head), data, new Uint8Array((512 - (data.length % 512)) % 512), new Uint8Array(1024))
}
function tarRepaired(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 512) return bytes
  let sum = 256
  for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += bytes[i]
  bytes.set(text.encode(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
  return bytes
}

const cifar10 = joined(...[0, 1].map((n) => joined(Uint8Array.of(n), new Uint8Array(3072).fill(n))))

const recipe = JSON.stringify({
  coppice: 1,
  seed: 1,
  calibration: { data: 'digits', samples: 8, batchSize: 4, range: [0, 1], mean: [0.5], layout: 'NCHW' },
  steps: [
    ['fold-batch-norm', {}],
    ['uniform', { price: 0.1 }],
  ],
})

const formats = Object.values(matrixFormats) as MatrixFormat[]

export const targets: readonly Target[] = [
  cop,
  layout,
  descriptions,
  streamed,
  ...(['fast', 'default', 'max'] as const).flatMap((mode) => [integerTarget(mode, false), integerTarget(mode, true)]),
  ...codings.flatMap((_, i) => codingTarget(i) ?? []),
  ...formats.map((f) => matrixTarget(f)),
  matrixTarget(matrixFormats.csrRelative, { gapBits: 5 }),
  matrixTarget(matrixFormats.indexMap, { indexBits: 'aligned' }),
  plain(
    'ONNX',
    0.1,
    onnxSeeds.map((m) => writeModel(m)),
    (bytes) => {
      const model = readModel(bytes)
      writeModel(model)
    },
    200,
  ),
  plain(
    'ONNX text',
    0.04,
    onnxSeeds.map((m) => text.encode(printModel(m))),
    (bytes) => parseModel(fromText.decode(bytes)),
    400,
  ),
  plain(
    'npy',
    0.04,
    Object.values(npyArrays).map((a) => writeNpy(a)),
    (bytes) => readNpy(bytes, 'data'),
  ),
  {
    ...plain(
      'npz, zip',
      0.03,
      [await writeNpz(npyArrays), await writeNpz(splits), await writeNpz(npyArrays, true)],
      runNpz,
    ),
    mutate: (seed, r) => (r.below(4) === 0 ? mutateBytes(seed, r) : zipRepaired(mutateBytes(seed, r))),
    // An entry says how many bytes it unpacks to, and no more may come.
    limit: (bytes) => MiB + 1100 * 8 * bytes.length,
  },
  plain('IDX', 0.04, [idxImages, idxLabels, idxWide], async (bytes) => {
    const found = await readIdx(bytes, 'data')
    idxDataset(
      await readIdx(found.dims.length === 1 ? idxImages : bytes, 'data'),
      await readIdx(found.dims.length === 1 ? bytes : idxLabels, 'data'),
      { id: 'data', classes: 10 },
    )
  }),
  plain('IDX, gzipped', 0.01, gzipped, (bytes) => readIdx(bytes, 'data'), 2200),
  plain('CIFAR', 0.02, [cifar10], (bytes) => cifarDataset([{ name: 'data', bytes }], { id: 'data', classes: 10 })),
  plain('CSV', 0.03, [text.encode('a,b,label\n1,2,cat\n3,"4",dog\n'), text.encode('1,2\r\n3,4\r\n')], (bytes) =>
    csvDataset(fromText.decode(bytes), 'data'),
  ),
  {
    ...plain('tar', 0.02, [tarOf('a/b.bin', new Uint8Array(700).fill(1)), tarOf('c', new Uint8Array(0))], (bytes) =>
      readTar(bytes, 'data'),
    ),
    mutate: (seed, r) => tarRepaired(joined(mutateBytes(seed.subarray(0, 512), r), seed.subarray(512))),
  },
  {
    ...plain('checkpoint', 0.02, [checkpoint], (bytes) => decodeCheckpoint(bytes)),
    mutate: (seed, r) => {
      const bytes = joined(mutateBytes(seed.subarray(0, -4), r), new Uint8Array(4))
      if (r.below(8) > 0) new DataView(bytes.buffer).setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true)
      return bytes
    },
  },
  plain('recipe', 0.02, [text.encode(recipe)], (bytes) => parseRecipe(fromText.decode(bytes), 'data')),
]
