/**
 * int8 weights, float arithmetic: each weight is stored as int8 and a DequantizeLinear gives it back under its own name,
 * so that nothing that reads it changes. Works wherever a weight is stored: nested graphs and Constant nodes too.
 */
import { nameSource, node } from '../graph/build.ts'
import { type WeightTensor, weightTensors } from '../graph/weights.ts'
import type { Attribute, Graph, Model, Node } from '../model.ts'
import { floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { nodeName } from './_plan.ts'
import { quantizeWeight } from './_qdq.ts'

/** Below this many elements the scales and the extra node take more bytes than they save. */
const minElements = 64

export function quantizeWeightsOnly(model: Model, { exclude }: { exclude: readonly string[] }): Model {
  const kept = new Set(exclude)
  const chosen = weightTensors(model).filter(
    ({ tensor, uses }) =>
      tensor.dtype === 'float32' && sizeOf(tensor.dims) >= minElements && !uses.some((u) => kept.has(nodeName(u.node))),
  )
  if (chosen.length === 0) return model
  const functionNodes = (model.functions ?? []).flatMap((fn) => fn.nodes)
  const fresh = nameSource({ ...model.graph, nodes: [...model.graph.nodes, ...functionNodes] })
  const parts = new Map(chosen.map((w) => [w.tensor, partsOf(w, fresh)]))

  const rewriteNodes = (nodes: readonly Node[]): Node[] => nodes.flatMap(rewriteNode)
  const rewriteNode = (original: Node): Node[] => {
    const value = original.attributes.value
    const part = original.op === 'Constant' && value?.type === 'tensor' ? parts.get(value.value) : undefined
    if (part) {
      const constants = part.stored.map((t) => node('Constant', [], [t.name], { value: t }))
      return [...constants, part.dequantize(original.outputs[0])]
    }
    const attributes: Record<string, Attribute> = {}
    for (const [name, a] of Object.entries(original.attributes)) {
      if (a.type === 'graph') attributes[name] = { ...a, value: rewriteGraph(a.value) }
      else if (a.type === 'graphs') attributes[name] = { ...a, value: a.value.map(rewriteGraph) }
      else attributes[name] = a
    }
    return [{ ...original, attributes }]
  }
  const rewriteGraph = (graph: Graph): Graph => {
    const initializers = new Map(graph.initializers)
    const dequantizing: Node[] = []
    for (const [name, tensor] of graph.initializers) {
      const part = parts.get(tensor)
      if (!part) continue
      initializers.delete(name)
      for (const t of part.stored) initializers.set(t.name, t)
      dequantizing.push(part.dequantize(name))
    }
    const made = new Set(dequantizing.map((n) => n.outputs[0]))
    // Files before IR version 4 list initialisers as inputs too.
    const inputs = graph.inputs.filter((i) => !made.has(i.name))
    return { ...graph, inputs, initializers, nodes: [...dequantizing, ...rewriteNodes(graph.nodes)] }
  }
  return {
    ...model,
    graph: rewriteGraph(model.graph),
    ...(model.functions ? { functions: model.functions.map((fn) => ({ ...fn, nodes: rewriteNodes(fn.nodes) })) } : {}),
  }
}

function partsOf({ name, tensor, outputAxis }: WeightTensor, fresh: (base: string) => string) {
  const { values, scales } = quantizeWeight(tensor, { axis: outputAxis })
  const integers = integerTensor(fresh(`${name}_quantized`), 'int8', tensor.dims, values)
  const scale = floatTensor(fresh(`${name}_scale`), outputAxis === undefined ? [] : [scales.length], scales)
  const axis = outputAxis === undefined ? {} : { axis: outputAxis }
  return {
    stored: [integers, scale],
    dequantize: (output: string): Node => node('DequantizeLinear', [integers.name, scale.name], [output], axis),
  }
}
