/**
 * What the graph tells of whole numbers that are fed to it: places in a table or among other values, a number that one is
 * compared with, a mask; or data, such as samples of sound, depths, counts and times.
 */
import { constantOf, intAttribute, subgraphsOf } from '../graph/walk.ts'
import { type Dim, type Graph, isOnnxDomain, type Node, type ValueInfo } from '../model.ts'
import { dataTypeOf, floats, integers, isFloat, sizeOf } from '../tensor/dtype.ts'

/** Whole numbers [from, to] that an integer input may take, or the 1s and 0s of a mask. */
export type Range = readonly [from: number, to: number] | 'mask'

/** The shape of a value of the graph, or of a graph within it; undefined where it is not known. */
export type ShapeOf = (graph: Graph, name: string) => readonly Dim[] | undefined

/**
 * The range of an integer input. Places lie within all that they point into: constant tables, and values whose sizes `shapeOf`
 * tells. Several numbers per sample that are compared, and point nowhere, are a mask.
 */
export function integerRange(graph: Graph, input: ValueInfo, shapeOf: ShapeOf): Range {
  const readers = [...readersOf(graph, new Set([input.name]))]
  const rows = readers.flatMap((reader) => rowsOf(reader, shapeOf))
  if (rows.length > 0) return [0, Math.max(0, Math.min(...rows) - 1)]
  const isOne = input.shape?.every((d, axis) => d === 1 || axis === 0) ?? true
  const steps = stepsCounted(graph, input, { readers, shapeOf })
  if (isOne && steps) return [1, steps]
  const compares = readers.filter(({ node }) => /^(Equal|Less|Greater)/.test(node.op))
  if (!isOne) return compares.length > 0 || /mask/i.test(input.name) ? 'mask' : [0, 1]
  for (const { node, within } of compares) {
    const other = node.inputs.map((name) => constantOf(within, name)).find((t) => t && sizeOf(t.dims) === 1)
    if (!other) continue
    const value = Number(other.dtype.startsWith('float') ? floats(other)[0] : integers(other)[0])
    return [value, value]
  }
  return input.shape?.length === 0 ? [1, 1] : [0, 1]
}

/** Of one number per sample that says how long a sequence is: how long the longest is; undefined where it says something else. */
function stepsCounted(
  graph: Graph,
  { name }: ValueInfo,
  { readers, shapeOf }: { readonly readers: readonly Reader[]; readonly shapeOf: ShapeOf },
): number | undefined {
  for (const { node, at, within } of readers) {
    const isLengths = recurrent.has(node.op) && at === 4
    const isCompared = /^(Equal|Less|Greater)/.test(node.op)
    if (!isLengths && !isCompared) continue
    const [other] = isLengths ? node.inputs : node.inputs.filter((_, i) => i !== at)
    const dims = constantOf(within, other)?.dims ?? shapeOf(within, other) ?? []
    const length = isLengths
      ? dims[intAttribute(node, 'layout', 0)]
      : Math.max(...dims.map(Number).filter((d) => d > 1))
    if (typeof length === 'number' && Number.isFinite(length)) return length
  }
  if (!isLength(name)) return undefined
  // Nothing compares them: a mean over a sequence is divided by them.
  const others = graph.inputs.filter((i) => i.name !== name && !graph.initializers.has(i.name))
  const lengths = others.map((i) => shapeOf(graph, i.name)?.[1] ?? i.shape?.[1]).filter((d) => typeof d === 'number')
  return lengths.length > 0 ? Math.max(...lengths) : undefined
}

const recurrent = new Set(['RNN', 'GRU', 'LSTM'])

function isLength(name: string): boolean {
  return /(^|[_.])(len|lens|lengths?)$/i.test(name) || /[a-z]Lengths?$/.test(name)
}

/** Types that hardly anything but data is fed in. */
const dataOnly = /^u?int(8|16)$/

/** Arithmetic on whole numbers gives others that are as much data as they are. */
const arithmetic = new Set([
  'Add',
  'Sub',
  'Mul',
  'Div',
  'Mod',
  'Neg',
  'Abs',
  'Min',
  'Max',
  'Clip',
  'BitShift',
  'Concat',
])

/**
 * Which inputs of whole numbers hold data: those of at most 16 bits that point nowhere, and wider ones that are only computed
 * with and become floats. Beside tokens, such a number for each is a mask or a position.
 */
