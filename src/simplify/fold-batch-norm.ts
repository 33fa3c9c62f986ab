/**
 * BatchNormalization folded into the layer before it (Krishnamoorthi 2018, arXiv:1806.08342, section 3.2.1).
 *
 * y = g (W x + b - m) / sqrt(v + eps) + beta  =  W' x + b'
 * with, per output channel, s = g / sqrt(v + eps), W' = W s, b' = beta + s (b - m). Outputs agree up to rounding.
 */

import { editGraph, type GraphEdit } from '../graph/edit.ts'
import { consumersOf, describe, floatAttribute, intAttribute, producersOf } from '../graph/walk.ts'
import { defineMethod } from '../method.ts'
import type { Graph, Model, Node, Tensor } from '../model.ts'
import { floats, floatTensor, sizeOf } from '../tensor/dtype.ts'

export const foldBatchNorm = defineMethod({
  id: 'fold-batch-norm',
  help: 'folds each BatchNormalization into the layer before it; outputs stay the same',
  options: {},
  run(model, _options, { warn }) {
    return foldBatchNorms(model, (node, why) => warn?.(`${describe(node)}: not folded: ${why}`))
  },
})

/**
 * Folds what can be folded in the main graph, of those that `only` holds for; `skipped` hears of each BatchNormalization that
 * stays, and why.
 */
export function foldBatchNorms(
  model: Model,
  skipped: (node: Node, why: string) => void = () => {},
  only: (norm: Node) => boolean = () => true,
): Model {
  const { graph } = model
  const edit = editGraph(model)
  const view: View = { graph, producers: producersOf(graph), consumers: consumersOf(graph), edit }
  for (const norm of graph.nodes) {
    if (norm.op !== 'BatchNormalization' || norm.domain || !only(norm)) continue
    const plan = planOf(view, norm)
    if (typeof plan === 'string') skipped(norm, plan)
    else for (const [before, after] of plan) edit.replace(before, after ? [after] : [])
  }
  return edit.finish()
}

interface View {
  readonly graph: Graph
  readonly producers: ReadonlyMap<string, Node>
  readonly consumers: ReadonlyMap<string, readonly Node[]>
  readonly edit: GraphEdit
}

/** What becomes of nodes; undefined: the node is removed. */
type Plan = readonly (readonly [Node, Node | undefined])[]

/** How to fold one BatchNormalization, or the reason why not. */
function planOf(view: View, norm: Node): Plan | string {
  const [x, ...parameters] = norm.inputs
  if (norm.outputs.filter((o) => o).length > 1 || intAttribute(norm, 'training_mode', 0))
    return 'it is in training form'
  const [gamma, beta, mean, variance] = parameters.map((name) => floatConstant(view, name))
  if (!gamma || !beta || !mean || !variance) return 'its parameters are not float constants'
  const producer = view.producers.get(x)
  if (!producer || producer.domain) return 'no layer comes before it'
  if (!isOnlyUse(view, x, norm)) return `the output of ${describe(producer)} has other uses`
  const epsilon = floatAttribute(norm, 'epsilon', Math.fround(1e-5))
  const scale = Float64Array.from(floats(gamma), (g, c) => g / Math.sqrt(floats(variance)[c] + epsilon))
  const shift = (bias: Float32Array | undefined) =>
    Float32Array.from(scale, (s, c) => floats(beta)[c] + s * ((bias ? bias[c] : 0) - floats(mean)[c]))
  if (producer.op === 'Add') return planMatMulAdd(view, { add: producer, norm, scale, shift })
  return planLayer(view, { layer: producer, norm, scale, shift })
}

interface Affine {
  readonly norm: Node
  /** g / sqrt(v + eps) a channel. */
  readonly scale: Float64Array
  /** The new bias of an old one. */
  readonly shift: (bias: Float32Array | undefined) => Float32Array
}

