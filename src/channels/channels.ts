/**
 * Channels of a graph: which values have them, which must be kept, and which can only be removed together. A channel is a
 * place in the value's axis 1 (in its last axis where matrices multiply sequences), numbered through the whole graph from
 * `start`. A stored tensor that is read where a value is expected has channels too, and so has an axis of a tensor that
 * several nodes read.
 */

import { capturedBy, constantOf, consumersOf, intAttribute, intsAttribute, producersOf } from '../graph/walk.ts'
import type { Graph, Model, Node, Tensor } from '../model.ts'
import { type ChannelDims, type Coupling, type Cut, couplingOf, keepsAxis } from '../ops/coupling.ts'
import { inferShapes } from '../ops/shape.ts'
import { floatTensor, integers, sizeOf } from '../tensor/dtype.ts'

export interface Range {
  readonly start: number
  readonly count: number
}

/** An axis of a stored tensor of which each reader wants a cut: they have to want the same. */
interface SharedAxis {
  readonly range: Range
  /** The values after which the readers cut, and one of the readers. */
  readonly followed: readonly string[]
  readonly reader: Node
  /** Whether all readers can have it cut; an output of the graph or a nested graph reads it whole. */
  readonly free: boolean
}

export interface ChannelView {
  readonly model: Model
  /** First number and count of each value's channels. */
  readonly values: ReadonlyMap<string, Range>
  readonly total: number
  /** Of each node of the main graph whose channels can be followed; all that they tie, mix and cut has channels. */
  readonly couplings: ReadonlyMap<Node, Coupling>
  readonly shared: readonly SharedAxis[]
  dims(name: string): ChannelDims | undefined
  axis(name: string): number
  constant(name: string): Tensor | undefined
  /** The channels of a value that has some. */
  range(name: string): Range
}

export function channelsOf(model: Model): ChannelView {
  const { graph } = model
  const shapes = inferShapes(model).values
  const producers = producersOf(graph)
  const constant = (name: string): Tensor | undefined =>
    name ? (constantOf(graph, name, producers) ?? numbersOf(producers.get(name))) : undefined
  const ranks = (name: string): number => shapes.get(name)?.shape?.length ?? 0
  const last = lastAxisValues(graph, ranks, constant)
  const axis = (name: string): number => (last.has(name) ? ranks(name) - 1 : 1)
  const dims = (name: string): ChannelDims | undefined => {
    const { dtype, shape } = shapes.get(name) ?? {}
    const sizes = shape?.map((d) => (typeof d === 'number' ? d : undefined)) ?? []
    const [channels] = sizes.splice(axis(name), 1)
    const places = sizes.slice(1)
    return dtype === 'float32' && channels && !places.includes(0) ? [channels, ...places] : undefined
  }
  let total = 0
  const number = (count: number): Range => {
    total += count
    return { start: total - count, count }
  }
  const values = new Map<string, Range>()
  const add = (name: string): void => {
    const size = dims(name)
    if (name && size && !values.has(name)) values.set(name, number(size[0]))
  }
  const range = (name: string): Range => {
    const found = values.get(name)
    if (!found) throw new Error(`value "${name}" has no channels`)
    return found
  }
  for (const name of [...graph.inputs.map((i) => i.name), ...graph.nodes.flatMap((n) => n.outputs)])
    if (!constant(name)) add(name)
  const couplings = new Map<Node, Coupling>()
  const asks = otherSizes(graph, { dims, axis })
  for (const node of graph.nodes) {
    const found = asks(node) ? { ties: [], cuts: [] } : couplingOf(node, { dims, axis, constant })
    if (!found) continue
    const { reads, makes = [] } = found.recurrence ?? {}
    const ends = [
      ...found.ties,
      ...(found.mix ? [found.mix] : []),
      ...makes.map((output) => ({ input: reads ?? output, output })),
    ]
    for (const { input } of ends) if (constant(input)) add(input)
    const cuts = [...found.cuts, ...storedInputs(node, found, { axis, constant })]
    const fits = cuts.every(({ at, axis, follows, groups = 1, repeats = 1 }) => {
      const stored = constant(node.inputs[at])
      const count = values.get(follows)?.count
      return stored?.dtype === 'float32' && count !== undefined && stored.dims[axis] * groups === count * repeats
    })
    if (fits && ends.every((e) => values.has(e.input) && values.has(e.output))) couplings.set(node, { ...found, cuts })
  }
  const shared = sharedAxes({ graph, couplings, values, axis, constant, range, number })
  return { model, values, total, couplings, shared, dims, axis, constant, range }
}

