/**
 * Looking inside a model: its layers with shapes, parameters, multiply-adds, bytes, sparsity and distinct values, and
 * what coppice has no rule for. Plain data, ready for JSON.
 *
 * Which constants are parameters, and of what layer, graph/constants.ts says, as for every other command. Their numbers
 * (zeros, distinct values) are found behind nodes that have only constant inputs (Cast, DequantizeLinear, Gather from a
 * codebook, Mul by a scale, ...). Local functions are shown by what is in them.
 */
import { constantsOf } from './graph/constants.ts'
import { type Role, roleAt } from './graph/roles.ts'
import {
  bytesOfList,
  bytesOfTensor,
  intAttribute,
  isRandom,
  storedBytes,
  storedNames,
  subgraphsOf,
} from './graph/walk.ts'
import {
  type Dim,
  type Graph,
  isOnnxDomain,
  type Model,
  type Node,
  type SparseTensor,
  type Tensor,
  type ValueInfo,
} from './model.ts'
import { type Lookup, macsOf, macsOfGraph } from './ops/cost.ts'
import { countOf, type Known } from './ops/shape/known.ts'
import { inferShapes, type ShapeOptions, type Shapes, type Unsupported } from './ops/shape.ts'
import { inlined } from './simplify/inline-functions.ts'
import { remarksOn } from './simplify/remarks.ts'
import { type DataType, dataTypes, floats, integers, sizeOf } from './tensor/dtype.ts'

/** A dimension in JSON: null where it is not known. */
type JsonDim = number | string | null

export interface LayerInfo {
  /** The node's name, or its first output; after the name of the node whose graph it is in, and a slash. */
  readonly name: string
  readonly op: string
  readonly outputShape: readonly JsonDim[] | null
  /** Numbers that the layer multiplies or adds. Not: BatchNormalization's running statistics, scales, single constants. */
  readonly params: number
  /** How many of those are zero. Those that are computed in ways whose zeros cannot be seen count as not zero. */
  readonly zeros: number
  /** Multiply-adds for one input (batch 1); null where shapes are not known. */
  readonly macs: number | null
  /** Stored bytes of all of its constants; a tensor that several layers share counts for the first. */
  readonly bytes: number
  /** Share of zeros in the layer's largest constant (its weight), or in all numbers of a learner; null where it has none. */
  readonly sparsity: number | null
  /** Distinct values of the same; null where it has none, or more than 65,536. */
  readonly distinct: number | null
}

export interface ValueSummary {
  readonly name: string
  /** What the model says it is, where that is no tensor. */
  readonly kind?: ValueKind
  readonly dtype: DataType | null
  readonly shape: readonly JsonDim[] | null
}

export type ValueKind = 'sequence' | 'map' | 'optional' | 'sparse tensor' | 'opaque'

export interface Inspection {
  /** The version of ONNX's own operator set; null where the model names none. */
  readonly opset: number | null
  /** All operator sets that the model names; '' is ONNX's own domain. */
  readonly opsets: readonly { readonly domain: string; readonly version: number }[]
  readonly irVersion: number
  readonly inputs: readonly ValueSummary[]
  readonly outputs: readonly ValueSummary[]
  readonly layers: readonly LayerInfo[]
  readonly totals: {
    readonly layers: number
    readonly params: number
    readonly macs: number | null
    /** All stored tensors. */
    readonly bytes: number
  }
  readonly unsupported: readonly Unsupported[]
  readonly problems: readonly string[]
  /** What is odd about the file, one sentence each: nothing that hinders. */
  readonly remarks: readonly string[]
}

