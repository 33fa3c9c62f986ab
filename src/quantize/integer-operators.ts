/**
 * QuantizeLinear / DequantizeLinear form to operator form: a layer between the two becomes the one operator that computes on
 * integers (QLinearConv, QLinearMatMul, QGemm, QLinearAdd, ...), and nodes that only move values move integers. Some runtimes
 * know only this form; ONNX Runtime makes it itself of the other form when it loads a model, so it is no faster there.
 *
 * QLinearConv and QLinearMatMul are ONNX's, the others ONNX Runtime's (com.microsoft). A Relu or Clip between layer and
 * QuantizeLinear is left out where no level lies beyond its limits. What has no such operator stays as it is.
 */
import { node as makeNode } from '../graph/build.ts'
import { editGraph, type GraphEdit } from '../graph/edit.ts'
import { constantOf, consumersOf, floatAttribute, producersOf } from '../graph/walk.ts'
import { defineMethod } from '../method.ts'
import { isOnnxDomain, type Model, type Node } from '../model.ts'
import { floats, integers } from '../tensor/dtype.ts'
import { contribDomain, withContrib } from './_contrib.ts'

export const integerOperators = defineMethod({
  id: 'integer-operators',
  help: 'replaces layers between DequantizeLinear and QuantizeLinear by operators on integers (QLinearConv, ...); outputs stay nearly the same',
  options: {},
  run: (model) => toIntegerOperators(model),
})

export function toIntegerOperators(model: Model): Model {
  const { graph } = model
  const pass: Pass = {
    model,
    edit: editGraph(model),
    producers: producersOf(graph),
    consumers: consumersOf(graph),
    outputs: new Set(graph.outputs.map((o) => o.name)),
  }
  let usesContrib = false
  for (const node of graph.nodes) {
    if (!isOnnxDomain(node.domain)) continue
    const made = integerNodeFor(pass, node)
    if (!made) continue
    pass.edit.replace(node, [made.node])
    for (const n of made.without) pass.edit.replace(n)
    usesContrib ||= made.node.domain === contribDomain
  }
  const done = pass.edit.finish()
  return usesContrib ? withContrib(done) : done
}

interface Pass {
  readonly model: Model
  readonly edit: GraphEdit
  readonly producers: ReadonlyMap<string, Node>
  readonly consumers: ReadonlyMap<string, readonly Node[]>
  readonly outputs: ReadonlySet<string>
}

/** Integers, scale and zero point, by name. */
type Quantised = readonly [integers: string, scale: string, zeroPoint: string]

interface Made {
  readonly node: Node
  /** Nodes that are part of it now. */
  readonly without: readonly Node[]
}

/** Operators of ONNX Runtime for those that take quantised values and make one: x, scale, zero point, ..., then those of y. */
const plainOps: Readonly<Record<string, string>> = {
  Add: 'QLinearAdd',
  Mul: 'QLinearMul',
  Sigmoid: 'QLinearSigmoid',
  LeakyRelu: 'QLinearLeakyRelu',
  AveragePool: 'QLinearAveragePool',
  GlobalAveragePool: 'QLinearGlobalAveragePool',
}
const movingOps = new Set('MaxPool Reshape Flatten Squeeze Unsqueeze Transpose Slice Gather Identity'.split(' '))

