/** Oracles: @bufbuild/protobuf with ONNX's own schema for the format, ONNX Runtime for whole models. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create, type DescMessage, fromBinary, type Message, toBinary } from '@bufbuild/protobuf'
import { fileDesc } from '@bufbuild/protobuf/codegenv2'
import { BinaryWriter } from '@bufbuild/protobuf/wire'
import { describe, expect, test } from 'vitest'
import { onnxProto } from '../../test/generated/onnx-proto.ts'
import { model as buildModel, node, valueInfo } from '../graph/build.ts'
import { tensorsOf } from '../graph/walk.ts'
import type { Feeds, Value } from '../method.ts'
import type {
  Attribute,
  Dim,
  FunctionDef,
  Graph,
  Model,
  Node,
  SparseTensor,
  StringEntry,
  Tensor,
  ValueInfo,
} from '../model.ts'
import { openSession } from '../runtime/session.ts'
import { byteLengthOf, bytesOf, type DataType, dataTypes, floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { allTypes, randomModel } from '../testing/random-model.ts'
import { modelsFolder, needsModels, randomFeeds } from '../testing/real-models.ts'
import { readModel } from './read.ts'
import { concat } from './wire.ts'
import { writeModel, writeModelChunks } from './write.ts'

const messages = fileDesc(onnxProto).messages
const desc = (name: string): DescMessage => messages.find((m) => m.name === name) as DescMessage
const ModelProto = desc('ModelProto')

/** A model as the oracle's message. */
type Init = Record<string, unknown>
const big = (v: number | bigint): bigint => BigInt(v)
const utf8 = new TextEncoder()
const octets = (v: string | Uint8Array): Uint8Array => (typeof v === 'string' ? utf8.encode(v) : v)

function modelInit(m: Model): Init {
  return {
    irVersion: big(m.irVersion),
    opsetImport: m.opsets.map((o) => ({ domain: o.domain, version: big(o.version) })),
    producerName: m.producerName,
    producerVersion: m.producerVersion,
    domain: m.domain,
    modelVersion: m.modelVersion === undefined ? undefined : big(m.modelVersion),
    docString: m.docString,
    graph: graphInit(m.graph),
    metadataProps: entriesInit(m.metadata),
    functions: (m.functions ?? []).map(functionInit),
    trainingInfo: (m.training ?? []).map((t) => ({
      initialization: t.initialization && graphInit(t.initialization),
      algorithm: t.algorithm && graphInit(t.algorithm),
      initializationBinding: entriesInit(t.initializationBinding),
      updateBinding: entriesInit(t.updateBinding),
    })),
  }
}

function entriesInit(entries: readonly StringEntry[] = []): Init[] {
  return entries.map(({ key, value }) => ({ key, value }))
}

function sparseInit({ values, indices, dims }: SparseTensor): Init {
  return { values: tensorInit(values), indices: tensorInit(indices), dims: dims.map(big) }
}

function graphInit(g: Graph): Init {
  return {
    name: g.name,
    node: g.nodes.map(nodeInit),
    initializer: [...g.initializers.values()].map(tensorInit),
    input: g.inputs.map(valueInit),
    output: g.outputs.map(valueInit),
    valueInfo: (g.valueInfo ?? []).map(valueInit),
    docString: g.docString,
    sparseInitializer: (g.sparseInitializers ?? []).map(sparseInit),
    quantizationAnnotation: (g.quantization ?? []).map((q) => ({
      tensorName: q.tensorName,
      quantParameterTensorNames: entriesInit(q.parameters),
    })),
    metadataProps: entriesInit(g.metadata),
  }
}

function nodeInit(n: Node): Init {
  const attribute = Object.entries(n.attributes).map(([name, a]) => ({ name, ...attributeInit(a) }))
  const { name, domain, docString, overload } = n
  return {
    opType: n.op,
    input: n.inputs,
    output: n.outputs,
    attribute,
    name,
    domain,
    docString,
    overload,
    metadataProps: entriesInit(n.metadata),
  }
}

