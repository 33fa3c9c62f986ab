/**
 * Multiply-adds (MACs) of a node, from the shapes around it. Only operators that multiply matrices count, as papers
 * count them: convolutions, matrix products and recurrent layers; everything else has none.
 */
import { intAttribute, stringAttribute, subgraphsOf } from '../graph/walk.ts'
import { type Graph, isOnnxDomain, type Node } from '../model.ts'
import { countOf, type Known } from './shape/known.ts'
import type { Shapes } from './shape.ts'

/** What is known of a node's inputs and outputs, by position. */
interface Around {
  readonly node: Node
  readonly in: (i: number) => Known
  readonly out: (i: number) => Known
}

/** Undefined where a size that it needs is not known. */
type Rule = (around: Around) => number | undefined

const times = (...factors: (number | undefined)[]): number | undefined =>
  factors.reduce((a, b) => (a === undefined || b === undefined ? undefined : a * b), 1)

/** Each output element sums over one filter. */
const conv =
  (weight: number): Rule =>
  ({ in: input, out }) =>
    times(countOf(out(0).shape), countOf(input(weight).shape?.slice(1)))

/** Each input element is spread over one filter. */
const convTranspose: Rule = ({ in: input }) => times(countOf(input(0).shape), countOf(input(1).shape?.slice(1)))

const product =
  (left: number): Rule =>
  ({ in: input, out }) =>
    times(countOf(out(0).shape), countOf(input(left).shape?.slice(-1)))

const gemm: Rule = ({ node, in: input, out }) => {
  const inner = input(0).shape?.[intAttribute(node, 'transA', 0) ? 0 : 1]
  return times(countOf(out(0).shape), typeof inner === 'number' ? inner : undefined)
}

/** Each step multiplies W [directions, gates * hidden, inputs] and R [directions, gates * hidden, hidden]. */
const recurrent: Rule = ({ in: input }) => {
  const steps = countOf(input(0).shape?.slice(0, 2))
  const [w, r] = [countOf(input(1).shape), countOf(input(2).shape)]
  return times(steps, w === undefined || r === undefined ? undefined : w + r)
}

const einsum: Rule = ({ node, in: input }) => {
  const sizes = new Map<string, number | undefined>()
  const [left] = stringAttribute(node, 'equation', '').replace(/\s/g, '').split('->')
  for (const [i, term] of left.split(',').entries()) {
    for (const [k, letter] of [...term].entries()) sizes.set(letter, countOf(input(i).shape?.slice(k, k + 1)))
  }
  return times(...sizes.values())
}

const rules = new Map<string, Rule>(
  Object.entries({
    Conv: conv(1),
    ConvInteger: conv(1),
    QLinearConv: conv(3),
    'com.microsoft.FusedConv': conv(1),
    ConvTranspose: convTranspose,
    MatMul: product(0),
    MatMulInteger: product(0),
    QLinearMatMul: product(0),
    'com.microsoft.MatMulNBits': product(0),
    'com.microsoft.DynamicQuantizeMatMul': product(0),
    'com.microsoft.MatMulIntegerToFloat': product(0),
    Gemm: gemm,
    'com.microsoft.FusedGemm': gemm,
    'com.microsoft.QGemm': gemm,
    Einsum: einsum,
    LSTM: recurrent,
    GRU: recurrent,
    RNN: recurrent,
  }),
)

/** Values of the graph that a node is in, outer ones included. */
export type Lookup = (name: string) => Known | undefined

/**
 * Multiply-adds of one node: undefined where the shapes do not say. A branch counts as its dearer side; how often a
 * Loop or Scan turns is not known.
 */
export function macsOf(node: Node, shapes: Shapes, lookup: Lookup): number | undefined {
  const rule = rules.get(isOnnxDomain(node.domain) ? node.op : `${node.domain}.${node.op}`)
  if (rule) {
    const at = (names: readonly string[]) => (i: number) => (names[i] ? lookup(names[i]) : undefined) ?? {}
    return rule({ node, in: at(node.inputs), out: at(node.outputs) })
  }
  const inner = subgraphsOf(node).map((graph) => macsOfGraph(graph, shapes, lookup))
  if (inner.length === 0) return 0
  if (node.op === 'If') return inner.includes(undefined) ? undefined : Math.max(...(inner as number[]))
  return inner.every((m) => m === 0) ? 0 : undefined
}

/** Multiply-adds of a graph's nodes together. */
export function macsOfGraph(graph: Graph, shapes: Shapes, outer: Lookup = () => undefined): number | undefined {
  const values = shapes.nested.get(graph) ?? shapes.values
  const lookup: Lookup = (name) => values.get(name) ?? outer(name)
  let sum: number | undefined = 0
  for (const node of graph.nodes) {
    const macs = macsOf(node, shapes, lookup)
    sum = macs === undefined || sum === undefined ? undefined : sum + macs
  }
  return sum
}
