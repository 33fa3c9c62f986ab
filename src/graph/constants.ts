/**
 * Every constant of a model and what it is for: the one place that says which stored tensors are weights, and of what
 * layer, however they reach it.
 *
 * A tensor is followed from where it is stored (initialisers, Constant nodes, nested graphs, local functions) through
 * everything that computes with constants alone (Cast, Transpose, a quantiser and its inverse, g · v / |v|, W + A·B, a
 * codebook), into local functions and the bodies of If, Loop and Scan, to the nodes that meet it with other values.
 */
import type { FunctionDef, Graph, Model, Node, Tensor } from '../model.ts'
import { isFloat } from '../tensor/dtype.ts'
import { type Followed, followNode, type Part, type Stored, storedValue } from './follow.ts'
import {
  attributesFor,
  type FunctionLookup,
  functionLookup,
  maxCallDepth,
  maxVisits,
  withReferences,
} from './functions.ts'
import { parameterPlaces, placeOf, type Role, roleAt } from './roles.ts'
import { intAttribute, subgraphsOf, tensorsOf } from './walk.ts'

/** A node that meets the constant with other values, or that it tells how to compute. */
export interface ConstantUse {
  readonly node: Node
  /** Which input of the node it feeds. */
  readonly input: number
  readonly role: Role
  /** Whether the node reads the stored tensor itself, and not what others made of it. */
  readonly direct: boolean
  /** Whether it is added to, or multiplied with, what a layer makes. */
  readonly afterLayer: boolean
  /** For each axis of what the node reads the stored axis that it is; undefined where that is reshaped, or a part. */
  readonly axes?: readonly number[]
  /** The stored axis that counts output channels. */
  readonly outputAxis?: number
}

export interface StoredConstant extends Stored {
  /** What it is for: the first of its uses' roles, in the order of `Role`. */
  readonly role: Role
  /** In the order of the graph. */
  readonly uses: readonly ConstantUse[]
}

const precedence: readonly Role[] = [
  ...(['weight', 'bias', 'norm', 'statistic', 'factor', 'quantiser', 'offset', 'unknown', 'setting', 'fixed'] as const),
  'unused',
]

/** Each stored tensor once: first weights, in the order in which layers first use them, then the rest as stored. */
export function constantsOf(model: Pick<Model, 'graph' | 'functions'>): StoredConstant[] {
  const walk: Walk = {
    found: new Map(),
    functionOf: functionLookup(model),
    called: new Set(),
    main: model.graph,
    visits: 0,
  }
  const nothing: Scope = { values: new Map(), layers: new Set(), depth: 0 }
  const shown = new Set(
    scanGraph(walk, model.graph, nothing).flatMap((v) => v?.parts.map((p) => p.stored.tensor) ?? []),
  )
  // The constants of a function that nothing calls are still stored.
  for (const fn of model.functions ?? []) if (!walk.called.has(fn)) scanNodes(walk, fn.nodes, model.graph, nothing)
  const used = [...walk.found.values()].map(
    (entry): StoredConstant => ({ ...entry.stored, ...entry, role: roleOf(entry.uses) }),
  )
  const others = [...tensorsOf(model as Model)].flatMap(({ tensor, graph, node }): StoredConstant[] => {
    if (walk.found.has(tensor)) return []
    walk.found.set(tensor, { stored: { name: '', tensor, graph }, uses: [] })
    const name = tensor.name || node?.outputs[0] || ''
    const isAttribute = node && node.op !== 'Constant'
    return [
      {
        name,
        tensor,
        graph,
        ...(node?.op === 'Constant' ? { constant: node } : {}),
        role: shown.has(tensor) ? 'fixed' : isAttribute ? 'setting' : 'unused',
        uses: [],
      },
    ]
  })
  const isWeight = (c: StoredConstant): boolean => c.role === 'weight'
  return [...used.filter(isWeight), ...used.filter((c) => !isWeight(c)), ...others]
}