function attributeInit(a: Attribute): Init {
  const kinds: Record<string, () => Init> = {
    float: () => ({ type: 1, f: a.value }),
    int: () => ({ type: 2, i: big(a.value as number) }),
    string: () => ({ type: 3, s: octets(a.value as string) }),
    tensor: () => ({ type: 4, t: tensorInit(a.value as Tensor) }),
    graph: () => ({ type: 5, g: graphInit(a.value as Graph) }),
    floats: () => ({ type: 6, floats: a.value }),
    ints: () => ({ type: 7, ints: (a.value as number[]).map(big) }),
    strings: () => ({ type: 8, strings: (a.value as string[]).map(octets) }),
    tensors: () => ({ type: 9, tensors: (a.value as Tensor[]).map(tensorInit) }),
    graphs: () => ({ type: 10, graphs: (a.value as Graph[]).map(graphInit) }),
    'sparse-tensor': () => ({ type: 11, sparseTensor: sparseInit(a.value as SparseTensor) }),
    'sparse-tensors': () => ({ type: 12, sparseTensors: (a.value as SparseTensor[]).map(sparseInit) }),
    reference: () => ({ type: (a as { attributeType: number }).attributeType, refAttrName: a.value }),
  }
  return kinds[a.type]()
}

function tensorInit(t: Tensor): Init {
  const elements = t.strings ? { stringData: t.strings } : { rawData: t.data }
  const { name, docString } = t
  const metadataProps = entriesInit(t.metadata)
  return { name, docString, dims: t.dims.map(big), dataType: dataTypes[t.dtype].code, ...elements, metadataProps }
}

function valueInit(v: ValueInfo): Init {
  const { name, docString } = v
  const dimInit = (d: Dim): Init => {
    if (d === undefined) return { value: { case: undefined } }
    return { value: typeof d === 'number' ? { case: 'dimValue', value: big(d) } : { case: 'dimParam', value: d } }
  }
  const tensor = { elemType: v.dtype && dataTypes[v.dtype].code, shape: v.shape && { dim: v.shape.map(dimInit) } }
  const type = v.dtype
    ? { value: { case: 'tensorType', value: tensor } }
    : v.opaqueType && fromBinary(desc('TypeProto'), v.opaqueType)
  return { name, docString, type, metadataProps: entriesInit(v.metadata) }
}

function functionInit(fn: FunctionDef): Init {
  return {
    name: fn.name,
    domain: fn.domain,
    overload: fn.overload,
    input: fn.inputs,
    output: fn.outputs,
    attribute: fn.attributes ?? [],
    node: fn.nodes.map(nodeInit),
    opsetImport: fn.opsets.map((o) => ({ domain: o.domain, version: big(o.version) })),
    valueInfo: (fn.valueInfo ?? []).map(valueInit),
    attributeProto: Object.entries(fn.attributeDefaults ?? {}).map(([name, a]) => ({ name, ...attributeInit(a) })),
    metadataProps: entriesInit(fn.metadata),
  }
}

const oracle = (m: Model): Message => create(ModelProto, modelInit(m) as never)
const seeds = Array.from({ length: 300 }, (_, i) => i + 1)

describe('random models', () => {
  test('what we write, the oracle reads as the same', () => {
    for (const seed of seeds) {
      const m = randomModel(seed, { unknown: false })
      expect(fromBinary(ModelProto, writeModel(m)), `seed ${seed}`).toEqual(oracle(m))
    }
  })

  test('what the oracle writes, we read as the same', () => {
    for (const seed of seeds) {
      const m = randomModel(seed, { unknown: false })
      expect(readModel(toBinary(ModelProto, oracle(m))), `seed ${seed}`).toEqual(m)
    }
  })

  test('unknown fields at every level come through, as they come through the oracle', () => {
    for (const seed of seeds) {
      const m = randomModel(seed)
      const bytes = writeModel(m)
      expect(readModel(toBinary(ModelProto, fromBinary(ModelProto, bytes))), `seed ${seed}`).toEqual(m)
      const again = readModel(bytes)
      expect(again, `seed ${seed}`).toEqual(m)
      expect(Buffer.compare(writeModel(again), bytes)).toBe(0)
    }
  })
})

