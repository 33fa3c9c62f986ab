/**
 * The one data structure: an ONNX model as plain readonly data.
 *
 * No classes and no back-references: edges are ONNX's own value names. A step takes a model and returns a new one that
 * shares every part it did not touch, so models can be compared, printed and posted to a worker.
 */
import type { DataType } from './tensor/dtype.ts'

/** What a message carried that this version has no field for, as raw protobuf bytes, written back unchanged. */
export interface Extra {
  readonly unknown?: Uint8Array
}

export interface Model extends Extra {
  readonly irVersion: number
  readonly opsets: readonly OpsetId[]
  readonly producerName?: string
  readonly producerVersion?: string
  readonly domain?: string
  readonly modelVersion?: Int
  readonly docString?: string
  readonly graph: Graph
  readonly metadata?: readonly StringEntry[]
  readonly functions?: readonly FunctionDef[]
  /** How to train the model, which nothing known runs. */
  readonly training?: readonly TrainingInfo[]
  /** By the name of a stored tensor, that of the one whose elements it holds in another form (graph/edit.ts). No file has it. */
  readonly origins?: ReadonlyMap<string, string>
}

export interface TrainingInfo extends Extra {
  readonly initialization?: Graph
  readonly algorithm?: Graph
  readonly initializationBinding?: readonly StringEntry[]
  readonly updateBinding?: readonly StringEntry[]
}

export interface OpsetId extends Extra {
  /** Left out or '' is ONNX's own domain. Exporters write either, and a file keeps which it had. */
  readonly domain?: string
  readonly version: number
}

export interface StringEntry extends Extra {
  readonly key: string
  readonly value: string
}

export interface Graph extends Extra {
  readonly name: string
  /** In topological order, as ONNX requires. */
  readonly nodes: readonly Node[]
  /** Weights by name. Order is kept. */
  readonly initializers: ReadonlyMap<string, Tensor>
  /** May include initialisers (they are then defaults that a caller can override). */
  readonly inputs: readonly ValueInfo[]
  readonly outputs: readonly ValueInfo[]
  readonly valueInfo?: readonly ValueInfo[]
  readonly docString?: string
  /** Weights that are stored as their values and places; each named as its values are. `densify` turns them into others. */
  readonly sparseInitializers?: readonly SparseTensor[]
  /** Scales and zero points of values, as some quantisers note them. */
  readonly quantization?: readonly TensorAnnotation[]
  readonly metadata?: readonly StringEntry[]
}

export interface SparseTensor extends Extra {
  /** Its name is the sparse tensor's. */
  readonly values: Tensor
  /** int64: [n], places in row-major order, or [n, rank], an index for each dimension. */
  readonly indices: Tensor
  readonly dims: readonly number[]
}

export interface TensorAnnotation extends Extra {
  readonly tensorName?: string
  /** The names of other tensors, by what they are to this one (`SCALE_TENSOR`). */
  readonly parameters?: readonly StringEntry[]
}

export interface Node extends Extra {
  /** Operator name, such as `Conv`. */
  readonly op: string
  /** '' is ONNX's own domain. */
  readonly domain?: string
  readonly name?: string
  /** '' stands for an optional input that is left out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: Readonly<Record<string, Attribute>>
  readonly docString?: string
  readonly overload?: string
  readonly metadata?: readonly StringEntry[]
}

/** A whole number: a bigint only where a double cannot hold it. */
export type Int = number | bigint

export type Attribute = Extra & AttributeValue

export type AttributeValue =
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'int'; readonly value: Int }
  | { readonly type: 'string'; readonly value: string | Uint8Array }
  | { readonly type: 'tensor'; readonly value: Tensor }
  | { readonly type: 'graph'; readonly value: Graph }
  | { readonly type: 'floats'; readonly value: readonly number[] }
  | { readonly type: 'ints'; readonly value: readonly Int[] }
  | { readonly type: 'strings'; readonly value: readonly (string | Uint8Array)[] }
  | { readonly type: 'tensors'; readonly value: readonly Tensor[] }
  | { readonly type: 'graphs'; readonly value: readonly Graph[] }
  | { readonly type: 'sparse-tensor'; readonly value: SparseTensor }
  | { readonly type: 'sparse-tensors'; readonly value: readonly SparseTensor[] }
  /** Inside a local function: the value is the caller's attribute of the name `value`. `attributeType` is ONNX's number. */
  | { readonly type: 'reference'; readonly value: string; readonly attributeType: number }
  /** Type protos and whatever comes later: the attribute's own bytes. */
  | { readonly type: 'opaque'; readonly value: Uint8Array }