function roleOf(uses: readonly ConstantUse[]): Role {
  return precedence.find((role) => uses.some((u) => u.role === role)) ?? 'unused'
}

interface Walk {
  /** By tensor, in the order of first use as a weight or otherwise. */
  readonly found: Map<Tensor, { readonly stored: Stored; readonly uses: ConstantUse[] }>
  readonly functionOf: FunctionLookup
  readonly called: Set<FunctionDef>
  readonly main: Graph
  visits: number
}

/** What is visible: values with constants in them, and values that layers made. */
interface Scope {
  readonly values: Map<string, Followed>
  readonly layers: Set<string>
  readonly depth: number
}

/** `given`: what its inputs are, in a Loop's or Scan's body. Gives what its outputs are. */
function scanGraph(
  walk: Walk,
  graph: Graph,
  outer: Scope,
  given: readonly (Followed | undefined)[] = [],
): (Followed | undefined)[] {
  const scope: Scope = { values: new Map(outer.values), layers: new Set(outer.layers), depth: outer.depth }
  graph.inputs.forEach(({ name }, i) => {
    const value = given[i]
    if (value) scope.values.set(name, value)
    else scope.values.delete(name)
  })
  for (const [name, tensor] of graph.initializers) scope.values.set(name, storedValue({ name, tensor, graph }))
  scanNodes(walk, graph.nodes, graph, scope)
  return graph.outputs.map(({ name }) => scope.values.get(name))
}

function scanNodes(walk: Walk, nodes: readonly Node[], graph: Graph, scope: Scope): void {
  for (const node of nodes) {
    if (scope.depth > 0 && ++walk.visits > maxVisits) return
    const made = scanNode(walk, node, graph, scope)
    for (const [i, name] of node.outputs.entries()) {
      const value = made[i]
      if (value && value.parts.length + Number(value.fixed) > 0) scope.values.set(name, value)
      // A value of the same name as an outer constant hides it.
      else scope.values.delete(name)
    }
  }
}

function scanNode(walk: Walk, node: Node, graph: Graph, scope: Scope): readonly (Followed | undefined)[] {
  if (node.op === 'Constant' && !node.domain) {
    const value = node.attributes.value
    const stored = value?.type === 'tensor' && { name: node.outputs[0], tensor: value.value, graph, constant: node }
    return [stored ? storedValue(stored) : { parts: [], fixed: true }]
  }
  const values = node.inputs.map((name) => (name ? scope.values.get(name) : undefined))
  const fn = walk.functionOf(node)
  if (fn && scope.depth <= maxCallDepth) return callFunction(walk, fn, { node, values, scope })
  const inner = subgraphsOf(node)
  if (inner.length > 0) {
    use(walk, node, values, scope)
    const results = inner.map((body) =>
      scanGraph(walk, body, { ...scope, depth: scope.depth + 1 }, givenTo(node, body, values)),
    )
    return node.op === 'If' ? node.outputs.map((_, i) => either(results.map((r) => r[i]))) : []
  }
  const step = followNode(node, values)
  use(
    walk,
    node,
    values.map((v, i) => (step?.inputs.includes(i) ? undefined : v)),
    scope,
  )
  noteLayer(node, values, scope)
  return step ? node.outputs.map(() => step.followed) : []
}

function callFunction(
  walk: Walk,
  fn: FunctionDef,
  { node, values, scope }: { node: Node; values: readonly (Followed | undefined)[]; scope: Scope },
): (Followed | undefined)[] {
  walk.called.add(fn)
  const inside: Scope = { values: new Map(), layers: new Set(), depth: scope.depth + 1 }
  fn.inputs.forEach((name, i) => {
    const value = values[i]
    if (value) inside.values.set(name, value)
    if (scope.layers.has(node.inputs[i])) inside.layers.add(name)
  })
  scanNodes(
    walk,
    fn.nodes.map((n) => withReferences(n, attributesFor(fn, node))),
    walk.main,
    inside,
  )
  fn.outputs.forEach((name, i) => {
    if (inside.layers.has(name)) scope.layers.add(node.outputs[i])
  })
  return fn.outputs.map((name) => inside.values.get(name))
}