/** A model that holds one tensor proto, as bytes made field by field. */
function modelAround(tensorBytes: Uint8Array): Uint8Array {
  const graph = new BinaryWriter()
    .uint32((2 << 3) | 2)
    .string('g')
    .uint32((5 << 3) | 2)
    .bytes(tensorBytes)
    .finish()
  const opset = new BinaryWriter()
    .uint32((2 << 3) | 0)
    .int64(17)
    .finish()
  return new BinaryWriter()
    .uint32(8)
    .int64(8)
    .uint32((7 << 3) | 2)
    .bytes(graph)
    .uint32((8 << 3) | 2)
    .bytes(opset)
    .finish()
}

/** Where typed data of an element type goes, and its numbers. */
function typedData(
  dtype: DataType,
  data: Uint8Array,
  size: number,
): { field: number; put: (w: BinaryWriter, i: number) => void; count: number } {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const { bits, kind } = dataTypes[dtype]
  if (dtype === 'float32' || dtype === 'complex64') {
    return { field: 4, count: data.byteLength / 4, put: (w, i) => w.fixed32(view.getUint32(4 * i, true)) }
  }
  if (dtype === 'float64' || dtype === 'complex128') {
    return { field: 10, count: data.byteLength / 8, put: (w, i) => w.fixed64(view.getBigUint64(8 * i, true)) }
  }
  if (dtype === 'int64') return { field: 7, count: size, put: (w, i) => w.int64(view.getBigInt64(8 * i, true)) }
  if (dtype === 'uint64') return { field: 11, count: size, put: (w, i) => w.uint64(view.getBigUint64(8 * i, true)) }
  if (dtype === 'uint32') return { field: 11, count: size, put: (w, i) => w.uint64(view.getUint32(4 * i, true)) }
  if (dtype === 'int32') return { field: 5, count: size, put: (w, i) => w.int32(view.getInt32(4 * i, true)) }
  if (bits === 16) {
    const get = kind === 'int' ? view.getInt16.bind(view) : view.getUint16.bind(view)
    return { field: 5, count: size, put: (w, i) => w.int32(get(2 * i, true)) }
  }
  if (bits === 6) {
    const bit = (k: number): number => (data[k >> 3] >> (k & 7)) & 1
    const get = (i: number): number => [0, 1, 2, 3, 4, 5].reduce((sum, k) => sum + (bit(6 * i + k) << k), 0)
    return { field: 5, count: size, put: (w, i) => w.int32(get(i)) }
  }
  // Eight bits and less: one octet a number.
  return {
    field: 5,
    count: data.byteLength,
    put: (w, i) => w.int32(kind === 'int' && bits === 8 ? view.getInt8(i) : view.getUint8(i)),
  }
}

