/**
 * What a network adds to what goes in: of `next = state + 0.01 · net(state)` nearly all that varies is the state, and a network of
 * zeros would lose nothing that shows. So the part that the network makes is judged as well.
 */
import { constantOf, isRandom, producersOf } from '../graph/walk.ts'
import type { Graph, Model, Node } from '../model.ts'
import { isFloat, sizeOf } from '../tensor/dtype.ts'
import { passing } from './output-origin.ts'
import { isDecision, type OutputTask, type Task } from './task.ts'

/** The task with what outputs of values add to inputs, right behind them. */
export function withAdded({ outputs }: Task, { graph }: Model): Task {
  const origins = originsOf(graph)
  const known = new Set(outputs.map((o) => o.output))
  return {
    outputs: outputs.flatMap((o): OutputTask[] => {
      if (o.kind === 'ignored' || isDecision(o)) return [o]
      const { output, batchAxis } = o
      const added = addedIn(graph, output, origins).filter((name) => !known.has(name))
      for (const name of added) known.add(name)
      const why = `"${output}" adds it to what goes in`
      const rest = batchAxis === undefined ? {} : { batchAxis }
      return [o, ...added.map((name): OutputTask => ({ output: name, kind: 'numbers', added: true, why, ...rest }))]
    }),
  }
}

/** Constants of fewer numbers are settings; of as many or more, what was learnt. */
const leastLearnt = 64
/** Sums of more parts are the network itself: a chain of residual layers that begins at the input. */
const mostParts = 8

/** Where a value comes from: an input as it is or rearranged and scaled, weights, or neither. */
type Origin = 'given' | 'learnt'

function originsOf(graph: Graph): ReadonlyMap<string, Origin> {
  const origins = new Map<string, Origin>()
  for (const { name, dtype } of graph.inputs)
    if (!graph.initializers.has(name) && dtype !== 'string') origins.set(name, 'given')
  for (const node of graph.nodes) {
    const origin = originOf(graph, node, origins)
    if (origin) for (const name of node.outputs) origins.set(name, origin)
  }
  return origins
}

function originOf(graph: Graph, node: Node, origins: ReadonlyMap<string, Origin>): Origin | undefined {
  const read = node.inputs.map((name) => origins.get(name))
  if (read.includes('learnt')) return 'learnt'
  if (!read.includes('given') || isRandom(node, (name) => constantOf(graph, name))) return undefined
  const stored = node.inputs.map((name) => constantOf(graph, name))
  return stored.some((t) => t && isFloat(t.dtype) && sizeOf(t.dims) >= leastLearnt) ? 'learnt' : 'given'
}

/** What is chosen between counts as its parts do: a network may fill in what an input lacks. */
const sums = new Set(['Add', 'Sub', 'Sum', 'Where'])
const scales = new Set(['Mul', 'Div', 'Clip'])

/** The learnt parts of the sum that an output is, beside parts that are given; none where it is no such sum. */
function addedIn(graph: Graph, output: string, origins: ReadonlyMap<string, Origin>): string[] {
  const producers = producersOf(graph)
  const learnt: string[] = []
  let isGiven = false
  const look = (name: string): void => {
    const node = producers.get(name)
    const origin = origins.get(name)
    if (origin === 'given') isGiven = true
    if (origin !== 'learnt' || !node) return
    const choices = node.op === 'Where' ? node.inputs.slice(1) : node.inputs
    const parts = choices.filter((part) => origins.has(part))
    const isThrough = passing.has(node.op) || ((scales.has(node.op) || sums.has(node.op)) && parts.length === 1)
    if (isThrough && origins.get(parts[0]) === 'learnt') look(parts[0])
    else if (sums.has(node.op) && parts.length > 1) for (const part of parts) look(part)
    else learnt.push(name)
  }
  look(output)
  return isGiven && learnt.length <= mostParts ? learnt : []
}