/** Inspects a model. Shapes are shown as they are inferred; multiply-adds are for batch 1 unless `inputShapes` says. */
export function inspectModel(given: Model, options: ShapeOptions = {}): Inspection {
  const model = inlined(given)
  const shapes = inferShapes(model, options)
  const single = inferShapes(model, { ...options, inputShapes: { ...batchOfOne(model), ...options.inputShapes } })
  const walk: Walk = {
    shapes,
    single,
    layers: [],
    parameters: parametersOf(model),
    countedTensors: new Set(),
    attributeBytes: 0,
  }
  inspectGraph(walk, model.graph, { prefix: '', constants: new Map(), shape: () => undefined, batch: () => undefined })
  const stored = storedNames(model.graph)
  const asked = model.graph.inputs.filter((i) => !stored.has(i.name))
  return {
    opset: given.opsets.find((o) => isOnnxDomain(o.domain))?.version ?? null,
    opsets: given.opsets.map(({ domain, version }) => ({ domain: isOnnxDomain(domain) ? '' : domain, version })),
    irVersion: model.irVersion,
    inputs: asked.map((i) => summary(i, shapes.values.get(i.name))),
    outputs: model.graph.outputs.map((o) => summary(o, shapes.values.get(o.name))),
    layers: walk.layers,
    totals: {
      layers: walk.layers.length,
      params: walk.layers.reduce((sum, l) => sum + l.params, 0),
      macs: macsOfGraph(model.graph, single) ?? null,
      bytes: storedBytes(given) + walk.attributeBytes,
    },
    unsupported: shapes.unsupported,
    problems: shapes.problems,
    remarks: remarksOn(given),
  }
}

/** Inputs whose first dimension is open, with 1 there. */
function batchOfOne(model: Model): Record<string, readonly Dim[]> {
  const open = model.graph.inputs.filter((i) => i.shape?.length && typeof i.shape[0] !== 'number')
  return Object.fromEntries(open.map((i) => [i.name, [1, ...(i.shape ?? []).slice(1)]]))
}

function summary(info: ValueInfo, known: Known | undefined): ValueSummary {
  const kind = kindOf(info)
  return {
    name: info.name,
    ...(kind ? { kind } : {}),
    dtype: known?.dtype ?? null,
    shape: jsonShape(known?.shape),
  }
}

/** By the number of TypeProto's field. */
const kinds: Readonly<Record<number, ValueKind>> = {
  4: 'sequence',
  5: 'map',
  7: 'opaque',
  8: 'sparse tensor',
  9: 'optional',
}

function kindOf({ dtype, opaqueType }: ValueInfo): ValueKind | undefined {
  return dtype || !opaqueType?.length ? undefined : kinds[opaqueType[0] >> 3]
}

function jsonShape(shape: readonly Dim[] | undefined): JsonDim[] | null {
  return shape ? shape.map((d) => d ?? null) : null
}

interface Walk {
  readonly shapes: Shapes
  readonly single: Shapes
  readonly layers: LayerInfo[]
  /** The tensors of its own that each node multiplies or adds, and how many numbers they are. */
  readonly parameters: ReadonlyMap<Node, ReadonlyMap<Tensor, number>>
  readonly countedTensors: Set<Tensor>
  /** Of numbers and texts that learners store as attributes. */
  attributeBytes: number
}

/** A value that constants alone decide: the node that computes it, or the stored tensor. */
interface Constant {
  readonly tensor?: Tensor
  readonly sparse?: SparseTensor
  readonly node?: Node
  readonly from: readonly (Constant | undefined)[]
  readonly known: Known
}

interface Scope {
  readonly prefix: string
  readonly constants: ReadonlyMap<string, Constant>
  readonly shape: Lookup
  readonly batch: Lookup
}

/** Gives the values that constants alone decide. */
function inspectGraph(walk: Walk, graph: Graph, outer: Scope): ReadonlyMap<string, Constant> {
  const values = walk.shapes.nested.get(graph) ?? walk.shapes.values
  const single = walk.single.nested.get(graph) ?? walk.single.values
  const constants = new Map(outer.constants)
  for (const { name } of graph.inputs) constants.delete(name)
  for (const [name, tensor] of graph.initializers)
    constants.set(name, { tensor, from: [], known: { dtype: tensor.dtype, shape: tensor.dims } })
  for (const sparse of graph.sparseInitializers ?? []) constants.set(sparse.values.name, sparseConstant(sparse))
  const scope: Scope = {
    prefix: outer.prefix,
    constants,
    shape: (name) => values.get(name) ?? outer.shape(name),
    batch: (name) => single.get(name) ?? outer.batch(name),
  }
  for (const node of graph.nodes) {
    const made = constantsBy(node, scope)
    for (const [i, name] of node.outputs.entries()) {
      if (made) constants.set(name, made[i])
      else constants.delete(name)
    }
    if (made || isShapeArithmetic(node, scope)) continue
    const layer = inspectNode(walk, node, scope)
    walk.layers.push(layer)
    const branches = subgraphsOf(node).map((inner) => ({
      inner,
      constants: inspectGraph(walk, inner, { ...scope, prefix: `${layer.name}/` }),
    }))
    if (node.op !== 'If') continue
    // A constant that a condition chooses belongs to the layer that reads it.
    for (const [i, name] of node.outputs.entries()) {
      const from = branches.map((b) => b.constants.get(b.inner.outputs[i]?.name ?? ''))
      if (from.every((c) => c)) constants.set(name, { from, known: scope.shape(name) ?? {} })
    }
  }
  return constants
}

