/** A `Model` to ONNX bytes. Tensors are written as raw_data, whatever form the file had that they came from. */
import type {
  Attribute,
  Dim,
  FunctionDef,
  Graph,
  Model,
  Node,
  SparseTensor,
  Tensor,
  TrainingInfo,
  ValueInfo,
} from '../model.ts'
import { byteLengthOf, dataTypes, sameBytes, sizeOf } from '../tensor/dtype.ts'
import { externalFile, placeIn } from './external.ts'
import { AttributeProto, ModelProto, TypeProto } from './schema.ts'
import { concat, decode, type Encoded, encode, type Message } from './wire.ts'

export interface WriteOptions {
  /** Tensors of at least `minBytes` go to a file of the name `location` beside the model. */
  readonly external?: { readonly location: string; readonly minBytes: number }
}

/** The model's file, and the external data file where one was asked for, as chunks that share the tensors' memory. */
export interface WrittenModel {
  readonly model: Encoded
  readonly external?: Encoded<Uint8Array>
}

/** Protobuf's limit for one message. */
const maxBytes = 2 ** 31 - 1

/** The model as one array of bytes. Throws where it would be over protobuf's 2 GiB. */
export function writeModel(model: Model): Uint8Array {
  const { chunks } = writeModelChunks(model).model
  // One chunk may be a view of the caller's memory: always hand out a copy.
  return chunks.length === 1 ? chunks[0].slice() : concat(chunks)
}

/** The model as chunks, for writing to a file without a second copy in memory. */
export function writeModelChunks(model: Model, options: WriteOptions = {}): WrittenModel {
  const external = options.external && externalFile<Uint8Array>(options.external.location)
  const encoded = encode(
    ModelProto,
    lowerModel(model, ({ data }) =>
      external && data.byteLength >= (options.external?.minBytes ?? 0) ? external.place(data) : { rawData: data },
    ),
  )
  if (encoded.byteLength > maxBytes) {
    throw new Error(
      `onnx: the model takes ${encoded.byteLength} bytes; one file holds at most ${maxBytes}; write it with external data`,
    )
  }
  return { model: encoded, ...(external ? { external: external.written } : {}) }
}

/** A model without its large tensors, and those by the name of the file that it says they are in. */
export interface WrittenApart {
  readonly graph: Uint8Array
  readonly files: readonly { readonly path: string; readonly data: Uint8Array }[]
}

/** The model with the graph's tensors of at least `minBytes` apart, each a file of its own: views, not copies. */
export function writeModelApart(model: Model, minBytes: number): WrittenApart {
  const files: WrittenApart['files'][number][] = []
  const { graph, ...rest } = lowerModel(model, ({ data }) => ({ rawData: data })) as { readonly graph: Message }
  // Those of nested graphs stay, the same tensor too: runtimes look for files of the main graph alone.
  const initializers = (graph.initializers as Message[]).map((tensor) => {
    const { rawData: data, ...others } = tensor
    if (!(data instanceof Uint8Array && data.byteLength >= minBytes)) return tensor
    const path = String(files.length)
    files.push({ path, data })
    return { ...others, ...placeIn(path, { offset: 0, length: data.byteLength }) }
  })
  return { graph: concat(encode(ModelProto, { ...rest, graph: { ...graph, initializers } }).chunks), files }
}

/** Bytes that the model takes as one file, of any size; no tensor's data is read. */
export function writtenBytes(model: Model): number {
  const sized = ({ dtype, dims }: Tensor): Message => ({ rawData: { byteLength: byteLengthOf(dtype, sizeOf(dims)) } })
  return encode<{ readonly byteLength: number }>(ModelProto, lowerModel(model, sized)).byteLength
}

