/**
 * Reshapes made plain, so that channels can be followed through them.
 *
 * Channel shuffles (Zhang et al. 2017, arXiv:1707.01083) written as Reshape, Transpose, Reshape, seen as a Gather of
 * channels: with g groups of n, channel a * n + b goes to place b * g + a. A second form deals channels out, as ShuffleNetV2's
 * own code does for its two halves: part j has channels j, g + j, 2g + j, ... Those that stay whole are put back as they were.
 */

import { type Dim, type Graph, type Model, type Node, type Tensor, withGraph } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import { integers, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { node as makeNode, nameSource } from './build.ts'
import { dropUnused } from './drop-unused.ts'
import { constantOf, consumersOf, intAttribute, intsAttribute, producersOf } from './walk.ts'

interface Shuffle {
  readonly indices: Tensor
  readonly nodes: readonly Node[]
  /** What these read beside data. */
  readonly shapes: readonly Tensor[]
}

/** By the output of the Gather. */
type Shuffles = ReadonlyMap<string, Shuffle>

/**
 * The model with sizes stored where Reshapes compute them but all except one are known (`view(x.size(0), -1)`), and
 * without Reshapes of stored tensors.
 */
export function storedSizes(model: Model): Model {
  const { graph } = model
  const { values } = inferShapes(model)
  const fresh = nameSource(graph)
  const consumers = consumersOf(graph)
  const initializers = new Map(graph.initializers)
  const outputs = new Set(graph.outputs.map((o) => o.name))
  const nodes = graph.nodes.flatMap((node) => {
    if (node.op !== 'Reshape' || node.domain) return [node]
    const [data, list] = node.inputs
    const [output] = node.outputs
    const made = values.get(output)?.shape
    const tensor = initializers.get(data)
    const alone = consumers.get(data)?.length === 1 && !outputs.has(data) && !outputs.has(output)
    if (tensor && alone && made?.every((d) => typeof d === 'number') && sizeOf(made) === sizeOf(tensor.dims)) {
      initializers.set(output, { ...tensor, name: output, dims: made })
      return []
    }
    const sizes = values.get(list)?.value?.map((d, i) => (d === -1 ? made?.[i] : d))
    const known = sizes?.map((d) => (typeof d === 'number' ? d : -1))
    if (initializers.has(list) || !known || known.indexOf(-1) !== known.lastIndexOf(-1)) return [node]
    const stored = integerTensor(fresh(`${output}_sizes`), 'int64', [known.length], known)
    initializers.set(stored.name, stored)
    return [{ ...node, inputs: [data, stored.name] }]
  })
  return withGraph(model, dropUnused({ ...graph, nodes, initializers }))
}

export function gatherForShuffles(model: Model): { readonly model: Model; readonly shuffles: Shuffles } {
  const { graph } = model
  const view: View = {
    graph,
    shapes: inferShapes(model).values,
    producers: producersOf(graph),
    consumers: consumersOf(graph),
    outputs: new Set(graph.outputs.map((o) => o.name)),
  }
  const fresh = nameSource(graph)
  const shuffles = new Map<string, Shuffle>()
  const gathers = new Map<Node, Node>()
  const initializers = new Map(graph.initializers)
  for (const { place, data, channels, nodes } of graph.nodes.flatMap((last) => movesOf(view, last))) {
    const indices = integerTensor(fresh('shuffled_channels'), 'int64', [channels.length], channels)
    const shapes = nodes.flatMap(({ inputs: [, name] }) => {
      const tensor = name ? constantOf(graph, name, view.producers) : undefined
      return tensor ? [{ ...tensor, name }] : []
    })
    initializers.set(indices.name, indices)
    gathers.set(place, makeNode('Gather', [data, indices.name], place.outputs, { axis: 1 }))
    shuffles.set(place.outputs[0], { indices, nodes, shapes })
  }
  if (gathers.size === 0) return { model, shuffles }
  const replaced = new Set([...shuffles.values()].flatMap((s) => s.nodes))
  const nodes = graph.nodes.flatMap((node) => gathers.get(node) ?? (replaced.has(node) ? [] : [node]))
  return { model: withGraph(model, { nodes, initializers }), shuffles }
}

interface View {
  readonly graph: Graph
  readonly shapes: ReadonlyMap<string, { readonly shape?: readonly Dim[] }>
  readonly producers: ReadonlyMap<string, Node>
  readonly consumers: ReadonlyMap<string, readonly Node[]>
  readonly outputs: ReadonlySet<string>
}

/** Channels of `data` in another order, or some of them, and the nodes that make that, of which `place` is the last. */
interface Move {
  readonly place: Node
  readonly data: string
  readonly channels: readonly number[]
  readonly nodes: readonly Node[]
}

/** What is made of the shuffle whose second Reshape is `last`: nothing where it is none. */
function movesOf(view: View, last: Node): Move[] {
  const { graph, shapes, producers, consumers, outputs } = view
  if (last.op !== 'Reshape' || last.domain) return []
  const inner = (name: string, op: string): Node | undefined => {
    const node = producers.get(name)
    return node?.op === op && !node.domain && consumers.get(name)?.length === 1 && !outputs.has(name) ? node : undefined
  }
  const turn = inner(last.inputs[0], 'Transpose')
  const first = turn && inner(turn.inputs[0], 'Reshape')
  if (!first || ![first, last].every((n) => constantOf(graph, n.inputs[1], producers))) return []
  const [data] = first.inputs
  const nodes = [first, turn, last]
  const [whole, apart, together] = [data, first.outputs[0], last.outputs[0]].map((n) => shapes.get(n)?.shape)
  const image = whole?.slice(1)
  if (image?.length !== 3 || !image.every((d) => typeof d === 'number')) return []
  const [count, height, width] = image as number[]
  switch (intsAttribute(turn, 'perm')?.join()) {
    case '0,2,1,3,4': {
      const [, g, n] = (apart ?? []) as number[]
      if (apart?.slice(1).join() !== `${g},${n},${height},${width}` || g * n !== count) return []
      if (together?.slice(1).join() !== image.join()) return []
      const channels = Array.from({ length: count }, (_, k) => (k % g) * n + Math.floor(k / g))
      return [{ place: last, data, channels, nodes }]
    }
    case '1,0,2': {
      const g = apart?.[1] as number
      const n = count / g
      if (apart?.slice(1).join() !== `${g},${height * width}` || together?.[0] !== g) return []
      if (together.slice(2).join() !== `${n},${height},${width}` || outputs.has(last.outputs[0])) return []
      const readers = consumers.get(last.outputs[0]) ?? []
      const parts = readers.map((reader) => pickedBy(view, reader, g))
      if (parts.includes(undefined)) return []
      return readers.map((place, i) => {
        const channels = Array.from({ length: n }, (_, k) => k * g + (parts[i] as number))
        return { place, data, channels, nodes: [...nodes, place] }
      })
    }
    default:
      return []
  }
}

/** Which of the first axis's `count` entries a Gather picks. */
function pickedBy({ graph, producers }: View, node: Node, count: number): number | undefined {
  const tensor = node.op === 'Gather' && !node.domain ? constantOf(graph, node.inputs[1], producers) : undefined
  if (tensor?.dims.length !== 0 || intAttribute(node, 'axis', 0) !== 0) return undefined
  const [index] = integers(tensor)
  return index < 0 ? index + count : index
}

/** The model with the nodes of each untouched shuffle in place of its Gather. */
export function shufflesForGathers(model: Model, shuffles: Shuffles): Model {
  const { graph } = model
  const initializers = new Map(graph.initializers)
  const made = new Set(graph.nodes.flatMap((n) => n.outputs))
  const back = new Set<Node>()
  const nodes = graph.nodes.flatMap((node) => {
    const shuffle = shuffles.get(node.outputs[0])
    if (!shuffle || graph.initializers.get(node.inputs[1]) !== shuffle.indices) return [node]
    for (const tensor of shuffle.shapes) if (!made.has(tensor.name)) initializers.set(tensor.name, tensor)
    // The parts that channels are dealt out to share all nodes but the last.
    const missing = shuffle.nodes.filter((n) => !back.has(n))
    for (const n of missing) back.add(n)
    return missing
  })
  return withGraph(model, dropUnused({ ...graph, nodes, initializers }))
}
