/** Channels that may be removed, for regimes that press or gate them. */
import { type ChannelGroup, type GroupMember, openChannels } from '../channels/channel-groups.ts'
import type { Model } from '../model.ts'

/**
 * The groups with units that may go, of the members that `isWanted` holds for; units that have to stay are -1 there, and members
 * of such units alone are left out.
 */
export function freeChannels(model: Model, isWanted: (member: GroupMember) => boolean): ChannelGroup[] {
  return openChannels(model).groups.flatMap((group) => {
    const members = group.members
      .filter(isWanted)
      .map((m) => ({ ...m, units: m.units.map((u) => (group.held.has(u) ? -1 : u)) }))
      .filter((m) => m.units.some((u) => u >= 0))
    return members.length > 0 ? [{ ...group, members }] : []
  })
}
