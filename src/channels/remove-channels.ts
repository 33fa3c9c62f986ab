/**
 * Channels taken out of a model: the stored tensors that count them lose those places, and nodes that name numbers of channels
 * get others, as their rows say (ops/coupling/). Which channels are removed together is said by `channelClasses`, which must be kept by `eachHeld` (channels.ts).
 */

import { node as makeNode } from '../graph/build.ts'
import { editGraph } from '../graph/edit.ts'
import { type Model, type Node, opsetOf, type Tensor } from '../model.ts'
import { countMarks, type Kept, type Mix, placesLeft } from '../ops/coupling.ts'
import { rename } from '../simplify/fold.ts'
import { byteLengthOf, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { type ChannelView, usesOf } from './channels.ts'

export interface RemoveOptions {
  /**
   * A layer's whole bias, in place of the one it has, where channels that it reads are not zero when they go; undefined where
   * that stays as it is.
   */
  readonly biasOf?: (node: Node, mix: Mix) => Tensor | undefined
}

/**
 * The model without the channels of which `keep`, by number, is 0. Whole classes must be removed, and none that is held. Inputs
 * and outputs keep their shapes: of a state that goes in and comes out, what was removed is not read, and comes out as 0.
 */
export function removeChannels(view: ChannelView, keep: Uint8Array, { biasOf }: RemoveOptions = {}): Model {
  const { model, constant, values } = view
  /** Of an axis that loses channels. */
  const keptOf: Kept = ({ value, axis }) => {
    const v = values.get(value)?.[axis]
    const part = v && keep.subarray(v.start, v.start + v.count)
    return part?.includes(0) ? part : undefined
  }
  const changes = changesOf(model)
  for (const [node, { cuts, mix, adjust }] of view.couplings) {
    const bias = mix && keptOf(mix.input) && biasOf?.(node, mix)
    const cut = new Map<number, Tensor>()
    for (const { at, axis, follows, groups = 1, each = 1 } of cuts) {
      const kept = keptOf(follows)
      const stored = cut.get(at) ?? constant(node.inputs[at])
      if (!kept || !stored || (bias && at === 2)) continue
      const own = groups > 1 ? kept.subarray(0, kept.length / groups) : kept.filter((_, k) => k % each === 0)
      cut.set(at, cutAxis(stored, axis, own))
    }
    if (bias && mix) {
      const kept = keptOf(mix.output)
      cut.set(2, kept ? cutAxis(bias, 0, kept) : bias)
      // A product of matrices has no bias: it becomes the layer that has one.
      if (node.op === 'MatMul') changes.change(node, (n) => ({ ...n, op: 'Gemm' }))
    }
    for (const [at, tensor] of cut) changes.put(node, at, tensor)
    if (!adjust || ![...node.inputs, ...node.outputs].some((value) => losesSome(view, keptOf, value))) continue
    const { attributes, inputs } = adjust(keptOf)
    if (attributes) changes.change(node, (n) => ({ ...n, attributes: { ...n.attributes, ...attributes } }))
    for (const [at, tensor] of inputs ?? []) changes.put(node, at, tensor)
  }
  return withWholeStates(changes.finish(), view, keptOf)
}

function losesSome({ values }: ChannelView, kept: Kept, value: string): boolean {
  return (values.get(value) ?? []).some((_, axis) => kept({ value, axis }) !== undefined)
}

/** Puts, behind inputs and before outputs that have channels removed, nodes between the whole and what is left. */
function withWholeStates(model: Model, view: ChannelView, kept: Kept): Model {
  const { graph } = model
  const lost = (value: string): { axis: number; marks: Uint8Array }[] =>
    (view.values.get(value) ?? []).flatMap((_, axis) => {
      const marks = kept({ value, axis })
      return marks ? [{ axis, marks }] : []
    })
  const inputs = graph.inputs.filter(({ name }) => lost(name).length > 0)
  const outputs = graph.outputs.filter(({ name }) => lost(name).length > 0)
  if (inputs.length === 0 && outputs.length === 0) return model
  const edit = editGraph(model)
  const names = new Map<string, string>()
  const before: Node[] = []
  const after: Node[] = []
  const list = (values: readonly number[]): string =>
    edit.store(integerTensor(edit.fresh('kept_places'), 'int64', [values.length], values))
  for (const { name } of inputs) {
    let now = name
    for (const { axis, marks } of lost(name)) {
      const made = edit.fresh(`${name}_kept`)
      before.push(makeNode('Gather', [now, list([...marks.keys()].filter((k) => marks[k]))], [made], { axis }))
      now = made
    }
    names.set(name, now)
  }
  for (const { name, shape } of outputs) {
    const small = edit.fresh(`${name}_kept`)
    names.set(name, small)
    let now = small
    const all = lost(name)
    for (const [i, { axis, marks }] of all.entries()) {
      // A place of zeros behind the last stands for all that were removed.
      const rank = shape?.length ?? view.rank(name)
      const padded = edit.fresh(`${name}_padded`)
      const left = countMarks(marks)
      const places = Array.from(placesLeft(marks), (place) => (place < 0 ? left : place))
      const made = i === all.length - 1 ? name : edit.fresh(`${name}_whole`)
      const pads = Array.from({ length: 2 * rank }, (_, k) => (k === rank + axis ? 1 : 0))
      const isOld = opsetOf(model) < 11
      const padding = isOld ? [now] : [now, list(pads)]
      after.push(
        makeNode('Pad', padding, [padded], isOld ? { pads } : {}),
        makeNode('Gather', [padded, list(places)], [made], { axis }),
      )
      now = made
    }
  }
  const renamed = graph.nodes.map((n) => {
    const read = rename(n, names)
    const made = read.outputs.map((o) => (outputs.some(({ name }) => name === o) ? (names.get(o) as string) : o))
    return { ...read, outputs: made }
  })
  return edit.finishWith([...before, ...renamed, ...after])
}

interface Changes {
  change(node: Node, edit: (now: Node) => Node): void
  /** Puts a tensor at an input of a node. */
  put(node: Node, at: number, tensor: Tensor): void
  finish(): Model
}

/** Replaced tensors and nodes, collected; a tensor keeps its name where all its readers get the same one instead. */
function changesOf(model: Model): Changes {
  // The shapes that the file notes for values hold no more.
  const { valueInfo: _, ...graph } = model.graph
  const edit = editGraph({ ...model, graph })
  const puts: { readonly node: Node; readonly at: number; readonly tensor: Tensor }[] = []
  let touched = false
  const change: Changes['change'] = (node, by) => {
    touched = true
    edit.change(node, by)
  }
  return {
    change,
    put(node, at, tensor) {
      puts.push({ node, at, tensor })
    },
    finish() {
      if (puts.length === 0 && !touched) return model
      const uses = usesOf(graph)
      const left = new Map<string, number>()
      for (const { node, at } of puts) left.set(node.inputs[at], (left.get(node.inputs[at]) ?? 0) + 1)
      const made = new Map<string, Tensor[]>()
      for (const { node, at, tensor } of puts) {
        const old = node.inputs[at] ?? ''
        const others = old ? (made.get(old) ?? []) : []
        const own = others.length === 0 && graph.initializers.has(old) && left.get(old) === uses.get(old)
        const name =
          others.find((t) => equal(t, tensor))?.name ?? (own ? old : edit.fresh(old || `${node.outputs[0]}_bias`))
        made.set(old, [...others, { ...tensor, name }])
        edit.store({ ...tensor, name }, old)
        change(node, (now) => {
          const inputs = [...now.inputs]
          while (inputs.length < at) inputs.push('')
          inputs[at] = name
          return { ...now, inputs }
        })
      }
      return edit.finish()
    },
  }
}

function equal(a: Tensor, b: Tensor): boolean {
  return a.dims.join() === b.dims.join() && a.data.every((v, i) => v === b.data[i])
}

/** Without the places along an axis that are marked with 0. An axis that counts them several times over loses them every time. */
function cutAxis(tensor: Tensor, axis: number, kept: Uint8Array): Tensor {
  const size = byteLengthOf(tensor.dtype, sizeOf(tensor.dims.slice(axis + 1)))
  const left = countMarks(kept)
  const dims = tensor.dims.map((d, a) => (a === axis ? (left * d) / kept.length : d))
  const cut = new Uint8Array(byteLengthOf(tensor.dtype, sizeOf(dims)))
  for (let from = 0, to = 0, k = 0; from < tensor.data.length; from += size, k++) {
    if (!kept[k % kept.length]) continue
    cut.set(tensor.data.subarray(from, from + size), to)
    to += size
  }
  return { name: tensor.name, dtype: tensor.dtype, dims, data: cut }
}
