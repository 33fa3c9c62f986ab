/**
 * Channels of a graph: which values have them, which must be kept, and which can only be removed together. A channel is a
 * place along any axis of a value, numbered through the whole graph: those of an axis lie one after the other from `start`. A
 * stored tensor that is read where a value is expected has channels too, and so has an axis of a tensor that several nodes
 * read.
 */

import { capturedBy, constantOf, consumersOf, intAttribute, producersOf } from '../graph/walk.ts'
import { type Dim, type Graph, isOnnxDomain, type Model, type Node, opsetOf, type Tensor } from '../model.ts'
import {
  type Axis,
  type Coupling,
  type CouplingContext,
  type Cut,
  couplingOf,
  eachTied,
  sizeAt,
} from '../ops/coupling.ts'
import { inferShapes } from '../ops/shape.ts'
import { dataTypes, floatTensor, integers, sizeOf } from '../tensor/dtype.ts'
import { type NumberSets, numberSets } from './sets.ts'

export interface Range {
  readonly start: number
  readonly count: number
}

/** An axis of a stored tensor of which each reader wants a cut: they have to want the same. */
interface SharedAxis {
  readonly range: Range
  /** The axes after which the readers cut, and one of the readers. */
  readonly followed: readonly Axis[]
  readonly reader: Node
  /** Whether all readers can have it cut; an output of the graph or a nested graph reads it whole. */
  readonly free: boolean
}

export interface ChannelView {
  readonly model: Model
  /** By value, the channels of each of its axes; undefined where there is no number of them. */
  readonly values: ReadonlyMap<string, readonly (Range | undefined)[]>
  readonly total: number
  /** Of each node of the main graph that can be followed; all that they tie, mix and cut has channels. */
  readonly couplings: ReadonlyMap<Node, Coupling>
  readonly shared: readonly SharedAxis[]
  constant(name: string): Tensor | undefined
  /** The channels of an axis that has some. */
  range(axis: Axis): Range
  /** How many axes a value or a stored tensor has; 0 where that is not known. */
  rank(name: string): number
}

export interface ViewOptions {
  /** Whether places may go that a LayerNormalization takes the mean of; default no. */
  readonly overNormalised?: boolean
}

/** An axis of more places counts no channels: samples of sound, say. */
const mostPlaces = 1 << 16

export function channelsOf(model: Model, { overNormalised = false }: ViewOptions = {}): ChannelView {
  const { graph } = model
  const shapes = inferShapes(model).values
  const producers = producersOf(graph)
  const constants = new Map<string, Tensor | undefined>()
  const constant = (name: string): Tensor | undefined => {
    if (!name) return undefined
    if (!constants.has(name)) constants.set(name, constantOf(graph, name, producers) ?? numbersOf(producers.get(name)))
    return constants.get(name)
  }
  const shape = (name: string): readonly Dim[] | undefined => {
    const dims: readonly Dim[] | undefined = constant(name)?.dims ?? shapes.get(name)?.shape
    return dims?.some((d) => typeof d === 'number' && d > mostPlaces)
      ? dims.map((d) => (Number(d) > mostPlaces ? undefined : d))
      : dims
  }
  const context: CouplingContext = { shape, constant, opset: opsetOf(model), overNormalised }
  const values = new Map<string, readonly (Range | undefined)[]>()
  let total = 0
  const number = (count: number): Range => {
    total += count
    return { start: total - count, count }
  }
  const add = (name: string): void => {
    if (!name || values.has(name)) return
    values.set(
      name,
      (shape(name) ?? []).map((_, axis) => {
        const size = sizeAt(context, { value: name, axis })
        return size === undefined ? undefined : number(size)
      }),
    )
  }
  const has = ({ value, axis }: Axis): boolean => values.get(value)?.[axis] !== undefined
  const range = (axis: Axis): Range => {
    const found = values.get(axis.value)?.[axis.axis]
    if (!found) throw new Error(`axis ${axis.axis} of value "${axis.value}" has no channels`)
    return found
  }
  for (const name of [...graph.inputs.map((i) => i.name), ...graph.nodes.flatMap((n) => n.outputs)])
    if (!constant(name)) add(name)
  const couplings = new Map<Node, Coupling>()
  const asked = askedSizes(graph, context)
  for (const node of graph.nodes) {
    if (constant(node.outputs[0])) continue
    const found = asked(node) ?? couplingOf(node, context)
    if (!found) continue
    for (const { value } of namedBy(found)) if (constant(value)) add(value)
    const cuts = [...found.cuts, ...storedInputs(node, found, { constant, has })]
    const fits = cuts.every(({ at, axis, follows, groups = 1, repeats = 1, each = 1 }) => {
      const stored = constant(node.inputs[at])
      const count = has(follows) ? range(follows).count : undefined
      const isCuttable = stored && !stored.strings && dataTypes[stored.dtype].bits >= 8
      return isCuttable && count !== undefined && stored.dims[axis] * groups * each === count * repeats
    })
    const isFloat =
      !(found.mix || found.recurrence) || cuts.every((c) => constant(node.inputs[c.at])?.dtype === 'float32')
    if (fits && isFloat && namedBy(found).every(has)) couplings.set(node, { ...found, cuts })
  }
  const view = { model, values, couplings, constant, range, rank: (name: string) => shape(name)?.length ?? 0 }
  choose(view, total)
  return { ...view, shared: sharedAxes({ ...view, number }), total }
}

