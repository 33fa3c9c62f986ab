/**
 * Types and shapes of every value of a model, and the values of its shape arithmetic, without running it.
 *
 * The knowledge is one table, a rule per operator (shape/*.ts); here it is walked over the graph. Semantics are those of
 * onnx/docs/Operators.md, with the operator set's version where it matters.
 */
import { UnsupportedError } from '../errors.ts'
import {
  attributesFor,
  type FunctionLookup,
  functionLookup,
  maxCallDepth,
  maxVisits,
  withReferences,
} from '../graph/functions.ts'
import { describe } from '../graph/walk.ts'
import {
  type Attribute,
  type Dim,
  type FunctionDef,
  type Graph,
  isOnnxDomain,
  type Model,
  type Node,
  type OpsetId,
  opsetOf,
  type ValueInfo,
} from '../model.ts'
import { algebra } from './shape/algebra.ts'
import { creation } from './shape/creation.ts'
import { elementwise } from './shape/elementwise.ts'
import {
  type Call,
  type Known,
  knownSparse,
  knownTensor,
  maxElements,
  maxRank,
  type Rule,
  ShapeProblem,
  show,
} from './shape/known.ts'
import { learners } from './shape/learners.ts'
import { movement } from './shape/movement.ts'
import { sequences } from './shape/sequences.ts'
import { signals } from './shape/signals.ts'
import { text } from './shape/text.ts'
import { windows } from './shape/windows.ts'

export type { Known } from './shape/known.ts'

/** Operators of other domains are named with them: `com.microsoft.QLinearAdd`. */
const rules = new Map<string, Rule>(
  Object.entries({
    ...elementwise,
    ...windows,
    ...movement,
    ...algebra,
    ...creation,
    ...sequences,
    ...signals,
    ...text,
    ...learners,
  }),
)

/** The operators that have a shape rule, for the coverage matrix. */
export function shapeRules(): string[] {
  return [...rules.keys()].sort()
}

export interface Unsupported {
  /** With its domain, where it is not ONNX's own. */
  readonly op: string
  readonly node: string
  readonly why: string
}

export interface Shapes {
  /** What is known of each value of the main graph. */
  readonly values: ReadonlyMap<string, Known>
  /** The same for each nested graph (by the graph) and each call of a local function (by the calling node). */
  readonly nested: ReadonlyMap<Graph | Node, ReadonlyMap<string, Known>>
  /** Operators without a rule: their outputs are as the model declares them, or not known. */
  readonly unsupported: readonly Unsupported[]
  /** Contradictions, one sentence each: the model cannot run. */
  readonly problems: readonly string[]
}

export interface ShapeOptions {
  /** Shapes of graph inputs, instead of the declared ones; symbols take the sizes that these give them. */
  readonly inputShapes?: Readonly<Record<string, readonly Dim[]>>
  /** The elements of small integer inputs on which shapes or branches depend. */
  readonly inputValues?: Readonly<Record<string, readonly number[]>>
}

interface Walk {
  readonly functionOf: FunctionLookup
  readonly nested: Map<Graph | Node, ReadonlyMap<string, Known>>
  readonly unsupported: Map<string, Unsupported>
  readonly problems: Set<string>
  readonly declared: (info: ValueInfo) => Known
  visits: number
}

interface Scope {
  readonly lookup: (name: string) => Known | undefined
  readonly opsets: readonly OpsetId[]
  /** The caller's attributes, inside a local function. */
  readonly attributes?: Readonly<Record<string, Attribute>>
  readonly quiet: boolean
  readonly depth: number
}

/**
 * Infers what can be known. It does not throw for what a model contains: operators without a rule are in `unsupported`,
 * contradictions in `problems`. Throws where `inputShapes` names no input or does not fit the declared rank.
 */
