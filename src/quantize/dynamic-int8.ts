/**
 * Dynamic int8: products and LSTMs multiply integers; weights are stored as int8, and what they are multiplied with is rounded
 * to uint8 at every run, by its range in that run. It needs no calibration inputs, and suits transformers and recurrent
 * networks, whose ranges differ from input to input; convolutions are faster by `int8` with calibration inputs.
 *
 * A product becomes DynamicQuantizeLinear, MatMulInteger and a multiplication with both scales (ONNX), which ONNX Runtime
 * makes one kernel of. An LSTM becomes DynamicQuantizeLSTM (com.microsoft), which ONNX Runtime alone has; there is none for
 * GRU and RNN.
 */
import { node as makeNode } from '../graph/build.ts'
import { editGraph, type GraphEdit } from '../graph/edit.ts'
import { constantOf, describe, floatAttribute, intAttribute, nodeName, producersOf } from '../graph/walk.ts'
import { defineMethod } from '../method.ts'
import type { Model, Node, Tensor } from '../model.ts'
import type { OptionsOf } from '../options.ts'
import { floats, floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { contribDomain, withContrib } from './_contrib.ts'
import { quantizeWeight } from './_qdq.ts'
import { foldAllWeights, products } from './fold-weights.ts'
import { integerNode, withChannelScales } from './int8.ts'
import { checkNodeNames } from './node-names.ts'

const options = {
  reduceRange: {
    type: 'boolean',
    default: true,
    help: 'keep sums of two weights within 8 bits, which x86 processors without VNNI need (see int8)',
  },
  minElements: {
    type: 'number',
    default: 1024,
    min: 1,
    integer: true,
    help: 'weights with fewer elements stay in float: rounding what they multiply with takes longer than they save',
  },
  excludeNodes: { type: 'strings', default: [], help: 'nodes to keep in float, by name (or first output)' },
} as const

export const dynamicInt8 = defineMethod({
  id: 'dynamic-int8',
  help: 'makes products and LSTMs multiply integers whose ranges are found at every run; needs no calibration inputs',
  options,
  async run(given, settings, { warn }) {
    const already = integerNode(given)
    if (already) {
      warn?.(`dynamic-int8: ${describe(already)} computes on integers already; the model is returned as it is`)
      return given
    }
    checkNodeNames(given, settings.excludeNodes, 'dynamic-int8')
    const model = await foldAllWeights(withChannelScales(given), products)
    const { graph } = model
    const edit = editGraph(model)
    const writer: Writer = {
      model,
      edit,
      settings,
      producers: producersOf(graph),
      rounded: new Map(),
      weights: new Map(),
    }
    const left: Node[] = []
    let count = 0
    let usesContrib = false
    for (const node of graph.nodes) {
      if (node.domain || settings.excludeNodes.includes(nodeName(node))) continue
      const made = node.op === 'LSTM' ? lstm(writer, node) : product(writer, node)
      if (made) edit.replace(node, made)
      else if (/^(Conv|GRU|RNN|LSTM)/.test(node.op)) left.push(node)
      if (made) count++
      usesContrib ||= made !== undefined && node.op === 'LSTM'
    }
    const [first, ...more] = left
    if (first)
      warn?.(
        `dynamic-int8: ${describe(first)}${more.length > 0 ? ` and ${more.length} more layers stay` : ' stays'} in float: convolutions are faster by int8, and GRU and RNN have no integer kernel`,
      )
    if (count === 0) {
      warn?.('dynamic-int8: no product or LSTM multiplies with a stored float32 weight; the model is returned as it is')
      return given
    }
    return usesContrib ? withContrib(edit.finish()) : edit.finish()
  },
})

interface Writer {
  readonly model: Model
  readonly edit: GraphEdit
  readonly settings: OptionsOf<typeof options>
  readonly producers: ReadonlyMap<string, Node>
  /** The integers, scale and zero point of each value that is rounded. */
  readonly rounded: Map<string, readonly [string, string, string]>
  /** The integers and scales of each matrix by how it is read. */
  readonly weights: Map<string, readonly [string, string]>
}

/** A stored weight that is large enough. */
function weightOf({ model, producers, settings }: Writer, name: string | undefined): Tensor | undefined {
  const tensor = name ? constantOf(model.graph, name, producers) : undefined
  const isLarge = tensor?.dtype === 'float32' && sizeOf(tensor.dims) >= settings.minElements
  return isLarge && floats(tensor).every(Number.isFinite) ? tensor : undefined
}

/** x·W + b on integers; undefined where the node is no such product. */
function product(writer: Writer, node: Node): Node[] | undefined {
  const { edit } = writer
  const { op, inputs, outputs } = node
  if (op !== 'MatMul' && op !== 'Gemm') return undefined
  const weight = weightOf(writer, inputs[1])
  if (weight?.dims.length !== 2) return undefined
  const isScaled = ['alpha', 'beta'].some((name) => floatAttribute(node, name, 1) !== 1)
  if (op === 'Gemm' && (isScaled || intAttribute(node, 'transA', 0) !== 0)) return undefined
  const [integers, scales] = matrix(writer, weight, {
    base: inputs[1],
    isTurned: intAttribute(node, 'transB', 0) === 1,
  })
  const known = writer.rounded.get(inputs[0])
  const fresh = (what: string): string => edit.fresh(`${outputs[0]}_${what}`)
  const [x, scale, zero] =
    known ??
    (['quantized', 'scale', 'zero_point'].map((s) => edit.fresh(`${inputs[0]}_${s}`)) as [string, string, string])
  writer.rounded.set(inputs[0], [x, scale, zero])
  const [whole, float, both] = ['integers', 'float', 'scale'].map(fresh)
  const bias = op === 'Gemm' ? inputs[2] : undefined
  const result = bias ? fresh('product') : outputs[0]
  return [
    ...(known ? [] : [makeNode('DynamicQuantizeLinear', [inputs[0]], [x, scale, zero])]),
    makeNode('MatMulInteger', [x, integers, zero], [whole], {}, node.name ? { name: node.name } : {}),
    makeNode('Cast', [whole], [float], { to: 1 }),
    makeNode('Mul', [scale, scales], [both]),
    makeNode('Mul', [float, both], [result]),
    ...(bias ? [makeNode('Add', [result, bias], outputs)] : []),
  ]
}

/** [K, N] of int8 and a scale per column. */
function matrix(
  writer: Writer,
  weight: Tensor,
  { base, isTurned }: { base: string; isTurned: boolean },
): readonly [string, string] {
  const { edit, settings, weights } = writer
  const key = `${base} ${isTurned}`
  const known = weights.get(key)
  if (known) return known
  const { values, scales } = quantizeWeight(weight, { axis: isTurned ? 0 : 1, pairs: settings.reduceRange })
  const [rows, columns] = weight.dims
  const dims = isTurned ? [columns, rows] : weight.dims
  const stored = isTurned ? turned(values, rows, columns) : values
  const made = [
    edit.store(integerTensor(edit.fresh(`${base}_quantized`), 'int8', dims, stored), base),
    edit.store(floatTensor(edit.fresh(`${base}_scale`), [scales.length], scales)),
  ] as const
  weights.set(key, made)
  return made
}

function turned(values: Int8Array, rows: number, columns: number): Int8Array {
  const result = new Int8Array(values.length)
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) result[c * rows + r] = values[r * columns + c]
  return result
}

