/**
 * Dead neurons removed: tensors really shrink, and outputs stay the same up to rounding (Han et al. 2015, section 3.5).
 *
 * A unit that no weight reads is removed, with its incoming weights. A unit whose incoming weights are all zero emits the
 * constant φ(b) (through BatchNormalization and activations): it is added to the bias of the layers that read it, which
 * makes it unread. Under a padded convolution the border would differ, so there a constant other than 0 stays.
 * Channels that residuals, concatenations, splits or shuffles tie to others are only removed all at once, and so do those of a
 * weight that several layers share. Repeated until nothing changes; a layer keeps at least one unit.
 *
 * Initialisers that are listed as inputs count as what they store, and are no longer inputs where units were removed.
 */

import { type ChannelView, channelClasses, channelsOf, eachHeld, type Range } from '../channels/channels.ts'
import { removeChannels } from '../channels/remove-channels.ts'
import { describe, storedBytes } from '../graph/walk.ts'
import { defineMethod } from '../method.ts'
import type { Model, Node, Tensor } from '../model.ts'
import type { Mix } from '../ops/coupling.ts'
import { gatherForShuffles, shufflesForGathers, storedSizes } from '../simplify/channel-shuffle.ts'
import { foldShapes, removeUnused } from '../simplify/fold.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
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
  for (const { start, count } of [...view.values.values()].flat().filter((axis) => axis !== undefined)) {
    let some = false
    for (let i = start; i < start + count; i++) some ||= keptClass[classOf[i]] === 1
    if (!some) keptClass[classOf[start]] = 1
  }
  return { view, known, read, classOf, keep: Uint8Array.from(classOf, (c) => keptClass[c]) }
}

/** The model without the channels that need not stay. */
function withoutDead({ view, known, keep }: Liveness): Model {
  return removeChannels(view, keep, { biasOf: (node, mix) => shiftedBias(view, { node, mix, known, keep }) })
}

interface LayerAt extends Pick<Liveness, 'known' | 'keep'> {
  readonly node: Node
  readonly mix: Mix
}

/** The bias of a layer (uncut) with the constants of the channels that go; undefined where they change nothing. */
function shiftedBias(view: ChannelView, { node, mix, known, keep }: LayerAt): Tensor | undefined {
  const { constant, range } = view
  const { start } = range(mix.input)
  const weight = constant(node.inputs[mix.at]) as Tensor
  const bias = node.inputs[2] ? floats(constant(node.inputs[2]) as Tensor) : undefined
  const added = new Float64Array(weight.dims[mix.outputAxis])
  const absorbed = absorbs(view, node)
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
  const set = ({ start, count }: Range, to: number): void => {
    for (let i = start; i < start + count; i++) state[classOf[i]] = to
  }
  for (const { cuts } of couplings.values()) for (const { follows } of cuts) set(range(follows), 1)
  for (let i = 0; i < view.total; i++) if (read[i] && Number.isNaN(known[i])) state[classOf[i]] = 2
  for (const { name } of [...view.model.graph.inputs, ...view.model.graph.outputs])
    for (const axis of values.get(name) ?? []) if (axis) set(axis, 2)
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
    const absorbed = absorbs(view, node)
    eachWeight(constant(node.inputs[mix.at]) as Tensor, mix, (c, o) => {
      if (read[b + o] && !absorbed(known[a + c])) count(a + c, node)
    })
  }
  if (units.size === 0) return undefined
  const named = [...units].slice(0, 5).map(([node, n]) => `${describe(node)} (${n})`)
  const more = units.size > named.length ? ` and ${units.size - named.length} more nodes` : ''
  return `some dead channels cannot be removed, as these nodes need them: ${named.join(', ')}${more}`
}
