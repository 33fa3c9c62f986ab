/**
 * Reverse-mode differentiation of a graph, into the same graph: gradients are ordinary nodes.
 *
 * Works on a graph whose shapes are all static (one batch size). The result may hold macros (domain `coppice`); run it
 * through `lowerPlain` or a faster lowering. The result can be differentiated again.
 */
import { UnsupportedError } from '../errors.ts'
import { nameSource } from '../graph/build.ts'
import { capturedBy, constantOf, describe, producersOf } from '../graph/walk.ts'
import type { Graph, Node } from '../model.ts'
import { createEmitter, type Emitter, type Types } from '../ops/grad/emit.ts'
import { type At, type GradRule, macroDomain, ruleKey } from '../ops/grad/rule.ts'
import { flatOperators, gradRules } from '../ops/grad.ts'
import { floats, integers } from '../tensor/dtype.ts'
import { lowerPlain } from './lower-plain.ts'
import { writeOut } from './write-out.ts'

/** A graph and the type of each of its values. */
export interface TypedGraph {
  readonly graph: Graph
  readonly types: Types
}

export interface Backward extends TypedGraph {
  /** The gradient's value by the name it is the gradient of; absent where the loss does not depend on it. */
  readonly gradients: ReadonlyMap<string, string>
}

/**
 * Appends the gradients of `of` (a scalar; else the sum of its elements) with respect to the values `wrt`.
 * Throws an UnsupportedError naming operator and node where a rule is missing.
 */
export function backward(source: TypedGraph, of: string, wrt: readonly string[]): Backward {
  const { graph, types } = withRules(source)
  const path = nodesBetween(graph, wrt, of)
  const g = createEmitter(types, nameSource(graph))
  const parts = new Map<string, string[]>([[of, [g.constant(1, g.dtype(of), g.shape(of))]]])
  const targets = new Set(wrt)
  const gradients = new Map<string, string>()
  const total = (name: string): string | undefined => {
    const list = parts.get(name)
    if (!list) return undefined
    parts.delete(name)
    const sum = list.length === 1 ? list[0] : list.reduce((a, b) => g.op('Add', [a, b]))
    if (targets.has(name)) gradients.set(name, sum)
    return sum
  }
  const producers = producersOf(graph)
  for (const { node, rule, needs } of path.reverse()) {
    const dys = node.outputs.map(total)
    if (dys.every((dy) => dy === undefined)) continue
    const found = rule(g, context({ graph, producers, node, dys, needs }))
    node.inputs.forEach((name, i) => {
      const gradient = found[i]
      if (!gradient || !needs[i]) return
      const list = parts.get(name)
      if (list) list.push(gradient)
      else parts.set(name, [gradient])
    })
  }
  for (const name of wrt) total(name)
  return { ...grown({ graph, types }, g), gradients }
}

/**
 * The graph in the form that rules know: composite operators written out, and so are macros of a first backward pass
 * that have no rule (those that have one are quicker so).
 */
function withRules(source: TypedGraph): TypedGraph {
  const written = writeOut(source)
  const lacks = written.graph.nodes.some((n) => n.domain === macroDomain && !gradRules[ruleKey(n)])
  return lacks ? lowerPlain(written) : written
}

/** The graph with what an emitter collected. */
export function grown({ graph }: TypedGraph, g: Emitter): TypedGraph {
  const initializers = new Map([...graph.initializers, ...g.initializers])
  return { graph: { ...graph, nodes: [...graph.nodes, ...g.nodes], initializers }, types: g.types }
}

interface Step {
  readonly node: Node
  readonly rule: GradRule
  /** Which inputs depend on what is differentiated for. */
  readonly needs: readonly boolean[]
}

/** The nodes on a way from `wrt` to `of`, with their rules. */
function nodesBetween(graph: Graph, wrt: readonly string[], of: string): Step[] {
  const wanted = new Set([of])
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((o) => wanted.has(o))) continue
    for (const name of [...node.inputs, ...capturedBy(node)]) if (name) wanted.add(name)
  }
  const varying = new Set(wrt)
  const steps: Step[] = []
  for (const node of graph.nodes) {
    if (!node.outputs.some((o) => wanted.has(o)) || flatOperators.has(ruleKey(node))) continue
    const needs = node.inputs.map((name) => varying.has(name))
    if (!needs.includes(true) && ![...capturedBy(node)].some((name) => varying.has(name))) continue
    const rule = gradRules[ruleKey(node)]
    if (!rule)
      throw new UnsupportedError(
        `${describe(node)}: ${ruleKey(node)} has no gradient, so this model cannot be trained; compress works without training`,
      )
    for (const output of node.outputs) if (output) varying.add(output)
    steps.push({ node, rule, needs })
  }
  return steps
}

interface ContextParts {
  readonly graph: Graph
  readonly producers: ReadonlyMap<string, Node>
  readonly node: Node
  readonly dys: readonly (string | undefined)[]
  readonly needs: readonly boolean[]
}

function context({ graph, producers, node, dys, needs }: ContextParts): At {
  const constant = (i: number) => {
    const name = node.inputs[i]
    if (!name) return undefined
    const tensor = constantOf(graph, name, producers)
    if (tensor) return tensor
    throw new UnsupportedError(`${describe(node)}: input "${name}" is computed; its gradient needs it to be constant`)
  }
  const read = <T>(i: number, reader: (tensor: NonNullable<ReturnType<typeof constant>>) => T): T | undefined => {
    const tensor = constant(i)
    return tensor && reader(tensor)
  }
  return {
    node,
    x: node.inputs,
    y: node.outputs,
    dys,
    dy: dys[0] as string,
    needs: (i) => needs[i] ?? false,
    ints: (i) => read(i, (tensor) => Array.from(integers(tensor))),
    floats: (i) => read(i, floats),
  }
}
