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
/** What leaves a sum a sum, or a part of it, about as it was: a network behind which they stand is as easily lost. */
const through = new Set([
  ...passing,
  ...['Mul', 'Div', 'Clip', 'Min', 'Max', 'Neg', 'Relu', 'Tanh', 'Sigmoid', 'Round', 'Floor', 'Ceil'],
  ...['Slice', 'Split', 'Gather', 'Pad', 'Resize'],
])
const squashing = new Set(['Tanh', 'Sigmoid'])
const joins = new Set(['Concat', 'Mean'])
/** A product of an input and what the network makes: x (1 + f). */
const products = new Set(['Mul', 'Div'])

/** The learnt parts of the sum that an output is, beside parts that are given; none where it is no such sum. */
function addedIn(graph: Graph, output: string, origins: ReadonlyMap<string, Origin>): string[] {
  const producers = producersOf(graph)
  const learnt = new Set<string>()
  let isGiven = false
  const partsOf = (node: Node): string[] =>
    (node.op === 'Where' ? node.inputs.slice(1) : node.inputs).filter((part) => origins.has(part))
  /** Whether a factor is about a constant: 1 + f, exp f. */
  const isAboutConstant = (name: string): boolean => {
    const node = producers.get(name)
    return node !== undefined && (node.op === 'Exp' || (sums.has(node.op) && partsOf(node).length === 1))
  }
  const look = (name: string, isFactor = false): void => {
    const node = producers.get(name)
    const origin = origins.get(name)
    if (origin === 'given') isGiven = true
    if (origin !== 'learnt' || !node) return
    const parts = partsOf(node)
    // What a factor is squashed to counts, and not what it is made of.
    const isThrough =
      (through.has(node.op) || sums.has(node.op)) && parts.length === 1 && !(isFactor && squashing.has(node.op))
    const isScaled =
      products.has(node.op) && parts.every((part) => origins.get(part) === 'given' || isAboutConstant(part))
    if (isThrough || (parts.length > 1 && (sums.has(node.op) || joins.has(node.op) || isScaled)))
      for (const part of parts) look(part, isFactor || isScaled)
    else learnt.add(name)
  }
  look(output)
  return isGiven && learnt.size <= mostParts ? [...learnt] : []
}
