/**
 * Model-local functions put in place of their calls, as runtimes do when they load a model: methods that change layers then
 * see those inside.
 */

import { node as makeNode, nameSource } from '../graph/build.ts'
import { attributesFor, functionLookup, maxCallDepth, maxVisits, withReferences } from '../graph/functions.ts'
import { describe } from '../graph/walk.ts'
import { defineMethod } from '../method.ts'
import {
  type Attribute,
  type FunctionDef,
  type Graph,
  isOnnxDomain,
  type Model,
  type Node,
  type OpsetId,
  opsetOf,
} from '../model.ts'
import { mapGraphs } from './fold.ts'

export const inlineFunctions = defineMethod({
  id: 'inline-functions',
  help: 'puts the bodies of model-local functions in place of their calls; outputs stay the same',
  options: {},
  run(model, _options, { warn }) {
    return inlined(model, (node, why) => warn?.(`${describe(node)}: its call is left as it is: ${why}`))
  },
})

interface Inlining {
  readonly fresh: (base: string) => string
  readonly functionOf: (node: Node) => FunctionDef | undefined
  readonly left: (node: Node, why: string) => void
  readonly opset: number
  /** Of other domains, by name; those that bodies need are added. */
  readonly opsets: Map<string, OpsetId>
  made: number
}

/** `left` hears of each call that stays, and why. */
export function inlined(model: Model, left: (node: Node, why: string) => void = () => {}): Model {
  if (!model.functions?.length) return model
  const work: Inlining = {
    fresh: nameSource(model.graph),
    functionOf: functionLookup(model),
    left,
    opset: opsetOf(model),
    opsets: new Map(model.opsets.flatMap((o) => (isOnnxDomain(o.domain) ? [] : [[o.domain, o]]))),
    made: 0,
  }
  const graph = inlineGraph(work, model.graph, 0)
  const called = new Set<FunctionDef>()
  noteCalls(graph.nodes, work.functionOf, called)
  const functions = model.functions.filter((fn) => called.has(fn))
  const { functions: _, ...rest } = model
  const opsets = [...model.opsets.filter((o) => isOnnxDomain(o.domain)), ...work.opsets.values()]
  return { ...rest, opsets, graph, ...(functions.length > 0 ? { functions } : {}) }
}

/** The functions that the nodes call, and those that these call. */
function noteCalls(nodes: readonly Node[], functionOf: Inlining['functionOf'], called: Set<FunctionDef>): void {
  for (const node of nodes) {
    const fn = functionOf(node)
    if (fn && !called.has(fn)) {
      called.add(fn)
      noteCalls(fn.nodes, functionOf, called)
    }
    mapGraphs(node, (graph) => {
      noteCalls(graph.nodes, functionOf, called)
      return graph
    })
  }
}

function inlineGraph(work: Inlining, graph: Graph, depth: number): Graph {
  return { ...graph, nodes: graph.nodes.flatMap((node) => inlineNode(work, node, depth)) }
}

function inlineNode(work: Inlining, node: Node, depth: number): Node[] {
  const fn = work.functionOf(node)
  if (!fn) return [mapGraphs(node, (graph) => inlineGraph(work, graph, depth))]
  const why = whyNot(work, fn, depth)
  if (why) {
    work.left(node, why)
    return [node]
  }
  for (const opset of fn.opsets) if (!isOnnxDomain(opset.domain)) work.opsets.set(opset.domain, opset)
  const call = { ...node, attributes: attributesFor(fn, node) }
  return bodyOf(work, fn, call).flatMap((inner) => inlineNode(work, inner, depth + 1))
}

/** Domains whose operators runtimes have kernels of their own for: a function there is only what to do without one. */
const ownDomains = /^(ai\.onnx(\..*)?|com\.microsoft(\..*)?)?$/

function whyNot({ opset, opsets, made }: Inlining, fn: FunctionDef, depth: number): string | undefined {
  if (ownDomains.test(fn.domain)) return 'runtimes have a kernel of their own for it'
  if (depth > maxCallDepth || made + fn.nodes.length > maxVisits) return 'functions unfold without end'
  for (const { domain, version } of fn.opsets) {
    const here = isOnnxDomain(domain) ? opset : opsets.get(domain)?.version
    if (here !== undefined && here !== version) return `its body is of operator set ${version}, the model's is ${here}`
  }
  return undefined
}

/** The body with the call's values, attributes and fresh names for what is made inside. */
function bodyOf(work: Inlining, fn: FunctionDef, call: Node): Node[] {
  const base = call.name || call.outputs.find((o) => o) || fn.name
  const names = new Map(fn.inputs.map((name, i) => [name, call.inputs[i] ?? '']))
  const aliases: Node[] = []
  fn.outputs.forEach((name, i) => {
    const output = call.outputs[i]
    if (!output) return
    // A result that is an input, or given twice, is handed on.
    if (names.has(name)) aliases.push(makeNode('Identity', [names.get(name) as string], [output]))
    else names.set(name, output)
  })
  const nodes = renamedNodes(fn.nodes, { names, call, fresh: (name) => work.fresh(`${base}/${name}`) })
  work.made += nodes.length
  return [...nodes, ...aliases]
}

interface Renaming {
  /** What values are called now. */
  readonly names: Map<string, string>
  readonly call: Node
  readonly fresh: (name: string) => string
}

/** Everything made inside gets a name of its own, in nested graphs too. */
function renamedNodes(nodes: readonly Node[], at: Renaming): Node[] {
  const { names, call, fresh } = at
  const read = (name: string): string => (name ? (names.get(name) ?? name) : '')
  const make = (name: string): string => {
    if (!name) return ''
    if (!names.has(name)) names.set(name, fresh(name))
    return names.get(name) as string
  }
  return nodes.map((original) => {
    const bound = withReferences(original, call.attributes)
    const attributes: Record<string, Attribute> = {}
    for (const [name, a] of Object.entries(bound.attributes)) {
      if (a.type === 'graph') attributes[name] = { ...a, value: renamedGraph(a.value, at) }
      else if (a.type === 'graphs') attributes[name] = { ...a, value: a.value.map((g) => renamedGraph(g, at)) }
      else attributes[name] = a
    }
    const inputs = bound.inputs.map(read)
    const name = bound.name ? { name: fresh(bound.name) } : {}
    return { ...bound, ...name, inputs, outputs: bound.outputs.map(make), attributes }
  })
}

function renamedGraph(graph: Graph, at: Renaming): Graph {
  const names = new Map(at.names)
  const own = (name: string): string => {
    names.set(name, at.fresh(name))
    return names.get(name) as string
  }
  const isInput = new Set(graph.inputs.map((i) => i.name))
  const inputs = graph.inputs.map((i) => ({ ...i, name: own(i.name) }))
  const initializers = new Map(
    [...graph.initializers].map(([name, t]) => {
      const fresh = isInput.has(name) ? (names.get(name) as string) : own(name)
      return [fresh, { ...t, name: fresh }] as const
    }),
  )
  const nodes = renamedNodes(graph.nodes, { ...at, names })
  const outputs = graph.outputs.map((o) => ({ ...o, name: names.get(o.name) ?? o.name }))
  const { valueInfo: _, ...rest } = graph
  return { ...rest, inputs, initializers, nodes, outputs }
}
