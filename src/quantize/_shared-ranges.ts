/** One range for all that is concatenated and the result, so that integers are copied as they are. */
import type { Range } from './_histogram.ts'
import type { Plan } from './_plan.ts'

/**
 * The ranges, those of values that a Concat joins made one: from the least to the greatest. Where one of them ends in a Relu
 * and another goes below zero each keeps its own: in a range below zero the Relu would not disappear.
 */
export function sharedRanges({ nodes, values }: Plan, ranges: ReadonlyMap<string, Range>): Map<string, Range> {
  const shared = new Map(ranges)
  const groups: Set<string>[] = []
  for (const node of nodes) {
    if (node.op !== 'Concat') continue
    const own = new Set([...node.inputs, ...node.outputs].map((name) => values.get(name) ?? name))
    for (const other of groups.filter((g) => [...g].some((name) => own.has(name)))) {
      for (const name of other) own.add(name)
      groups.splice(groups.indexOf(other), 1)
    }
    groups.push(own)
  }
  for (const group of groups) {
    const all = [...group].flatMap((name) => ranges.get(name) ?? [])
    if (all.some((r) => r.min >= 0) && all.some((r) => r.min < 0)) continue
    const range = { min: Math.min(...all.map((r) => r.min)), max: Math.max(...all.map((r) => r.max)) }
    for (const [name] of ranges) if (group.has(values.get(name) ?? name)) shared.set(name, range)
  }
  return shared
}
