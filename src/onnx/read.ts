/**
 * ONNX bytes to a `Model`. Tensors are views into the bytes: opening a model costs the size of its graph, not of its
 * weights. Only integers that the file holds as varints (int32_data, int64_data, uint64_data) are unpacked, to at most
 * 8 bytes for each byte of the file.
 */
import { UnsupportedError } from '../errors.ts'
import type {
  Attribute,
  AttributeValue,
  Dim,
  FunctionDef,
  Graph,
  Int,
  Model,
  Node,
  OpsetId,
  SparseTensor,
  StringEntry,
  Tensor,
  TensorAnnotation,
  TrainingInfo,
  ValueInfo,
} from '../model.ts'
import { byteLengthOf, bytesOf, checkSize, type DataType, dataTypeOf, dataTypes } from '../tensor/dtype.ts'
import { beginsAsModel, fileKindOf } from './file-kind.ts'
import { AttributeProto, ModelProto, TypeOfOptionalProto, TypeProto } from './schema.ts'
import { concat, decode, encode, type Message, varints } from './wire.ts'

export interface ReadOptions {
  /**
   * Gives an external data file by its `location`, which is relative to the model's folder: its bytes, or, of a file that is
   * read when it is needed, a source of them. A tensor's `data` is then read whenever someone looks at it.
   */
  readonly external?: (location: string) => Uint8Array | ExternalSource
}

/** A file that is read when it is needed. */
export interface ExternalSource {
  readonly byteLength: number
  /** The bytes, which nobody changes. */
  read(at: number, length: number): Uint8Array
}

/**
 * Reads a model. The result shares memory with `bytes`: do not change them afterwards.
 * Throws one sentence where the bytes are not ONNX, are cut short, or contradict themselves.
 */
export function readModel(bytes: Uint8Array, options: ReadOptions = {}): Model {
  let proto: Message
  try {
    proto = decode(ModelProto, bytes)
  } catch (cause) {
    throw notAModel(bytes, cause as Error)
  }
  if (!proto.graph) throw notAModel(bytes, new Error('onnx: no graph in it; expected an ONNX model'))
  return {
    ...(proto as object),
    irVersion: Number(proto.irVersion ?? 0),
    opsets: list(proto.opsets).map(liftOpset),
    graph: liftGraph(proto.graph as Message, options),
    ...(proto.metadata ? { metadata: list(proto.metadata).map(liftEntry) } : {}),
    ...(proto.functions ? { functions: list(proto.functions).map((f) => liftFunction(f, options)) } : {}),
    ...(proto.training ? { training: list(proto.training).map((t) => liftTraining(t, options)) } : {}),
  }
}

/** What the bytes are in place of a model, where they show it; else `cause`, which says what is wrong with the model. */
function notAModel(bytes: Uint8Array, cause: Error): Error {
  const kind = fileKindOf(bytes)
  if (kind) return new Error(`onnx: it is not an ONNX model but ${kind}`, { cause })
  if (beginsAsModel(bytes)) return cause
  return new Error('onnx: it is neither an ONNX model nor a packed file (.cop), or its first bytes are damaged', {
    cause,
  })
}

function list(value: unknown): Message[] {
  return (value ?? []) as Message[]
}

function liftOpset(proto: Message): OpsetId {
  return { ...proto, version: Number(proto.version ?? 0) }
}

function liftEntry(proto: Message): StringEntry {
  return { ...proto, key: (proto.key as string) ?? '', value: (proto.value as string) ?? '' }
}

function liftGraph(proto: Message, options: ReadOptions): Graph {
  const initializers = new Map<string, Tensor>()
  for (const t of list(proto.initializers)) {
    const tensor = liftTensor(t, options)
    // Of two with one name the later one counts, as in ONNX Runtime.
    initializers.set(tensor.name, tensor)
  }
  return {
    ...(proto as object),
    name: (proto.name as string) ?? '',
    nodes: list(proto.nodes).map((n) => liftNode(n, options)),
    initializers,
    inputs: list(proto.inputs).map(liftValueInfo),
    outputs: list(proto.outputs).map(liftValueInfo),
    ...(proto.valueInfo ? { valueInfo: list(proto.valueInfo).map(liftValueInfo) } : {}),
    ...(proto.sparseInitializers
      ? { sparseInitializers: list(proto.sparseInitializers).map((t) => liftSparse(t, options)) }
      : {}),
    ...(proto.quantization ? { quantization: list(proto.quantization).map(liftAnnotation) } : {}),
    ...metadataOf(proto),
  }
}

