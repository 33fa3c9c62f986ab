/**
 * Reshapes made plain, so that channels can be followed through them.
 *
 * Channel shuffles (Zhang et al. 2017, arXiv:1707.01083) written as Reshape, Transpose, Reshape, seen as a Gather of
 * channels: with g groups of n, channel a * n + b goes to place b * g + a. A second form deals channels out, as ShuffleNetV2's
 * own code does for its two halves: part j has channels j, g + j, 2g + j, ... Those that stay whole are put back as they were.
 */

import { node as makeNode } from '../graph/build.ts'
import { editGraph } from '../graph/edit.ts'
import { constantOf, consumersOf, intAttribute, intsAttribute, producersOf, stringAttribute } from '../graph/walk.ts'
import type { Dim, Graph, Model, Node, Tensor } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import { floatTensor, integers, integerTensor, sizeOf } from '../tensor/dtype.ts'

interface Shuffle {
  readonly indices: Tensor
  readonly nodes: readonly Node[]
  /** What these read beside data. */
  readonly shapes: readonly Tensor[]
}

/** By the output of the Gather. */
type Shuffles = ReadonlyMap<string, Shuffle>

/**
 * The model with sizes stored where Reshapes compute them but all except one are known or are those of the same axis before
 * (`view(x.size(0), -1)`, `view(batch, steps, heads, -1)`), without
 * Reshapes of stored tensors, and with whole factors where Resizes compute sizes (`interpolate(x, size=y.shape[2:])`).
 */
export function storedSizes(model: Model): Model {
  const { graph } = model
  const { values } = inferShapes(model)
  const edit = editGraph(model)
  const consumers = consumersOf(graph)
  const outputs = new Set(graph.outputs.map((o) => o.name))
  for (const node of graph.nodes) {
    const [data, list] = node.inputs
    const [output] = node.outputs
    const factors = wholeFactors(node, values.get(data)?.shape, values.get(output)?.shape)
    if (factors && !edit.stored(node.inputs[3])) {
      const stored = edit.store(floatTensor(edit.fresh(`${output}_factors`), [factors.length], factors))
      edit.replace(node, [{ ...node, inputs: [data, list, stored] }])
    }
    if (node.op !== 'Reshape' || node.domain) continue
    const made = values.get(output)?.shape
    const tensor = edit.stored(data)
    const alone = consumers.get(data)?.length === 1 && !outputs.has(data) && !outputs.has(output)
    if (tensor && alone && made?.every((d) => typeof d === 'number') && sizeOf(made) === sizeOf(tensor.dims)) {
      edit.store({ ...tensor, name: output, dims: made }, data)
      edit.replace(node)
      continue
    }
    const sizes = values.get(list)?.value?.map((d, i) => (d === -1 ? made?.[i] : d))
    const before = values.get(data)?.shape
    const copies = intAttribute(node, 'allowzero', 0) === 0
    // A size that is that of the same axis before is said by 0.
    const known = sizes?.map((d, i) => {
      if (typeof d === 'number') return d
      return copies && d !== undefined && before?.[i] === d ? 0 : -1
    })
    if (edit.stored(list) || !known || known.indexOf(-1) !== known.lastIndexOf(-1)) continue
    const stored = edit.store(integerTensor(edit.fresh(`${output}_sizes`), 'int64', [known.length], known))
    edit.replace(node, [{ ...node, inputs: [data, stored] }])
  }
  return edit.finish()
}

