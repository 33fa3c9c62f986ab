/** Biases that an Add of their own adds become part of the layer before it, where quantisers look for them. */

import { editGraph } from '../graph/edit.ts'
import { constantOf, consumersOf, producersOf } from '../graph/walk.ts'
import type { Graph, Model, Node, Tensor } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import { floats, floatTensor, sizeOf } from '../tensor/dtype.ts'

/**
 * Conv or MatMul, then Add of one constant a channel: the constant becomes the layer's bias, and the MatMul a Gemm, where
 * its input is a matrix. (Left apart, ONNX Runtime joins them before it looks for integer layers, and then finds none.)
 * Outputs agree up to rounding.
 */
export function joinBiases(model: Model): Model {
  const { graph } = model
  const consumers = consumersOf(graph)
  const producers = producersOf(graph)
  const edit = editGraph(model)
  const { values } = inferShapes(model)
  const isMatrix = (name: string): boolean => values.get(name)?.shape?.length === 2
  const joined = new Set<Node>()
  for (const add of graph.nodes) {
    if (add.op !== 'Add' || add.domain) continue
    const found = biasOf(graph, add, producers)
    if (!found || joined.has(found.layer)) continue
    const { layer, bias, biasName } = found
    if (layer.op === 'MatMul' && !isMatrix(layer.inputs[0])) continue
    if ((consumers.get(layer.outputs[0]) ?? []).length !== 1) continue
    if (graph.outputs.some((o) => o.name === layer.outputs[0])) continue
    const name = edit.store(floatTensor(edit.fresh(`${layer.outputs[0]}_bias`), [bias.length], bias), biasName)
    const op = layer.op === 'MatMul' ? 'Gemm' : layer.op
    edit.replace(layer, [{ ...layer, op, inputs: [layer.inputs[0], layer.inputs[1], name], outputs: add.outputs }])
    edit.replace(add)
    joined.add(layer)
  }
  return edit.finish()
}

function biasOf(
  graph: Graph,
  add: Node,
  producers: ReadonlyMap<string, Node>,
): { layer: Node; bias: Float32Array; biasName: string } | undefined {
  const isLayer = (name: string): boolean => ['Conv', 'MatMul'].includes(producers.get(name)?.op ?? '')
  const side = isLayer(add.inputs[0]) ? 0 : 1
  const layer = producers.get(add.inputs[side])
  const added = constantOf(graph, add.inputs[1 - side], producers)
  if (!layer || !isLayer(add.inputs[side]) || layer.domain || added?.dtype !== 'float32') return undefined
  const weight = constantOf(graph, layer.inputs[1], producers)
  const before = layer.inputs[2] ? constantOf(graph, layer.inputs[2], producers) : undefined
  if (!weight || (layer.inputs[2] && before?.dtype !== 'float32')) return undefined
  if (layer.op === 'MatMul' && weight.dims.length !== 2) return undefined
  if (!isPerChannel(added, weight)) return undefined
  const values = floats(added)
  // The output channels are axis 0 of a convolution's weight and axis 1 of a matrix.
  const bias = Float32Array.from({ length: weight.dims[layer.op === 'Conv' ? 0 : 1] }, (_, c) => {
    return values[values.length === 1 ? 0 : c] + (before ? floats(before)[c] : 0)
  })
  return { layer, bias, biasName: add.inputs[1 - side] }
}

/** [C, 1, 1] or [1, C, 1, 1] for a weight [C, ...] of four axes; [C] or [1, C] for a matrix [..., C]; or a single value. */
function isPerChannel(added: Tensor, weight: Tensor): boolean {
  const rank = weight.dims.length
  if (added.dims.length > rank) return false
  if (sizeOf(added.dims) === 1) return true
  const padded = [...Array<number>(rank - added.dims.length).fill(1), ...added.dims]
  return padded.every((d, i) => d === (i === 1 ? weight.dims[rank === 2 ? 1 : 0] : 1))
}
