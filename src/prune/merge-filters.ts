/**
 * Filters that compute the same are merged: one is removed, and the weights by which its readers multiply it are added to
 * their weights for the other. RoyChowdhury et al. 2017, Reducing duplicate filters in deep neural networks.
 *
 * Units are those of `channels`: a channel with all that is tied to it. Two that hold the same numbers in every tensor that
 * makes or scales them are the same for every input, so merging them changes nothing but the order of sums. Below a
 * cosine of 1, filters that point the same way count too: where f_b is nearly c f_a with c > 0, and only operators with
 * g(c x) = c g(x) lie between, as ReLU and pooling, readers get W_a + c W_b. BatchNormalization is folded first, and biases
 * count as weights of the filter.
 *
 * Left alone are channels that something needs whole, those that two values multiply each other by (a head's inner size), and
 * states. Needs no data.
 */
import { type ChannelGroup, type ChannelRoom, type GroupMember, openChannels } from '../channels/channel-groups.ts'
import { replaceTensors } from '../graph/weights.ts'
import { defineMethod } from '../method.ts'
import type { Model, Tensor } from '../model.ts'
import type { Axis } from '../ops/coupling.ts'
import { foldBatchNorm } from '../simplify/fold-batch-norm.ts'
import { floats, floatTensor, sizeOf } from '../tensor/dtype.ts'

export const mergeFilters = defineMethod({
  id: 'merge-filters',
  help: 'merges filters that compute the same: one is removed, and its readers read the other',
  options: {
    cosine: {
      type: 'number',
      default: 1,
      min: 0.5,
      max: 1,
      help: 'how alike filters have to be; 1: equal, so that outputs stay the same',
    },
  },
  async run(given, { cosine }, context) {
    // What lies between filters and their readers must not shift them.
    const model = cosine < 1 ? await foldBatchNorm(given) : given
    const small = merged(model, cosine)
    if (small !== model) return small
    context.warn?.('merge-filters: no filters are alike enough; nothing was merged')
    return given
  },
})

/** Of a group's units, those that go, each with the one that stays for it and by how much that is multiplied. */
interface Merge {
  readonly gone: number
  readonly stays: number
  readonly factor: number
}

function merged(model: Model, cosine: number): Model {
  // The main graph alone: nested graphs store their tensors in nodes.
  const [room] = openChannels(model).rooms
  const units = new Map<string, Set<number>>()
  const weights = new Map<Tensor, Float32Array>()
  const isStored = ({ tensor }: GroupMember): boolean =>
    model.graph.initializers.has(tensor) &&
    model.graph.initializers.get(tensor) === room.model.graph.initializers.get(tensor)
  for (const group of room.groups) {
    const readers = group.members.filter((m) => m.role === 'reads')
    if (readers.length === 0 || !group.members.every(isStored)) continue
    const merges = mergesOf(room, group, cosine)
    if (merges.length === 0) continue
    units.set(group.name, new Set(merges.map((m) => m.gone)))
    for (const member of distinct(readers)) {
      const tensor = model.graph.initializers.get(member.tensor) as Tensor
      const values = weights.get(tensor) ?? floats(tensor).slice()
      for (const merge of merges) addTo(values, tensor, member, merge)
      weights.set(tensor, values)
    }
  }
  if (units.size === 0) return model
  const changed = new Map([...weights].map(([t, values]) => [t, floatTensor(t.name, t.dims, values)]))
  return openChannels(replaceTensors(model, changed)).without(units)
}

/** A tensor that several nodes read counts once. */
function distinct(members: readonly GroupMember[]): GroupMember[] {
  return [...new Map(members.map((m) => [`${m.axis} ${m.tensor}`, m])).values()]
}

/** Adds the weights by which a unit that goes is read to those of the unit that stays, place by place. */
function addTo(
  values: Float32Array,
  { dims }: Tensor,
  { axis, units }: GroupMember,
  { gone, stays, factor }: Merge,
): void {
  const inner = sizeOf(dims.slice(axis + 1))
  const placesOf = (unit: number): number[] => [...units.keys()].filter((k) => units[k] === unit)
  const [from, to] = [placesOf(gone), placesOf(stays)]
  for (let outer = 0; outer < values.length; outer += dims[axis] * inner)
    for (const [i, place] of from.entries())
      for (let k = 0; k < inner; k++) values[outer + to[i] * inner + k] += factor * values[outer + place * inner + k]
}

function mergesOf(room: ChannelRoom, group: ChannelGroup, cosine: number): Merge[] {
  if (cosine < 1 && !isHomogeneous(room, group)) return []
  const { barred, ways } = passedOn(room, group)
  const open = [...Array(group.units).keys()].filter((u) => !group.held.has(u) && !barred.has(u))
  const filters = filtersOf(room, group)
  // Those that go other ways, as the halves of a split do, are not the same to their readers.
  return [...new Set(open.map((u) => ways[u]))].flatMap((way) => {
    const own = open.filter((u) => ways[u] === way)
    return cosine === 1 ? equalOnes(filters, own) : similarOnes(filters, own, cosine)
  })
}

