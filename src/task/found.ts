/**
 * Outputs whose size and order depend on what an operator finds among values that the model computes: the boxes that
 * NonMaxSuppression leaves. A small change of one score shifts them all, so two such outputs cannot be compared number by
 * number; the values that are looked at can.
 */
import { capturedBy, subgraphsOf } from '../graph/walk.ts'
import type { Model, Node, Tensor } from '../model.ts'
import { type DataType, isFloat, sizeOf } from '../tensor/dtype.ts'

/** Operators that give as many values as they find. */
const finding = new Set(['NonMaxSuppression', 'NonZero', 'Unique', 'Compress'])
/** Operators that read how large a value is, and not what it holds. */
const measuring = new Set(['Shape', 'Size'])
/** Elements from which a constant counts as learnt, and not as a threshold or an anchor. */
const leastLearnt = 64

export interface FoundValues {
  /** Values that depend on what was found, and the operator that finds it. */
  readonly behind: ReadonlyMap<string, string>
  /** The floats that are looked at, in order. */
  readonly lookedAt: readonly string[]
}

/** What a model finds among values that its weights make; what it finds among its inputs is the same for every copy of it. */
export function foundValues({ graph }: Model, typeOf: (name: string) => DataType | undefined): FoundValues {
  const given = new Set(graph.inputs.map((i) => i.name).filter((n) => !graph.initializers.has(n)))
  const stored = new Set([...graph.initializers].flatMap(([name, tensor]) => (isLearnt(tensor) ? [name] : [])))
  const learnt = new Set<string>()
  const makers = new Map<string, Node>()
  const behind = new Map<string, string>()
  const lookedAt = new Set<string>()
  /** Of values that are looked at, the floats; behind comparisons and indices, those that they come from. */
  const look = (name: string): void => {
    if (!learnt.has(name) || lookedAt.has(name)) return
    const dtype = typeOf(name)
    if (dtype === undefined || isFloat(dtype)) lookedAt.add(name)
    else for (const from of makers.get(name)?.inputs ?? []) look(from)
  }
  for (const node of graph.nodes) {
    const read = [...node.inputs, ...capturedBy(node)].filter((n) => n)
    const outputs = node.outputs.filter((o) => o)
    for (const o of outputs) makers.set(o, node)
    const value = node.attributes.value
    if (node.op === 'Constant' && value?.type === 'tensor' && isLearnt(value.value))
      for (const o of outputs) stored.add(o)
    const finder = read.map((n) => behind.get(n)).find((by) => by)
    if (finder) {
      for (const o of outputs) behind.set(o, finder)
      continue
    }
    if (measuring.has(node.op)) continue
    const depends = read.some((n) => given.has(n))
    const isStored = read.some((n) => stored.has(n))
    const finds = findsAny(node)
    if (finds && read.some((n) => learnt.has(n))) {
      for (const name of read) look(name)
      for (const o of outputs) behind.set(o, finds)
      continue
    }
    if (depends) for (const o of outputs) given.add(o)
    if (depends && (isStored || read.some((n) => learnt.has(n)))) for (const o of outputs) learnt.add(o)
    if (!depends && isStored) for (const o of outputs) stored.add(o)
  }
  return { behind, lookedAt: [...lookedAt] }
}

function isLearnt({ dtype, dims }: Tensor): boolean {
  return (isFloat(dtype) || dtype === 'int8' || dtype === 'uint8') && sizeOf(dims) >= leastLearnt
}

/** The operator that finds something, here or in a nested graph. */
function findsAny(node: Node): string | undefined {
  if (finding.has(node.op)) return node.op
  for (const { nodes } of subgraphsOf(node)) {
    for (const inner of nodes) {
      const found = findsAny(inner)
      if (found) return found
    }
  }
  return undefined
}
