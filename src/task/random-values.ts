/**
 * Outputs that random numbers change from run to run: two runs of the same model cannot be compared there. What the model
 * computes before random numbers come in can be: of an autoencoder that draws its code, the mean and the deviation of the code.
 */
import { capturedBy, constantOf, describe, isRandom, producersOf, subgraphsOf } from '../graph/walk.ts'
import type { Graph, Model, Node } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import { isFloat } from '../tensor/dtype.ts'
import type { OutputTask, Task } from './task.ts'

/** The task with those outputs not judged, but the computed floats that random numbers meet in their place. */
export function withoutRandom(model: Model, { outputs }: Task): Task {
  const { behind, met } = randomValues(model)
  const judged = outputs.map((o): OutputTask => {
    const drawn = behind.get(o.output)
    if (drawn) return { output: o.output, kind: 'ignored', why: `it differs from run to run, as ${drawn} draws` }
    // What decisions are made by counts itself where those are not judged.
    const { decides: _, ...rest } = o
    return rest
  })
  const known = new Set(outputs.map((o) => o.output))
  const before = met.filter((name) => !known.has(name))
  const why = 'random numbers come in behind it'
  return { outputs: [...judged, ...before.map((output): OutputTask => ({ output, kind: 'numbers', why }))] }
}

interface RandomValues {
  /** Values that differ from run to run, and the node that draws. */
  readonly behind: ReadonlyMap<string, string>
  /** Floats that are computed of inputs without drawing, and read where random numbers are. */
  readonly met: readonly string[]
}

/** Operators that read how large a value is, and not what it holds. */
const measuring = /^(Shape|Size)$|^Random\w+Like$/

function randomValues(model: Model): RandomValues {
  const { graph } = model
  const producers = producersOf(graph)
  const drawing = (node: Node, within: Graph = graph): Node | undefined => {
    if (isRandom(node, (name) => constantOf(within, name))) return node
    const called = model.functions?.find((fn) => fn.name === node.op && fn.domain === node.domain)
    const inner = [
      ...subgraphsOf(node).flatMap((g) => g.nodes.map((n) => drawing(n, g))),
      ...(called?.nodes ?? []).map((n) => drawing(n)),
    ]
    return inner.find((n) => n)
  }
  const { values } = inferShapes(model)
  const given = new Set(graph.inputs.flatMap(({ name }) => (graph.initializers.has(name) ? [] : [name])))
  const behind = new Map<string, string>()
  const met = new Set<string>()
  for (const node of graph.nodes) {
    const read = measuring.test(node.op) ? [] : [...node.inputs, ...capturedBy(node)].filter((name) => name)
    const drawer = drawing(node)
    const drawn = drawer ? describe(drawer) : read.map((name) => behind.get(name)).find((by) => by)
    if (!drawn) {
      if (read.some((name) => given.has(name))) for (const name of node.outputs) given.add(name)
      continue
    }
    for (const name of node.outputs) behind.set(name, drawn)
    for (const name of read)
      if (producers.has(name) && given.has(name) && isFloat(values.get(name)?.dtype)) met.add(name)
  }
  return { behind, met: [...met] }
}