export function wholeData(graph: Graph, inputs: readonly ValueInfo[]): ReadonlySet<string> {
  const rankOf = ({ shape }: ValueInfo): number => shape?.length ?? 0
  const pointing = inputs.filter(({ name }) => [...readersOf(graph, new Set([name]))].some(isPlace))
  const tokens = new Set(pointing.map(rankOf).filter((rank) => rank > 1))
  const holds = (input: ValueInfo): boolean => {
    const { name, dtype = 'float32', shape } = input
    // A picture's bytes may pick their colours from a table.
    if (dtype === 'uint8') return true
    if (isFloat(dtype) || !/int/.test(dtype) || pointing.includes(input)) return false
    if (dataOnly.test(dtype)) return true
    return (
      shape?.length !== 0 &&
      !/mask/i.test(name) &&
      !isLength(name) &&
      !tokens.has(rankOf(input)) &&
      becomesFloats(graph, name)
    )
  }
  return new Set(inputs.filter(holds).map(({ name }) => name))
}

/** Whether whole numbers are only computed with and cast to floats, which are not taken from 1, as those of masks are. */
function becomesFloats(graph: Graph, name: string): boolean {
  const given = new Set([name])
  const computed = new Set<string>()
  const cast = new Set<string>()
  for (const node of graph.nodes) {
    const [first, second] = node.inputs
    const from = [given, computed, cast].find((names) => node.inputs.some((input) => names.has(input)))
    if (!from) continue
    if (node.op === 'Sub' && second && from.has(second) && isOne(graph, first)) return false
    const to = node.op === 'Cast' ? dataTypeOf(intAttribute(node, 'to', 0)) : undefined
    const next = isFloat(to) ? cast : arithmetic.has(node.op) ? (from === given ? computed : from) : from
    if (arithmetic.has(node.op) || (carriers.has(node.op) && from.has(first) && to !== 'bool'))
      for (const output of node.outputs) next.add(output)
    // Of numbers that were computed some may well point or decide: the hour of a time.
    else if (from === given && node.op !== 'Shape') return false
  }
  return cast.size > 0
}

function isOne(graph: Graph, name: string): boolean {
  const constant = constantOf(graph, name)
  if (!constant || sizeOf(constant.dims) !== 1) return false
  return Number(isFloat(constant.dtype) ? floats(constant)[0] : integers(constant)[0]) === 1
}

/** A node that reads some of an input's numbers, and the input of the node by which it does. */
interface Reader {
  readonly node: Node
  readonly at: number
  readonly within: Graph
}

/** Operators that hand on numbers of their first input, some or all, in any order. */
const carriers = new Set([
  ...['Identity', 'Cast', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose', 'Expand', 'Tile'],
  ...['Slice', 'Split', 'Gather', 'GatherElements', 'GatherND'],
])

/** What reads `names` and what carriers make of them, in nested graphs too. */
function* readersOf(within: Graph, names: Set<string>): Generator<Reader> {
  for (const node of within.nodes) {
    const found = node.inputs.flatMap((name, at) => (names.has(name) ? [at] : []))
    for (const at of found) yield { node, at, within }
    // Places that may be negative are chosen from themselves and themselves plus the size.
    const carried = node.op === 'Where' ? found.some((at) => at > 0) : carriers.has(node.op) && found.includes(0)
    if (carried) for (const output of node.outputs) names.add(output)
    for (const nested of subgraphsOf(node)) yield* readersOf(nested, names)
  }
}

/** By operators that point with their second input into their first: the sizes of the axes that they count along. */
const pointed: Readonly<Record<string, (node: Node, table: readonly Dim[], depth: Dim) => readonly Dim[]>> = {
  Gather: alongAxis,
  GatherElements: alongAxis,
  Scatter: alongAxis,
  ScatterElements: alongAxis,
  GatherND: (node, table, depth) => leading(table.slice(intAttribute(node, 'batch_dims', 0)), depth),
  ScatterND: (_, table, depth) => leading(table, depth),
}

function isPlace({ node, at }: Reader): boolean {
  return at === 1 && isOnnxDomain(node.domain) && Object.hasOwn(pointed, node.op)
}

function alongAxis(node: Node, table: readonly Dim[]): readonly Dim[] {
  return [table.at(intAttribute(node, 'axis', 0))]
}

/** The axes that places of `depth` numbers each are in. */
function leading(table: readonly Dim[], depth: Dim): readonly Dim[] {
  return table.slice(0, typeof depth === 'number' ? depth : table.length)
}

/** How many rows there are to point at, for each axis; 1 where that is not known, for a first row there is. */
function rowsOf(reader: Reader, shapeOf: ShapeOf): number[] {
  if (!isPlace(reader)) return []
  const { node, within } = reader
  const [table, places] = node.inputs
  const constant = constantOf(within, table)
  const shape = constant?.dims ?? shapeOf(within, table)
  if (!shape) return [1]
  return pointed[node.op](node, shape, shapeOf(within, places)?.at(-1)).map((d) => (typeof d === 'number' ? d : 1))
}