/** A message's metadata, where it has some. */
function metadataOf(proto: Message): { metadata?: StringEntry[] } {
  return proto.metadata ? { metadata: list(proto.metadata).map(liftEntry) } : {}
}

function liftAnnotation(proto: Message): TensorAnnotation {
  return { ...proto, ...(proto.parameters ? { parameters: list(proto.parameters).map(liftEntry) } : {}) }
}

function liftTraining(proto: Message, options: ReadOptions): TrainingInfo {
  const graph = (key: 'initialization' | 'algorithm') =>
    proto[key] ? { [key]: liftGraph(proto[key] as Message, options) } : {}
  const binding = (key: 'initializationBinding' | 'updateBinding') =>
    proto[key] ? { [key]: list(proto[key]).map(liftEntry) } : {}
  return {
    ...proto,
    ...graph('initialization'),
    ...graph('algorithm'),
    ...binding('initializationBinding'),
    ...binding('updateBinding'),
  }
}

/** A sparse tensor. Its indices are checked where they are used (simplify/densify.ts). */
function liftSparse(proto: Message, options: ReadOptions): SparseTensor {
  const values = liftTensor((proto.values as Message) ?? {}, options)
  const indices = liftTensor((proto.indices as Message) ?? {}, options)
  return { ...proto, values, indices, dims: liftDims(proto, values.name).dims }
}

function liftNode(proto: Message, options: ReadOptions): Node {
  return {
    ...(proto as object),
    op: (proto.op as string) ?? '',
    inputs: (proto.inputs as string[]) ?? [],
    outputs: (proto.outputs as string[]) ?? [],
    attributes: liftAttributes(proto.attributes, options),
    ...metadataOf(proto),
  }
}

/** Own properties whatever their name is: a file may say __proto__. */
function liftAttributes(attributes: unknown, options: ReadOptions): Record<string, Attribute> {
  return Object.fromEntries(list(attributes).map((a) => [(a.name as string) ?? '', liftAttribute(a, options)]))
}

function liftFunction(proto: Message, options: ReadOptions): FunctionDef {
  return {
    ...(proto as object),
    name: (proto.name as string) ?? '',
    domain: (proto.domain as string) ?? '',
    inputs: (proto.inputs as string[]) ?? [],
    outputs: (proto.outputs as string[]) ?? [],
    nodes: list(proto.nodes).map((n) => liftNode(n, options)),
    opsets: list(proto.opsets).map(liftOpset),
    ...(proto.valueInfo ? { valueInfo: list(proto.valueInfo).map(liftValueInfo) } : {}),
    ...(proto.attributeDefaults ? { attributeDefaults: liftAttributes(proto.attributeDefaults, options) } : {}),
    ...metadataOf(proto),
  } as FunctionDef
}

/** Far above what any runtime takes. */
const maxRank = 255

/** AttributeProto.AttributeType, by its number. */
const attributeTypes: Record<number, Attribute['type']> = {
  1: 'float',
  2: 'int',
  3: 'string',
  4: 'tensor',
  5: 'graph',
  6: 'floats',
  7: 'ints',
  8: 'strings',
  9: 'tensors',
  10: 'graphs',
  11: 'sparse-tensor',
  12: 'sparse-tensors',
}

function liftAttribute(proto: Message, options: ReadOptions): Attribute {
  const value = liftAttributeValue(proto, options)
  return proto.unknown && value.type !== 'opaque' ? { ...value, unknown: proto.unknown } : value
}

