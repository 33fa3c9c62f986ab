/** Which channels of convolutions move together, where nothing but operators of some kind lie between them, and their ranges. */

import { type ChannelView, channelClasses, eachHeld } from '../channels/channels.ts'
import { node } from '../graph/build.ts'
import { editGraph } from '../graph/edit.ts'
import { consumersOf, intAttribute, producersOf } from '../graph/walk.ts'
import type { Context, Feeds } from '../method.ts'
import { type Model, type Node, opsetOf, type Tensor } from '../model.ts'
import type { Axis, Coupling } from '../ops/coupling.ts'
import { floatsOf, reduceToChannels } from './_calibrate.ts'

export interface Seen {
  readonly batches: Iterable<Feeds>
  readonly context: Context
  readonly subject: string
}

/** The convolutions whose weights and bias are stored, and read by nothing else. */
export function ownConvolutions({ model: { graph }, values }: ChannelView): Set<Node> {
  const consumers = consumersOf(graph)
  const outputs = new Set(graph.outputs.map((o) => o.name))
  const isOwn = (name: string): boolean =>
    graph.initializers.get(name)?.dtype === 'float32' && consumers.get(name)?.length === 1 && !outputs.has(name)
  const found = graph.nodes.filter(
    (n) =>
      n.op === 'Conv' &&
      !n.domain &&
      n.inputs.slice(1).every((name) => !name || isOwn(name)) &&
      [n.inputs[0], n.outputs[0]].every((name) => values.get(name)?.[1] !== undefined),
  )
  return new Set(found)
}

/** Visits each weight of a convolution with its output and input channel. */
export function forEachWeight(
  { dims }: Tensor,
  layer: Node,
  visit: (i: number, output: number, input: number) => void,
): void {
  const taps = dims.slice(2).reduce((a, b) => a * b, 1)
  const outputsOfGroup = dims[0] / intAttribute(layer, 'group', 1)
  for (let output = 0, i = 0; output < dims[0]; output++) {
    const first = Math.floor(output / outputsOfGroup) * dims[1]
    for (let input = first; input < first + dims[1]; input++)
      for (let tap = 0; tap < taps; tap++) visit(i++, output, input)
  }
}

export interface Groups {
  /** Of each channel of a value, the group that has to change alike; -1 where it has to stay. */
  of(value: string): number[]
}

/** Which channels are tied by `couplings`. Nodes that have none there hold theirs. */
export function groupsOf(view: ChannelView, couplings: ReadonlyMap<Node, Coupling>): Groups {
  const followed = { ...view, couplings, shared: [] }
  const classes = channelClasses(followed)
  const held = new Set<number>()
  eachHeld(followed, ({ start, count }) => {
    for (let c = start; c < start + count; c++) held.add(classes[c])
  })
  return {
    of(value) {
      const { start, count } = view.range(channels(value))
      return Array.from(classes.subarray(start, start + count), (group) => (held.has(group) ? -1 : group))
    },
  }
}

/** The coupling of a node whose channels may change as its neighbours' need not: of the values named here. */
export const free = (...values: readonly string[]): Coupling => ({ ties: [], cuts: [], ignores: values.map(channels) })

/** The axis of an image's channels. */
const channels = (value: string): Axis => ({ value, axis: 1 })

/** The largest result of `of` on each channel of values that a convolution makes or reads. */
export async function largestOf(
  of: 'Abs' | 'Neg',
  names: readonly string[],
  model: Model,
  seen: Seen,
): Promise<Map<string, Float32Array>> {
  const { graph } = model
  const edit = editGraph(model)
  const [producers, consumers] = [producersOf(graph), consumersOf(graph)]
  const nodes: Node[] = []
  const nameOf = new Map<string, string>()
  for (const name of names) {
    const [result, most] = [of.toLowerCase(), 'most'].map((s) => edit.fresh(`${name}_${s}`))
    const layer = [producers.get(name), ...(consumers.get(name) ?? [])].find((n) => n?.op === 'Conv')
    const rank = graph.initializers.get(layer?.inputs[1] ?? '')?.dims.length ?? 4
    nodes.push(
      node(of, [name], [result]),
      reduceToChannels('ReduceMax', [result, most], { rank, opset: opsetOf(model), ...edit }),
    )
    nameOf.set(most, name)
  }
  const largest = new Map<string, Float32Array>()
  await floatsOf(edit.extended(nodes), [...nameOf.keys()], seen, (most, values) => {
    const name = nameOf.get(most) as string
    const known = largest.get(name)
    largest.set(name, known ? known.map((v, c) => Math.max(v, values[c])) : values.slice())
  })
  return largest
}