function sparseConstant(sparse: SparseTensor): Constant {
  return { sparse, from: [], known: { dtype: sparse.values.dtype, shape: sparse.dims } }
}

/** A node's outputs, where constants alone decide them. */
function constantsBy(node: Node, { constants, shape }: Scope): Constant[] | undefined {
  const known = (name: string): Known => shape(name) ?? {}
  if (node.op === 'Constant') {
    const value = node.attributes.value
    const { sparse_value: sparse } = node.attributes
    if (sparse?.type === 'sparse-tensor') return [sparseConstant(sparse.value)]
    return [{ ...(value?.type === 'tensor' ? { tensor: value.value } : {}), from: [], known: known(node.outputs[0]) }]
  }
  if (isRandom(node) || subgraphsOf(node).length > 0) return undefined
  const from = node.inputs.map((name) => (name ? constants.get(name) : undefined))
  if (from.length === 0 || node.inputs.some((name, i) => name && !from[i])) return undefined
  return node.outputs.map((name) => ({ node, from, known: known(name) }))
}

/** How many numbers of its own each node multiplies or adds, by tensor; one that several nodes share counts for the first. */
function parametersOf({ graph }: Model): Walk['parameters'] {
  const parameters = new Map<Node, Map<Tensor, number>>()
  // Functions that stay calls are operators like others.
  for (const { tensor, uses } of constantsOf({ graph })) {
    const use = uses.find(({ role }) => isParameter(role, { dtype: tensor.dtype, shape: tensor.dims }))
    if (!use) continue
    const own = parameters.get(use.node) ?? new Map<Tensor, number>()
    parameters.set(use.node, own.set(tensor, numbersOf(tensor, use.node)))
  }
  return parameters
}

/** Of the weights that some operators read several to a byte, the numbers that they stand for. */
function numbersOf({ dims, dtype }: Tensor, node: Node): number {
  const [rows, columns] = [intAttribute(node, 'N', 0), intAttribute(node, 'K', 0)]
  return dtype === 'uint8' && node.domain === 'com.microsoft' && rows * columns > 0 ? rows * columns : sizeOf(dims)
}

/** Shape, and what is computed from it: no layer a person would look for. */
function isShapeArithmetic(node: Node, { shape }: Scope): boolean {
  return node.op === 'Shape' || node.outputs.every((name) => shape(name)?.value !== undefined)
}

function inspectNode(walk: Walk, node: Node, scope: Scope): LayerInfo {
  const inputs = node.inputs.map((name) => (name ? scope.constants.get(name) : undefined))
  const own = new Map(walk.parameters.get(node))
  let params = [...own.values()].reduce((sum, n) => sum + n, 0)
  let [zeros, bytes] = [0, 0]
  let largest = 0
  let shown = unknownSpread
  for (const [i, constant] of inputs.entries()) {
    if (!constant) continue
    const { known } = constant
    const behind = storedBehind(constant, walk.countedTensors, own)
    bytes += behind.bytes
    params += behind.sparse
    const { dtype, shape = [undefined, undefined] } = known
    if (!dtype || !isParameter(roleAt(node, i, { dtype, dims: shape }), known)) continue
    const size = countOf(known.shape) ?? 0
    const counts = size > largest
    if (!counts && behind.sparse + behind.own === 0) continue
    const sparse = sparseBehind(constant)
    const found = sparse ? sparseSpread(sparse) : spread(numbersAt(node, i, inputs))
    zeros += (found.sparsity ?? 0) * (behind.sparse + behind.own)
    if (counts) [largest, shown] = [size, found]
  }
  for (const a of Object.values(node.attributes)) {
    for (const t of a.type === 'tensor' ? [a.value] : a.type === 'tensors' ? a.value : []) bytes += bytesOfTensor(t)
  }
  const listed = node.domain === 'ai.onnx.ml' ? listedIn(node) : undefined
  walk.attributeBytes += listed?.bytes ?? 0
  return {
    name: scope.prefix + (node.name || node.outputs.find((o) => o) || node.op),
    op: isOnnxDomain(node.domain) ? node.op : `${node.domain}.${node.op}`,
    outputShape: jsonShape(scope.shape(node.outputs[0] ?? '')?.shape),
    params: params + (listed?.params ?? 0),
    zeros: Math.round(zeros) + (listed?.zeros ?? 0),
    macs: macsOf(node, walk.single, scope.batch) ?? null,
    bytes: bytes + (listed?.bytes ?? 0),
    ...(largest === 0 && listed ? listed.spread : shown),
  }
}

