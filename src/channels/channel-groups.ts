/**
 * The channels of a model that can only be removed together, as plain data: to print, to look at, to veto, and to remove.
 *
 * A group is all channels that a set of coupled layers makes (DepGraph, Fang et al. 2023, arXiv:2301.12900): a residual
 * stream is one group, the inside of a block another. A unit is what is removed together: one channel, with all that it is
 * tied to. Each member of a group is an axis of a stored tensor; it says to which unit each place along that axis belongs.
 */
import { didYouMean } from '../errors.ts'
import { statesOf } from '../graph/states.ts'
import { describe } from '../graph/walk.ts'
import { uniqueNames } from '../graph/weights.ts'
import type { Model } from '../model.ts'
import type { Axis } from '../ops/coupling.ts'
import { gatherForShuffles, shufflesForGathers, storedSizes } from '../simplify/channel-shuffle.ts'
import { foldShapes, removeUnused } from '../simplify/fold.ts'
import { type ChannelView, channelClasses, channelsOf, eachHeld, type Range, type ViewOptions } from './channels.ts'
import { nestedModels, withNested } from './nested-models.ts'
import { removeChannels } from './remove-channels.ts'

export interface GroupMember {
  /** The stored tensor, by name, and the axis that counts channels. */
  readonly tensor: string
  readonly axis: number
  /** How the node that reads the tensor is called. */
  readonly node: string
  /** Whether the layer makes the channels, reads them from another, or passes them on one by one (a normalisation, a slope). */
  readonly role: 'makes' | 'reads' | 'passes'
  /** The unit of each place along the axis; -1 where it belongs to another group. */
  readonly units: Int32Array
}

export interface ChannelGroup {
  /** The name of the first weight that makes its channels. */
  readonly name: string
  /** How many units it has. */
  readonly units: number
  readonly members: readonly GroupMember[]
  /** By unit, why it has to stay. Units that are not named here may go. */
  readonly held: ReadonlyMap<number, string>
}

export interface UnitOf {
  /** The group's name. */
  readonly group: string
  readonly unit: number
}

/** A graph made ready for removing channels: sizes stored, shuffles as Gathers. A nested graph is a model of its own here. */
export interface ChannelRoom {
  readonly model: Model
  readonly view: ChannelView
  readonly groups: readonly ChannelGroup[]
  /** The unit of each place along an axis of a value; -1 where it is of another group. */
  unitsAlong(group: ChannelGroup, axis: Axis): Int32Array
}

/** A model made ready for removing channels. `model` and `view` are of its main graph. */
export interface OpenedChannels extends ChannelRoom {
  /** Those of nested graphs too. */
  readonly groups: readonly ChannelGroup[]
  /** Sets of units, such as those of one half of a split, of each of which one has to stay. */
  readonly parts: readonly (readonly UnitOf[])[]
  /** The main graph, and each nested graph that has groups. */
  readonly rooms: readonly ChannelRoom[]
  /** The model given, without these units of each group, by its name; the model itself where none are named. */
  without(units: ReadonlyMap<string, Iterable<number>>): Model
  /**
   * Of the model that `without` gives: by value and axis (below 0: counted from the last), 1 for each channel that it has kept;
   * undefined where it has kept all. Of the main graph.
   */
  keptOf(units: ReadonlyMap<string, Iterable<number>>): (value: string, axis: number) => Uint8Array | undefined
}

export type ChannelOptions = Pick<ViewOptions, 'overNormalised'>

/** The coupled channels of a model whose weights are stored as float32. */
export function openChannels(given: Model, options: ChannelOptions = {}): OpenedChannels {
  const name = uniqueNames()
  const main = openRoom(given, options, name)
  const inner = nestedModels(main.model).flatMap(({ path, model }) => {
    if (!model.graph.nodes.some((n) => makesChannels.has(n.op))) return []
    const room = openRoom(model, options, name)
    return room.groups.length > 0 ? [{ path, room }] : []
  })
  const rooms = [main, ...inner.map((i) => i.room)]
  const groups = rooms.flatMap((room) => room.groups)
  const check = (units: ReadonlyMap<string, Iterable<number>>): void => {
    for (const [name, dropped] of units) {
      const group = groups.find((g) => g.name === name)
      if (!group) throw unknownGroup(name, groups)
      for (const unit of dropped) {
        const why = unit < group.units ? group.held.get(unit) : `the group has ${group.units} units`
        if (why) throw new Error(`channels: unit ${unit} of "${name}" cannot be removed: ${why}`)
      }
    }
  }
  return {
    model: main.model,
    view: main.view,
    unitsAlong: main.unitsAlong,
    groups,
    parts: rooms.flatMap((room) => room.parts),
    rooms,
    without(units) {
      check(units)
      const changed = inner.flatMap(({ path, room }) => {
        const small = room.without(units)
        return small ? [{ path, small }] : []
      })
      const small = main.without(units) ?? (changed.length > 0 ? main.whole() : given)
      return changed.reduce((model, { path, small }) => withNested(model, path, small.graph), small)
    },
    keptOf(units) {
      check(units)
      const keep = main.marksOf(units)
      return (value, axis) => {
        const range = main.view.values.get(value)?.at(axis)
        const part = range && keep.subarray(range.start, range.start + range.count)
        return part?.includes(0) ? part : undefined
      }
    },
  }
}