/** All numbers of the tensors that make each unit or pass it on, in the order in which they are stored. */
function filtersOf({ model }: ChannelRoom, { members, units: count }: ChannelGroup): number[][] {
  const filters: number[][] = Array.from({ length: count }, () => [])
  for (const { tensor, axis, units } of distinct(members.filter((m) => m.role !== 'reads'))) {
    const stored = model.graph.initializers.get(tensor) as Tensor
    const inner = sizeOf(stored.dims.slice(axis + 1))
    for (const [i, v] of floats(stored).entries()) {
      const unit = units[Math.floor(i / inner) % stored.dims[axis]]
      if (unit >= 0) filters[unit].push(v)
    }
  }
  return filters
}

function equalOnes(filters: readonly (readonly number[])[], open: readonly number[]): Merge[] {
  const first = new Map<string, number>()
  return open.flatMap((gone): Merge[] => {
    const key = filters[gone].join()
    const stays = first.get(key)
    if (stays === undefined) first.set(key, gone)
    return stays === undefined ? [] : [{ gone, stays, factor: 1 }]
  })
}

/** Each unit goes to the most similar one before it that stays, where that is similar enough. */
function similarOnes(filters: readonly (readonly number[])[], open: readonly number[], cosine: number): Merge[] {
  const norms = filters.map((f) => Math.sqrt(f.reduce((sum, v) => sum + v * v, 0)))
  const stay: number[] = []
  const merges: Merge[] = []
  for (const unit of open) {
    let best = { stays: -1, cosine: 0 }
    for (const other of stay) {
      let dot = 0
      for (let k = 0; k < filters[unit].length; k++) dot += filters[unit][k] * filters[other][k]
      const found = dot / (norms[unit] * norms[other])
      if (found > best.cosine) best = { stays: other, cosine: found }
    }
    // Rounding must not keep equal ones apart.
    if (best.cosine >= cosine - 1e-6)
      merges.push({ gone: unit, stays: best.stays, factor: norms[unit] / norms[best.stays] })
    else stay.push(unit)
  }
  return merges
}

/**
 * Through which values each unit goes, and the units that cannot be merged: those that are no run of neighbours along some value
 * (their places could be in another order than another unit's), are an input or output, or lie on one side of a product of two
 * values, whose sum cannot be had from the unit that stays.
 */
function passedOn({ model, view, unitsAlong }: ChannelRoom, group: ChannelGroup) {
  const barred = new Set<number>()
  const ways = Array.from({ length: group.units }, () => '')
  const ends = new Set([...model.graph.inputs, ...model.graph.outputs].map((v) => v.name))
  const barAll = (axis: Axis): void => {
    for (const unit of unitsAlong(group, axis)) barred.add(unit)
  }
  let number = 0
  for (const [value, axes] of view.values) {
    for (const [axis, range] of axes.entries()) {
      number++
      if (!range) continue
      const units = unitsAlong(group, { value, axis })
      if (ends.has(value)) barAll({ value, axis })
      const counts = new Map<number, number>()
      for (const [k, unit] of units.entries()) {
        if (unit < 0) continue
        if (unit !== units[k - 1] && counts.has(unit)) barred.add(unit)
        counts.set(unit, (counts.get(unit) ?? 0) + 1)
      }
      for (const [unit, count] of counts) ways[unit] += `${number}x${count} `
    }
  }
  for (const { contracts } of view.couplings.values()) for (const axis of (contracts ?? []).flat()) barAll(axis)
  return { barred, ways }
}

/** f(c x) = c f(x) for c > 0; of a sum both sides are multiplied. */
const homogeneousOps = new Set(
  `Relu LeakyRelu Identity Dropout MaxPool AveragePool GlobalAveragePool GlobalMaxPool Flatten Reshape Squeeze Unsqueeze
  Concat Split Slice Transpose Gather ReduceMean Add`.split(/\s+/),
)

/** Whether nothing but layers and homogeneous operators, without numbers of their own, makes and passes on the group's units. */
function isHomogeneous({ view, unitsAlong }: ChannelRoom, group: ChannelGroup): boolean {
  const has = (axis: Axis): boolean => unitsAlong(group, axis).some((u) => u >= 0)
  const biases = new Set<string>()
  for (const [node, { ties, mix, recurrence }] of view.couplings) {
    const own = ties.filter((t) => has(t.output))
    if (mix && has(mix.output)) for (const name of node.inputs.slice(2)) biases.add(name)
    if (recurrence?.makes.some(has)) return false
    if (own.length === 0) continue
    // What has a single channel is added to all.
    if (!homogeneousOps.has(node.op) || (node.op === 'Add' && own.length < 2)) return false
  }
  return group.members.every((m) => m.role === 'reads' || m.role === 'makes' || biases.has(m.tensor))
}