/** The model as a message. `place` says where a tensor's elements go, as fields of TensorProto. */
export function lowerModel(model: Model, place: (tensor: Tensor) => Message): Message {
  const lowerTensor = (tensor: Tensor): Message => {
    const { name, dtype, dims, strings, docString, metadata, unknown } = tensor
    return {
      // Constants have no name of their own: none is written.
      ...(name ? { name } : {}),
      dims: [...dims],
      dataType: dataTypes[dtype].code,
      ...(docString === undefined ? {} : { docString }),
      ...(metadata ? { metadata } : {}),
      ...(unknown ? { unknown } : {}),
      ...(strings ? { stringData: strings } : place(tensor)),
    }
  }
  const lowerGraph = (graph: Graph): Message => ({
    ...(graph as object),
    nodes: graph.nodes.map(lowerNode),
    initializers: [...graph.initializers.values()].map(lowerTensor),
    inputs: graph.inputs.map(lowerValueInfo),
    outputs: graph.outputs.map(lowerValueInfo),
    valueInfo: graph.valueInfo?.map(lowerValueInfo),
    sparseInitializers: graph.sparseInitializers?.map(lowerSparse),
  })
  const lowerSparse = ({ values, indices, ...rest }: SparseTensor): Message => ({
    ...rest,
    values: lowerTensor(values),
    indices: lowerTensor(indices),
  })
  const lowerTraining = ({ initialization, algorithm, ...rest }: TrainingInfo): Message => ({
    ...rest,
    initialization: initialization && lowerGraph(initialization),
    algorithm: algorithm && lowerGraph(algorithm),
  })
  const lowerNode = (node: Node): Message => ({
    ...(node as object),
    attributes: lowerAttributes(node.attributes),
  })
  const lowerAttributes = (attributes: Node['attributes']): Message[] =>
    Object.entries(attributes).map(([name, a]) => lowerAttribute(name, a))
  const lowerAttribute = (name: string, a: Attribute): Message => {
    const value = lowerAttributeValue(name, a)
    return a.unknown ? { ...value, unknown: a.unknown } : value
  }
  const lowerAttributeValue = (name: string, a: Attribute): Message => {
    switch (a.type) {
      case 'float':
        return { name, type: 1, f: a.value }
      case 'int':
        return { name, type: 2, i: a.value }
      case 'string':
        return { name, type: 3, s: a.value }
      case 'tensor':
        return { name, type: 4, t: lowerTensor(a.value) }
      case 'graph':
        return { name, type: 5, g: lowerGraph(a.value) }
      case 'floats':
        return { name, type: 6, floats: a.value }
      case 'ints':
        return { name, type: 7, ints: a.value }
      case 'strings':
        return { name, type: 8, strings: a.value }
      case 'tensors':
        return { name, type: 9, tensors: a.value.map(lowerTensor) }
      case 'graphs':
        return { name, type: 10, graphs: a.value.map(lowerGraph) }
      case 'sparse-tensor':
        return { name, type: 11, sparseTensor: lowerSparse(a.value) }
      case 'sparse-tensors':
        return { name, type: 12, sparseTensors: a.value.map(lowerSparse) }
      case 'reference':
        return { name, type: a.attributeType, refAttrName: a.value }
      case 'opaque':
        return decode(AttributeProto, a.value)
    }
  }
  const lowerFunction = (fn: FunctionDef): Message => ({
    ...(fn as object),
    nodes: fn.nodes.map(lowerNode),
    valueInfo: fn.valueInfo?.map(lowerValueInfo),
    attributeDefaults: fn.attributeDefaults && lowerAttributes(fn.attributeDefaults),
  })
  return {
    ...(model as object),
    graph: lowerGraph(model.graph),
    functions: model.functions?.map(lowerFunction),
    training: model.training?.map(lowerTraining),
  }
}

function lowerValueInfo(info: ValueInfo): Message {
  const { dtype, shape, opaqueType, optional: _, ...rest } = info
  const message: Message = { ...rest }
  if (dtype) {
    // Denotations stay with a tensor type whose shape was changed.
    const proto = opaqueType ? decode(TypeProto, opaqueType) : {}
    const before = (proto.tensorType ?? {}) as { shape?: { dims?: Message[] } }
    const kept = before.shape?.dims?.length === shape?.length ? before.shape?.dims : undefined
    const dims = shape?.map((d, i) => ({ ...lowerDim(d), ...(kept?.[i].unknown ? { unknown: kept[i].unknown } : {}) }))
    const tensorType: Message = { ...before, elemType: dataTypes[dtype].code, shape: dims && { ...before.shape, dims } }
    const type = concat(encode(TypeProto, { ...proto, tensorType }).chunks)
    const unchanged = opaqueType && sameBytes(type, concat(encode(TypeProto, proto).chunks))
    message.type = unchanged ? opaqueType : type
  } else if (opaqueType) message.type = opaqueType
  return message
}

function lowerDim(dim: Dim): Message {
  if (typeof dim === 'number') return { value: dim }
  return dim === undefined ? {} : { param: dim }
}