/** Graphs without any of these are not looked into. */
const makesChannels = new Set('Conv ConvTranspose Gemm MatMul Einsum GRU LSTM RNN Attention'.split(' '))

interface Room extends ChannelRoom {
  readonly parts: readonly (readonly UnitOf[])[]
  /** 1 for each channel that stays. */
  marksOf(units: ReadonlyMap<string, Iterable<number>>): Uint8Array
  /** Undefined where all of its channels stay. */
  without(units: ReadonlyMap<string, Iterable<number>>): Model | undefined
  /** The model with all channels. */
  whole(): Model
}

function openRoom(given: Model, options: ChannelOptions, nameOf: (name: string) => string): Room {
  const { model, shuffles } = gatherForShuffles(storedSizes(foldShapes(removeUnused(given))))
  const view = channelsOf(model, options)
  const classOf = channelClasses(view)
  const groups = groupsOf(view, classOf).map((g) => ({ ...g, group: { ...g.group, name: nameOf(g.group.name) } }))
  const unitsOf = new Map(groups.map((g) => [g.group, new Map(g.classes.map((c, unit) => [c, unit]))]))
  const marksOf = (units: ReadonlyMap<string, Iterable<number>>): Uint8Array => {
    const gone = new Uint8Array(view.total)
    for (const { group, classes } of groups) for (const unit of units.get(group.name) ?? []) gone[classes[unit]] = 1
    return Uint8Array.from(classOf, (c) => (gone[c] ? 0 : 1))
  }
  return {
    model,
    view,
    groups: groups.map((g) => g.group),
    parts: partsOf(view, classOf, groups),
    marksOf,
    without(units) {
      const keep = marksOf(units)
      if (!keep.includes(0)) return undefined
      const none = emptied(view, keep)
      if (none)
        throw new Error(`channels: value "${none}" would lose all its channels; expected at least one to be kept`)
      return shufflesForGathers(removeChannels(view, keep), shuffles)
    },
    whole: () => shufflesForGathers(model, shuffles),
    unitsAlong(group, axis) {
      const unitOf = unitsOf.get(group)
      const { start, count } = view.range(axis)
      return Int32Array.from(classOf.subarray(start, start + count), (c) => unitOf?.get(c) ?? -1)
    },
  }
}

function unknownGroup(name: string, groups: readonly ChannelGroup[]): Error {
  const names = groups.map((g) => g.name)
  return new Error(`channels: "${name}" is no group of channels${didYouMean(name, names)}`)
}

/** The units of each value all of whose channels are of groups, each set once. */
function partsOf(view: ChannelView, classOf: Int32Array, groups: readonly Numbered[]): UnitOf[][] {
  const unitOf = new Map<number, UnitOf>()
  for (const { group, classes } of groups)
    for (const [unit, c] of classes.entries()) unitOf.set(c, { group: group.name, unit })
  const sets = new Map<string, UnitOf[]>()
  for (const { start, count } of rangesOf(view)) {
    if (!unitOf.has(classOf[start])) continue
    const classes = [...new Set(classOf.subarray(start, start + count))]
    const units = classes.flatMap((c) => unitOf.get(c) ?? [])
    if (units.length === classes.length) sets.set(classes.join(), units)
  }
  return [...sets.values()]
}

const rangesOf = ({ values }: ChannelView): Range[] =>
  [...values.values()].flatMap((axes) => axes.filter((a) => a !== undefined))

/** A value without any channel left. */
function emptied(view: ChannelView, keep: Uint8Array): string | undefined {
  for (const [name, axes] of view.values)
    if (axes.some((a) => a && !keep.subarray(a.start, a.start + a.count).includes(1))) return name
  return undefined
}

interface Numbered {
  readonly group: ChannelGroup
  /** The class of channels that each unit is. */
  readonly classes: readonly number[]
}

function groupsOf(view: ChannelView, classOf: Int32Array): Numbered[] {
  const reasons = heldClasses(view, classOf)
  const { groupOf, count } = joined(view, classOf)
  const places = members(view, classOf)
  const units = new Map<number, number>()
  const classes: number[][] = Array.from({ length: count }, () => [])
  for (const { classes: own } of places) {
    for (const c of own) {
      const group = groupOf.get(c)
      if (group === undefined || units.has(c)) continue
      units.set(c, classes[group].length)
      classes[group].push(c)
    }
  }
  return classes.flatMap((own, g): Numbered[] => {
    const of = places.filter((m) => m.classes.some((c) => groupOf.get(c) === g))
    const made = of.find((m) => m.role === 'makes')
    if (!made || own.length === 0) return []
    const held = new Map(own.flatMap((c, unit) => (reasons.has(c) ? [[unit, reasons.get(c) as string] as const] : [])))
    const group = {
      name: made.tensor,
      units: own.length,
      members: of.map(({ classes: c, ...m }) => ({
        ...m,
        units: Int32Array.from(c, (k) => (groupOf.get(k) === g ? (units.get(k) as number) : -1)),
      })),
      held,
    }
    return [{ group, classes: own }]
  })
}