/** By how much a Resize to sizes makes each axis of the image larger, where that is a whole number of times. */
function wholeFactors(
  node: Node,
  before: readonly Dim[] | undefined,
  after: readonly Dim[] | undefined,
): number[] | undefined {
  if (node.op !== 'Resize' || node.domain || !node.inputs[3] || !before || before.length !== after?.length)
    return undefined
  const asked = ['axes', 'keep_aspect_ratio_policy'].some((name) => node.attributes[name])
  if (asked || stringAttribute(node, 'coordinate_transformation_mode', '') === 'tf_crop_and_resize') return undefined
  const factors = before.map((d, i) => {
    const [from, to] = [d, after[i]]
    if (i < 2) return from !== undefined && from === to ? 1 : Number.NaN
    return typeof from === 'number' && typeof to === 'number' && from > 0 && to % from === 0 ? to / from : Number.NaN
  })
  return factors.includes(Number.NaN) ? undefined : factors
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
  const edit = editGraph(model)
  const shuffles = new Map<string, Shuffle>()
  const moves = graph.nodes.flatMap((last) => movesOf(view, last))
  for (const node of moves.flatMap((m) => m.nodes)) edit.replace(node)
  for (const { place, data, channels, nodes, before } of moves) {
    const indices = integerTensor(edit.fresh('shuffled_channels'), 'int64', [channels.length], channels)
    const shapes = nodes.flatMap(({ inputs: [, name] }) => {
      const tensor = name ? constantOf(graph, name, view.producers) : undefined
      return tensor ? [{ ...tensor, name }] : []
    })
    const joined = before ? edit.fresh(`${place.outputs[0]}_joined`) : data
    const gather = makeNode('Gather', [joined, edit.store(indices)], place.outputs, { axis: 1 })
    edit.replace(place, [...(before ? [makeNode('Concat', before, [joined], { axis: 1 })] : []), gather])
    shuffles.set(place.outputs[0], { indices, nodes, shapes })
  }
  return { model: edit.finish(), shuffles }
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
  /** Values whose channels, one after the other, are in place of `data`. */
  readonly before?: readonly string[]
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
  const stacked = turn && stackedBy(view, inner(turn.inputs[0], 'Concat'), inner)
  if (turn && stacked) return interleaved(view, { last, turn, ...stacked })
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

interface Stack {
  /** Images of as many channels, and the nodes that put them along a new axis 1. */
  readonly parts: readonly string[]
  readonly nodes: readonly Node[]
}

/** What a Concat stacks (`torch.stack`): each part has a new axis 1 along which all are joined. */
function stackedBy(
  { graph, producers }: View,
  concat: Node | undefined,
  inner: (name: string, op: string) => Node | undefined,
): Stack | undefined {
  if (!concat || intAttribute(concat, 'axis', 0) !== 1) return undefined
  const opened = concat.inputs.map((name) => inner(name, 'Unsqueeze'))
  const isOwn = (n: Node | undefined): n is Node => {
    const list = n && (intsAttribute(n, 'axes') ?? constantOf(graph, n.inputs[1], producers))
    const axes = list && Array.from(Array.isArray(list) ? list : integers(list), Number)
    return axes?.join() === '1'
  }
  return opened.every(isOwn) ? { parts: opened.map((n) => n.inputs[0]), nodes: [...opened, concat] } : undefined
}

/** Channels of several values dealt out in turn: channel k of part i goes to place k * parts + i. */
function interleaved(
  { graph, shapes, producers }: View,
  { last, turn, parts, nodes }: Stack & { readonly last: Node; readonly turn: Node },
): Move[] {
  const dims = parts.map((name) => shapes.get(name)?.shape)
  const [count, ...image] = dims[0]?.slice(1) ?? []
  const isKnown = image.length === 2 && dims.every((d) => d?.join() === dims[0]?.join()) && typeof count === 'number'
  const made = shapes.get(last.outputs[0])?.shape?.slice(1).join()
  if (!isKnown || intsAttribute(turn, 'perm')?.join() !== '0,2,1,3,4' || !constantOf(graph, last.inputs[1], producers))
    return []
  const g = parts.length
  if (made !== [g * count, ...image].join()) return []
  const channels = Array.from({ length: g * count }, (_, k) => (k % g) * count + Math.floor(k / g))
  return [{ place: last, data: '', channels, nodes: [...nodes, turn, last], before: parts }]
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
  const edit = editGraph(model)
  const made = new Set(graph.nodes.flatMap((n) => n.outputs))
  const back = new Set<Node>()
  for (const node of graph.nodes) {
    const shuffle = shuffles.get(node.outputs[0])
    if (!shuffle || graph.initializers.get(node.inputs[1]) !== shuffle.indices) continue
    for (const tensor of shuffle.shapes) if (!made.has(tensor.name)) edit.store(tensor)
    // The parts that channels are dealt out to share all nodes but the last.
    const missing = shuffle.nodes.filter((n) => !back.has(n))
    for (const n of missing) back.add(n)
    edit.replace(node, missing)
  }
  return edit.finish()
}