/** The LSTM whose two weights are int8 with a scale per gate and unit; undefined where they are not stored. */
function lstm(writer: Writer, node: Node): Node[] | undefined {
  const { edit, settings } = writer
  const [x, w, r, ...others] = node.inputs
  const tensors = [w, r].flatMap((name) => weightOf(writer, name) ?? [])
  if (tensors.length < 2 || intAttribute(node, 'layout', 0) !== 0) return undefined
  const [input, recurrent] = tensors.map((tensor, at) => {
    const base = [w, r][at]
    const [directions, rows, columns] = tensor.dims
    const integers = new Int8Array(sizeOf(tensor.dims))
    const scales = new Float32Array(directions * rows)
    for (let d = 0; d < directions; d++) {
      const part = floats(tensor).subarray(d * rows * columns, (d + 1) * rows * columns)
      const one = floatTensor(base, [rows, columns], part)
      const quantised = quantizeWeight(one, { axis: 0, pairs: settings.reduceRange })
      integers.set(turned(quantised.values, rows, columns), d * rows * columns)
      scales.set(quantised.scales, d * rows)
    }
    const zeros = new Int8Array(scales.length)
    return [
      edit.store(integerTensor(edit.fresh(`${base}_quantized`), 'int8', [directions, columns, rows], integers), base),
      edit.store(floatTensor(edit.fresh(`${base}_scale`), [directions, rows], scales)),
      edit.store(integerTensor(edit.fresh(`${base}_zero_point`), 'int8', [directions, rows], zeros)),
    ] as const
  })
  const { layout, ...attributes } = node.attributes
  const rest = [...others, '', '', '', '', ''].slice(0, 5)
  const inputs = [x, input[0], recurrent[0], ...rest, input[1], input[2], recurrent[1], recurrent[2]]
  const name = node.name ? { name: node.name } : {}
  return [
    { ...makeNode('DynamicQuantizeLSTM', inputs, node.outputs, {}, { ...name, domain: contribDomain }), attributes },
  ]
}
