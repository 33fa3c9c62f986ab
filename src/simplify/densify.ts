/** Sparse initialisers and constants become dense tensors. Source: SparseTensorProto in onnx/onnx.proto. */

import { defineMethod } from '../method.ts'
import type { Attribute, Graph, Model, Node, SparseTensor, Tensor } from '../model.ts'
import { byteLengthOf, dataTypes, sizeOf } from '../tensor/dtype.ts'
import { mapGraphs } from './fold.ts'

export const densify = defineMethod({
  id: 'densify',
  help: 'stores sparse initialisers and constants as dense tensors, which all other methods and the packer expect',
  options: {},
  run: densified,
})

/** Far above any weight; ONNX Runtime makes them dense in memory as well. */
const maxBytes = 2 ** 31 - 1

/** The model with ordinary tensors in place of sparse ones; the model itself where it has none. */
export function densified(model: Model): Model {
  const graph = densifyGraph(model.graph)
  const functions = model.functions?.map((fn) => {
    const nodes = densifyNodes(fn.nodes)
    return nodes === fn.nodes ? fn : { ...fn, nodes }
  })
  const sameFunctions = functions?.every((fn, i) => fn === model.functions?.[i]) ?? true
  if (graph === model.graph && sameFunctions) return model
  return { ...model, graph, ...(functions ? { functions } : {}) }
}

function densifyGraph(graph: Graph): Graph {
  const nodes = densifyNodes(graph.nodes)
  if (!graph.sparseInitializers) return nodes === graph.nodes ? graph : { ...graph, nodes }
  const { sparseInitializers, ...rest } = graph
  const dense = sparseInitializers.map((s) => [s.values.name, denseTensor(s)] as const)
  return { ...rest, nodes, initializers: new Map([...graph.initializers, ...dense]) }
}

function densifyNodes(nodes: readonly Node[]): readonly Node[] {
  const changed = nodes.map(densifyNode)
  return changed.every((node, i) => node === nodes[i]) ? nodes : changed
}

function densifyNode(node: Node): Node {
  const inside = mapGraphs(node, densifyGraph)
  const { sparse_value: sparse, ...attributes } = inside.attributes
  if (node.op !== 'Constant' || sparse?.type !== 'sparse-tensor') return sameGraphs(node, inside) ? node : inside
  return { ...inside, attributes: { ...attributes, value: { type: 'tensor', value: denseTensor(sparse.value) } } }
}

/** Whether no nested graph was changed. */
function sameGraphs(before: Node, after: Node): boolean {
  const graphsIn = (a: Attribute | undefined): readonly Graph[] =>
    a?.type === 'graph' ? [a.value] : a?.type === 'graphs' ? a.value : []
  return Object.entries(before.attributes).every(([name, a]) =>
    graphsIn(a).every((graph, i) => graph === graphsIn(after.attributes[name])[i]),
  )
}

/** A sparse tensor with its zeros. Throws a sentence where its indices do not fit its shape. */
export function denseTensor({ values, indices, dims }: SparseTensor): Tensor {
  const { name, dtype } = values
  const { bits } = dataTypes[dtype]
  const subject = `sparse tensor "${name}"`
  if (bits < 8 || bits % 8 !== 0) throw new Error(`${subject}: elements of ${dtype}; expected a type of whole bytes`)
  const size = sizeOf(dims)
  const byteLength = byteLengthOf(dtype, size)
  if (byteLength > maxBytes) throw new Error(`${subject}: ${byteLength} bytes when dense; expected at most ${maxBytes}`)
  const width = bits / 8
  const data = new Uint8Array(byteLength)
  for (const [i, place] of placesOf({ values, indices, dims }, size, subject).entries())
    data.set(values.data.subarray(i * width, (i + 1) * width), place * width)
  return { ...values, dims, data }
}

/** Where in row-major order each stored value is. */
function placesOf({ values, indices, dims }: SparseTensor, size: number, subject: string): Float64Array {
  const count = sizeOf(values.dims)
  const [rows, rank] = indices.dims
  if (indices.dtype !== 'int64' || rows !== count || (rank !== undefined && rank !== dims.length)) {
    const shape = indices.dims.join(',')
    throw new Error(
      `${subject}: indices ${indices.dtype}[${shape}]; expected int64[${count}] or [${count},${dims.length}]`,
    )
  }
  const numbers = new BigInt64Array(new Uint8Array(indices.data).buffer)
  return Float64Array.from({ length: count }, (_, i) => {
    let place = rank === undefined ? Number(numbers[i]) : 0
    let fits = place >= 0 && place < size
    if (rank !== undefined) {
      for (const [k, d] of dims.entries()) {
        const index = Number(numbers[i * rank + k])
        fits &&= index >= 0 && index < d
        place = place * d + index
      }
    }
    if (!fits) throw new Error(`${subject}: value ${i} lies outside its shape [${dims.join(',')}]`)
    return place
  })
}