function integerNodeFor(pass: Pass, node: Node): Made | undefined {
  const { op, attributes, name } = node
  const inputs = node.inputs.map((input) => dequantised(pass, input))
  const result = requantised(pass, node)
  const named = name ? { name } : {}
  const make = (kind: string, given: readonly string[], output: string, domain?: string): Made => ({
    node: { ...makeNode(kind, given, [output], {}, { ...named, ...(domain ? { domain } : {}) }), attributes },
    without: result?.without ?? [],
  })
  const [x, w, b] = inputs
  if (!x || !node.outputs[0]) return undefined
  if (op === 'Conv' || op === 'Gemm') {
    if (!w || (node.inputs[2] && !b)) return undefined
    const bias = b?.[0] ?? ''
    if (op === 'Conv')
      return result && make('QLinearConv', [...x, ...w, ...result.scale, ...(bias ? [bias] : [])], result.output)
    if (['alpha', 'beta'].some((a) => floatAttribute(node, a, 1) !== 1)) return undefined
    const { beta, ...kept } = attributes
    const made = result
      ? make('QGemm', [...x, ...w, bias, ...result.scale], result.output, contribDomain)
      : make('QGemm', [...x, ...w, ...(bias ? [bias] : [])], node.outputs[0], contribDomain)
    return { ...made, node: { ...made.node, attributes: kept } }
  }
  if (!result) return undefined
  if (op === 'MatMul') return w && make('QLinearMatMul', [...x, ...w, ...result.scale], result.output)
  if (op === 'Concat') {
    if (!inputs.every((i) => i !== undefined)) return undefined
    return make('QLinearConcat', [...result.scale, ...inputs.flat()], result.output, contribDomain)
  }
  if (Object.hasOwn(plainOps, op)) {
    if (!inputs.every((i) => i !== undefined)) return undefined
    return make(plainOps[op], [...inputs.flat(), ...result.scale], result.output, contribDomain)
  }
  const isMoved = movingOps.has(op) && x[1] === result.scale[0] && x[2] === result.scale[1]
  return isMoved ? make(op, [x[0], ...node.inputs.slice(1)], result.output) : undefined
}

/** What a value is dequantised from. */
function dequantised({ producers }: Pass, name: string): Quantised | undefined {
  const source = producers.get(name)
  if (source?.op !== 'DequantizeLinear' || source.domain || source.inputs.length < 2) return undefined
  const [integersName, scale, zeroPoint = ''] = source.inputs
  return [integersName, scale, zeroPoint]
}

interface Requantised {
  readonly output: string
  readonly scale: readonly [string, string]
  readonly without: readonly Node[]
}

/** The QuantizeLinear that alone reads what the node makes, with at most a Relu or Clip between that changes no level. */
function requantised(pass: Pass, node: Node): Requantised | undefined {
  const { consumers, outputs } = pass
  const readerOf = (name: string): Node | undefined => {
    const readers = consumers.get(name) ?? []
    return readers.length === 1 && !outputs.has(name) ? readers[0] : undefined
  }
  if (node.outputs.filter((o) => o).length !== 1) return undefined
  let next = readerOf(node.outputs[0])
  const without: Node[] = []
  if ((next?.op === 'Relu' || next?.op === 'Clip') && !next.domain) {
    without.push(next)
    next = readerOf(next.outputs[0])
  }
  if (next?.op !== 'QuantizeLinear' || next.domain || next.inputs.length < 3) return undefined
  const [, scale, zeroPoint] = next.inputs
  if (without.some((limit) => !isWithin(pass, limit, [scale, zeroPoint]))) return undefined
  return { output: next.outputs[0], scale: [scale, zeroPoint], without: [...without, next] }
}

/** Whether every level lies within the limits of a Relu or Clip, half a step aside. */
function isWithin({ model: { graph }, producers }: Pass, limit: Node, [scale, zeroPoint]: [string, string]): boolean {
  const [s, z] = [constantOf(graph, scale, producers), constantOf(graph, zeroPoint, producers)]
  if (!s || !z || s.dims.length > 0 || (z.dtype !== 'uint8' && z.dtype !== 'int8')) return false
  const [first, last] = z.dtype === 'uint8' ? [0, 255] : [-128, 127]
  const step = floats(s)[0]
  const at = (level: number): number => step * (level - integers(z)[0])
  const bound = (i: number, attribute: string, none: number): number | undefined => {
    if (!limit.inputs[i]) return Number(limit.attributes[attribute]?.value ?? none)
    const stored = constantOf(graph, limit.inputs[i], producers)
    return stored?.dtype === 'float32' ? floats(stored)[0] : undefined
  }
  const isRelu = limit.op === 'Relu'
  const low = isRelu ? 0 : bound(1, 'min', Number.NEGATIVE_INFINITY)
  const high = isRelu ? Number.POSITIVE_INFINITY : bound(2, 'max', Number.POSITIVE_INFINITY)
  if (low === undefined || high === undefined) return false
  return at(first) >= low - step / 2 && at(last) <= high + step / 2
}
