/**
 * Looking inside a model: its layers with shapes, parameters, multiply-adds, bytes, sparsity and distinct values, and
 * what coppice has no rule for. Plain data, ready for JSON.
 *
 * Which constants are parameters, and of what layer, graph/constants.ts says, as for every other command. Their numbers
 * (zeros, distinct values) are found behind nodes that have only constant inputs (Cast, DequantizeLinear, Gather from a
 * codebook, Mul by a scale, ...). Local functions are shown by what is in them.
 */
import { constantsOf } from '../graph/constants.ts'
import { type Role, roleAt } from '../graph/roles.ts'
import { bytesOfTensor, isRandom, storedBytes, storedNames, subgraphsOf } from '../graph/walk.ts'
import {
  type Dim,
  type Graph,
  isOnnxDomain,
  type Model,
  type Node,
  type SparseTensor,
  type Tensor,
  type ValueInfo,
} from '../model.ts'
import { type Lookup, macsOf, macsOfGraph } from '../ops/cost.ts'
import { countOf, type Known } from '../ops/shape/known.ts'
import { inferShapes, type ShapeOptions, type Shapes, type Unsupported } from '../ops/shape.ts'
import { inlined } from '../simplify/inline-functions.ts'
import { remarksOn } from '../simplify/remarks.ts'
import { type DataType, dataTypes, isFloat, sizeOf } from '../tensor/dtype.ts'
import type { Constant } from './_constant.ts'
import { countOfNumbers, numbersAt, sparseBehind, storedNumbers } from './_numbers.ts'
import { learntBy, sparseSpread, spreadOf, unknownSpread } from './_spread.ts'

/** A dimension in JSON: null where it is not known. */
type JsonDim = number | string | null

export interface LayerInfo {
  /** The node's name, or its first output; after the name of the node whose graph it is in, and a slash. */
  readonly name: string
  readonly op: string
  readonly outputShape: readonly JsonDim[] | null
  /** Numbers that the layer multiplies or adds. Not: BatchNormalization's running statistics, scales, single constants. */
  readonly params: number
  /** How many of those are zero; null where some are computed or stored in ways whose zeros cannot be seen. */
  readonly zeros: number | null
  /** Multiply-adds for one input (batch 1); null where shapes are not known. */
  readonly macs: number | null
  /** Stored bytes of all of its constants; a tensor that several layers share counts for the first. */
  readonly bytes: number
  /** Share of zeros in the layer's largest constant (its weight), or in all numbers of a learner; null where it has none that can be seen. */
  readonly sparsity: number | null
  /** Distinct values of the same; null where it has none that can be seen, or more than 65,536. */
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
    parameters.set(use.node, own.set(tensor, countOfNumbers(tensor, use.node)))
  }
  return parameters
}

/** Shape, and what is computed from it: no layer a person would look for. */
function isShapeArithmetic(node: Node, { shape }: Scope): boolean {
  return node.op === 'Shape' || node.outputs.every((name) => shape(name)?.value !== undefined)
}

function inspectNode(walk: Walk, node: Node, scope: Scope): LayerInfo {
  const inputs = node.inputs.map((name) => (name ? scope.constants.get(name) : undefined))
  const own = new Map(walk.parameters.get(node))
  let params = [...own.values()].reduce((sum, n) => sum + n, 0)
  let [zeros, seen, bytes] = [0, 0, 0]
  let largest = 0
  let shown = unknownSpread
  for (const [i, constant] of inputs.entries()) {
    if (!constant) continue
    const { known } = constant
    const behind = storedBehind(constant, walk.countedTensors, own)
    bytes += behind.bytes
    params += behind.sparse
    const { dtype, shape = [undefined, undefined] } = known
    const size = countOf(known.shape) ?? 0
    const counts = size > largest
    const isRead = dtype !== undefined && isParameter(roleAt(node, i, { dtype, dims: shape }), known)
    if (behind.sparse + behind.own === 0 && !(counts && isRead)) continue
    const sparse = sparseBehind(constant)
    const found = sparse ? sparseSpread(sparse) : spreadOf(numbersAt(node, i, inputs))
    if (found.sparsity !== null) {
      zeros += found.sparsity * (behind.sparse + behind.own)
      seen += behind.sparse + behind.own
    }
    if (counts) [largest, shown] = [size, found]
  }
  // Those that come by a way that other values have a part in, such as a table cut to the length of an input.
  for (const [tensor, count] of own) {
    const { sparsity } = isFloat(tensor.dtype) ? spreadOf(storedNumbers(tensor)) : unknownSpread
    if (sparsity === null) continue
    zeros += sparsity * count
    seen += count
  }
  for (const a of Object.values(node.attributes)) {
    for (const t of a.type === 'tensor' ? [a.value] : a.type === 'tensors' ? a.value : []) bytes += bytesOfTensor(t)
  }
  const learnt = node.domain === 'ai.onnx.ml' ? learntBy(node) : undefined
  walk.attributeBytes += learnt?.bytes ?? 0
  return {
    name: scope.prefix + (node.name || node.outputs.find((o) => o) || node.op),
    op: isOnnxDomain(node.domain) ? node.op : `${node.domain}.${node.op}`,
    outputShape: jsonShape(scope.shape(node.outputs[0] ?? '')?.shape),
    params: params + (learnt?.params ?? 0),
    zeros: seen < params ? null : Math.round(zeros) + (learnt?.zeros ?? 0),
    macs: macsOf(node, walk.single, scope.batch) ?? null,
    bytes: bytes + (learnt?.bytes ?? 0),
    ...(largest === 0 && learnt ? learnt.spread : shown),
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

/** What a layer multiplies or adds: not what tells it how, and not single constants in arithmetic. */
function isParameter(role: Role, { dtype, shape }: Known): boolean {
  if (!dtype || !counted.has(role) || (role === 'offset' && countOf(shape) === 1)) return false
  const { kind, bits } = dataTypes[dtype]
  if (kind === 'float' || kind === 'tiny-float') return true
  // Wider integers are shapes, axes and indices, but for the biases of integer layers.
  return (kind === 'int' || kind === 'uint') && (bits <= 16 || (dtype === 'int32' && role === 'bias'))
}

const counted: ReadonlySet<Role> = new Set(['weight', 'bias', 'norm', 'offset', 'unknown'])