export function inferShapes(model: Model, options: ShapeOptions = {}): Shapes {
  const { inputs, overridden, symbols } = applyInputShapes(model, options)
  const walk: Walk = {
    functionOf: functionLookup(model),
    nested: new Map(),
    unsupported: new Map(),
    problems: new Set(),
    // Once an input is given another size than it declares, what the model says of other values no longer holds.
    declared: overridden ? ({ dtype }) => ({ dtype }) : (info) => declaredOf(info, symbols),
    visits: 0,
  }
  const scope: Scope = { lookup: () => undefined, opsets: model.opsets, quiet: false, depth: 0 }
  const values = inferGraph(walk, model.graph, inputs, scope)
  return {
    values,
    nested: walk.nested,
    unsupported: [...walk.unsupported.values()],
    problems: [...walk.problems],
  }
}

function applyInputShapes(model: Model, { inputShapes: given = {}, inputValues = {} }: ShapeOptions) {
  const symbols = new Map<string, Dim>()
  let overridden = false
  const known = new Map(model.graph.inputs.map((info) => [info.name, info]))
  for (const [name, shape] of Object.entries(given)) {
    const info = known.get(name)
    if (!info)
      throw new Error(
        `input "${name}": the model has none of that name; expected one of ${[...known.keys()].join(', ')}`,
      )
    if (info.shape && info.shape.length !== shape.length)
      throw new Error(
        `input "${name}": shape ${show(shape)} has ${shape.length} dimensions; expected ${show(info.shape)}`,
      )
    info.shape?.forEach((d, i) => {
      if (typeof d === 'string') symbols.set(d, shape[i])
      else if (d !== undefined && d !== shape[i]) overridden = true
    })
  }
  const inputs = model.graph.inputs.map((info): Known => {
    const declared = declaredOf(info, symbols)
    const value = Object.hasOwn(inputValues, info.name) ? { value: inputValues[info.name] } : {}
    return { ...declared, ...(Object.hasOwn(given, info.name) ? { shape: given[info.name] } : {}), ...value }
  })
  return { inputs, overridden, symbols }
}

/** Sizes below zero and the placeholder "?" mean nothing. */
function declaredOf(info: ValueInfo, symbols: ReadonlyMap<string, Dim>): Known {
  const { optional } = info
  const shape = info.shape?.map((d): Dim => {
    if (typeof d === 'string') return symbols.has(d) ? symbols.get(d) : d === '?' ? undefined : d
    return d !== undefined && d >= 0 ? d : undefined
  })
  return {
    dtype: info.dtype,
    shape,
    ...(optional ? { element: declaredOf({ name: info.name, ...optional }, symbols) } : {}),
  }
}

function inferGraph(walk: Walk, graph: Graph, inputs: readonly Known[], outer: Scope): Map<string, Known> {
  const values = new Map<string, Known>()
  for (const [i, info] of graph.inputs.entries()) values.set(info.name, merge(inputs[i] ?? {}, walk.declared(info)))
  for (const [name, tensor] of graph.initializers) values.set(name, knownTensor(tensor))
  for (const sparse of graph.sparseInitializers ?? []) values.set(sparse.values.name, knownSparse(sparse))
  const declared = new Map(
    [...(graph.valueInfo ?? []), ...graph.outputs].map((info) => [info.name, walk.declared(info)]),
  )
  inferNodes(walk, graph.nodes, values, declared, {
    ...outer,
    lookup: (name) => values.get(name) ?? outer.lookup(name),
  })
  for (const { name } of graph.outputs) {
    if (!values.has(name) && !outer.lookup(name))
      report(walk, outer, `output "${name}": nothing in the graph makes it; expected a node's output`)
  }
  return values
}

function inferNodes(
  walk: Walk,
  nodes: readonly Node[],
  values: Map<string, Known>,
  declared: ReadonlyMap<string, Known>,
  scope: Scope,
): void {
  let makers: Set<string> | undefined
  const madeHere = (name: string): boolean => (makers ??= new Set(nodes.flatMap((n) => n.outputs))).has(name)
  for (const node of nodes) {
    if (scope.depth > 0 && ++walk.visits > maxVisits) {
      walk.problems.add(`model: its local functions and nested graphs unfold to more than ${maxVisits} nodes`)
      return
    }
    const known = inferNode(walk, node, madeHere, scope)
    node.outputs.forEach((name, i) => {
      if (!name) return
      if (values.has(name)) report(walk, scope, `${describe(node)}: value "${name}" is made twice; expected once`)
      values.set(name, merge(known[i] ?? {}, declared.get(name) ?? {}))
    })
  }
}

