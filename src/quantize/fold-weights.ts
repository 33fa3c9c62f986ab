/**
 * The values of weights that nodes compute from constants alone, stored in their place: weight normalisation g · v / |v|, a
 * low-rank side path W + A·B, a quantiser and its inverse around float weights, a constant scale, a mask of what was pruned.
 *
 * ONNX Runtime computes them, once. Tensors that are only rearranged or of another type stay as they are stored, and so
 * do integers; and nothing is stored that would make the file larger, such as the two forms of a shared table.
 */
import { valueInfo } from '../graph/build.ts'
import { constantsOf, type StoredConstant } from '../graph/constants.ts'
import { dropUnused } from '../graph/drop-unused.ts'
import { editGraph } from '../graph/edit.ts'
import { parameterPlaces } from '../graph/roles.ts'
import { capturedBy, constantOf, isRandom, producersOf, storedBytes, subgraphsOf } from '../graph/walk.ts'
import { defineMethod } from '../method.ts'
import { type Graph, type Model, type Node, type Tensor, withGraph } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { bytesOf, type DataType, isFloat, sizeOf } from '../tensor/dtype.ts'

export const foldWeights = defineMethod({
  id: 'fold-weights',
  was: 'settle-weights',
  help: 'stores the values of weights that nodes compute from constants alone; outputs stay the same',
  options: {},
  async run(model) {
    const producers = producersOf(model.graph)
    const integers = integerWeights(model)
    const isWorthIt = (name: string): boolean => {
      const { nodes, tensors } = coneOf(model.graph, name, producers) as Cone
      return (
        nodes.some((n) => !movers.has(n.op)) && !tensors.some((t) => integers.has(t) && !isMask(t, { nodes, tensors }))
      )
    }
    const tensors = await computed(model, computedInputs(model.graph, parameterPlaces).filter(isWorthIt))
    let folded = model
    for (const tensor of tensors) {
      const next = withStored(folded, [tensor])
      if (storedBytes(next) <= storedBytes(folded)) folded = next
    }
    return folded
  },
})

/** Nodes that rearrange a stored tensor, or change its type: it is found behind them, and can remain as it is. */
const movers = new Set([
  ...['Identity', 'Cast', 'Transpose', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Slice', 'Split', 'Concat'],
  ...['Constant', 'Shape'],
])

/** Integers that stand for the numbers of a weight or a bias: runtimes compute with them where both are integers. */
function integerWeights(model: Model): Set<Tensor> {
  const isParameter = ({ role }: StoredConstant): boolean => role === 'weight' || role === 'bias'
  const stored = constantsOf(model).filter((c) => isParameter(c) && !isFloat(c.tensor.dtype))
  return new Set(stored.map((c) => c.tensor))
}

/** Whether whole numbers choose among floats beside them, and do not stand for numbers themselves. */
function isMask({ dtype, dims }: Tensor, { nodes, tensors }: Cone): boolean {
  if (dtype === 'bool') return true
  const isDequantised = nodes.some((n) => n.op === 'DequantizeLinear')
  return !isDequantised && tensors.some((t) => isFloat(t.dtype) && sizeOf(t.dims) >= sizeOf(dims))
}

/**
 * Every weight and bias of the main graph's convolutions and products stored plainly, for what reads only such. Those of other
 * layers than `layers` stay as they are: stored beside what they are made of, they would take their bytes twice.
 */
export async function foldAllWeights(model: Model, layers: readonly string[] = plainLayers): Promise<Model> {
  const places = (node: Node): number[] => (layers.includes(node.op) && !node.domain ? [1, 2] : [])
  return withStored(model, await computed(model, computedInputs(model.graph, places)))
}

export const products: readonly string[] = ['Gemm', 'MatMul']
const plainLayers: readonly string[] = ['Conv', 'ConvTranspose', ...products]

/** The values at these inputs of nodes that are computed from constants alone. */
function computedInputs(graph: Graph, places: (node: Node) => readonly number[]): string[] {
  const producers = producersOf(graph)
  const names = new Set<string>()
  for (const node of graph.nodes) {
    for (const i of places(node)) {
      const name = node.inputs[i]
      if (name && !constantOf(graph, name, producers) && coneOf(graph, name, producers)) names.add(name)
    }
  }
  return [...names]
}

interface Cone {
  readonly nodes: readonly Node[]
  readonly tensors: readonly Tensor[]
}

/** What a value is computed from, where that is constants alone. */
function coneOf(graph: Graph, name: string, producers: ReadonlyMap<string, Node>): Cone | undefined {
  const nodes: Node[] = []
  const tensors: Tensor[] = []
  const seen = new Set<string>([''])
  const pending = [name]
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    if (seen.has(at)) continue
    seen.add(at)
    const node = producers.get(at)
    const stored =
      graph.initializers.get(at) ?? (node?.op === 'Constant' ? constantOf(graph, at, producers) : undefined)
    if (stored) tensors.push(stored)
    else if (!node || subgraphsOf(node).length > 0 || isRandom(node)) return undefined
    else {
      nodes.push(node)
      pending.push(...node.inputs, ...capturedBy(node))
    }
  }
  return { nodes, tensors }
}

/** What the values come to. Those that are no floats are left out. */
async function computed(model: Model, names: readonly string[]): Promise<Tensor[]> {
  if (names.length === 0) return []
  const { values: known } = inferShapes(model)
  const outputs = names.map((name) => valueInfo(name, known.get(name)?.dtype ?? 'float32'))
  const alone = withGraph(model, dropUnused({ ...model.graph, inputs: [], outputs }))
  const results = await withSession(
    () => openSession(alone, { threads: 1, name: 'constants' }),
    (session) => session.run({}),
  )
  return names.flatMap((name) => {
    const { data, dims, dtype } = results[name]
    if (!isFloat(dtype as DataType) || !ArrayBuffer.isView(data)) return []
    return [{ name, dtype: dtype as DataType, dims, data: bytesOf(data).slice() }]
  })
}

function withStored(model: Model, tensors: readonly Tensor[]): Model {
  if (tensors.length === 0) return model
  const edit = editGraph(model)
  const names = new Set(tensors.map((t) => edit.store(t)))
  for (const n of model.graph.nodes) {
    if (!n.outputs.some((o) => names.has(o))) continue
    // Some of its results may still be needed.
    const isWhole = n.outputs.every((o) => !o || names.has(o))
    edit.replace(n, isWhole ? [] : [{ ...n, outputs: n.outputs.map((o) => (names.has(o) ? edit.fresh(o) : o)) }])
  }
  return edit.finish()
}
