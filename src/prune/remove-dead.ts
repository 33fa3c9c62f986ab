/**
 * Dead neurons removed: tensors really shrink, and outputs stay the same up to rounding (Han et al. 2015, section 3.5).
 *
 * A unit that no weight reads goes, with its incoming weights. A unit whose incoming weights are all zero emits the
 * constant φ(b) (through BatchNormalization and activations): it is added to the bias of the layers that read it, which
 * makes it unread. Under a padded convolution the border would differ, so there a constant other than 0 stays.
 * Channels that residuals, concatenations, splits or shuffles tie to others go only all at once. Repeated until nothing
 * changes; a layer keeps at least one unit.
 */
import { node as makeNode, nameSource } from '../graph/build.ts'
import { dropUnused } from '../graph/drop-unused.ts'
import { defineMethod } from '../method.ts'
import { type Graph, type Model, type Node, opsetOf, type Tensor } from '../model.ts'
import { floats, floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import {
  type ChannelView,
  channelClasses,
  channelsOf,
  constantChannels,
  eachWeight,
  fixedChannels,
  isPadded,
  isPlainProduct,
  readChannels,
} from './_channels.ts'
import { gatherForShuffles, shufflesForGathers } from './_shuffle.ts'

export const removeDead = defineMethod({
  id: 'remove-dead',
  help: 'removes units that nothing reads or that are constant, and shrinks the tensors; outputs stay the same',
  options: {},
  run(model) {
    const { model: open, shuffles } = gatherForShuffles(model)
    let current = open
    for (;;) {
      const next = removeUnread(foldConstants(current))
      if (next === current) break
      current = next
    }
    return current === open ? model : shufflesForGathers(current, shuffles)
  },
})

/** Replaced tensors and nodes, collected; names stay where nothing else uses the tensor. */
function editorOf(graph: Graph) {
  const uses = new Map<string, number>()
  for (const n of graph.nodes) for (const name of n.inputs) uses.set(name, (uses.get(name) ?? 0) + 1)
  const fresh = nameSource(graph)
  const tensors = new Map<string, Tensor>()
  const nodes = new Map<Node, Node>()
  const inputsOf = (node: Node): string[] => [...(nodes.get(node) ?? node).inputs]
  return {
    get changed() {
      return nodes.size > 0 || tensors.size > 0
    },
    tensorAt: (node: Node, at: number, otherwise: Tensor): Tensor => tensors.get(inputsOf(node)[at]) ?? otherwise,
    /** Puts a tensor at an input of a node. */
    put(node: Node, at: number, tensor: Tensor): void {
      const inputs = inputsOf(node)
      const own =
        inputs[at] && uses.get(inputs[at]) === 1 && (graph.initializers.has(inputs[at]) || tensors.has(inputs[at]))
      const name = own ? inputs[at] : fresh(inputs[at] || `${node.outputs[0]}_bias`)
      if (!own) uses.set(name, 1)
      tensors.set(name, { ...tensor, name })
      while (inputs.length < at) inputs.push('')
      inputs[at] = name
      nodes.set(node, { ...(nodes.get(node) ?? node), inputs })
    },
    change(node: Node, edit: (now: Node) => Node): void {
      nodes.set(node, edit(nodes.get(node) ?? node))
    },
    finish(model: Model): Model {
      const initializers = new Map([...graph.initializers, ...tensors])
      const { valueInfo: _, ...rest } = graph
      const inputs = graph.inputs.filter((i) => !tensors.has(i.name))
      const edited = { ...rest, nodes: graph.nodes.map((n) => nodes.get(n) ?? n), initializers, inputs }
      // Before IR version 4 every initialiser had to be an input too; new ones are not.
      return { ...model, irVersion: Math.max(4, model.irVersion), graph: dropUnused(edited) }
    },
  }
}

/** The model with constant channels in the bias of the layers that read them, and the weights on them zero. */
function foldConstants(model: Model): Model {
  const view = channelsOf(model)
  const known = constantChannels(view)
  const edit = editorOf(model.graph)
  for (const [node, { mix }] of view.couplings) {
    const input = view.values.get(node.inputs[0])
    if (!mix || !input || !isPlainProduct(node)) continue
    const weight = view.constant(node.inputs[1]) as Tensor
    const values = Float32Array.from(floats(weight))
    const added = new Float64Array(weight.dims[mix.outputAxis])
    const padded = isPadded(node)
    let folded = false
    let shifted = false
    eachWeight(weight, mix, (c, o, w, k) => {
      const constant = known[input.start + c]
      if (w === 0 || !Number.isFinite(constant) || (padded && constant !== 0)) return
      added[o] += w * constant
      values[k] = 0
      folded = true
      shifted ||= constant !== 0
    })
    if (!folded) continue
    edit.put(node, 1, { ...floatTensor(weight.name, weight.dims, values) })
    if (!shifted) continue
    const bias = node.inputs[2] ? floats(view.constant(node.inputs[2]) as Tensor) : undefined
    const sum = Float32Array.from(added, (v, o) => v + (bias ? bias[bias.length === 1 ? 0 : o] : 0))
    // A product of matrices has no bias: it becomes the layer that has one.
    if (node.op === 'MatMul') edit.change(node, (n) => ({ ...n, op: 'Gemm' }))
    edit.put(node, 2, floatTensor('', [sum.length], sum))
  }
  return edit.changed ? edit.finish(model) : model
}

/** The model without the channels that nothing reads. */
function removeUnread(model: Model): Model {
  const view = channelsOf(model)
  const keep = keptChannels(view)
  const keptOf = (name: string): Uint8Array | undefined => {
    const v = view.values.get(name)
    const part = v && keep.subarray(v.start, v.start + v.count)
    return part?.includes(0) ? part : undefined
  }
  const edit = editorOf(model.graph)
  for (const [node, { cuts, ties }] of view.couplings) {
    for (const { at, axis, follows } of cuts) {
      const kept = keptOf(follows)
      const stored = view.constant(node.inputs[at])
      if (kept && stored) edit.put(node, at, cutAxis(edit.tensorAt(node, at, stored), axis, kept))
    }
    const [input] = node.inputs
    const [output] = node.outputs
    if (node.op === 'Conv' && ties.length > 0 && keptOf(output)) {
      edit.change(node, (n) => ({
        ...n,
        attributes: { ...n.attributes, group: { type: 'int', value: sizeOfKept(keptOf(output)) } },
      }))
    } else if (node.op === 'Split' && node.outputs.some(keptOf)) resplit(edit, { node, view, keptOf, model })
    else if (node.op === 'Gather' && (keptOf(input) || keptOf(output))) {
      edit.put(node, 1, remapped(ties[0].from, keptOf(input), keptOf(output)))
    } else if (node.op === 'Reshape' && keptOf(output)) {
      edit.change(node, (n) =>
        makeNode('Flatten', [n.inputs[0]], n.outputs, { axis: 1 }, n.name ? { name: n.name } : {}),
      )
    }
  }
  return edit.changed ? edit.finish(model) : model
}

/** Marks (with 1) the channels that stay. */
function keptChannels(view: ChannelView): Uint8Array {
  const stays = fixedChannels(view)
  const read = readChannels(view)
  const classOf = channelClasses(view)
  const keptClass = new Uint8Array(view.total)
  for (let i = 0; i < view.total; i++) if (stays[i] || read[i]) keptClass[classOf[i]] = 1
  // No value may lose all its channels; keeping one keeps its class, so this ends.
  for (const { start, count } of view.values.values()) {
    let some = false
    for (let i = start; i < start + count; i++) some ||= keptClass[classOf[i]] === 1
    if (!some) keptClass[classOf[start]] = 1
  }
  return Uint8Array.from(classOf, (c) => keptClass[c])
}

function sizeOfKept(kept: Uint8Array | undefined): number {
  return kept?.reduce((n, k) => n + k, 0) ?? 0
}

function cutAxis(tensor: Tensor, axis: number, kept: Uint8Array): Tensor {
  const inner = sizeOf(tensor.dims.slice(axis + 1))
  const values = floats(tensor).filter((_, k) => kept[Math.floor(k / inner) % kept.length] === 1)
  const dims = tensor.dims.map((d, a) => (a === axis ? sizeOfKept(kept) : d))
  return floatTensor(tensor.name, dims, values)
}

interface SplitAt {
  readonly node: Node
  readonly view: ChannelView
  readonly model: Model
  keptOf(name: string): Uint8Array | undefined
}

function resplit(edit: ReturnType<typeof editorOf>, { node, view, keptOf, model }: SplitAt): void {
  const sizes = node.outputs.map((o) => (keptOf(o) ? sizeOfKept(keptOf(o)) : (view.values.get(o)?.count ?? 0)))
  const { split: _, num_outputs: __, ...attributes } = node.attributes
  if (opsetOf(model) < 13) {
    edit.change(node, (n) => ({ ...n, attributes: { ...attributes, split: { type: 'ints', value: sizes } } }))
    return
  }
  edit.change(node, (n) => ({ ...n, attributes }))
  edit.put(node, 1, integerTensor('', 'int64', [sizes.length], sizes))
}

/** The indices of a Gather among the channels that are left. */
function remapped(from: Int32Array, keptIn: Uint8Array | undefined, keptOut: Uint8Array | undefined): Tensor {
  let next = 0
  const place = keptIn && Int32Array.from(keptIn, (k) => (k ? next++ : -1))
  const indices = Array.from(from)
    .filter((_, k) => !keptOut || keptOut[k])
    .map((c) => (place ? place[c] : c))
  return integerTensor('', 'int64', [indices.length], indices)
}