function liftAttributeValue(proto: Message, options: ReadOptions): AttributeValue {
  if (proto.refAttrName) {
    return { type: 'reference', value: proto.refAttrName as string, attributeType: Number(proto.type ?? 0) }
  }
  // Files older than IR version 3 may leave the type out: the field that is there tells it.
  const type = proto.type === undefined ? typeByField(proto) : attributeTypes[Number(proto.type)]
  switch (type) {
    case 'float':
      return { type, value: (proto.f as number) ?? 0 }
    case 'int':
      return { type, value: (proto.i as Int) ?? 0 }
    case 'string':
      return { type, value: (proto.s as string | Uint8Array) ?? '' }
    case 'tensor':
      return { type, value: liftTensor(need(proto, 't'), options) }
    case 'graph':
      return { type, value: liftGraph(need(proto, 'g'), options) }
    case 'floats':
      return { type, value: (proto.floats as number[]) ?? [] }
    case 'ints':
      return { type, value: (proto.ints as Int[]) ?? [] }
    case 'strings':
      return { type, value: (proto.strings as (string | Uint8Array)[]) ?? [] }
    case 'tensors':
      return { type, value: list(proto.tensors).map((t) => liftTensor(t, options)) }
    case 'graphs':
      return { type, value: list(proto.graphs).map((g) => liftGraph(g, options)) }
    case 'sparse-tensor':
      return { type, value: liftSparse(need(proto, 'sparseTensor'), options) }
    case 'sparse-tensors':
      return { type, value: list(proto.sparseTensors).map((t) => liftSparse(t, options)) }
    default:
      return { type: 'opaque', value: concat(encode(AttributeProto, proto).chunks) }
  }
}

function typeByField(proto: Message): Attribute['type'] | undefined {
  const fields = {
    f: 'float',
    i: 'int',
    s: 'string',
    t: 'tensor',
    g: 'graph',
    floats: 'floats',
    ints: 'ints',
    strings: 'strings',
    tensors: 'tensors',
    graphs: 'graphs',
    sparseTensor: 'sparse-tensor',
    sparseTensors: 'sparse-tensors',
  } as const
  for (const [field, type] of Object.entries(fields)) if (proto[field] !== undefined) return type
  return undefined
}

function need(proto: Message, field: string): Message {
  const value = proto[field]
  if (!value)
    throw new Error(`onnx: attribute "${proto.name}" says it holds a value of type ${proto.type} and holds none`)
  return value as Message
}

function liftTensor(proto: Message, options: ReadOptions): Tensor {
  const name = (proto.name as string) ?? ''
  const code = Number(proto.dataType ?? 0)
  const dtype = dataTypeOf(code)
  if (!dtype) throw new UnsupportedError(`tensor "${name}": element type ${code} is not one that coppice knows`)
  if (proto.segment)
    throw new UnsupportedError(`tensor "${name}": it is stored in segments, which no known tool writes`)
  const { dims, size } = liftDims(proto, name)
  const { unknown, docString } = proto as { unknown?: Uint8Array; docString?: string }
  const kept = {
    name,
    dtype,
    dims,
    ...(unknown ? { unknown } : {}),
    ...(docString !== undefined ? { docString } : {}),
    ...metadataOf(proto),
  }
  if (dtype === 'string') {
    const strings = (proto.stringData as Uint8Array[]) ?? []
    if (strings.length !== size) throw new Error(`tensor "${name}": ${strings.length} strings; expected ${size}`)
    return { ...kept, data: new Uint8Array(0), strings }
  }
  if (Number(proto.dataLocation ?? 0) === 1) {
    const data = externalData(proto, name, byteLengthOf(dtype, size), options)
    return data instanceof Uint8Array ? { ...kept, data } : readLater(kept, data)
  }
  return checkSize({ ...kept, data: tensorBytes(proto, dtype, size) })
}

function liftDims(proto: Message, name: string): { dims: number[]; size: number } {
  const dims = ((proto.dims as Int[]) ?? []).map(Number)
  if (dims.length > maxRank) throw new Error(`tensor "${name}": ${dims.length} dimensions; expected at most ${maxRank}`)
  let size = 1
  for (const d of dims) {
    size *= d
    if (d < 0 || !Number.isSafeInteger(d) || !Number.isSafeInteger(size)) {
      throw new Error(`tensor "${name}": shape [${dims.join(',')}] is not possible`)
    }
  }
  return { dims, size }
}

/** A tensor whose data is read whenever it is looked at. */
function readLater(tensor: Omit<Tensor, 'data'>, read: () => Uint8Array): Tensor {
  return Object.defineProperty({ ...tensor } as Tensor, 'data', { enumerable: true, get: read })
}