interface StoredBehind {
  readonly bytes: number
  /** How many numbers its sparse tensors stand for. */
  readonly sparse: number
  /** How many numbers of its others are the node's own. */
  readonly own: number
}

/** What a constant is made of: what was not counted yet. `own`: the node's tensors; those that are counted here are taken off. */
function storedBehind(constant: Constant, counted: Set<Tensor>, own: Map<Tensor, number>): StoredBehind {
  let [bytes, sparse, ours] = [0, 0, 0]
  const pending: (Constant | undefined)[] = [constant]
  const seen = new Set<Constant>()
  for (let at = pending.pop(); at || pending.length > 0; at = pending.pop()) {
    if (!at || seen.has(at)) continue
    seen.add(at)
    if (at.tensor) {
      ours += own.get(at.tensor) ?? 0
      own.delete(at.tensor)
    }
    if (at.sparse && !counted.has(at.sparse.values)) sparse += sizeOf(at.sparse.dims)
    for (const tensor of [at.tensor, at.sparse?.values, at.sparse?.indices]) {
      if (!tensor || counted.has(tensor)) continue
      bytes += bytesOfTensor(tensor)
      counted.add(tensor)
    }
    pending.push(...at.from)
  }
  return { bytes, sparse, own: ours }
}

/** The sparse tensor whose numbers a constant is, up to a factor and their order. */
function sparseBehind({ sparse, node, from }: Constant): SparseTensor | undefined {
  return sparse ?? (from[0] && node && keepers.has(node.op) ? sparseBehind(from[0]) : undefined)
}

interface Listed {
  readonly params: number
  readonly zeros: number
  readonly bytes: number
  readonly spread: Spread
}

/** What a learner (trees, linear models, vocabularies) has learnt lies in its attributes: floats are parameters, ints say where. */
function listedIn(node: Node): Listed {
  const lists: ArrayLike<number>[] = []
  let bytes = 0
  for (const a of Object.values(node.attributes)) {
    bytes += bytesOfList(a)
    const tensor = a.type === 'tensor' && dataTypes[a.value.dtype].kind === 'float' ? a.value : undefined
    if (a.type === 'floats') lists.push(a.value)
    else if (tensor) lists.push(floats(tensor))
  }
  const numbers = lists.flatMap((list) => Array.from(list))
  return { params: numbers.length, zeros: zerosIn(numbers), bytes, spread: spread(numbers) }
}

/** What a layer multiplies or adds: not what tells it how, and not single constants in arithmetic. */
function isParameter(role: Role, { dtype, shape }: Known): boolean {
  if (!dtype || !counted.has(role) || (role === 'offset' && countOf(shape) === 1)) return false
  const { kind, bits } = dataTypes[dtype]
  if (kind === 'float' || kind === 'tiny-float') return true
  // Wider integers are shapes, axes and indices, but for the biases of integer layers.
  return (kind === 'int' || kind === 'uint') && (bits <= 16 || (dtype === 'int32' && role === 'bias'))
}

const counted: ReadonlySet<Role> = new Set(['weight', 'bias', 'norm', 'offset', 'unknown'])

