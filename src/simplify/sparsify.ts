/**
 * Stores initialisers that are mostly zero as sparse ones: their other values, and 8 bytes for the place of each. Runtimes make
 * them dense when they load the model, so it runs as before. Source: SparseTensorProto in onnx/onnx.proto.
 */
import { defineMethod } from '../method.ts'
import type { Graph, Model, Node, SparseTensor, Tensor } from '../model.ts'
import { byteLengthOf, dataTypes, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { mapGraphs } from './fold.ts'

export const sparsify = defineMethod({
  id: 'sparsify',
  help: 'stores tensors that are mostly zero as sparse ones, where that makes the .onnx smaller; the same results',
  options: {},
  run: sparsified,
})

/** The first version of ONNX's file format with sparse tensors. */
const firstSparseIr = 5

/** The model with sparse initialisers wherever they take fewer bytes; the model itself where none does. */
export function sparsified(model: Model): Model {
  let made = 0
  const sparsifyGraph = (graph: Graph): Graph => {
    const inputs = new Set(graph.inputs.map((i) => i.name))
    const initializers = new Map<string, Tensor>()
    const sparse: SparseTensor[] = []
    for (const [name, tensor] of graph.initializers) {
      // A caller may feed another value for an input.
      const smaller = inputs.has(name) ? undefined : smallerForm(tensor)
      if (smaller) sparse.push(smaller)
      else initializers.set(name, tensor)
    }
    made += sparse.length
    const nodes = graph.nodes.map((node: Node) => mapGraphs(node, sparsifyGraph))
    if (sparse.length === 0) return { ...graph, nodes }
    return { ...graph, nodes, initializers, sparseInitializers: [...(graph.sparseInitializers ?? []), ...sparse] }
  }
  const graph = sparsifyGraph(model.graph)
  return made === 0 ? model : { ...model, irVersion: Math.max(model.irVersion, firstSparseIr), graph }
}

/** Of a place, an int64. */
const placeBytes = 8
/** What a sparse tensor takes beside its values and places, about: the second tensor's fields and its own shape. */
const moreBytes = 64

/** The tensor as a sparse one; undefined where that takes no fewer bytes. By bits, so that -0 stays what it is. */
function smallerForm(tensor: Tensor): SparseTensor | undefined {
  const { dtype, dims } = tensor
  const width = dataTypes[dtype].bits / 8
  if (dtype === 'string' || !Number.isInteger(width)) return undefined
  const size = sizeOf(dims)
  const most = Math.floor((byteLengthOf(dtype, size) - moreBytes) / (width + placeBytes))
  if (most < 0) return undefined
  const { data } = tensor
  const places: number[] = []
  for (let i = 0; i < size; i++) {
    let byte = i * width
    while (byte < (i + 1) * width && data[byte] === 0) byte++
    if (byte === (i + 1) * width) continue
    if (places.length === most) return undefined
    places.push(i)
  }
  const values = new Uint8Array(places.length * width)
  for (const [k, i] of places.entries()) values.set(data.subarray(i * width, (i + 1) * width), k * width)
  return {
    values: { ...tensor, dims: [places.length], data: values },
    indices: integerTensor('', 'int64', [places.length], places),
    dims,
  }
}