/** Wherever the elements are, as raw_data would hold them. */
function tensorBytes(proto: Message, dtype: DataType, size: number): Uint8Array {
  if (proto.rawData) return proto.rawData as Uint8Array
  if (proto.floatData) return proto.floatData as Uint8Array
  if (proto.doubleData) return proto.doubleData as Uint8Array
  const packed = (proto.int64Data ?? proto.uint64Data ?? proto.int32Data) as Uint8Array | undefined
  if (!packed) return new Uint8Array(0)
  const { bits } = dataTypes[dtype]
  // int32_data holds one element per number, or for 4- and 2-bit types one byte of them.
  const values = varints(packed, bits < 6 ? byteLengthOf(dtype, size) : size)
  if (bits === 6) return packBits(values, bits)
  if (bits === 64) return bytesOf(values)
  if (bits === 32) return bytesOf(Int32Array.from(values, (v) => Number(BigInt.asIntN(32, v))))
  if (bits === 16) return bytesOf(Uint16Array.from(values, (v) => Number(BigInt.asUintN(16, v))))
  return Uint8Array.from(values, (v) => Number(BigInt.asUintN(8, v)))
}

/** The low bits of each number, one after the other, lowest first. */
function packBits(values: BigInt64Array, bits: number): Uint8Array {
  const out = new Uint8Array(Math.ceil((values.length * bits) / 8))
  values.forEach((v, i) => {
    const wide = (Number(v) & ((1 << bits) - 1)) << ((i * bits) % 8)
    const at = Math.floor((i * bits) / 8)
    out[at] |= wide
    if (wide > 255) out[at + 1] |= wide >> 8
  })
  return out
}

/** The bytes, or what reads them. */
function externalData(
  proto: Message,
  name: string,
  byteLength: number,
  options: ReadOptions,
): Uint8Array | (() => Uint8Array) {
  const entries = new Map(list(proto.externalData).map((e) => [e.key as string, e.value as string]))
  const location = entries.get('location')
  if (!location) throw new Error(`tensor "${name}": its data is in another file, which is not named`)
  if (!options.external) throw new Error(`tensor "${name}": its data is in the file "${location}", which was not given`)
  const file = options.external(location)
  const offset = Number(entries.get('offset') ?? 0)
  const length = Number(entries.get('length') ?? byteLength)
  if (!(offset >= 0) || length !== byteLength || offset + length > file.byteLength) {
    throw new Error(
      `tensor "${name}": bytes ${offset} to ${offset + length} of "${location}"; expected ${byteLength} within its ${file.byteLength}`,
    )
  }
  return file instanceof Uint8Array ? file.subarray(offset, offset + length) : () => file.read(offset, length)
}

function liftValueInfo(proto: Message): ValueInfo {
  const { type, ...rest } = proto
  const info = { ...(rest as object), name: (proto.name as string) ?? '', ...metadataOf(proto) }
  return type ? { ...info, ...liftType(type as Uint8Array) } : info
}

/** What a model keeps of a type, which is the bytes of a TypeProto. */
export function liftType(type: Uint8Array): Omit<ValueInfo, 'name'> {
  const decoded = decode(TypeProto, type)
  const tensor = decoded.tensorType as Message | undefined
  // A sequence or map: its bytes alone. A tensor with denotations: its bytes and what they say.
  if (!tensor) return { opaqueType: type, ...liftOptional(type) }
  const { dtype, shape, dims } = liftTensorType(tensor)
  const plain = dtype && ![decoded, tensor, tensor.shape as Message | undefined, ...dims].some((m) => m?.unknown)
  return {
    ...(dtype ? { dtype } : {}),
    ...(shape ? { shape } : {}),
    ...(plain ? {} : { opaqueType: type }),
  }
}

function liftTensorType(tensor: Message) {
  const shape = tensor.shape as Message | undefined
  const dims = list(shape?.dims)
  return { dtype: dataTypeOf(Number(tensor.elemType ?? 0)), dims, shape: shape && dims.map(liftDim) }
}

function liftOptional(type: Uint8Array): Pick<ValueInfo, 'optional'> {
  const optional = decode(TypeOfOptionalProto, type).optionalType as Message | undefined
  const element = optional?.elemType ? decode(TypeProto, optional.elemType as Uint8Array) : undefined
  if (!element?.tensorType) return {}
  const { dtype, shape } = liftTensorType(element.tensorType as Message)
  return { optional: { ...(dtype ? { dtype } : {}), ...(shape ? { shape } : {}) } }
}

function liftDim(proto: Message): Dim {
  if (proto.value !== undefined) return Number(proto.value)
  return (proto.param as string) || undefined
}