/** The tensor of a Constant node whose floats are an attribute. */
function numbersOf(node: Node | undefined): Tensor | undefined {
  if (node?.op !== 'Constant' || node.domain) return undefined
  const { value_float: one, value_floats: several } = node.attributes
  if (one?.type === 'float') return floatTensor(node.outputs[0], [], [one.value])
  return several?.type === 'floats' ? floatTensor(node.outputs[0], [several.value.length], several.value) : undefined
}

/** The values of three and more axes whose channels lie along the last: what a stored matrix multiplies and makes, and what follows. */
function lastAxisValues(
  graph: Graph,
  ranks: (name: string) => number,
  constant: ChannelView['constant'],
): ReadonlySet<string> {
  const last = new Set<string>()
  const isValue = (name: string): boolean => ranks(name) > 2 && !constant(name)
  for (const { op, domain, inputs, outputs } of graph.nodes) {
    const isProduct = op === 'MatMul' && constant(inputs[1])?.dims.length === 2
    if (domain || !(isProduct || op === 'GRU' || op === 'LSTM' || op === 'RNN')) continue
    for (const name of [inputs[0], ...(isProduct ? [] : inputs.slice(5, 7)), ...outputs])
      if (isValue(name)) last.add(name)
  }
  const keepsLast = (node: Node): boolean =>
    (node.op === 'Transpose' && intsAttribute(node, 'perm')?.at(-1) === ranks(node.outputs[0]) - 1) ||
    (node.op === 'Squeeze' && ranks(node.outputs[0]) > 2)
  const passing = graph.nodes.filter((node) => keepsAxis(node) || keepsLast(node))
  for (let before = -1; before < last.size; ) {
    before = last.size
    for (const { inputs, outputs } of passing) {
      const ends = [...inputs, ...outputs].filter(isValue)
      if (ends.some((name) => last.has(name))) for (const name of ends) last.add(name)
    }
  }
  return last
}

/** Where a node reads a stored tensor instead of a value: it loses channels of its own. */
function storedInputs(
  node: Node,
  { ties, cuts, mix }: Coupling,
  { axis, constant }: Pick<ChannelView, 'axis' | 'constant'>,
): Cut[] {
  const read = new Set([...ties.map((t) => t.input), ...(mix ? [mix.input] : [])])
  return node.inputs.flatMap((name, at) =>
    read.has(name) && constant(name) && !cuts.some((c) => c.at === at) ? [{ at, axis: axis(name), follows: name }] : [],
  )
}

/** Tells Shape nodes that are asked for other sizes than the number of channels only: `x.size(0)`, say. */
function otherSizes(graph: Graph, { dims, axis }: Pick<ChannelView, 'dims' | 'axis'>): (node: Node) => boolean {
  const consumers = consumersOf(graph)
  const outputs = new Set(graph.outputs.map((o) => o.name))
  const producers = producersOf(graph)
  return (node) => {
    const rank = (dims(node.inputs[0])?.length ?? 0) + 1
    const [output] = node.outputs
    if (node.op !== 'Shape' || node.domain || rank === 1 || outputs.has(output)) return false
    const axes = Array.from({ length: rank }, (_, i) => i)
    const given = axes.slice(intAttribute(node, 'start', 0), intAttribute(node, 'end', rank))
    const channels = axis(node.inputs[0])
    if (!given.includes(channels)) return true
    return (consumers.get(output) ?? []).every((reader) => {
      const list = reader.op === 'Gather' ? constantOf(graph, reader.inputs[1], producers) : undefined
      return list !== undefined && Array.from(integers(list)).every((i) => given.at(i) !== channels)
    })
  }
}

