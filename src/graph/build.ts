/**
 * Making graphs: nodes, attributes and fresh names.
 *
 * `node('Conv', ['x', 'w'], ['y'], { strides: [2, 2], group: 8 })`: a whole number is an int, `f(0.5)` a float,
 * a list of whole numbers ints, text a string, a tensor a tensor.
 */
import {
  type Attribute,
  type Dim,
  type Graph,
  irVersionOf,
  type Model,
  type Node,
  type Tensor,
  type ValueInfo,
} from '../model.ts'
import type { DataType } from '../tensor/dtype.ts'
import { storedNames } from './walk.ts'

type AttributeValue = number | string | readonly number[] | Tensor | Attribute

/** A float attribute (a bare number makes an int). */
export function f(value: number): Attribute {
  return { type: 'float', value: Math.fround(value) }
}

export function node(
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, AttributeValue | undefined>> = {},
  more: { readonly name?: string; readonly domain?: string } = {},
): Node {
  const lowered: Record<string, Attribute> = {}
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) lowered[name] = attribute(value)
  return { op, inputs, outputs, attributes: lowered, ...more }
}

function attribute(value: AttributeValue): Attribute {
  if (typeof value === 'number') return { type: 'int', value }
  if (typeof value === 'string') return { type: 'string', value }
  if (Array.isArray(value)) return { type: 'ints', value }
  if ('type' in (value as Attribute)) return value as Attribute
  return { type: 'tensor', value: value as Tensor }
}

export function valueInfo(name: string, dtype: DataType, shape?: readonly Dim[]): ValueInfo {
  return { name, dtype, ...(shape ? { shape } : {}) }
}

/** A model around a graph; operator set 17 by default. */
export function model(graph: Omit<Graph, 'name'> & { readonly name?: string }, opset = 17): Model {
  return {
    irVersion: irVersionOf(opset),
    opsets: [{ domain: '', version: opset }],
    producerName: 'coppice',
    graph: { name: 'graph', ...graph },
  }
}

/** Gives names that no value or node of the graph has, nested graphs included. */
export function nameSource(graph: Graph): (base: string) => string {
  const taken = new Set<string>()
  const take = (g: Graph): void => {
    for (const v of [...g.inputs, ...g.outputs]) taken.add(v.name)
    for (const name of storedNames(g)) taken.add(name)
    for (const n of g.nodes) {
      if (n.name) taken.add(n.name)
      for (const name of [...n.inputs, ...n.outputs]) taken.add(name)
      for (const a of Object.values(n.attributes)) {
        if (a.type === 'graph') take(a.value)
        else if (a.type === 'graphs') a.value.forEach(take)
      }
    }
  }
  take(graph)
  return (base) => {
    let name = base
    for (let i = 1; taken.has(name); i++) name = `${base}_${i}`
    taken.add(name)
    return name
  }
}