function report(walk: Walk, scope: Scope, problem: string): void {
  if (!scope.quiet) walk.problems.add(problem)
}

function inferNode(walk: Walk, node: Node, madeHere: (name: string) => boolean, scope: Scope): readonly Known[] {
  for (const name of node.inputs) {
    if (!name || scope.lookup(name)) continue
    const why = madeHere(name)
      ? 'is made by a later node or by itself; expected nodes in topological order, without a cycle'
      : 'is made by nothing'
    report(walk, scope, `${describe(node)}: input "${name}" ${why}`)
    return []
  }
  const op = isOnnxDomain(node.domain) ? node.op : `${node.domain}.${node.op}`
  const fn = walk.functionOf(node)
  const rule = rules.get(op)
  try {
    if (fn) return callFunction(walk, fn, node, scope)
    if (!rule) throw new UnsupportedError('no shape rule')
    return rule(callOf(walk, node, scope))
  } catch (error) {
    if (error instanceof ShapeProblem) report(walk, scope, `${describe(node)}: ${error.message}`)
    else if (!(error instanceof UnsupportedError)) throw error
    else if (!scope.quiet) {
      const name = node.name || node.outputs.find((o) => o) || ''
      walk.unsupported.set(describe(node), { op, node: name, why: error.message.replace(`${describe(node)}: `, '') })
    }
    return []
  }
}

function callOf(walk: Walk, node: Node, scope: Scope): Call {
  const has = (i: number): boolean => Boolean(node.inputs[i])
  return {
    node: scope.attributes ? withReferences(node, scope.attributes) : node,
    opset: opsetOf(scope),
    has,
    in: (i) => (has(i) ? scope.lookup(node.inputs[i]) : undefined) ?? {},
    infer: (graph, inputs, aside = false) => {
      const inner = { ...scope, quiet: scope.quiet || aside, depth: scope.depth + 1 }
      const values = inferGraph(walk, graph, inputs, inner)
      walk.nested.set(graph, values)
      return graph.outputs.map(({ name }) => values.get(name) ?? scope.lookup(name) ?? {})
    },
  }
}

function callFunction(walk: Walk, fn: FunctionDef, node: Node, scope: Scope): Known[] {
  if (scope.depth > maxCallDepth)
    throw new ShapeProblem(`local functions call each other more than ${maxCallDepth} deep`)
  const bound = scope.attributes ? withReferences(node, scope.attributes) : node
  const values = new Map<string, Known>()
  for (const [i, name] of fn.inputs.entries()) values.set(name, scope.lookup(node.inputs[i] ?? '') ?? {})
  inferNodes(walk, fn.nodes, values, new Map(), {
    lookup: (name) => values.get(name),
    opsets: fn.opsets.length > 0 ? fn.opsets : scope.opsets,
    attributes: attributesFor(fn, bound),
    quiet: scope.quiet,
    depth: scope.depth + 1,
  })
  walk.nested.set(node, values)
  return fn.outputs.map((name) => values.get(name) ?? {})
}

/** What was inferred, and where that is silent what the model declares. */
function merge(inferred: Known, declared: Known): Known {
  // A chain of Gathers or Concats doubles ranks and lists at each step: beyond any real use they are forgotten.
  const shape = inferred.shape && inferred.shape.length <= maxRank ? inferred.shape : undefined
  const value = inferred.value && inferred.value.length <= maxElements ? inferred.value : undefined
  const other = declared.shape
  return {
    dtype: inferred.dtype ?? declared.dtype,
    shape: shape && other?.length === shape.length ? shape.map((d, i) => d ?? other[i]) : (shape ?? other),
    ...(value ? { value } : {}),
    ...(inferred.element ? { element: inferred.element } : {}),
  }
}
