/**
 * Dead neurons removed: tensors really shrink, and outputs stay the same up to rounding (Han et al. 2015, section 3.5).
 *
 * A unit that no weight reads goes, with its incoming weights. A unit whose incoming weights are all zero emits the
 * constant φ(b) (through BatchNormalization and activations): it is added to the bias of the layers that read it, which
 * makes it unread. Under a padded convolution the border would differ, so there a constant other than 0 stays.
 * Channels that residuals, concatenations, splits or shuffles tie to others go only all at once, and so do those of a
 * weight that several layers share. Repeated until nothing changes; a layer keeps at least one unit.
 *
 * Initialisers that are listed as inputs count as what they store, and are inputs no more where units went.
 */
import { node as makeNode, nameSource } from '../graph/build.ts'
import { gatherForShuffles, shufflesForGathers, storedSizes } from '../graph/channel-shuffle.ts'
import { type ChannelView, channelClasses, channelsOf, eachHeld, usesOf } from '../graph/channels.ts'
import { dropUnused } from '../graph/drop-unused.ts'
import { foldShapes, removeUnused } from '../graph/fold.ts'
import { describe, tensorsOf } from '../graph/walk.ts'
import { defineMethod } from '../method.ts'
import { type Graph, type Model, type Node, opsetOf, type Tensor } from '../model.ts'
import type { Mix } from '../ops/coupling.ts'
import { floats, floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { absorbs, constantChannels, eachWeight, readChannels } from './_liveness.ts'

export const removeDead = defineMethod({
  id: 'remove-dead',
  help: 'removes units that nothing reads or that are constant, and shrinks the tensors; outputs stay the same',
  options: {},
  run(model, _, context) {
    const { model: open, shuffles } = gatherForShuffles(storedSizes(foldShapes(removeUnused(model))))
    let found = liveness(open)
    for (;;) {
      const next = withoutDead(found)
      if (next === found.view.model) break
      found = liveness(next)
    }
    const held = heldUnits(found)
    if (held) context.warn?.(`remove-dead: ${held}`)
    // Constants can make biases of several layers where only one tensor shrinks.
    const { model: small } = found.view
    return storedBytes(small) < storedBytes(open) ? shufflesForGathers(small, shuffles) : model
  },
})

function storedBytes(model: Model): number {
  let bytes = 0
  for (const { tensor } of tensorsOf(model)) bytes += tensor.data.byteLength
  return bytes
}

/** What is known of each channel of a model. */
interface Liveness {
  readonly view: ChannelView
  /** Its value, where it is one number for every input. */
  readonly known: Float64Array
  readonly read: Uint8Array
  readonly classOf: Int32Array
  /** 1 where it stays. */
  readonly keep: Uint8Array
}

function liveness(model: Model): Liveness {
  const view = channelsOf(model)
  const known = constantChannels(view)
  const read = readChannels(view, known)
  const classOf = channelClasses(view)
  const stays = Uint8Array.from(read)
  eachHeld(view, ({ start, count }) => stays.fill(1, start, start + count))
  const keptClass = new Uint8Array(view.total)
  for (let i = 0; i < view.total; i++) if (stays[i]) keptClass[classOf[i]] = 1
  // No value may lose all its channels; keeping one keeps its class, so this ends.
  for (const { start, count } of view.values.values()) {
    let some = false
    for (let i = start; i < start + count; i++) some ||= keptClass[classOf[i]] === 1
    if (!some) keptClass[classOf[start]] = 1
  }
  return { view, known, read, classOf, keep: Uint8Array.from(classOf, (c) => keptClass[c]) }
}

/** Replaced tensors and nodes, collected; a tensor keeps its name where all its readers get the same one instead. */
function editorOf(graph: Graph) {
  const puts: { readonly node: Node; readonly at: number; readonly tensor: Tensor }[] = []
  const nodes = new Map<Node, Node>()
  const change = (node: Node, edit: (now: Node) => Node): void => {
    nodes.set(node, edit(nodes.get(node) ?? node))
  }
  return {
    change,
    /** Puts a tensor at an input of a node. */
    put(node: Node, at: number, tensor: Tensor): void {
      puts.push({ node, at, tensor })
    },
    finish(model: Model): Model {
      if (puts.length === 0 && nodes.size === 0) return model
      const uses = usesOf(graph)
      const fresh = nameSource(graph)
      const left = new Map<string, number>()
      for (const { node, at } of puts) left.set(node.inputs[at], (left.get(node.inputs[at]) ?? 0) + 1)
      const made = new Map<string, Tensor[]>()
      const initializers = new Map(graph.initializers)
      for (const { node, at, tensor } of puts) {
        const old = node.inputs[at] ?? ''
        const others = old ? (made.get(old) ?? []) : []
        const own = others.length === 0 && graph.initializers.has(old) && left.get(old) === uses.get(old)
        const name = others.find((t) => equal(t, tensor))?.name ?? (own ? old : fresh(old || `${node.outputs[0]}_bias`))
        made.set(old, [...others, { ...tensor, name }])
        initializers.set(name, { ...tensor, name })
        change(node, (now) => {
          const inputs = [...now.inputs]
          while (inputs.length < at) inputs.push('')
          inputs[at] = name
          return { ...now, inputs }
        })
      }
      const { valueInfo: _, ...rest } = graph
      const edited = { ...rest, nodes: graph.nodes.map((n) => nodes.get(n) ?? n), initializers }
      // Before IR version 4 every initialiser had to be an input too; new ones are not.
      return { ...model, irVersion: Math.max(4, model.irVersion), graph: dropUnused(edited) }
    },
  }
}

function equal(a: Tensor, b: Tensor): boolean {
  return a.dims.join() === b.dims.join() && a.data.every((v, i) => v === b.data[i])
}

/** The model without the channels that need not stay. */
function withoutDead({ view, known, keep }: Liveness): Model {
  const { model, range, constant } = view
  /** Of a value that loses channels. */
  const keptOf = (name: string): Uint8Array | undefined => {
    const v = view.values.get(name)
    const part = v && keep.subarray(v.start, v.start + v.count)
    return part?.includes(0) ? part : undefined
  }
  const edit = editorOf(model.graph)
  for (const [node, { cuts, ties, mix }] of view.couplings) {
    const [input] = node.inputs
    const [output] = node.outputs
    const bias = mix && keptOf(input) && shiftedBias(view, { node, mix, known, keep })
    const cut = new Map<number, Tensor>()
    for (const { at, axis, follows } of cuts) {
      const kept = keptOf(follows)
      const stored = cut.get(at) ?? constant(node.inputs[at])
      if (kept && stored && !(bias && at === 2)) cut.set(at, cutAxis(stored, axis, kept))
    }
    if (bias) {
      const kept = keptOf(output)
      cut.set(2, kept ? cutAxis(bias, 0, kept) : bias)
      // A product of matrices has no bias: it becomes the layer that has one.
      if (node.op === 'MatMul') edit.change(node, (n) => ({ ...n, op: 'Gemm' }))
    }
    for (const [at, tensor] of cut) edit.put(node, at, tensor)
    if (node.op === 'Conv' && ties.length > 0 && keptOf(output)) {
      edit.change(node, (n) => ({
        ...n,
        attributes: { ...n.attributes, group: { type: 'int', value: sizeOfKept(keptOf(output)) } },
      }))
    } else if (node.op === 'Split' && node.outputs.some(keptOf)) {
      const sizes = node.outputs.map((o) => sizeOfKept(keptOf(o)) || range(o).count)
      resplit(edit, { node, sizes, opset: opsetOf(model) })
    } else if (node.op === 'Gather' && (keptOf(input) || keptOf(output))) {
      edit.put(node, 1, remapped(ties[0].from, keptOf(input), keptOf(output)))
    } else if (node.op === 'Reshape' && keptOf(output)) {
      edit.change(node, (n) =>
        makeNode('Flatten', [n.inputs[0]], n.outputs, { axis: 1 }, n.name ? { name: n.name } : {}),
      )
    }
  }
  return edit.finish(model)
}

interface LayerAt extends Pick<Liveness, 'known' | 'keep'> {
  readonly node: Node
  readonly mix: Mix
}

/** The bias of a layer (uncut) with the constants of the channels that go; undefined where they change nothing. */
function shiftedBias({ constant, range }: ChannelView, { node, mix, known, keep }: LayerAt): Tensor | undefined {
  const { start } = range(mix.input)
  const weight = constant(node.inputs[1]) as Tensor
  const bias = node.inputs[2] ? floats(constant(node.inputs[2]) as Tensor) : undefined
  const added = new Float64Array(weight.dims[mix.outputAxis])
  const absorbed = absorbs(node)
  eachWeight(weight, mix, (c, o, w) => {
    // What is not absorbed reaches only units that nothing reads.
    if (!keep[start + c] && absorbed(known[start + c])) added[o] += w * known[start + c]
  })
  if (added.every((v) => v === 0)) return undefined
  const sums = Float32Array.from(added, (v, o) => v + (bias ? bias[bias.length === 1 ? 0 : o] : 0))
  return floatTensor('', [sums.length], sums)
}

/** Which dead units stay, and the nodes that hold them; undefined where there are none. */
function heldUnits({ view, known, read, classOf }: Liveness): string | undefined {
  const { values, couplings, constant, range } = view
  /** By class: 1 where a stored tensor would shrink, 2 where something needs it. */
  const state = new Uint8Array(view.total)
  const set = (name: string, to: number): void => {
    const { start, count } = range(name)
    for (let i = start; i < start + count; i++) state[classOf[i]] = to
  }
  for (const { cuts } of couplings.values()) for (const { follows } of cuts) set(follows, 1)
  for (let i = 0; i < view.total; i++) if (read[i] && Number.isNaN(known[i])) state[classOf[i]] = 2
  for (const { name } of [...view.model.graph.inputs, ...view.model.graph.outputs]) if (values.has(name)) set(name, 2)
  const units = new Map<Node, number>()
  const count = (channel: number, by: Node): void => {
    if (state[classOf[channel]] !== 1) return
    state[classOf[channel]] = 2
    units.set(by, (units.get(by) ?? 0) + 1)
  }
  eachHeld(view, ({ start, count: n }, by) => {
    for (let i = start; by && i < start + n; i++) count(i, by)
  })
  for (const [node, { mix }] of state.includes(1) ? couplings : []) {
    if (!mix) continue
    const [a, b] = [range(mix.input).start, range(mix.output).start]
    const absorbed = absorbs(node)
    eachWeight(constant(node.inputs[1]) as Tensor, mix, (c, o) => {
      if (read[b + o] && !absorbed(known[a + c])) count(a + c, node)
    })
  }
  if (units.size === 0) return undefined
  const named = [...units].slice(0, 5).map(([node, n]) => `${describe(node)} (${n})`)
  const more = units.size > named.length ? ` and ${units.size - named.length} more nodes` : ''
  return `some dead channels cannot be removed, as these nodes need them: ${named.join(', ')}${more}`
}

function sizeOfKept(kept: Uint8Array | undefined): number {
  return kept ? kept.reduce((n, k) => n + k, 0) : 0
}

function cutAxis(tensor: Tensor, axis: number, kept: Uint8Array): Tensor {
  const inner = sizeOf(tensor.dims.slice(axis + 1))
  const values = floats(tensor)
  const dims = tensor.dims.map((d, a) => (a === axis ? sizeOfKept(kept) : d))
  const cut = new Float32Array(sizeOf(dims))
  for (let from = 0, to = 0, k = 0; from < values.length; from += inner, k++) {
    if (!kept[k % kept.length]) continue
    for (let i = 0; i < inner; i++) cut[to++] = values[from + i]
  }
  return floatTensor(tensor.name, dims, cut)
}

interface SplitAt {
  readonly node: Node
  readonly sizes: readonly number[]
  readonly opset: number
}

function resplit(edit: ReturnType<typeof editorOf>, { node, sizes, opset }: SplitAt): void {
  const { split: _, num_outputs: __, ...attributes } = node.attributes
  if (opset < 13) {
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
