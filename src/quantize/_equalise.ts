/**
 * Channels that share a uint8 range are made to fill it alike: where nothing but homogeneous operators lie between
 * convolutions, a channel may be multiplied by a number behind those that make it and divided by it in the weights of those
 * that read it. Cross-layer equalisation (Nagel et al. 2019, arXiv:1906.04721, section 4.1) does so between two layers; here
 * the channels are followed through sums, concatenations, splits and shuffles too. Ranges are those of the values seen on
 * calibration inputs, balanced against weights as in SmoothQuant (Xiao et al. 2023, arXiv:2211.10438, equation 4, alpha 1/2),
 * and factors are powers of two, so that the float model's results stay the same bits.
 */

import { type ChannelView, channelsOf } from '../channels/channels.ts'
import { editGraph } from '../graph/edit.ts'
import type { Model, Node, Tensor } from '../model.ts'
import type { Coupling } from '../ops/coupling.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { forEachWeight, free, type Groups, groupsOf, largestOf, ownConvolutions, type Seen } from './_channel-groups.ts'

/** f(a x) = a f(x) for a > 0, or f(a x, a y) = a f(x, y). */
const homogeneousOps = new Set([
  ...['Relu', 'LeakyRelu', 'Identity', 'Dropout', 'MaxPool', 'AveragePool', 'GlobalAveragePool', 'GlobalMaxPool'],
  ...['Add', 'Sub', 'Concat', 'Split', 'Gather'],
])
/** Far from where float32 ends. */
const mostDoublings = 20
/** A channel's range counts as 2^-10 of the largest beside it at least: one that hardly moved here may elsewhere. */
const leastShare = 2 ** -10

/** The model with equal results whose convolutions read channels of similar ranges. Shuffles are followed where they are Gathers. */
export async function equalise(model: Model, seen: Seen): Promise<Model> {
  const view = channelsOf(model)
  const layers = ownConvolutions(view)
  const groups = groupsOf(view, couplingsOf(view, layers))
  const readers = [...layers].filter((n) => groups.of(n.inputs[0]).some((group) => group >= 0))
  if (readers.length === 0) return model
  const values = new Set(model.graph.nodes.flatMap((n) => n.outputs))
  const names = [...new Set(readers.map((n) => n.inputs[0]))].filter((name) => values.has(name))
  const ranges = await largestOf('Abs', names, model, seen)
  const doublings = doublingsOf(view, groups, { readers, ranges })
  const edit = editGraph(model)
  for (const layer of layers) {
    const weight = edit.stored(layer.inputs[1]) as Tensor
    const behind = doublings(layer.outputs[0])
    const before = doublings(layer.inputs[0])
    const scaled = floats(weight).slice()
    forEachWeight(weight, layer, (i, output, input) => {
      scaled[i] *= 2 ** (behind[output] - before[input])
    })
    edit.store(floatTensor(layer.inputs[1], weight.dims, scaled))
    const bias = edit.stored(layer.inputs[2] ?? '')
    if (bias) {
      const moved = floats(bias).map((v, c) => v * 2 ** behind[c])
      edit.store(floatTensor(layer.inputs[2], bias.dims, moved))
    }
  }
  return edit.finish()
}

/** Layers leave both sides free, homogeneous operators tie. */
function couplingsOf(view: ChannelView, layers: ReadonlySet<Node>): Map<Node, Coupling> {
  const couplings = new Map<Node, Coupling>()
  for (const n of view.model.graph.nodes) {
    const coupling = view.couplings.get(n)
    if (layers.has(n)) couplings.set(n, free(n.inputs[0], n.outputs[0]))
    else if (coupling && isHomogeneous(n, view)) couplings.set(n, coupling)
  }
  return couplings
}

function isHomogeneous(n: Node, { values, constant }: ChannelView): boolean {
  if (n.domain || !homogeneousOps.has(n.op)) return false
  const moving = n.op === 'Add' || n.op === 'Sub' || n.op === 'Concat' ? n.inputs : n.inputs.slice(0, 1)
  const count = (name: string): number | undefined => values.get(name)?.[1]?.count
  // What one value adds to all channels is not scaled with them.
  const isOne = n.op !== 'Concat' && moving.some((name) => count(name) !== count(n.outputs[0]))
  const changes = ['Split', 'Gather'].includes(n.op)
  return moving.every((name) => values.has(name) && !constant(name)) && (changes || !isOne)
}

/**
 * By how many doublings each channel is to grow. A depthwise layer has a scale for each channel, so all may become as large
 * as each other. The weights of other layers share theirs among input channels: there the square root of range over weights
 * leaves as much to lose in values as in weights.
 */
function doublingsOf(
  view: ChannelView,
  groups: Groups,
  { readers, ranges }: { readers: readonly Node[]; ranges: ReadonlyMap<string, Float32Array> },
): (value: string) => number[] {
  const sizes = new Map<number, number>()
  const weights = new Map<number, number>()
  const raise = (map: Map<number, number>, group: number, value: number): void => {
    map.set(group, Math.max(map.get(group) ?? 0, value))
  }
  for (const layer of readers) {
    const range = ranges.get(layer.inputs[0])
    const weight = view.constant(layer.inputs[1])
    if (!range || !weight) continue
    const of = groups.of(layer.inputs[0])
    const least = range.reduce((a, b) => Math.max(a, b), 0) * leastShare
    for (const [c, r] of range.entries()) if (of[c] >= 0) raise(sizes, of[c], Math.max(r, least))
    if (weight.dims[1] === 1) continue
    const values = floats(weight)
    const most = new Float64Array(weight.dims[0])
    forEachWeight(weight, layer, (i, output) => {
      most[output] = Math.max(most[output], Math.abs(values[i]))
    })
    forEachWeight(weight, layer, (i, output, input) => {
      if (most[output] > 0) raise(weights, of[input], Math.abs(values[i]) / most[output])
    })
  }
  return (value) =>
    groups.of(value).map((group) => {
      const size = sizes.get(group)
      const weight = weights.get(group)
      const doublings = -Math.round(Math.log2(size ?? 1) / (weight ? 2 : 1) - Math.log2(weight ?? 1) / 2)
      return size && Number.isFinite(doublings) ? Math.max(-mostDoublings, Math.min(mostDoublings, doublings)) : 0
    })
}
