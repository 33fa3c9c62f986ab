/** How an output comes about: the node whose values it holds, the scores that decide it, what sorts it. */
import { capturedBy, constantOf, intAttribute, producersOf } from '../graph/walk.ts'
import { type Graph, isOnnxDomain, type Node, type Tensor, type ValueInfo } from '../model.ts'
import { type DataType, floats, integers, isFloat } from '../tensor/dtype.ts'

/** Operators that change where values stand or how they are stored, not what they mean. */
export const passing = new Set(['Identity', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Cast', 'Transpose'])

/** The last node that makes an output's values, and which of its outputs that is. */
export function endOf(graph: Graph, output: string): [Node | undefined, number] {
  const producers = producersOf(graph)
  let name = output
  let node = producers.get(name)
  while (node && passing.has(node.op)) {
    name = node.inputs[0]
    node = producers.get(name)
  }
  return [node, node?.outputs.indexOf(name) ?? 0]
}

const deciding = new Set([
  ...['Sign', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'Equal', 'And', 'Or', 'Xor', 'Not', 'IsNaN', 'IsInf'],
])

/** Whether an output of any type is the answer of a comparison: it has two or three values, and says nothing of how near another is. */
export function isDecided(graph: Graph, name: string): boolean {
  const [end] = endOf(graph, name)
  return end !== undefined && isOnnxDomain(end.domain) && deciding.has(end.op)
}

/** What makes an output of scores, which say more than what came of them. */
export interface Decider {
  readonly op: string
  readonly scores: string
  readonly axis: number
}

/** Operators that give what is stored at the places they are given, and the input with the places. */
const lookups = new Map(Object.entries({ Gather: 1, ArrayFeatureExtractor: 1, LabelEncoder: 0 }))

/** The input with the places, where a node looks up what the model stores: of computed values the places say not all. */
function placesOf(graph: Graph, node: Node | undefined): string | undefined {
  const at = lookups.get(node?.op ?? '')
  if (!node || at === undefined) return undefined
  return at === 0 || constantOf(graph, node.inputs[0]) ? node.inputs[at] : undefined
}

function endBehindLookups(graph: Graph, name: string): Node | undefined {
  const [end] = endOf(graph, name)
  const places = placesOf(graph, end)
  return places ? endBehindLookups(graph, places) : end
}

/** The stored numbers that an output is looked up in at places that nothing decides, but rounding; undefined where it is not. */
export function tableBehind(graph: Graph, output: string): ArrayLike<number> | undefined {
  const [end] = endOf(graph, output)
  const table = end?.op === 'Gather' && placesOf(graph, end) ? constantOf(graph, end.inputs[0]) : undefined
  const decider = endBehindLookups(graph, output)
  if (!table || table.strings || !decider || decider.op === 'ArgMax' || scoresBeside(decider)) return undefined
  return valuesOf(table)
}

/** The ZipMap that makes maps of scores, or the ArgMax that decides by them, whatever is looked up by its classes. */
export function deciderOf(graph: Graph, { name, dtype }: ValueInfo): Decider | undefined {
  const node = graph.nodes.find((n) => n.outputs.includes(name))
  if (node?.op === 'ZipMap') return { op: node.op, scores: node.inputs[0], axis: 1 }
  if (dtype === undefined || /float/.test(dtype)) return undefined
  const end = endBehindLookups(graph, name)
  return end?.op === 'ArgMax' ? { op: end.op, scores: end.inputs[0], axis: intAttribute(end, 'axis', 0) } : undefined
}

/** Operators that keep which of several scores is the largest. */
const ordered = new Set([...passing, 'Softmax', 'LogSoftmax'])

/** The value whose largest scores are those of `name`. */
function sourceOf(name: string, producers: ReadonlyMap<string, Node>): string {
  const node = producers.get(name)
  return node && ordered.has(node.op) ? sourceOf(node.inputs[0], producers) : name
}

/** Whether a TopK sorts an output's values: the largest of them is always in the same place. */
export function isSorted(graph: Graph, name: string): boolean {
  const producers = producersOf(graph)
  const source = sourceOf(name, producers)
  const node = producers.get(source)
  return node?.op === 'TopK' && node.outputs[0] === source
}

/** The output of floats that shows such scores: they themselves, or what leaves the largest of them the largest. */
export function outputShowing(graph: Graph, scores: string): string | undefined {
  const producers = producersOf(graph)
  const shown = graph.outputs.flatMap(({ name, dtype, opaqueType }) => {
    const maker = producers.get(name)
    if (maker?.op === 'ZipMap') return [maker.inputs[0]]
    return opaqueType || (dtype !== undefined && !/float/.test(dtype)) ? [] : [name]
  })
  return shown.find((name) => sourceOf(name, producers) === sourceOf(scores, producers))
}

/** What whole numbers or texts are made of. */
export interface Behind {
  readonly floats: readonly string[]
  /**
   * Whether what the floats keep tells what the output keeps. Not where places of a TopK are among it, which turn with less noise
   * than values must keep, nor where two that are next to each other have nothing in common: entries of a table, remainders,
   * several decisions as the digits of one number.
   */
  readonly tells: boolean
}

/** Whether numbers never fall, or never rise. */
export function isOrdered(numbers: ArrayLike<number>): boolean {
  const steps = Array.from({ length: numbers.length - 1 }, (_, i) => numbers[i + 1] - numbers[i])
  return steps.every((step) => step >= 0) || steps.every((step) => step <= 0)
}

const rounding = new Set(['Round', 'Floor', 'Ceil', 'Sign'])
/** Operators that make whole numbers of whole numbers, in floats too: counts, digits put together. */
const keepingWhole = new Set([
  ...['Mul', 'Add', 'Sub', 'Neg', 'Abs', 'Sum', 'MatMul', 'Gemm', 'ReduceSum', 'ReduceMax', 'ReduceMin', 'Max', 'Min'],
  ...['Concat', 'Expand', 'Tile', 'Slice', 'Gather'],
])

const mostSteps = 6

/** Operators of whole numbers that make strangers of neighbours. */
const scattering = new Set(['Mod', 'BitShift', 'BitwiseAnd', 'BitwiseOr', 'BitwiseXor', 'Equal'])

/** Whether stored whole numbers are the worth of digits: 1, 2, 4, … or 1, 10, 100, … */
function areDigits(values: ArrayLike<number>): boolean {
  const distinct = [...new Set(Array.from(values))].sort((a, b) => a - b)
  const [first, second] = distinct
  return distinct.length > 2 && first > 0 && distinct.every((v, i) => v === first * (second / first) ** i)
}

/** Whether a node puts several decisions into one whole number, which is another where any of them is. */
function packs(graph: Graph, node: Node): boolean {
  const [end] = node.op === 'ReduceSum' ? endOf(graph, node.inputs[0]) : [node]
  if (!end || !(node === end ? ['MatMul', 'MatMulInteger', 'Gemm'] : ['Mul']).includes(end.op)) return false
  const stored = constantOf(graph, end.inputs[1]) ?? constantOf(graph, end.inputs[0])
  return stored !== undefined && !stored.strings && areDigits(valuesOf(stored))
}

function valuesOf(stored: Tensor): ArrayLike<number> {
  return isFloat(stored.dtype) ? floats(stored) : integers(stored)
}

/** Whether what a node makes of a whole number and of the next one may be anything: a table is looked up that is in no order. */
function scatters(graph: Graph, node: Node): boolean {
  if (scattering.has(node.op)) return true
  const places = placesOf(graph, node)
  const decider = places ? endBehindLookups(graph, places) : undefined
  if (!decider || decider.op === 'ArgMax' || scoresBeside(decider)) return false
  const table = node.op === 'LabelEncoder' ? undefined : constantOf(graph, node.inputs[0])
  if (!table || table.strings) return true
  return !isOrdered(valuesOf(table))
}

/** The scores that an operator gives beside what it decides by them: a TopK's values, a learner's scores beside its labels. */
function scoresBeside({ op, outputs }: Node): readonly string[] | undefined {
  if (op === 'TopK') return outputs.slice(0, 1)
  return /^(Linear|SVM|TreeEnsemble)Classifier$/.test(op) && outputs[1] ? [outputs[1]] : undefined
}

/** The floats, nearest first, that an output of another type is made of: what is compared, rounded or ranked. */
export function floatsBehind(graph: Graph, output: string, typeOf: (name: string) => DataType | undefined): Behind {
  const producers = producersOf(graph)
  const given = new Set(graph.inputs.flatMap(({ name }) => (graph.initializers.has(name) ? [] : [name])))
  for (const node of graph.nodes) {
    const measures = node.op === 'Shape' || node.op === 'Size'
    const read = [...node.inputs, ...capturedBy(node)]
    if (!measures && read.some((name) => name && given.has(name))) for (const made of node.outputs) given.add(made)
  }
  /** Floats that hold whole numbers: rounded, or made of comparisons a few steps before. */
  const isWhole = (name: string, steps = mostSteps): boolean => {
    const stored = constantOf(graph, name)
    if (stored) return !stored.strings && (!isFloat(stored.dtype) || floats(stored).every(Number.isInteger))
    if (!isFloat(typeOf(name))) return true
    const node = producers.get(name)
    if (!node || rounding.has(node.op)) return node !== undefined
    const keeps = steps > 0 && (passing.has(node.op) || keepingWhole.has(node.op))
    return keeps && node.inputs.every((from) => !from || isWhole(from, steps - 1))
  }
  const found = new Set<string>()
  const seen = new Set<string>()
  let tells = true
  const look = (name: string): void => {
    const node = producers.get(name)
    if (!node || !given.has(name) || seen.has(name)) return
    seen.add(name)
    const isFound = isFloat(typeOf(name)) && !isWhole(name)
    if (node.op === 'TopK' || scatters(graph, node) || (!isFound && packs(graph, node))) tells = false
    if (isFound) found.add(name)
    else for (const from of scoresBeside(node) ?? node.inputs) look(from)
  }
  look(output)
  return { floats: [...found], tells }
}