/** What the inputs of a Loop's or Scan's body are: what the node starts with, or slices of what it scans. */
function givenTo(node: Node, body: Graph, values: readonly (Followed | undefined)[]): (Followed | undefined)[] {
  const open = (value: Followed | undefined, change: (p: Part) => Part): Followed | undefined =>
    value && { parts: value.parts.map(change), fixed: false }
  if (node.op === 'Loop') return body.inputs.map((_, i) => (i < 2 ? undefined : open(values[i], (p) => p)))
  if (node.op !== 'Scan') return []
  const scanned = intAttribute(node, 'num_scan_inputs', 0)
  return body.inputs.map((_, i) =>
    open(values[i], ({ axes, ...p }) => {
      if (i < body.inputs.length - scanned) return axes ? { ...p, axes } : p
      return { ...p, whole: false, direct: false, ...(axes ? { axes: axes.slice(1) } : {}) }
    }),
  )
}

/** A value that is one of several. */
function either(values: readonly (Followed | undefined)[]): Followed | undefined {
  const parts = new Map(values.flatMap((v) => v?.parts ?? []).map((p) => [p.stored.tensor, p]))
  return parts.size === 0
    ? undefined
    : { parts: Array.from(parts.values(), (p) => ({ ...p, direct: false })), fixed: false }
}

/** Records what the node reads of constants. */
function use(walk: Walk, node: Node, values: readonly (Followed | undefined)[], scope: Scope): void {
  const afterLayer = node.inputs.some((name, i) => !values[i] && scope.layers.has(name))
  for (const [input, value] of values.entries()) {
    // Integers with a float step, scale or codebook are read as floats.
    const float = value?.parts.find((p) => isFloat(p.stored.tensor.dtype))?.stored.tensor.dtype
    for (const part of value?.parts ?? []) {
      const { stored, axes = [] } = part
      const { tensor } = stored
      const entry = walk.found.get(tensor) ?? { stored, uses: [] }
      walk.found.set(tensor, entry)
      const readable = part.whole && axes.length === tensor.dims.length && axes.every((a) => a !== undefined)
      const axis = part.axes && placeOf(node, input)?.axisOf?.(node, axes.length)
      const outputAxis = axis === undefined ? undefined : axes[axis]
      entry.uses.push({
        node,
        input,
        role: roleAt(node, input, {
          dtype: float ?? tensor.dtype,
          dims: tensor.dims,
          isFactor: part.isFactor,
          afterLayer,
        }),
        direct: part.direct,
        afterLayer,
        ...(readable ? { axes: axes as readonly number[] } : {}),
        ...(outputAxis === undefined ? {} : { outputAxis }),
      })
    }
  }
}

/** Nodes behind which a layer's result still is one. */
const bypasses = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Identity', 'Transpose', 'Cast'])

function noteLayer(node: Node, values: readonly (Followed | undefined)[], { layers }: Scope): void {
  const isLayer = parameterPlaces(node).some((i) => values[i])
  const isOfLayer = (name: string): boolean => layers.has(name)
  // A scale and a shift of what a layer makes are the layer's, as exporters write normalisations out.
  const isOwn = node.inputs.some(isOfLayer) && node.inputs.every((name, i) => isOfLayer(name) || values[i])
  const joins =
    (node.op === 'Concat' && node.inputs.some(isOfLayer)) ||
    (node.op === 'Add' && isOwn) ||
    (node.op === 'Mul' && isOwn && !node.inputs.every(isOfLayer))
  if (isLayer || joins || (bypasses.has(node.op) && layers.has(node.inputs[0])))
    for (const name of node.outputs) layers.add(name)
}
