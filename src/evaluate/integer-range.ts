/**
 * What the graph tells of whole numbers that are fed to it: places in a table or among other values, a number that one is
 * compared with, a mask.
 */
import { constantOf, intAttribute, subgraphsOf } from '../graph/walk.ts'
import { type Dim, type Graph, isOnnxDomain, type Node, type ValueInfo } from '../model.ts'
import { floats, integers, sizeOf } from '../tensor/dtype.ts'

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

function alongAxis(node: Node, table: readonly Dim[]): readonly Dim[] {
  return [table.at(intAttribute(node, 'axis', 0))]
}

/** The axes that places of `depth` numbers each are in. */
function leading(table: readonly Dim[], depth: Dim): readonly Dim[] {
  return table.slice(0, typeof depth === 'number' ? depth : table.length)
}

/** How many rows there are to point at, for each axis; 1 where that is not known, for a first row there is. */
function rowsOf({ node, at, within }: Reader, shapeOf: ShapeOf): number[] {
  if (at !== 1 || !isOnnxDomain(node.domain) || !Object.hasOwn(pointed, node.op)) return []
  const [table, places] = node.inputs
  const constant = constantOf(within, table)
  const shape = constant?.dims ?? shapeOf(within, table)
  if (!shape) return [1]
  return pointed[node.op](node, shape, shapeOf(within, places)?.at(-1)).map((d) => (typeof d === 'number' ? d : 1))
}
