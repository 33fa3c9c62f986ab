/**
 * Channels taken out of a model: the stored tensors that count them lose those places, and nodes that name numbers of channels
 * get others. Which channels are removed together is said by `channelClasses`, which must be kept by `eachHeld` (channels.ts).
 */

import { node as makeNode } from '../graph/build.ts'
import { editGraph } from '../graph/edit.ts'
import { intsAttribute } from '../graph/walk.ts'
import { type Model, type Node, opsetOf, type Tensor } from '../model.ts'
import type { Mix } from '../ops/coupling.ts'
import { isInput } from '../ops/operator-sets.ts'
import { floats, floatTensor, integers, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { type ChannelView, usesOf } from './channels.ts'

export interface RemoveOptions {
  /**
   * A layer's whole bias, in place of the one it has, where channels that it reads are not zero when they go; undefined where
   * that stays as it is.
   */
  readonly biasOf?: (node: Node, mix: Mix) => Tensor | undefined
}

/** The model without the channels of which `keep`, by number, is 0. Whole classes must be removed, and none that is held. */
export function removeChannels(view: ChannelView, keep: Uint8Array, { biasOf }: RemoveOptions = {}): Model {
  const { model, dims, range, constant } = view
  /** Of a value that loses channels. */
  const keptOf = (name: string): Uint8Array | undefined => {
    const v = view.values.get(name)
    const part = v && keep.subarray(v.start, v.start + v.count)
    return part?.includes(0) ? part : undefined
  }
  const changes = changesOf(model)
  for (const [node, { cuts, ties, mix, recurrence }] of view.couplings) {
    const [input] = node.inputs
    const [output] = node.outputs
    const bias = mix && keptOf(input) && biasOf?.(node, mix)
    const cut = new Map<number, Tensor>()
    for (const { at, axis, follows, groups = 1 } of cuts) {
      const kept = keptOf(follows)
      const stored = cut.get(at) ?? constant(node.inputs[at])
      if (kept && stored && !(bias && at === 2))
        cut.set(at, cutAxis(stored, axis, kept.subarray(0, kept.length / groups)))
    }
    if (bias) {
      const kept = keptOf(output)
      cut.set(2, kept ? cutAxis(bias, 0, kept) : bias)
      // A product of matrices has no bias: it becomes the layer that has one.
      if (node.op === 'MatMul') changes.change(node, (n) => ({ ...n, op: 'Gemm' }))
    }
    for (const [at, tensor] of cut) changes.put(node, at, tensor)
    if (recurrence && keptOf(recurrence.makes[0])) {
      const hidden_size = { type: 'int', value: sizeOfKept(keptOf(recurrence.makes[0])) } as const
      changes.change(node, (n) => ({ ...n, attributes: { ...n.attributes, hidden_size } }))
    }
    const isDepthwise = node.op === 'Conv' && !mix && ties.length > 0
    if (isDepthwise && keptOf(output)) {
      const group = { type: 'int', value: sizeOfKept(keptOf(input)) } as const
      changes.change(node, (n) => ({ ...n, attributes: { ...n.attributes, group } }))
    } else if (node.op === 'Split' && node.outputs.some(keptOf)) {
      const sizes = node.outputs.map((o) => sizeOfKept(keptOf(o)) || range(o).count)
      resplit(changes, { node, sizes, opset: opsetOf(model) })
    } else if (node.op === 'Gather' && (keptOf(input) || keptOf(output))) {
      changes.put(node, 1, remapped(ties[0].from, keptOf(input), keptOf(output)))
    } else if (node.op === 'Slice' && keptOf(input) && ties[0].from.length < range(input).count) {
      const start = sizeOfKept(keptOf(input)?.subarray(0, ties[0].from[0]))
      const ends = [start, start + (sizeOfKept(keptOf(output)) || range(output).count)]
      for (const [i, end] of ends.entries()) changes.put(node, i + 1, integerTensor('', 'int64', [1], [end]))
    } else if (node.op === 'Pad' && keptOf(output) && ties[0].from.includes(-1)) {
      const pads = Array.from(integers(constant(node.inputs[1]) as Tensor))
      const front = ties[0].from.findIndex((c) => c >= 0)
      pads[1] = sizeOfKept(keptOf(output)?.subarray(0, front))
      pads[1 + pads.length / 2] = sizeOfKept(keptOf(output)?.subarray(front + range(input).count))
      changes.put(node, 1, integerTensor('', 'int64', [pads.length], pads))
    } else if (node.op === 'Resize' && node.inputs[3] && keptOf(output)) {
      const sizes = Array.from(integers(constant(node.inputs[3]) as Tensor))
      const axes = intsAttribute(node, 'axes') ?? sizes.map((_, i) => i)
      const left = sizes.map((size, i) =>
        axes[i] === 1 || axes[i] === -(dims(output) ?? []).length ? sizeOfKept(keptOf(output)) : size,
      )
      changes.put(node, 3, integerTensor('', 'int64', [left.length], left))
    } else if (node.op === 'Reshape' && keptOf(output)) {
      changes.change(node, (n) =>
        makeNode('Flatten', [n.inputs[0]], n.outputs, { axis: 1 }, n.name ? { name: n.name } : {}),
      )
    }
  }
  return changes.finish()
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

function sizeOfKept(kept: Uint8Array | undefined): number {
  return kept ? kept.reduce((n, k) => n + k, 0) : 0
}

function cutAxis(tensor: Tensor, axis: number, kept: Uint8Array): Tensor {
  const inner = sizeOf(tensor.dims.slice(axis + 1))
  const values = floats(tensor)
  // An axis that counts the channels several times over loses them every time.
  const dims = tensor.dims.map((d, a) => (a === axis ? (sizeOfKept(kept) * d) / kept.length : d))
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

function resplit(changes: Changes, { node, sizes, opset }: SplitAt): void {
  const { split: _, num_outputs: __, ...attributes } = node.attributes
  if (!isInput('Split', 'split', opset)) {
    changes.change(node, (n) => ({ ...n, attributes: { ...attributes, split: { type: 'ints', value: sizes } } }))
    return
  }
  changes.change(node, (n) => ({ ...n, attributes }))
  changes.put(node, 1, integerTensor('', 'int64', [sizes.length], sizes))
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