describe('typed data', () => {
  test.each(
    allTypes
      .filter((t) => t !== 'string')
      .flatMap(
        (t) =>
          [
            [t, 'packed'],
            [t, 'unpacked'],
          ] as const,
      ),
  )('%s, %s', (dtype, form) => {
    const rng = random(7)
    const size = 15
    const data = Uint8Array.from({ length: byteLengthOf(dtype, size) }, () => rng.below(dtype === 'bool' ? 2 : 256))
    if (dataTypes[dtype].bits === 6) data[data.length - 1] &= 3 // what is beyond the last element is zero
    const { field, put, count } = typedData(dtype, data, size)
    const w = new BinaryWriter()
      .uint32((1 << 3) | 0)
      .int64(size)
      .uint32((2 << 3) | 0)
      .int32(dataTypes[dtype].code)
    w.uint32((8 << 3) | 2).string('t')
    const wireType = { 4: 5, 10: 1 }[field] ?? 0
    if (form === 'packed') {
      w.uint32((field << 3) | 2).fork()
      for (let i = 0; i < count; i++) put(w, i)
      w.join()
    } else for (let i = 0; i < count; i++) put(w.uint32((field << 3) | wireType), i)
    const bytes = modelAround(w.finish())
    expect(fromBinary(ModelProto, bytes)).toBeDefined()
    const read = readModel(bytes).graph.initializers.get('t') as Tensor
    expect(read).toEqual({ name: 't', dtype, dims: [size], data })
  })
})

test.each([
  ['left out', [{ version: 17 }]],
  ['empty', [{ domain: '', version: 17 }]],
  ['that of another', [{ version: 17 }, { domain: 'ai.onnx.ml', version: 3 }]],
  ['of no operator set', []],
])('the domain of an operator set stays %s', (_, opsets) => {
  const m = { ...buildModel({ nodes: [], initializers: new Map(), inputs: [], outputs: [] }), opsets }
  const read = readModel(toBinary(ModelProto, oracle(m)))
  expect(read.opsets).toEqual(opsets)
  expect(Buffer.compare(writeModel(read), toBinary(ModelProto, oracle(m)))).toBe(0)
})

test('external data: written beside the model, page-aligned, and read back', () => {
  const big = floatTensor(
    'big',
    [3000],
    Float32Array.from({ length: 3000 }, (_, i) => i),
  )
  const small = floatTensor('small', [2], [1, 2])
  const other = { ...big, name: 'other' }
  const m = buildModel({
    nodes: [],
    initializers: new Map([big, small, other].map((t) => [t.name, t])),
    inputs: [],
    outputs: [],
  })
  const written = writeModelChunks(m, { external: { location: 'w.bin', minBytes: 100 } })
  const bytes = concat(written.model.chunks)
  const file = concat(written.external?.chunks ?? [])
  expect(bytes.length).toBeLessThan(500)
  const proto = fromBinary(ModelProto, bytes) as unknown as {
    graph: { initializer: { externalData: { key: string; value: string }[] }[] }
  }
  expect(proto.graph.initializer[2].externalData.map((e) => [e.key, e.value])).toEqual([
    ['location', 'w.bin'],
    ['offset', '12288'],
    ['length', '12000'],
  ])
  const read = readModel(bytes, { external: (location) => (location === 'w.bin' ? file : new Uint8Array(0)) })
  expect([...read.graph.initializers.values()]).toEqual([big, small, other])
  expect(() => readModel(bytes)).toThrow(/its data is in the file "w.bin", which was not given/)
  expect(() => readModel(bytes, { external: () => file.subarray(0, 20000) })).toThrow(
    /"other": bytes 12288 to 24288 of "w.bin"/,
  )
})

test('a tensor type with denotations keeps them when its shape changes', () => {
  // tensor_type { elem_type: 1, shape { dim { dim_value: 3, denotation: "C" } } }, denotation: "IMAGE"
  const dim = Uint8Array.of(0x08, 3, 0x1a, 1, 0x43)
  const type = new BinaryWriter()
    .uint32(10)
    .fork()
    .uint32(8)
    .int32(1)
    .uint32(18)
    .fork()
    .uint32(10)
    .bytes(dim)
    .join()
    .join()
    .uint32(50)
    .string('IMAGE')
    .finish()
  const m = buildModel({ nodes: [], initializers: new Map(), inputs: [{ name: 'x', opaqueType: type }], outputs: [] })
  const read = readModel(writeModel(m))
  expect(read.graph.inputs[0]).toMatchObject({ dtype: 'float32', shape: [3] })
  expect(Array.from(readModel(writeModel(read)).graph.inputs[0].opaqueType ?? [])).toEqual(Array.from(type))
  const changed = { ...read, graph: { ...read.graph, inputs: [{ ...read.graph.inputs[0], shape: [5] }] } }
  const again = readModel(writeModel(changed)).graph.inputs[0]
  expect(again.shape).toEqual([5])
  expect(String.fromCharCode(...(again.opaqueType ?? []))).toMatch(/C.*IMAGE/s)
})