/** All axes that a coupling names. */
function namedBy({ ties, cuts, mix, recurrence, alike, contracts, ignores, choices }: Coupling): Axis[] {
  return [
    ...[...ties, ...(choices ?? [])].flatMap((t) => [t.input, t.output]),
    ...cuts.map((c) => c.follows),
    ...(mix ? [mix.input, mix.output] : []),
    ...(recurrence ? [recurrence.reads, ...recurrence.makes] : []),
    ...(alike ?? []).map((a) => a.axis),
    ...(contracts ?? []).flat(),
    ...(ignores ?? []),
  ]
}

/** The tensor of a Constant node whose floats are an attribute. */
function numbersOf(node: Node | undefined): Tensor | undefined {
  if (node?.op !== 'Constant' || node.domain) return undefined
  const { value_float: one, value_floats: several } = node.attributes
  if (one?.type === 'float') return floatTensor(node.outputs[0], [], [one.value])
  return several?.type === 'floats' ? floatTensor(node.outputs[0], [several.value.length], several.value) : undefined
}

/** Where a node reads a stored tensor instead of a value: it loses channels of its own. */
function storedInputs(
  node: Node,
  coupling: Coupling,
  { constant, has }: { constant(name: string): Tensor | undefined; has(axis: Axis): boolean },
): Cut[] {
  const named = namedBy({ ...coupling, cuts: [] })
  return node.inputs.flatMap((value, at) => {
    const axes = new Set(named.filter((a) => a.value === value).map((a) => a.axis))
    if (axes.size === 0 || !constant(value) || coupling.cuts.some((c) => c.at === at)) return []
    return [...axes].flatMap((axis) => (has({ value, axis }) ? [{ at, axis, follows: { value, axis } }] : []))
  })
}

/** A coupling for Shape nodes: axes whose sizes nobody asks for (all but the first where `x.size(0)` is asked) are free. */
function askedSizes(graph: Graph, context: CouplingContext): (node: Node) => Coupling | undefined {
  const consumers = consumersOf(graph)
  const outputs = new Set(graph.outputs.map((o) => o.name))
  return (node) => {
    const [input] = node.inputs
    const [output] = node.outputs
    const rank = context.shape(input)?.length
    if (node.op !== 'Shape' || !isOnnxDomain(node.domain) || !rank || outputs.has(output)) return undefined
    const axes = Array.from({ length: rank }, (_, i) => i)
    const given = axes.slice(intAttribute(node, 'start', 0), intAttribute(node, 'end', rank))
    const asked = new Set<number | undefined>()
    for (const reader of consumers.get(output) ?? []) {
      const list = reader.op === 'Gather' ? context.constant(reader.inputs[1]) : undefined
      for (const axis of list ? Array.from(integers(list), (i) => given.at(Number(i))) : given) asked.add(axis)
    }
    const ignores = axes.filter((axis) => !asked.has(axis)).map((axis) => ({ value: input, axis }))
    return { ties: [], cuts: [], ignores: ignores.filter((a) => sizeAt(context, a) !== undefined) }
  }
}

type Numbered = Pick<ChannelView, 'model' | 'values' | 'couplings' | 'constant' | 'range'>

/**
 * Takes, of ties that exclude each other, those of which both axes may lose places as far as the other ties tell, the
 * outermost first: heads before what is in them, channels before places of an image.
 */