/** How often each name is read: by nodes, by their nested graphs (once a node) and as an output of the graph. */
export function usesOf(graph: Graph): Map<string, number> {
  const uses = new Map<string, number>()
  const read = [...graph.nodes.flatMap((n) => [...n.inputs, ...capturedBy(n)]), ...graph.outputs.map((o) => o.name)]
  for (const name of read) uses.set(name, (uses.get(name) ?? 0) + 1)
  return uses
}

interface SharedOptions extends Pick<ChannelView, 'couplings' | 'values' | 'axis' | 'constant' | 'range'> {
  readonly graph: Graph
  number(count: number): Range
}

/** Vectors are left out: a copy for a reader that wants another cut costs little. */
function sharedAxes({ graph, couplings, values, axis: axisOf, constant, range, number }: SharedOptions): SharedAxis[] {
  const uses = usesOf(graph)
  const found = new Map<string, { name: string; axis: number; reader: Node; followed: string[] }>()
  for (const [node, { cuts }] of couplings) {
    for (const { at, axis, follows } of cuts) {
      const name = node.inputs[at]
      const dims = constant(name)?.dims ?? []
      if (!values.has(name) && (uses.get(name) === 1 || sizeOf(dims) === dims[axis])) continue
      const key = `${axis} ${name}`
      const others = found.get(key)
      if (others) others.followed.push(follows)
      else found.set(key, { name, axis, reader: node, followed: [follows] })
    }
  }
  return [...found.values()].map(({ name, axis, reader, followed }) => ({
    range: number(constant(name)?.dims[axis] ?? range(followed[0]).count),
    followed: values.has(name) && axis === axisOf(name) ? [...followed, name] : followed,
    reader,
    free: followed.length === uses.get(name),
  }))
}

/** Names the channels that must stay whatever they hold, with the node that needs them; graph inputs and outputs need none. */
export function eachHeld(
  { model, values, couplings, shared, constant }: ChannelView,
  hold: (range: Range, by?: Node) => void,
): void {
  const holdValue = (name: string, by?: Node): void => {
    const found = values.get(name)
    if (found) hold(found, by)
  }
  for (const v of [...model.graph.inputs, ...model.graph.outputs]) holdValue(v.name)
  for (const node of model.graph.nodes) {
    for (const name of [...capturedBy(node), ...(couplings.get(node)?.shared ?? [])]) holdValue(name, node)
    if (couplings.has(node) || constant(node.outputs[0])) continue
    for (const name of [...node.inputs, ...node.outputs]) holdValue(name, node)
  }
  for (const { range, reader, free } of shared) if (!free) hold(range, reader)
}

/** Which channels can only go together: for each, the number of its class. */
export function channelClasses({ total, couplings, shared, range }: ChannelView): Int32Array {
  const parent = Int32Array.from({ length: total }, (_, i) => i)
  const root = (i: number): number => {
    let r = i
    while (parent[r] !== r) r = parent[r]
    while (parent[i] !== r) [i, parent[i]] = [parent[i], r]
    return r
  }
  for (const { ties } of couplings.values()) {
    for (const { input, output, from } of ties) {
      const [a, b] = [range(input).start, range(output).start]
      from.forEach((c, k) => {
        if (c >= 0) parent[root(a + c)] = root(b + k)
      })
    }
  }
  for (const { range: axis, followed } of shared) {
    for (const name of followed) {
      const { start, count } = range(name)
      for (let k = 0; k < axis.count; k++) parent[root(axis.start + k)] = root(start + (k % count))
    }
  }
  return parent.map((_, i) => root(i))
}
