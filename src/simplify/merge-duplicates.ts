/**
 * Stores tensors of the same type, shape and bytes once: towers that share weights, tied tables, constants that an exporter
 * wrote once per use. Initialisers and Constant nodes alike, in nested graphs and local functions too. A float matrix
 * that is another one transposed, as the head of a language model is of its table, becomes a Transpose of it, which
 * runtimes compute once.
 *
 * What is kept apart: inputs of the graph (a caller may override one of them), outputs, names that a nested graph gives again
 * to something else, and float tensors of one value throughout, such as biases of zeros, which are equal by chance and
 * which training would then move together.
 */

import { node as makeNode } from '../graph/build.ts'
import { bytesOfTensor, storedNames, subgraphsOf } from '../graph/walk.ts'
import { defineMethod } from '../method.ts'
import { type Graph, isOnnxDomain, type Model, type Node, type Tensor } from '../model.ts'
import { dataTypes, sameBytes } from '../tensor/dtype.ts'
import { mapGraphs, rename } from './fold.ts'

export const mergeDuplicates = defineMethod({
  id: 'merge-duplicates',
  help: 'stores weights and constants of the same type, shape and bytes once',
  options: {},
  run: (model) => withoutDuplicates(model).model,
})

export interface Merged {
  readonly model: Model
  /** Tensors that were removed. */
  readonly count: number
  /** Bytes of their data. */
  readonly bytes: number
}

/** The model with each tensor once, and what was removed; the model itself where there is none to merge. */
export function withoutDuplicates(model: Model): Merged {
  const tally = { count: 0, bytes: 0 }
  const graph = mergeGraph(model.graph, { known: new Library(), repeated: repeatedNames(model.graph), tally })
  const functions = model.functions?.map((fn) => {
    const asGraph = functionGraph(fn.nodes, fn.inputs, fn.outputs)
    const { nodes } = mergeGraph(asGraph, { known: new Library(), repeated: repeatedNames(asGraph), tally })
    return { ...fn, nodes }
  })
  if (tally.count === 0) return { model, ...tally }
  return { model: { ...model, graph, ...(functions ? { functions } : {}) }, ...tally }
}

function functionGraph(nodes: readonly Node[], inputs: readonly string[], outputs: readonly string[]): Graph {
  const named = (names: readonly string[]) => names.map((name) => ({ name }))
  return { name: '', nodes, initializers: new Map(), inputs: named(inputs), outputs: named(outputs) }
}

interface Walk {
  readonly known: Library
  /** Names that mean several values. */
  readonly repeated: ReadonlySet<string>
  readonly tally: { count: number; bytes: number }
}

interface Entry {
  readonly tensor: Tensor
  readonly name: string
  hash?: number
  diagonal?: number
}

/** Tensors by what they hold, with the name that each has; those of outer graphs included. */
class Library {
  private readonly byForm = new Map<string, Entry[]>()
  private readonly outer: Library | undefined

  constructor(outer?: Library) {
    this.outer = outer
  }

  /** An equal tensor that was added before; else this one is added. */
  findOrAdd(entry: Entry): Entry | undefined {
    const same = this.find(entry)
    if (!same) this.byForm.set(formOf(entry.tensor), [...(this.byForm.get(formOf(entry.tensor)) ?? []), entry])
    return same
  }

  /** Another matrix that was added before, of which this one is the transpose. (A symmetric one is its own.) */
  findTransposed(entry: Entry): Entry | undefined {
    const { tensor } = entry
    const turned = this.byForm.get(formOf({ ...tensor, dims: tensor.dims.toReversed() })) ?? []
    const found = turned.find(
      (e) => e !== entry && diagonalOf(e) === diagonalOf(entry) && isTransposed(e.tensor, tensor),
    )
    return found ?? this.outer?.findTransposed(entry)
  }

  private find(entry: Entry): Entry | undefined {
    // Data is looked at only where form and sample agree: it may lie in a file that is read each time.
    const alike = this.byForm.get(formOf(entry.tensor)) ?? []
    const same = alike.find((e) => hashOf(e) === hashOf(entry) && sameElements(e.tensor, entry.tensor))
    return same ?? this.outer?.find(entry)
  }
}

function formOf({ dtype, dims, strings }: Tensor): string {
  return `${dtype} ${dims} ${strings?.length}`
}

/** Of some 64 of the bytes. */
function hashOf(entry: Entry): number {
  if (entry.hash !== undefined) return entry.hash
  const { data } = entry.tensor
  const step = Math.max(1, Math.floor(data.length / 64))
  let hash = 0
  for (let i = 0; i < data.length; i += step) hash = (Math.imul(hash, 31) + data[i]) | 0
  entry.hash = hash
  return hash
}

