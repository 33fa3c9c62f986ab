/**
 * Plain simplifications that change no output: shape arithmetic becomes constants, what nothing reads is removed, Identity
 * nodes go, and initialisers that are listed as inputs stop being inputs.
 */

import { dropUnused } from '../graph/drop-unused.ts'
import { editGraph, withFreeInitializers } from '../graph/edit.ts'
import { storedNames } from '../graph/walk.ts'
import {
  type Attribute,
  type Dim,
  type Graph,
  isOnnxDomain,
  type Model,
  type Node,
  type Tensor,
  withGraph,
} from '../model.ts'
import { inferShapes, type Known, type ShapeOptions } from '../ops/shape.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'

/**
 * Nodes of the main graph whose results follow from constants and shapes alone (Shape, Gather, Concat, ... of known
 * sizes) become initialisers. `inputShapes` fixes sizes that the model leaves open; the result then holds for those only.
 */
export function foldShapes(model: Model, options: ShapeOptions = {}): Model {
  const { values } = inferShapes(model, options)
  const edit = editGraph(model)
  for (const node of model.graph.nodes) {
    const tensors = node.op === 'Constant' ? [] : node.outputs.map((name) => constantTensor(name, values.get(name)))
    if (tensors.length === 0 || tensors.includes(undefined)) continue
    for (const tensor of tensors) if (tensor) edit.store(tensor)
    edit.replace(node)
  }
  return edit.finish()
}

function constantTensor(name: string, known: Known | undefined): Tensor | undefined {
  const { dtype, shape, value } = known ?? {}
  const isNumber = (d: Dim): boolean => typeof d === 'number'
  if (!name || !shape?.every(isNumber) || !value?.every(isNumber)) return undefined
  const [dims, numbers] = [shape as number[], value as number[]]
  if (dtype === 'float32') return floatTensor(name, dims, numbers)
  if (dtype !== 'int64' && dtype !== 'int32' && dtype !== 'bool') return undefined
  return numbers.every(Number.isSafeInteger) ? integerTensor(name, dtype, dims, numbers) : undefined
}

/**
 * The model without nodes and initialisers that no output needs, without Identity nodes, and without inputs that are
 * initialisers (which a caller could then no longer override). Nested graphs too. Outputs keep their names.
 */
export function removeUnused(model: Model): Model {
  const { graph } = model
  const stored = storedNames(graph)
  const inputs = graph.inputs.filter((i) => !stored.has(i.name))
  const slim = withGraph(model, dropUnused(slimGraph({ ...graph, inputs })))
  return inputs.length < graph.inputs.length ? withFreeInitializers(slim) : slim
}

function slimGraph(graph: Graph): Graph {
  const outputs = new Set(graph.outputs.map((o) => o.name))
  const replaced = new Map<string, string>()
  const nodes = graph.nodes.flatMap((original) => {
    const node = rename(original, replaced)
    const isIdentity = node.op === 'Identity' && isOnnxDomain(node.domain)
    if (!isIdentity || outputs.has(node.outputs[0]) || !node.inputs[0]) {
      return mapGraphs(node, (inner) => dropUnused(slimGraph(inner)))
    }
    replaced.set(node.outputs[0], node.inputs[0])
    return []
  })
  return { ...graph, nodes }
}

/** The node with values read under other names, in its nested graphs as well. */
export function rename(node: Node, names: ReadonlyMap<string, string>): Node {
  if (names.size === 0) return node
  const inputs = node.inputs.map((name) => names.get(name) ?? name)
  const renamed = inputs.some((name, i) => name !== node.inputs[i]) ? { ...node, inputs } : node
  return mapGraphs(renamed, (graph) => renameIn(graph, names))
}

function renameIn(graph: Graph, names: ReadonlyMap<string, string>): Graph {
  // A name that the graph gives to a value of its own is another value.
  const visible = new Map(names)
  const hide = (name: string): boolean => visible.delete(name)
  for (const { name } of graph.inputs) hide(name)
  for (const name of storedNames(graph)) hide(name)
  for (const node of graph.nodes) node.outputs.forEach((name) => void hide(name))
  const nodes = graph.nodes.map((node) => rename(node, visible))
  const outputs = graph.outputs.map((o) => ({ ...o, name: visible.get(o.name) ?? o.name }))
  return { ...graph, nodes, outputs }
}

/** The node with each of its nested graphs replaced. */
export function mapGraphs(node: Node, change: (graph: Graph) => Graph): Node {
  const entries = Object.entries(node.attributes)
  if (!entries.some(([, a]) => a.type === 'graph' || a.type === 'graphs')) return node
  const changed = entries.map(([name, a]): [string, Attribute] => {
    if (a.type === 'graph') return [name, { ...a, value: change(a.value) }]
    return [name, a.type === 'graphs' ? { ...a, value: a.value.map(change) } : a]
  })
  return { ...node, attributes: Object.fromEntries(changed) }
}