/** Classes of channels of one layer's output are of one group, and so are those of all layers that make one of them. */
function joined(view: ChannelView, classOf: Int32Array): { groupOf: Map<number, number>; count: number } {
  const sets: Set<number>[] = []
  for (const { mix, recurrence } of view.couplings.values()) {
    const made = mix?.output ?? recurrence?.makes[0]
    if (!made) continue
    const { start, count } = view.range(made)
    const own = new Set(classOf.subarray(start, start + count))
    // All are joined to the first, so that groups are in the order of the graph.
    const [first, ...others] = sets.filter((s) => [...own].some((c) => s.has(c)))
    for (const set of [own, ...others]) {
      if (first) for (const c of set) first.add(c)
      if (set !== own) sets.splice(sets.indexOf(set), 1)
    }
    if (!first) sets.push(own)
  }
  const groupOf = new Map(sets.flatMap((set, g) => [...set].map((c) => [c, g] as const)))
  return { groupOf, count: sets.length }
}

interface Place extends Omit<GroupMember, 'units'> {
  /** The class of each place along the axis. */
  readonly classes: Int32Array
}

/** All axes of stored tensors that count channels, in the order of the graph. */
function members({ couplings, range, constant }: ChannelView, classOf: Int32Array): Place[] {
  return [...couplings].flatMap(([node, { cuts, mix, recurrence }]) =>
    cuts.map(({ at, axis, follows, each = 1 }): Place => {
      const { start, count } = range(follows)
      const size = constant(node.inputs[at])?.dims[axis] ?? 0
      const isRead = mix ? at === mix.at && axis === mix.inputAxis : recurrence && sameAxis(follows, recurrence.reads)
      const isOwn = recurrence && at === 2 && axis === 2
      const isMaker = mix !== undefined || recurrence !== undefined || (/^Conv/.test(node.op) && at === 1)
      const role = isRead || isOwn ? 'reads' : isMaker ? 'makes' : 'passes'
      return {
        tensor: node.inputs[at],
        axis,
        node: describe(node),
        role,
        classes: Int32Array.from({ length: size }, (_, k) => classOf[start + ((k * each) % count)]),
      }
    }),
  )
}

const sameAxis = (a: Axis, b: Axis): boolean => a.value === b.value && a.axis === b.axis

/** Why classes of channels have to stay. */
function heldClasses(view: ChannelView, classOf: Int32Array): Map<number, string> {
  const { graph } = view.model
  const reasons = new Map<number, string>()
  const hold = ({ start, count }: Range, why: string, but?: (place: number) => boolean): void => {
    for (let i = start; i < start + count; i++)
      if (!reasons.has(classOf[i]) && !but?.(i - start)) reasons.set(classOf[i], why)
  }
  const partner = statePartners(view, classOf)
  for (const [values, what] of [
    [graph.outputs, 'an output'],
    [graph.inputs, 'an input'],
  ] as const)
    for (const { name } of values)
      for (const [axis, range] of (view.values.get(name) ?? []).entries())
        if (range) hold(range, `"${name}" is ${what}`, comesBack(range, partner(name, axis), classOf))
  eachHeld(view, (range, by) => {
    if (by) hold(range, `${describe(by)} needs all of them`)
  })
  return reasons
}

/** Whether a place of a state goes in and comes out as the same channel. */
function comesBack(
  own: Range,
  other: Range | undefined,
  classOf: Int32Array,
): ((place: number) => boolean) | undefined {
  return other && ((k) => classOf[own.start + k] === classOf[other.start + k])
}

/**
 * The axis of an output that goes in again where this input does, or the other way round: by their names, or since its places
 * are hidden units of a recurrent layer, which no plain input is.
 */
function statePartners(view: ChannelView, classOf: Int32Array): (name: string, axis: number) => Range | undefined {
  const { inputs, outputs } = view.model.graph
  const named = statesOf(view.model)
  const hidden = new Set<number>()
  for (const { recurrence } of view.couplings.values())
    for (const axis of recurrence?.makes ?? []) {
      const { start, count } = view.range(axis)
      for (let i = start; i < start + count; i++) hidden.add(classOf[i])
    }
  const isSame = (a: Range | undefined, b: Range | undefined): boolean =>
    a !== undefined && a.count === b?.count && [...Array(a.count).keys()].every((k) => comesBack(a, b, classOf)?.(k))
  return (name, axis) => {
    const own = view.values.get(name)?.[axis]
    if (!own) return undefined
    const pair = named.find((s) => s.input === name || s.output === name)
    if (pair) return view.values.get(pair.input === name ? pair.output : pair.input)?.[axis]
    if (!hidden.has(classOf[own.start])) return undefined
    const others = inputs.some((i) => i.name === name) ? outputs : inputs
    const shapeOf = (value: string): string => (view.values.get(value) ?? []).map((r) => r?.count).join()
    return others
      .filter((o) => shapeOf(o.name) === shapeOf(name))
      .map((o) => view.values.get(o.name)?.[axis])
      .find((other) => isSame(own, other))
  }
}
