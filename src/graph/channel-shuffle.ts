/**
 * Reshapes made plain, so that channels can be followed through them.
 *
 * Channel shuffles (Zhang et al. 2017, arXiv:1707.01083) written as Reshape, Transpose, Reshape, seen as a Gather of
 * channels: with g groups of n, channel a * n + b goes to place b * g + a. Those that stay whole are put back as they were.
 */

import { type Model, type Node, type Tensor, withGraph } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import { integerTensor, sizeOf } from '../tensor/dtype.ts'
import { node as makeNode, nameSource } from './build.ts'
import { dropUnused } from './drop-unused.ts'
import { constantOf, consumersOf, intsAttribute, producersOf } from './walk.ts'

interface Shuffle {
  readonly indices: Tensor
  readonly nodes: readonly Node[]
  /** What the two Reshapes read. */
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
  const shapes = inferShapes(model).values
  const producers = producersOf(graph)
  const consumers = consumersOf(graph)
  const outputs = new Set(graph.outputs.map((o) => o.name))
  const fresh = nameSource(graph)
  const shuffles = new Map<string, Shuffle>()
  const gathers = new Map<Node, Node>()
  const inner = (name: string, op: string): Node | undefined => {
    const node = producers.get(name)
    return node?.op === op && !node.domain && consumers.get(name)?.length === 1 && !outputs.has(name) ? node : undefined
  }
  for (const last of graph.nodes) {
    if (last.op !== 'Reshape' || last.domain) continue
    const turn = inner(last.inputs[0], 'Transpose')
    const first = turn && inner(turn.inputs[0], 'Reshape')
    if (!first || intsAttribute(turn, 'perm')?.join() !== '0,2,1,3,4') continue
    const [whole, apart, together] = [first.inputs[0], first.outputs[0], last.outputs[0]].map((n) =>
      shapes.get(n)?.shape?.slice(1),
    )
    if (whole?.length !== 3 || apart?.length !== 4 || together?.join() !== whole.join()) continue
    const [g, n] = apart as number[]
    if (![...whole, ...apart].every((d) => typeof d === 'number') || g * n !== whole[0]) continue
    if (apart[2] !== whole[1] || apart[3] !== whole[2]) continue
    const from = Array.from({ length: g * n }, (_, k) => (k % g) * n + Math.floor(k / g))
    const indices = integerTensor(fresh('shuffled_channels'), 'int64', [from.length], from)
    const lists = [first, last].map((n) => constantOf(graph, n.inputs[1], producers))
    if (lists.includes(undefined)) continue
    const named = (lists as Tensor[]).map((t, i) => ({ ...t, name: [first, last][i].inputs[1] }))
    gathers.set(last, makeNode('Gather', [first.inputs[0], indices.name], last.outputs, { axis: 1 }))
    shuffles.set(last.outputs[0], { indices, nodes: [first, turn, last], shapes: named })
  }
  if (gathers.size === 0) return { model, shuffles }
  const initializers = new Map([
    ...graph.initializers,
    ...[...shuffles.values()].map((s) => [s.indices.name, s.indices] as const),
  ])
  const replaced = new Set([...shuffles.values()].flatMap((s) => s.nodes))
  const nodes = graph.nodes.flatMap((node) => gathers.get(node) ?? (replaced.has(node) ? [] : [node]))
  return { model: withGraph(model, { nodes, initializers }), shuffles }
}

/** The model with the nodes of each untouched shuffle in place of its Gather. */
export function shufflesForGathers(model: Model, shuffles: Shuffles): Model {
  const { graph } = model
  const initializers = new Map(graph.initializers)
  const made = new Set(graph.nodes.flatMap((n) => n.outputs))
  const nodes = graph.nodes.flatMap((node) => {
    const shuffle = shuffles.get(node.outputs[0])
    if (!shuffle || graph.initializers.get(node.inputs[1]) !== shuffle.indices) return [node]
    for (const tensor of shuffle.shapes) if (!made.has(tensor.name)) initializers.set(tensor.name, tensor)
    return shuffle.nodes
  })
  return withGraph(model, dropUnused({ ...graph, nodes, initializers }))
}