const rearrangers = new Set(['Identity', 'Cast', 'Reshape', 'Transpose', 'Squeeze', 'Unsqueeze', 'Flatten'])
/** Behind these zeros stay zeros, and distinct values stay distinct. */
const keepers = new Set([...rearrangers, 'Mul'])

/** The numbers of a constant, up to a factor and their order; undefined where it is computed in some other way. */
function elements(constant: Constant): ArrayLike<number> | undefined {
  if (constant.tensor) {
    const { kind } = dataTypes[constant.tensor.dtype]
    if (kind === 'float') return floats(constant.tensor)
    return kind === 'int' || kind === 'uint' ? integers(constant.tensor) : undefined
  }
  const [data, second, third] = constant.from
  const op = constant.node?.op ?? ''
  if (!data) return undefined
  if (op === 'Gather' && second) {
    const [book, indices] = [elements(data), elements(second)]
    const rows = book && book.length === sizeOf((data.known.shape ?? []).filter((d) => typeof d === 'number'))
    if (!book || !indices || !rows || data.known.shape?.length !== 1) return undefined
    return Array.from(indices, (i) => book[i < 0 ? i + book.length : i])
  }
  if (op === 'DequantizeLinear') {
    return centred(elements(data), third ? elements(third) : [0])
  }
  return keepers.has(op) ? elements(data) : undefined
}

/** Where integer layers have their weight and its zero point. */
const zeroPoints: Record<string, readonly [weight: number, zero: number]> = {
  QLinearConv: [3, 5],
  QLinearMatMul: [3, 5],
  ConvInteger: [1, 3],
  MatMulInteger: [1, 3],
}

/** The numbers that a node reads there, as `elements` gives them. */
function numbersAt(
  node: Node,
  input: number,
  inputs: readonly (Constant | undefined)[],
): ArrayLike<number> | undefined {
  const constant = inputs[input]
  const { tensor } = constant ?? {}
  // Several numbers in a byte are not seen one by one.
  const numbers =
    !constant || (tensor && numbersOf(tensor, node) !== sizeOf(tensor.dims)) ? undefined : elements(constant)
  const [weight, zeroAt] = zeroPoints[node.op] ?? []
  const zero = zeroAt !== undefined && weight === input ? inputs[zeroAt] : undefined
  return zero ? centred(numbers, elements(zero)) : numbers
}

/** Integers less their zero point, where that is the same for each channel (symmetric weights have 0). */
function centred(
  quantized: ArrayLike<number> | undefined,
  zero: ArrayLike<number> = [0],
): ArrayLike<number> | undefined {
  const point = zero[0] ?? 0
  if (!quantized || Array.from(zero).some((z) => z !== point)) return undefined
  return point === 0 ? quantized : Array.from(quantized, (q) => q - point)
}

/** Of a sparse tensor: what it does not store is zero. */
function sparseSpread({ values, dims }: SparseTensor): Spread {
  const stored = spread(elements({ tensor: values, from: [], known: {} }))
  const [size, count] = [sizeOf(dims), sizeOf(values.dims)]
  if (stored.sparsity === null || count > size || size === 0) return unknownSpread
  const zeros = size - count + stored.sparsity * count
  const more = stored.sparsity === 0 && count < size ? 1 : 0
  return { sparsity: zeros / size, distinct: stored.distinct === null ? null : stored.distinct + more }
}

/** Beyond this a weight is as good as continuous, and counting on is slow. */
const maxDistinct = 65_536

type Spread = Pick<LayerInfo, 'sparsity' | 'distinct'>

const unknownSpread: Spread = { sparsity: null, distinct: null }

function spread(numbers: ArrayLike<number> | undefined): Spread {
  if (!numbers || numbers.length === 0) return unknownSpread
  const seen = new Set<number>()
  for (let i = 0; i < numbers.length && seen.size <= maxDistinct; i++) seen.add(numbers[i])
  return { sparsity: zerosIn(numbers) / numbers.length, distinct: seen.size <= maxDistinct ? seen.size : null }
}

function zerosIn(numbers: ArrayLike<number>): number {
  let zeros = 0
  for (let i = 0; i < numbers.length; i++) if (numbers[i] === 0) zeros++
  return zeros
}