/** Conv, ConvTranspose or Gemm, then the normalisation. */
function planLayer(view: View, { layer, norm, scale, shift }: Affine & { layer: Node }): Plan | string {
  if (layer.op !== 'Conv' && layer.op !== 'ConvTranspose' && layer.op !== 'Gemm') {
    return `${layer.op} has no weights to fold into`
  }
  const weight = floatConstant(view, layer.inputs[1])
  const biasName = layer.inputs[2] ?? ''
  const bias = biasName ? floatConstant(view, biasName) : undefined
  if (!weight || (biasName && !bias)) return `the weights of ${describe(layer)} are not float constants`
  if (layer.op === 'Gemm' && (floatAttribute(layer, 'beta', 1) !== 1 || floatAttribute(layer, 'alpha', 1) !== 1)) {
    return `${describe(layer)} scales its result`
  }
  const group = layer.op === 'ConvTranspose' ? intAttribute(layer, 'group', 1) : 1
  const axis = layer.op === 'Conv' ? 0 : layer.op === 'ConvTranspose' ? 1 : intAttribute(layer, 'transB', 0) ? 0 : 1
  if (weight.dims[axis] * group !== scale.length)
    return `it does not have a channel for each output of ${describe(layer)}`
  if (bias && sizeOf(bias.dims) !== scale.length)
    return `the bias of ${describe(layer)} does not have one value per channel`
  const { edit } = view
  const w = edit.store(
    { ...scaled(weight, scale, { axis, group }), name: edit.fresh(`${layer.inputs[1]}_folded`) },
    layer.inputs[1],
  )
  const b = edit.store(
    floatTensor(edit.fresh(`${biasName || layer.inputs[1]}_folded_bias`), [scale.length], shift(bias && floats(bias))),
    biasName,
  )
  return [
    [layer, { ...layer, inputs: [layer.inputs[0], w, b], outputs: [norm.outputs[0]] }],
    [norm, undefined],
  ]
}

/** MatMul(x, W), Add(bias), then the normalisation: only for [N, C], where the channels are the last axis. */
function planMatMulAdd(view: View, { add, norm, scale, shift }: Affine & { add: Node }): Plan | string {
  const side = view.producers.get(add.inputs[0])?.op === 'MatMul' ? 0 : 1
  const product = view.producers.get(add.inputs[side])
  if (product?.op !== 'MatMul' || product.domain) return `${describe(add)} adds no constant bias to a layer`
  if (!isOnlyUse(view, add.inputs[side], add)) return `the output of ${describe(product)} has other uses`
  const weight = floatConstant(view, product.inputs[1])
  const bias = floatConstant(view, add.inputs[1 - side])
  if (!weight || !bias) return `the weights of ${describe(product)} are not float constants`
  if (weight.dims.length !== 2 || weight.dims[1] !== scale.length || sizeOf(bias.dims) !== scale.length) {
    return `it does not have a channel for each output of ${describe(product)}`
  }
  if (bias.dims.at(-1) !== scale.length) return `the bias in ${describe(add)} lies along another axis`
  const { edit } = view
  const [weightName, biasName] = [product.inputs[1], add.inputs[1 - side]]
  const w = edit.store(
    { ...scaled(weight, scale, { axis: 1, group: 1 }), name: edit.fresh(`${weightName}_folded`) },
    weightName,
  )
  const b = edit.store(floatTensor(edit.fresh(`${biasName}_folded`), bias.dims, shift(floats(bias))), biasName)
  const inputs = side === 0 ? [add.inputs[0], b] : [b, add.inputs[1]]
  return [
    [product, { ...product, inputs: [product.inputs[0], w] }],
    [add, { ...add, inputs, outputs: [norm.outputs[0]] }],
    [norm, undefined],
  ]
}

/** The weight times a factor for each output channel. With groups, axis 1 of ConvTranspose repeats for every group. */
function scaled(weight: Tensor, scale: Float64Array, { axis, group }: { axis: number; group: number }): Tensor {
  const values = floats(weight)
  const channels = weight.dims[axis]
  const inner = sizeOf(weight.dims.slice(axis + 1))
  const rowsPerGroup = axis === 1 ? weight.dims[0] / group : 1
  const out = Float32Array.from(values, (v, i) => {
    const position = Math.floor(i / inner)
    const inGroup = group > 1 ? Math.floor(position / channels / rowsPerGroup) : 0
    return v * scale[inGroup * channels + (position % channels)]
  })
  return floatTensor(weight.name, weight.dims, out)
}

function floatConstant({ graph, producers }: View, name: string): Tensor | undefined {
  const tensor = graph.initializers.get(name) ?? constantNode(producers.get(name))
  return tensor?.dtype === 'float32' ? tensor : undefined
}

function constantNode(node: Node | undefined): Tensor | undefined {
  const value = node?.op === 'Constant' ? node.attributes.value : undefined
  return value?.type === 'tensor' ? value.value : undefined
}

function isOnlyUse({ graph, consumers }: View, name: string, user: Node): boolean {
  const users = consumers.get(name) ?? []
  return users.length === 1 && users[0] === user && !graph.outputs.some((o) => o.name === name)
}
