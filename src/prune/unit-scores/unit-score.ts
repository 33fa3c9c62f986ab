/** What scores of whole units share: what they are given, and looking up what makes and reads the channels of a group. */
import type { ChannelGroup, ChannelRoom, GroupMember } from '../../channels/channel-groups.ts'
import { describe } from '../../graph/walk.ts'
import type { Context } from '../../method.ts'
import type { Node, Tensor } from '../../model.ts'
import type { Axis } from '../../ops/coupling.ts'
import { sizeOf } from '../../tensor/dtype.ts'

export interface ScoredGroups {
  readonly opened: ChannelRoom
  readonly groups: readonly ChannelGroup[]
  readonly context: Context
}

/** For each group a score per unit: what is nearest to zero goes first. */
export type UnitScore = (given: ScoredGroups) => Promise<Float32Array[]>

export interface MemberAt extends GroupMember {
  /** The node that reads the stored tensor, and at which input. */
  readonly at: Node
  readonly input: number
}

/** A group's members of a role, each with the node that reads its tensor. */
export function membersOf({ opened }: ScoredGroups, group: ChannelGroup, role: GroupMember['role']): MemberAt[] {
  return group.members.flatMap((member) => {
    if (member.role !== role) return []
    return opened.model.graph.nodes.flatMap((at) => {
      const input = at.inputs.indexOf(member.tensor)
      return input >= 0 && member.node === describe(at) ? [{ ...member, at, input }] : []
    })
  })
}

/** The axis that the layer reads its units from. */
export function axisRead({ opened }: ScoredGroups, { at, input }: MemberAt): Axis | undefined {
  const { mix, recurrence } = opened.view.couplings.get(at) ?? {}
  return mix?.input ?? (input === 2 ? recurrence?.makes[0] : recurrence?.reads)
}

/** Which unit each element of a stored tensor is of, where its axis counts units; -1: of none of this group. */
export function unitOfElement({ dims }: Tensor, { axis, units }: GroupMember): (element: number) => number {
  const inner = sizeOf(dims.slice(axis + 1))
  return (k) => units[Math.floor(k / inner) % dims[axis]]
}

/** Scores over the mean of their group, so that groups compare. */
export function overMean(scores: ArrayLike<number>): Float32Array {
  const all = Array.from(scores)
  const mean = all.reduce((a, b) => a + b, 0) / all.length
  return Float32Array.from(all, (s) => (mean > 0 ? s / mean : s))
}