function choose(view: Numbered & { readonly couplings: Map<Node, Coupling> }, total: number): void {
  const open = [...view.couplings].filter(([, c]) => c.choices?.length)
  if (open.length === 0) return
  const sets = tiedSets(view, total)
  const held = new Uint8Array(total)
  eachHeldAxis(view, ({ start, count }) => {
    for (let i = start; i < start + count; i++) held[sets.of(i)] = 1
  })
  const mayLose = ({ start, count }: Range): boolean => {
    for (let i = start; i < start + count; i++) if (!held[sets.of(i)]) return true
    return false
  }
  for (const [node, coupling] of open) {
    const taken = new Set<Range>()
    const chosen = (coupling.choices ?? []).filter(({ input, output }) => {
      const axes = [view.range(input), view.range(output)]
      if (!axes.every((a) => mayLose(a) && !taken.has(a))) return false
      for (const a of axes) taken.add(a)
      return true
    })
    view.couplings.set(node, { ...coupling, ties: [...coupling.ties, ...chosen], choices: [] })
  }
}

/** Places that are tied by nodes. */
function tiedSets({ couplings, range }: Pick<Numbered, 'couplings' | 'range'>, total: number): NumberSets {
  const sets = numberSets(total)
  for (const { ties, alike, contracts } of couplings.values()) {
    for (const tie of ties) {
      const [a, b] = [range(tie.input), range(tie.output)]
      eachTied(tie, b.count, (c, k) => sets.join(a.start + c, b.start + k))
    }
    for (const { axis, as } of alike ?? []) {
      const { start } = range(axis)
      for (const [k, other] of as.entries()) sets.join(start + k, start + other)
    }
    for (const [a, b] of contracts ?? [])
      for (let k = 0; k < range(a).count; k++) sets.join(range(a).start + k, range(b).start + k)
  }
  return sets
}

/** How often each name is read: by nodes, by their nested graphs (once per node) and as an output of the graph. */
export function usesOf(graph: Graph): Map<string, number> {
  const uses = new Map<string, number>()
  const read = [...graph.nodes.flatMap((n) => [...n.inputs, ...capturedBy(n)]), ...graph.outputs.map((o) => o.name)]
  for (const name of read) uses.set(name, (uses.get(name) ?? 0) + 1)
  return uses
}

interface SharedOptions extends Numbered {
  number(count: number): Range
}

/** Vectors are left out: a copy for a reader that wants another cut costs little. */
function sharedAxes({ model: { graph }, couplings, values, constant, range, number }: SharedOptions): SharedAxis[] {
  const uses = usesOf(graph)
  const found = new Map<string, { name: string; axis: number; reader: Node; followed: Axis[] }>()
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
    followed: values.get(name)?.[axis] ? [...followed, { value: name, axis }] : followed,
    reader,
    free: followed.length === uses.get(name),
  }))
}

/** Names the channels that must stay whatever they hold, with the node that needs them; graph inputs and outputs need none. */
export function eachHeld(view: Numbered & Pick<ChannelView, 'shared'>, hold: (range: Range, by?: Node) => void): void {
  eachHeldAxis(view, hold)
  for (const { range, reader, free } of view.shared) if (!free) hold(range, reader)
}

function eachHeldAxis({ model, values, couplings, constant }: Numbered, hold: (range: Range, by?: Node) => void): void {
  const holdValue = (name: string, by?: Node, except?: ReadonlySet<Range | undefined>): void => {
    for (const axis of values.get(name) ?? []) if (axis && !except?.has(axis)) hold(axis, by)
  }
  for (const v of [...model.graph.inputs, ...model.graph.outputs]) holdValue(v.name)
  for (const node of model.graph.nodes) {
    for (const name of capturedBy(node)) holdValue(name, node)
    const coupling = couplings.get(node)
    if (constant(node.outputs[0])) continue
    const named = new Set<Range | undefined>()
    for (const { value, axis } of coupling ? namedBy(coupling) : []) named.add(values.get(value)?.[axis])
    for (const name of [...node.inputs, ...node.outputs]) holdValue(name, node, named)
  }
}

/** Which channels can only go together: for each, the number of its class. */
export function channelClasses(view: ChannelView): Int32Array {
  const { total, shared, range } = view
  const sets = tiedSets(view, total)
  for (const { range: axis, followed } of shared) {
    for (const followedAxis of followed) {
      const { start, count } = range(followedAxis)
      for (let k = 0; k < axis.count; k++) sets.join(axis.start + k, start + (k % count))
    }
  }
  return Int32Array.from({ length: total }, (_, i) => sets.of(i))
}
