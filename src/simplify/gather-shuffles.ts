/**
 * Channel shuffles (channel-shuffle.ts) as one Gather each in place of Reshape, Transpose, Reshape, and where a Split
 * follows, as one Gather for each of its parts. Outputs are the same. On small images, where a node costs more than
 * the values that it moves, that saves time (bench/shuffles.mts).
 */

import { node as makeNode } from '../graph/build.ts'
import { editGraph } from '../graph/edit.ts'
import { consumersOf, intAttribute } from '../graph/walk.ts'
import { defineMethod } from '../method.ts'
import type { Model, Node } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import { integers, integerTensor } from '../tensor/dtype.ts'
import { gatherForShuffles } from './channel-shuffle.ts'

export const gatherShuffles = defineMethod({
  id: 'gather-shuffles',
  help: 'replaces each channel shuffle by one Gather, or by one per part where a Split follows; outputs stay the same',
  options: {},
  run: gathersForShuffles,
})

export function gathersForShuffles(model: Model): Model {
  const { model: gathered, shuffles } = gatherForShuffles(model)
  if (shuffles.size === 0) return model
  const { graph } = gathered
  const edit = editGraph(gathered)
  const consumers = consumersOf(graph)
  const shapes = inferShapes(gathered).values
  const outputs = new Set(graph.outputs.map((o) => o.name))
  const stored = new Map<string, string>()
  /** The name of these indices, which all Gathers of the same channels read. */
  const indices = (channels: readonly number[]): string => {
    const known = stored.get(channels.join())
    if (known) return known
    const name = edit.store(integerTensor(edit.fresh('shuffled_channels'), 'int64', [channels.length], channels))
    stored.set(channels.join(), name)
    return name
  }
  for (const gather of graph.nodes) {
    const shuffle = shuffles.get(gather.outputs[0])
    if (!shuffle) continue
    const [data] = gather.inputs
    const [whole] = gather.outputs
    const channels = [...integers(shuffle.indices)]
    const readers = consumers.get(whole) ?? []
    const parts = readers.length === 1 && !outputs.has(whole) && partsOf(readers[0])
    if (!parts) {
      edit.change(gather, (now) => ({ ...now, inputs: [data, indices(channels)] }))
      continue
    }
    edit.replace(gather)
    edit.replace(
      readers[0],
      parts.map(({ output, start, count }) =>
        makeNode('Gather', [data, indices(channels.slice(start, start + count))], [output], { axis: 1 }),
      ),
    )
  }
  return edit.finish()

  /** The runs of channels that a Split along them makes. */
  function partsOf(node: Node): { output: string; start: number; count: number }[] | undefined {
    if (node.op !== 'Split' || node.domain || ![1, -3].includes(intAttribute(node, 'axis', 0))) return undefined
    let start = 0
    const parts = node.outputs.map((output) => {
      const count = shapes.get(output)?.shape?.[1]
      const part = { output, start, count: typeof count === 'number' ? count : Number.NaN }
      start += part.count
      return part
    })
    return Number.isNaN(start) ? undefined : parts
  }
}