/** Of some of the elements that stay where they are when a matrix is transposed. */
function diagonalOf(entry: Entry): number {
  if (entry.diagonal !== undefined) return entry.diagonal
  const { dims, dtype, data } = entry.tensor
  const [rows, columns] = dims
  const width = dataTypes[dtype].bits / 8
  let hash = 0
  for (let i = 0; i < Math.min(rows, columns, 64); i++) {
    const at = i * (columns + 1) * width
    for (let b = 0; b < width; b++) hash = (Math.imul(hash, 31) + data[at + b]) | 0
  }
  entry.diagonal = hash
  return hash
}

function isTransposed({ dims, dtype, data: from }: Tensor, { data: to }: Tensor): boolean {
  const [rows, columns] = dims
  const width = dataTypes[dtype].bits / 8
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const there = (column * rows + row) * width
      for (let b = 0; b < width; b++) if (from[at++] !== to[there + b]) return false
    }
  }
  return true
}

/** Smaller ones are not worth a node. */
const leastTransposedBytes = 1024

function mayBeTransposed(tensor: Tensor): boolean {
  const isMatrix = tensor.dims.length === 2 && dataTypes[tensor.dtype].kind === 'float'
  return isMatrix && bytesOfTensor(tensor) >= leastTransposedBytes
}

function sameElements(a: Tensor, b: Tensor): boolean {
  const [x, y] = [a.strings ?? [], b.strings ?? []]
  return sameBytes(a.data, b.data) && x.length === y.length && x.every((s, i) => sameBytes(s, y[i]))
}

function mergeGraph(graph: Graph, { known: outer, repeated, tally }: Walk): Graph {
  const known = new Library(outer)
  const inputs = new Set(graph.inputs.map((i) => i.name))
  const outputs = new Set(graph.outputs.map((o) => o.name))
  const annotated = new Set(
    (graph.quantization ?? []).flatMap((q) => [q.tensorName, ...(q.parameters ?? []).map((p) => p.value)]),
  )
  const replaced = new Map<string, string>()
  /** What the tensor becomes where it is there already under another name: nothing, or a Transpose; undefined: it stays. */
  const merged = (tensor: Tensor, name: string): readonly Node[] | undefined => {
    if (inputs.has(name) || repeated.has(name) || annotated.has(name)) return undefined
    const entry = { tensor, name }
    const same = known.findOrAdd(entry)
    if (outputs.has(name)) return undefined
    const turned = !same && mayBeTransposed(tensor) ? known.findTransposed(entry) : undefined
    if ((!same && !turned) || isFill(tensor)) return undefined
    if (same) replaced.set(name, same.name)
    tally.count++
    tally.bytes += bytesOfTensor(tensor)
    return turned ? [makeNode('Transpose', [turned.name], [name], { perm: [1, 0] })] : []
  }
  // What cannot go comes first, so that the others can be merged into it.
  const ordered = [...graph.initializers].sort(([a], [b]) => Number(outputs.has(b)) - Number(outputs.has(a)))
  const instead = new Map(ordered.map(([name, tensor]) => [name, merged(tensor, name)]))
  // In order, so that nothing is merged into a constant that a later node makes.
  const later = graph.nodes.flatMap((node) => {
    const tensor = constantTensor(node)
    const made = tensor && merged(tensor, node.outputs[0])
    return made ?? [mapGraphs(rename(node, replaced), (inner) => mergeGraph(inner, { known, repeated, tally }))]
  })
  const nodes = [...[...instead.values()].flatMap((made) => made ?? []), ...later]
  return {
    ...graph,
    nodes,
    initializers: new Map([...graph.initializers].filter(([name]) => !instead.get(name))),
    ...(graph.valueInfo ? { valueInfo: graph.valueInfo.filter((v) => !replaced.has(v.name)) } : {}),
  }
}

function constantTensor(node: Node): Tensor | undefined {
  const { value } = node.attributes
  return node.op === 'Constant' && isOnnxDomain(node.domain) && value?.type === 'tensor' ? value.value : undefined
}

/** Floats of one value throughout. */
function isFill({ dtype, data }: Tensor): boolean {
  const { kind, bits } = dataTypes[dtype]
  if (kind !== 'float') return false
  const width = bits / 8
  for (let i = width; i < data.length; i++) if (data[i] !== data[i - width]) return false
  return true
}

/** Names that more than one graph, or one graph twice, gives to a value. */
function repeatedNames(graph: Graph): Set<string> {
  const seen = new Set<string>()
  const repeated = new Set<string>()
  const visit = (g: Graph): void => {
    const own = new Set([...g.inputs.map((i) => i.name), ...storedNames(g)])
    for (const name of [...own, ...g.nodes.flatMap((n) => n.outputs)]) {
      if (seen.has(name)) repeated.add(name)
      seen.add(name)
    }
    for (const node of g.nodes) subgraphsOf(node).forEach(visit)
  }
  visit(graph)
  return repeated
}