/** Random inputs; silero's open sizes and its sampling rate are not for a generator to guess. */
function feedsFor(m: Model, file: string): Feeds {
  if (file !== 'silero_vad.onnx') return randomFeeds(m)
  const data = Float32Array.from({ length: 512 }, (_, i) => Math.sin(i / 9))
  return {
    input: { dtype: 'float32', dims: [1, 512], data },
    state: { dtype: 'float32', dims: [2, 1, 128], data: new Float32Array(256) },
    sr: { dtype: 'int64', dims: [], data: BigInt64Array.of(16000n) },
  }
}

async function computed(bytes: Uint8Array, feeds: Feeds): Promise<Record<string, Value>> {
  const session = await openSession(bytes, { threads: 1 })
  try {
    return await session.run(feeds)
  } finally {
    await session.release()
  }
}

describe.skipIf(!modelsFolder)(`real models${needsModels}`, () => {
  const files = modelsFolder ? readdirSync(modelsFolder).filter((f) => f.endsWith('.onnx')) : []
  test.each(files)('%s: write(read(x)) computes the same bits', async (file) => {
    const bytes = readFileSync(join(modelsFolder as string, file))
    const m = readModel(bytes)
    const copied = writeModel(m)
    for (const { tensor } of tensorsOf(m))
      expect(tensor.data.buffer === bytes.buffer || tensor.data.byteLength < 4096).toBe(true)
    expect(Buffer.compare(writeModel(readModel(copied)), copied)).toBe(0)
    const feeds = feedsFor(m, file)
    const [before, after] = [await computed(bytes, feeds), await computed(copied, feeds)]
    for (const [name, value] of Object.entries(before))
      expect(Buffer.compare(bytesOf(after[name].data), bytesOf(value.data)), name).toBe(0)
  })
})

test('a 100 MB model opens in under a second and 1.2 times its size', () => {
  const folder = mkdtempSync(join(tmpdir(), 'coppice-'))
  try {
    const layers = Array.from({ length: 100 }, (_, i) =>
      floatTensor(`w${i}`, [512, 512], new Float32Array(512 * 512).fill(i)),
    )
    const nodes = layers.map((w, i) => node('MatMul', [i ? `h${i - 1}` : 'x', w.name], [`h${i}`]))
    const m = buildModel({
      nodes,
      initializers: new Map(layers.map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', [1, 512])],
      outputs: [],
    })
    const path = join(folder, 'big.onnx')
    writeFileSync(path, Buffer.concat(writeModelChunks(m).model.chunks))
    const script = `
      import { readFileSync } from 'node:fs'
      import { readModel } from ${JSON.stringify(new URL('./read.ts', import.meta.url).href)}
      const before = process.memoryUsage().rss
      const start = performance.now()
      const bytes = readFileSync(process.argv[1])
      const model = readModel(bytes)
      const ms = performance.now() - start
      const after = process.memoryUsage().rss
      console.log(JSON.stringify({ ms, share: (after - before) / bytes.length, tensors: model.graph.initializers.size, size: bytes.length }))`
    const out = execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script, path], {
      encoding: 'utf8',
    })
    const { ms, share, tensors, size } = JSON.parse(out)
    expect(size).toBeGreaterThan(100e6)
    expect(tensors).toBe(100)
    expect(ms).toBeLessThan(1000)
    expect(share).toBeLessThan(1.2)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
