/**
 * The channels of a model that can only be removed together, as plain data: to print, to look at, to veto, and to remove.
 *
 * A group is all channels that a set of coupled layers makes (DepGraph, Fang et al. 2023, arXiv:2301.12900): a residual
 * stream is one group, the inside of a block another. A unit is what is removed together: one channel, with all that it is
 * tied to. Each member of a group is an axis of a stored tensor; it says to which unit each place along that axis belongs.
 */
import { didYouMean } from '../errors.ts'
import { describe } from '../graph/walk.ts'
import type { Model, Node } from '../model.ts'
import { gatherForShuffles, shufflesForGathers, storedSizes } from '../simplify/channel-shuffle.ts'
import { foldShapes, removeUnused } from '../simplify/fold.ts'
import { type ChannelView, channelClasses, channelsOf, eachHeld } from './channels.ts'
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

/** A model made ready for removing channels: sizes stored, shuffles as Gathers. */
export interface OpenedChannels {
  readonly model: Model
  readonly view: ChannelView
  readonly groups: readonly ChannelGroup[]
  /** Sets of units, such as those of one half of a split, of each of which one has to stay. */
  readonly parts: readonly (readonly UnitOf[])[]
  /** The model given, without these units of each group, by its name; the model itself where none are named. */
  without(units: ReadonlyMap<string, Iterable<number>>): Model
  /** Of the model that `without` gives: by value, 1 for each channel that it has kept; undefined where it has kept all. */
  keptOf(units: ReadonlyMap<string, Iterable<number>>): (value: string) => Uint8Array | undefined
}

/** The coupled channels of a model whose weights are stored as float32. */
export function openChannels(given: Model): OpenedChannels {
  const { model, shuffles } = gatherForShuffles(storedSizes(foldShapes(removeUnused(given))))
  const view = channelsOf(model)
  const classOf = channelClasses(view)
  const groups = groupsOf(view, classOf)
  /** 1 for each channel that stays. */
  const marksOf = (units: ReadonlyMap<string, Iterable<number>>): Uint8Array => {
    const gone = new Uint8Array(view.total)
    for (const [name, dropped] of units) {
      const found = groups.find((g) => g.group.name === name)
      if (!found) throw unknownGroup(name, groups)
      for (const unit of dropped) {
        const why = unit in found.classes ? found.group.held.get(unit) : `the group has ${found.group.units} units`
        if (why) throw new Error(`channels: unit ${unit} of "${name}" cannot be removed: ${why}`)
        gone[found.classes[unit]] = 1
      }
    }
    return Uint8Array.from(classOf, (c) => (gone[c] ? 0 : 1))
  }
  return {
    model,
    view,
    groups: groups.map((g) => g.group),
    parts: partsOf(view, classOf, groups),
    without(units) {
      const keep = marksOf(units)
      if (!keep.includes(0)) return given
      const none = emptied(view, keep)
      if (none)
        throw new Error(`channels: value "${none}" would lose all its channels; expected at least one to be kept`)
      return shufflesForGathers(removeChannels(view, keep), shuffles)
    },
    keptOf(units) {
      const keep = marksOf(units)
      return (value) => {
        const range = view.values.get(value)
        const part = range && keep.subarray(range.start, range.start + range.count)
        return part?.includes(0) ? part : undefined
      }
    },
  }
}
function unknownGroup(name: string, groups: readonly { readonly group: ChannelGroup }[]): Error {
  const names = groups.map((g) => g.group.name)
  return new Error(`channels: "${name}" is no group of channels${didYouMean(name, names)}`)
}

/** The units of each value all of whose channels are of groups, each set once. */
function partsOf(view: ChannelView, classOf: Int32Array, groups: readonly Numbered[]): UnitOf[][] {
  const unitOf = new Map<number, UnitOf>()
  for (const { group, classes } of groups)
    for (const [unit, c] of classes.entries()) unitOf.set(c, { group: group.name, unit })
  const sets = new Map<string, UnitOf[]>()
  for (const { start, count } of view.values.values()) {
    const classes = [...new Set(classOf.subarray(start, start + count))]
    const units = classes.flatMap((c) => unitOf.get(c) ?? [])
    if (units.length === classes.length) sets.set(classes.join(), units)
  }
  return [...sets.values()]
}

/** A value without any channel left. */
function emptied(view: ChannelView, keep: Uint8Array): string | undefined {
  for (const [name, { start, count }] of view.values) if (!keep.subarray(start, start + count).includes(1)) return name
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
    for (const other of sets.filter((s) => [...own].some((c) => s.has(c)))) {
      for (const c of other) own.add(c)
      sets.splice(sets.indexOf(other), 1)
    }
    sets.push(own)
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
    cuts.map(({ at, axis, follows }): Place => {
      const { start, count } = range(follows)
      const size = constant(node.inputs[at])?.dims[axis] ?? 0
      const reads = mix ? at === 1 && axis === mix.inputAxis : recurrence !== undefined && at < 3 && axis === 2
      const isMaker = mix !== undefined || recurrence !== undefined || (node.op === 'Conv' && at === 1)
      const role = reads ? 'reads' : isMaker ? 'makes' : 'passes'
      return {
        tensor: node.inputs[at],
        axis,
        node: describe(node),
        role,
        classes: Int32Array.from({ length: size }, (_, k) => classOf[start + (k % count)]),
      }
    }),
  )
}

/** Why classes of channels have to stay. */
function heldClasses(view: ChannelView, classOf: Int32Array): Map<number, string> {
  const { graph } = view.model
  const reasons = new Map<number, string>()
  const hold = ({ start, count }: { start: number; count: number }, why: string): void => {
    for (let i = start; i < start + count; i++) if (!reasons.has(classOf[i])) reasons.set(classOf[i], why)
  }
  for (const { name } of graph.outputs) if (view.values.has(name)) hold(view.range(name), `"${name}" is an output`)
  for (const { name } of graph.inputs) if (view.values.has(name)) hold(view.range(name), `"${name}" is an input`)
  eachHeld(view, (range, by) => hold(range, reasonOf(by)))
  return reasons
}

function reasonOf(by: Node | undefined): string {
  return by ? `${describe(by)} needs all of them` : 'inputs and outputs keep their channels'
}