export interface Tensor extends Extra {
  readonly name: string
  readonly dtype: DataType
  readonly dims: readonly number[]
  /**
   * The elements, little-endian and dense, as `raw_data` holds them (4-bit types: two an octet, low half first).
   * Often a view into the file that was read, at any alignment: use the readers in tensor/dtype.ts.
   * Empty for strings, which are in `strings`.
   */
  readonly data: Uint8Array
  readonly strings?: readonly Uint8Array[]
  readonly docString?: string
  readonly metadata?: readonly StringEntry[]
}

/** A dimension: a size, a symbol, or undefined where nothing is known. */
export type Dim = number | string | undefined

export interface ValueInfo extends Extra {
  readonly name: string
  /** Undefined where the value is not a tensor, or its type is not said. */
  readonly dtype?: DataType
  /** Undefined where even the rank is not known. */
  readonly shape?: readonly Dim[]
  /** A type that is not a plain tensor (sequence, map, optional, sparse; a tensor with denotations), as its own bytes. */
  readonly opaqueType?: Uint8Array
  /** Of a tensor that may be left out: the type of the tensor, as `opaqueType` has it. */
  readonly optional?: Pick<ValueInfo, 'dtype' | 'shape'>
  readonly docString?: string
  readonly metadata?: readonly StringEntry[]
}

/** A model-local function. */
export interface FunctionDef extends Extra {
  readonly name: string
  readonly domain: string
  readonly overload?: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: readonly string[]
  /** Attributes that a call may leave out, with the values that they then have. */
  readonly attributeDefaults?: Readonly<Record<string, Attribute>>
  readonly nodes: readonly Node[]
  readonly opsets: readonly OpsetId[]
  readonly valueInfo?: readonly ValueInfo[]
  readonly docString?: string
  readonly metadata?: readonly StringEntry[]
}

/** The first version of ONNX's file format with constants that are no inputs, and the last operator set of it and of each after. */
export const firstFreeIr = 4
const lastSetOfIr = [9, 10, 11, 14, 18, 20, 22, 23, 24, 27]

/** The oldest version of ONNX's file format for a model of an operator set (onnx/docs/Versioning.md). */
export function irVersionOf(opset: number): number {
  const at = lastSetOfIr.findIndex((last) => opset <= last)
  return firstFreeIr + (at < 0 ? lastSetOfIr.length : at)
}

/** The newest version of ONNX's own operator set whose operators coppice knows. */
export const newestOpset = 28

/** The version of ONNX's own operator set that a model uses. */
export function opsetOf({ opsets }: Pick<Model, 'opsets'>): number {
  const own = opsets.find((o) => isOnnxDomain(o.domain))
  // Files that name no set at all are older than sets are. Those that name others only mean the newest, as in ONNX Runtime.
  return own?.version ?? (opsets.length === 0 ? 1 : newestOpset)
}

export function isOnnxDomain(domain: string | undefined): domain is '' | 'ai.onnx' | undefined {
  return !domain || domain === 'ai.onnx'
}

/** The model with another graph. */
export function withGraph(model: Model, graph: Partial<Graph>): Model {
  return { ...model, graph: { ...model.graph, ...graph } }
}

/** The model with some initialisers of its main graph replaced or added; every other tensor is shared. */
export function withWeights(model: Model, weights: Iterable<Tensor>): Model {
  const initializers = new Map(model.graph.initializers)
  for (const tensor of weights) initializers.set(tensor.name, tensor)
  return withGraph(model, { initializers })
}
