/** Which stored tensors of a model are trained. */
import { consumersOf } from '../graph/walk.ts'
import { weightPlaces } from '../graph/weights.ts'
import type { Graph, Node } from '../model.ts'
import { sizeOf } from '../tensor/dtype.ts'

/** The inputs of each operator that are weights by their place. */
const weightInputs: Readonly<Record<string, readonly number[]>> = {
  Conv: [1, 2],
  ConvTranspose: [1, 2],
  Gemm: [0, 1, 2],
  MatMul: [0, 1],
  BatchNormalization: [1, 2],
  LayerNormalization: [1, 2],
  InstanceNormalization: [1, 2],
  PRelu: [1],
}

/** Operators that a weight passes through on its way to its layer, by the input it comes in at. */
const passages: Readonly<Record<string, readonly number[]>> = {
  Identity: [0],
  Reshape: [0],
  Flatten: [0],
  Transpose: [0],
  Squeeze: [0],
  Unsqueeze: [0],
  Slice: [0],
  Concat: [0, 1, 2, 3, 4, 5, 6, 7],
  Gather: [0],
  QuantizeLinear: [0],
  DequantizeLinear: [0],
  Mul: [0, 1],
  Add: [0, 1],
}

/**
 * The float32 initialisers that are weights: what convolutions, products and normalisations multiply with or add,
 * directly or through reshapes, codebooks (Gather), quantisers and sums; and vectors added to what such a layer makes.
 */
export function trainableNames(graph: Graph): string[] {
  const consumers = consumersOf(graph)
  const layers = new Set<string>()
  for (const n of graph.nodes) if (weightInputs[n.op] || bypass(n, layers)) for (const o of n.outputs) layers.add(o)
  const constant = constantValues(graph)
  const isDirect = (name: string): boolean =>
    (consumers.get(name) ?? []).some((n) =>
      n.inputs.some((input, i) => input === name && weightInputs[n.op]?.includes(i)),
    )
  const isWeight = (name: string, seen: ReadonlySet<string>): boolean =>
    isDirect(name) ||
    (consumers.get(name) ?? []).some((n) => {
      const places = n.inputs.flatMap((input, i) => (input === name ? [i] : []))
      if (n.op === 'Add' && n.inputs.some((other) => other !== name && layers.has(other))) return true
      if (!places.some((i) => passages[n.op]?.includes(i)) || !constant.has(n.outputs[0])) return false
      return !seen.has(n.outputs[0]) && isWeight(n.outputs[0], new Set([...seen, n.outputs[0]]))
    })
  return (
    [...graph.initializers.values()]
      .filter((t) => t.dtype === 'float32' && t.dims.length > 0)
      // Of one value: a bias or a slope is a weight; a factor on the way is part of the arithmetic.
      .filter((t) => (sizeOf(t.dims) > 1 ? isWeight(t.name, new Set()) : isDirect(t.name)))
      .map((t) => t.name)
  )
}

/** Constants that layers multiply with although nothing in them is among `trained`: they stay as they are. */
export function untrainedWeights(graph: Graph, trained: readonly string[]): string[] {
  const constant = constantValues(graph)
  const moved = new Set(trained)
  for (const n of graph.nodes) if (n.inputs.some((i) => moved.has(i))) for (const o of n.outputs) moved.add(o)
  const names = graph.nodes.flatMap((n) => {
    const places = weightInputs[n.op] ?? weightPlaces(n.op)
    const weights = places.map((i) => n.inputs[i]).filter((name) => name && constant.has(name))
    return weights.filter((name) => !moved.has(name))
  })
  return [...new Set(names)]
}

/** A reshape of a layer's output still is a layer's output. */
function bypass(n: Node, layers: ReadonlySet<string>): boolean {
  return ['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Identity'].includes(n.op) && layers.has(n.inputs[0])
}

/** Values that follow from initialisers alone. */
function constantValues(graph: Graph): Set<string> {
  const constant = new Set(graph.initializers.keys())
  for (const n of graph.nodes) {
    if (n.inputs.every((i) => !i || constant.has(i))) for (const o of n.outputs) constant.add(o)
  }
  return constant
}
