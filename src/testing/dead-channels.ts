/** Channels made dead, for tests of removing them: the network with zeros in the weights that make and read them. */
import { type ChannelGroup, type OpenedChannels, openChannels } from '../channels/channel-groups.ts'
import { type Model, withWeights } from '../model.ts'
import { floats, floatTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'

type Units = Map<string, Set<number>>

/** Some of the units that may go, at random, never all of a set that needs one. */
export function drawUnits({ groups, parts }: OpenedChannels, seed: number, share: number): Units {
  const rng = random(seed)
  const free = (g: ChannelGroup): number[] => [...Array(g.units).keys()].filter((u) => !g.held.has(u))
  const drawn = new Map(groups.map((g) => [g.name, new Set(free(g).filter(() => rng.next() < share))]))
  for (const part of parts)
    if (part.every(({ group, unit }) => drawn.get(group)?.has(unit))) drawn.get(part[0].group)?.delete(part[0].unit)
  return drawn
}

/** The model, whole, with zeros for all weights of the main graph that make or read these channels. */
export function withDead(model: Model, units: ReadonlyMap<string, ReadonlySet<number>>): Model {
  const opened = openChannels(model)
  const zeroed = new Map<string, Float32Array>()
  const stored = (name: string) => opened.view.constant(name)
  for (const { name, members } of opened.rooms[0].groups) {
    for (const { tensor, axis, role, units: unitOf } of members) {
      const found = stored(tensor)
      if (role === 'passes' || !found) continue
      const values = zeroed.get(tensor) ?? floats(found).slice()
      const inner = sizeOf(found.dims.slice(axis + 1))
      for (let i = 0; i < values.length; i++)
        if (units.get(name)?.has(unitOf[Math.floor(i / inner) % found.dims[axis]])) values[i] = 0
      zeroed.set(tensor, values)
    }
  }
  return withWeights(
    opened.model,
    [...zeroed].map(([name, v]) => floatTensor(name, stored(name)?.dims ?? [], v)),
  )
}
