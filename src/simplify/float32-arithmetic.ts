/**
 * A model of other floats that computes in float32: its weights are float32, its inputs and outputs keep their types
 * behind Casts. Processors without 16-bit arithmetic run it faster (ONNX Runtime puts Casts around every node there), and
 * quantisers and gradients work on float32.
 */

import { node as makeNode, nameSource } from '../graph/build.ts'
import { tensorsOf } from '../graph/walk.ts'
import { replaceTensors } from '../graph/weights.ts'
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
import { type DataType, dataTypeOf, dataTypes, floats, floatTensor, tensorOfFloats } from '../tensor/dtype.ts'
import { mapGraphs } from './fold.ts'

export const float32Arithmetic = defineMethod({
  id: 'float32-arithmetic',
  help: 'computes in float32 what a model of 16-bit floats computes; inputs and outputs keep their types',
  options: {},
  run: (model) => inFloat32(model),
})

/** The types that become float32. */
type Types = ReadonlySet<DataType | undefined>

const halves: Types = new Set<DataType>(['float16', 'bfloat16'])
const otherFloats: Types = new Set<DataType>(['float16', 'bfloat16', 'float64'])

/** Whether a model stores floats of these types, or takes or gives them. */
function has(model: Model, types: Types): boolean {
  const { inputs, outputs } = model.graph
  if ([...inputs, ...outputs].some((v) => types.has(v.dtype))) return true
  for (const { tensor } of tensorsOf(model)) if (types.has(tensor.dtype)) return true
  return false
}

/**
 * A model of 16-bit floats in float32; any other as it is. Local functions are left alone: put them in place first.
 */
export function inFloat32(model: Model): Model {
  return widenedModel(model, { types: halves, outputs: 'as given' })
}

/** A model of any other floats as training takes it: in float32 throughout, but for inputs, which keep their types. */
export function forTraining(model: Model): Model {
  return widenedModel(model, { types: otherFloats, outputs: 'float32' })
}

/**
 * The model with the values of its float32 form (`wide`, of `forTraining`) after training, in the types that it has.
 * What training left alone stays as it was, to the bit. Throws where a value is too large for its type.
 */
export function trainedAs(model: Model, wide: Model, trained: Model): Model {
  if (wide === model) return trained
  const [before, after] = [[...tensorsOf(wide)], [...tensorsOf(trained)]]
  const replaced = new Map<Tensor, Tensor>()
  for (const [i, { tensor }] of [...tensorsOf(model)].entries()) {
    const now = after[i].tensor
    if (now === before[i].tensor) continue
    const narrow = tensorOfFloats(tensor.name, tensor.dtype, tensor.dims, floats(now))
    if (!floats(narrow).every(Number.isFinite))
      throw new Error(`train: "${now.name}" grew too large for ${tensor.dtype}; expected a lower learning rate`)
    replaced.set(tensor, narrow)
  }
  return replaceTensors(model, replaced)
}

interface Widening {
  readonly types: Types
  readonly outputs: 'as given' | 'float32'
}

function widenedModel(model: Model, { types, outputs }: Widening): Model {
  if (!has(model, types)) return model
  const fresh = nameSource(model.graph)
  const graph = widened(model.graph, types)
  const given = new Set(graph.initializers.keys())
  const wide = new Map<string, string>()
  const first: Node[] = []
  const last: Node[] = []
  for (const { name, dtype } of model.graph.inputs) {
    if (!types.has(dtype) || given.has(name)) continue
    wide.set(name, fresh(`${name}_float32`))
    first.push(makeNode('Cast', [name], [wide.get(name) as string], { to: dataTypes.float32.code }))
  }
  for (const { name, dtype } of model.graph.outputs) {
    if (!dtype || !types.has(dtype) || outputs === 'float32') continue
    const from = wide.get(name) ?? fresh(`${name}_float32`)
    wide.set(name, from)
    last.push(makeNode('Cast', [from], [name], { to: dataTypes[dtype].code }))
  }
  // An output that is an initialiser keeps it under the new name.
  const initializers = new Map([...graph.initializers].map(([name, t]) => [wide.get(name) ?? name, t]))
  const nodes = [...first, ...graph.nodes.map((n) => renamed(n, wide)), ...last]
  const inputs = graph.inputs.map((v, i) => (given.has(v.name) ? v : model.graph.inputs[i]))
  const kept = outputs === 'float32' ? graph.outputs : model.graph.outputs
  return { ...model, graph: { ...graph, nodes, initializers, inputs, outputs: kept } }
}

/** Everything of these types as float32, in nested graphs too. */
function widened(graph: Graph, types: Types): Graph {
  const info = (v: ValueInfo): ValueInfo => (types.has(v.dtype) ? { ...v, dtype: 'float32' } : v)
  return {
    ...graph,
    nodes: graph.nodes.map((n) => widenedNode(n, types)),
    initializers: new Map([...graph.initializers].map(([name, t]) => [name, widenedTensor(t, types)])),
    inputs: graph.inputs.map(info),
    outputs: graph.outputs.map(info),
    ...(graph.valueInfo ? { valueInfo: graph.valueInfo.map(info) } : {}),
  }
}

function widenedTensor(tensor: Tensor, types: Types): Tensor {
  return types.has(tensor.dtype) ? floatTensor(tensor.name, tensor.dims, floats(tensor)) : tensor
}

/** Attributes that name the type of a result. */
const typeAttributes = new Set(['to', 'dtype', 'output_datatype', 'stash_type'])

function widenedNode(node: Node, types: Types): Node {
  const attributes = Object.entries(node.attributes).map(([name, a]): [string, Attribute] => {
    switch (a.type) {
      case 'tensor':
        return [name, { ...a, value: widenedTensor(a.value, types) }]
      case 'tensors':
        return [name, { ...a, value: a.value.map((t) => widenedTensor(t, types)) }]
      case 'graph':
        return [name, { ...a, value: widened(a.value, types) }]
      case 'graphs':
        return [name, { ...a, value: a.value.map((g) => widened(g, types)) }]
      case 'int': {
        const isType = isOnnxDomain(node.domain) && typeAttributes.has(name) && types.has(dataTypeOf(Number(a.value)))
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
