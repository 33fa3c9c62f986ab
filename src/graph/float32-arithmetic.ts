/**
 * A model of 16-bit floats that computes in float32: its weights are float32, its inputs and outputs keep their types
 * behind Casts. Processors without 16-bit arithmetic run it faster (ONNX Runtime puts Casts around every node there), and
 * quantisers and gradients work on float32.
 */
import { defineMethod } from '../method.ts'
import {
  type Attribute,
  type Graph,
  isOnnxDomain,
  type Model,
  type Node,
  type Tensor,
  type ValueInfo,
} from '../model.ts'
import { type DataType, dataTypeOf, dataTypes, floats, floatTensor } from '../tensor/dtype.ts'
import { node as makeNode, nameSource } from './build.ts'
import { mapGraphs } from './fold.ts'
import { tensorsOf } from './walk.ts'

export const float32Arithmetic = defineMethod({
  id: 'float32-arithmetic',
  help: 'computes in float32 what a model of 16-bit floats computes; inputs and outputs keep their types',
  options: {},
  run: (model) => inFloat32(model),
})

function isHalf(dtype: DataType | undefined): dtype is 'float16' | 'bfloat16' {
  return dtype === 'float16' || dtype === 'bfloat16'
}

/** Whether a model stores 16-bit floats, or takes or gives them. */
export function hasHalves({ graph, ...rest }: Model): boolean {
  if ([...graph.inputs, ...graph.outputs].some((v) => isHalf(v.dtype))) return true
  for (const { tensor } of tensorsOf({ graph, ...rest })) if (isHalf(tensor.dtype)) return true
  return false
}

/** The model as it is where it has no 16-bit floats. Local functions are left alone: put them in place first. */
export function inFloat32(model: Model): Model {
  if (!hasHalves(model)) return model
  const fresh = nameSource(model.graph)
  const graph = widened(model.graph)
  const given = new Set(graph.initializers.keys())
  const wide = new Map<string, string>()
  const first: Node[] = []
  const last: Node[] = []
  for (const { name, dtype } of model.graph.inputs) {
    if (!isHalf(dtype) || given.has(name)) continue
    wide.set(name, fresh(`${name}_float32`))
    first.push(makeNode('Cast', [name], [wide.get(name) as string], { to: dataTypes.float32.code }))
  }
  for (const { name, dtype } of model.graph.outputs) {
    if (!isHalf(dtype)) continue
    const from = wide.get(name) ?? fresh(`${name}_float32`)
    wide.set(name, from)
    last.push(makeNode('Cast', [from], [name], { to: dataTypes[dtype].code }))
  }
  // An output that is an initialiser keeps it under the new name.
  const initializers = new Map([...graph.initializers].map(([name, t]) => [wide.get(name) ?? name, t]))
  const nodes = [...first, ...graph.nodes.map((n) => renamed(n, wide)), ...last]
  const inputs = graph.inputs.map((v, i) => (given.has(v.name) ? v : model.graph.inputs[i]))
  return { ...model, graph: { ...graph, nodes, initializers, inputs, outputs: model.graph.outputs } }
}

/** Everything of 16 bits as float32, in nested graphs too. */
function widened(graph: Graph): Graph {
  const info = (v: ValueInfo): ValueInfo => (isHalf(v.dtype) ? { ...v, dtype: 'float32' } : v)
  return {
    ...graph,
    nodes: graph.nodes.map(widenedNode),
    initializers: new Map([...graph.initializers].map(([name, t]) => [name, widenedTensor(t)])),
    inputs: graph.inputs.map(info),
    outputs: graph.outputs.map(info),
    ...(graph.valueInfo ? { valueInfo: graph.valueInfo.map(info) } : {}),
  }
}

function widenedTensor(tensor: Tensor): Tensor {
  return isHalf(tensor.dtype) ? floatTensor(tensor.name, tensor.dims, floats(tensor)) : tensor
}

/** Attributes that name the type of a result. */
const typeAttributes = new Set(['to', 'dtype', 'output_datatype', 'stash_type'])

function widenedNode(node: Node): Node {
  const attributes = Object.entries(node.attributes).map(([name, a]): [string, Attribute] => {
    switch (a.type) {
      case 'tensor':
        return [name, { ...a, value: widenedTensor(a.value) }]
      case 'tensors':
        return [name, { ...a, value: a.value.map(widenedTensor) }]
      case 'graph':
        return [name, { ...a, value: widened(a.value) }]
      case 'graphs':
        return [name, { ...a, value: a.value.map(widened) }]
      case 'int': {
        const isType = isOnnxDomain(node.domain) && typeAttributes.has(name) && isHalf(dataTypeOf(Number(a.value)))
        return [name, isType ? { ...a, value: dataTypes.float32.code } : a]
      }
      default:
        return [name, a]
    }
  })
  return { ...node, attributes: Object.fromEntries(attributes) }
}

/** The node with values under other names, where it reads and where it makes them, in nested graphs as well. */
function renamed(node: Node, names: ReadonlyMap<string, string>): Node {
  if (names.size === 0) return node
  const to = (name: string): string => names.get(name) ?? name
  const inside = (graph: Graph): Graph => ({
    ...graph,
    nodes: graph.nodes.map((n) => renamed(n, names)),
    outputs: graph.outputs.map((o) => ({ ...o, name: to(o.name) })),
  })
  return { ...mapGraphs(node, inside), inputs: node.inputs.map(to), outputs: node.outputs.map(to) }
}
