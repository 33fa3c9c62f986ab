/**
 * Raising a model's operator set without changing what it computes. Only operators whose every step is known to be safe
 * are taken; any other is an error that names the node. Source: onnx/docs/Changelog.md.
 */
import { UnsupportedError } from '../errors.ts'
import { node as makeNode, nameSource } from '../graph/build.ts'
import { describe, floatAttribute, graphsOf, intAttribute, stringAttribute } from '../graph/walk.ts'
import {
  type Attribute,
  type Graph,
  irVersionOf,
  isOnnxDomain,
  type Model,
  type Node,
  opsetOf,
  type Tensor,
} from '../model.ts'
import { hasMovedAttributes, isTooOld, since } from '../ops/operator-sets.ts'
import { knownTensor } from '../ops/shape/known.ts'
import { inferShapes, type Known } from '../ops/shape.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { changedBefore8 } from './_upgrade-old.ts'
import {
  type Change,
  type Changes,
  onlyFirst,
  type Step,
  scalar,
  withMovedAttributes,
  without,
} from './_upgrade-step.ts'
import { mapGraphs } from './fold.ts'

/** What `upgradeOpset` can reach. */
export const upgradeTargets = { oldest: 8, newest: 20 } as const

/** The model, in the oldest operator set that can be worked with where it has an older one: ONNX Runtime and the methods know none. */
export function raisedIfTooOld(model: Model): Model {
  return isTooOld(opsetOf(model)) ? upgradeOpset(model, upgradeTargets.oldest) : model
}

/** The model in operator set `target`, with the same outputs. It is returned as it is where it has that or a newer one. */
export function upgradeOpset(model: Model, target: number): Model {
  if (!Number.isInteger(target) || target < upgradeTargets.oldest || target > upgradeTargets.newest) {
    throw new Error(
      `operator set: ${target} cannot be a target; expected ${upgradeTargets.oldest} to ${upgradeTargets.newest}`,
    )
  }
  const from = opsetOf(model)
  if (from >= target) return model
  const read = namesRead(model)
  const { values, nested } = inferShapes(model)
  const fresh = nameSource(model.graph)
  const constants: Tensor[] = []
  const made = new Map<string, Known>()
  const constant: Step['constant'] = (base, make) => {
    const tensor = make(fresh(base))
    constants.push(tensor)
    made.set(tensor.name, knownTensor(tensor))
    return tensor.name
  }
  const upgradeGraph = (graph: Graph, outer: (name: string) => Known | undefined): Graph => {
    const own = nested.get(graph) ?? (graph === model.graph ? values : new Map<string, Known>())
    const known = (name: string): Known => own.get(name) ?? outer(name) ?? made.get(name) ?? {}
    const nodes = graph.nodes.flatMap((node) => {
      const inside = mapGraphs(node, (inner) => upgradeGraph(inner, known))
      return upgradeNode({ node: withoutUnread(inside, read), known, constant, fresh }, from, target)
    })
    return { ...graph, nodes }
  }
  const graph = upgradeGraph(model.graph, () => undefined)
  const initializers = new Map([...graph.initializers, ...constants.map((t) => [t.name, t] as const)])
  const opsets = model.opsets.map((o) => (isOnnxDomain(o.domain) ? { ...o, version: target } : o))
  return {
    ...model,
    irVersion: Math.max(model.irVersion, irVersionOf(target)),
    opsets,
    graph: { ...graph, initializers },
  }
}

/** Every name that a node, or the world outside, reads. */
function namesRead(model: Model): ReadonlySet<string> {
  const read = new Set<string>()
  for (const graph of graphsOf(model)) {
    for (const node of graph.nodes) for (const name of node.inputs) read.add(name)
    for (const { name } of graph.outputs) read.add(name)
  }
  return read
}

/** Old exporters name every output, such as the mask of a Dropout that nothing reads. */
function withoutUnread(node: Node, read: ReadonlySet<string>): Node {
  if (!droppable.has(node.op)) return node
  let length = node.outputs.length
  while (length > 1 && !read.has(node.outputs[length - 1])) length--
  return { ...node, outputs: node.outputs.slice(0, length) }
}

const droppable = new Set(['BatchNormalization', 'Dropout'])

function upgradeNode(step: Step, from: number, target: number): readonly Node[] {
  const { node } = step
  if (!isOnnxDomain(node.domain)) return [node]
  const wasTrial = isTooOld(from) && Object.hasOwn(changedBefore8, node.op)
  if (!unchanged.has(node.op) && !Object.hasOwn(changed, node.op) && !hasMovedAttributes(node.op) && !wasTrial) {
    throw new UnsupportedError(`${describe(node)}: no known way to operator set ${target}`)
  }
  // Before 6 a node could say which inputs it writes over; nothing ever used it.
  let nodes: readonly Node[] = [from < 6 ? without(node, 'consumed_inputs') : node]
  // A change may give the node another operator (Upsample becomes Resize), whose own later changes are then due.
  for (let version = from + 1; version <= target; version++) {
    nodes = nodes.flatMap((n) => changedTo(version, { ...step, node: n }))
  }
  return nodes
}

function changedTo(version: number, step: Step): readonly Node[] {
  const table = version < 8 ? changedBefore8 : changed
  const change = Object.hasOwn(table, step.node.op) ? table[step.node.op][version] : undefined
  const result = change ? change(step) : step.node
  const nodes: readonly Node[] = Array.isArray(result) ? result : [result as Node]
  return nodes.map((node) => withMovedAttributes({ ...step, node }, version))
}

/** Versions up to 20 only took more types, spelled out a default or added an attribute with the old behaviour as default. */
const unchanged = new Set(
  `Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BitShift BitwiseAnd BitwiseNot BitwiseOr
  BitwiseXor BlackmanWindow Cast CastLike Ceil Celu CenterCropPad Col2Im Compress Concat ConcatFromSequence
  Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Det Div
  DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND
  Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HammingWindow
  HannWindow HardSigmoid HardSwish Identity If InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization
  LeakyRelu Less LessOrEqual Log Loop LpNormalization LpPool MatMul MatMulInteger Max MaxPool MaxRoiPool Mean
  MelWeightMatrix Min Mish Mod Mul Multinomial Neg NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot
  Optional OptionalGetElement OptionalHasElement Or PRelu Pow QLinearConv QLinearMatMul QuantizeLinear RNN
  RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal Relu Reshape ReverseSequence
  Round STFT ScatterElements ScatterND Selu SequenceAt SequenceConstruct SequenceEmpty SequenceErase
  SequenceInsert SequenceLength SequenceMap Shape Shrink Sigmoid Sign Sin Sinh Size SoftmaxCrossEntropyLoss
  Softplus Softsign SpaceToDepth SplitToSequence Sqrt StringNormalizer Sub Sum Tan Tanh TfIdfVectorizer
  ThresholdedRelu Tile Transpose Trilu Unique Where Xor`.split(/\s+/),
)

/** Upsample and Resize of 10 divide to find the nearest, rounded down to enlarge and up to shrink: the newer one is set to do so. */
const resize: Change = (step) => {
  const { node } = step
  const scales = step.known(node.inputs[1]).value as number[] | undefined
  const [shrinks, grows] = [scales?.some((v) => v < 1), scales?.some((v) => v > 1)]
  if (stringAttribute(node, 'mode', 'nearest') === 'nearest' && (!scales || (shrinks && grows))) {
    throw new UnsupportedError(`${describe(node)}: scales that ${scales ? 'shrink and enlarge' : 'are computed'}`)
  }
  const roi = step.constant(`${node.outputs[0]}_roi`, (n) => floatTensor(n, [0], []))
  const told = { coordinate_transformation_mode: 'asymmetric', nearest_mode: shrinks ? 'ceil' : 'floor' }
  const { attributes } = makeNode('Resize', [], [], told)
  return {
    ...node,
    op: 'Resize',
    inputs: [node.inputs[0], roi, node.inputs[1]],
    attributes: { ...node.attributes, ...attributes },
  }
}

/** Without a value it pads with zeros. */
const pad: Change = ({ node }) => (floatAttribute(node, 'value', 0) === 0 ? without(node, 'value') : node)

const upsample: Change = ({ node }) => {
  if (!node.attributes.scales) throw new UnsupportedError(`${describe(node)}: its scales are missing`)
  return node
}

const dropout: Change = onlyFirst((step) => {
  const ratio = step.constant(`${step.node.outputs[0]}_ratio`, (n) =>
    floatTensor(n, [], [floatAttribute(step.node, 'ratio', 0.5)]),
  )
  return { ...without(step.node, 'ratio'), inputs: [step.node.inputs[0], ratio] }
})

/** Statistics for each position, which are gone, are written out: scale · (x - mean) / sqrt(variance + epsilon) + bias. */
const batchNormalization: Change = onlyFirst((step) => {
  const { node } = step
  if (intAttribute(node, 'spatial', 1) === 1) return without(node, 'spatial')
  const [x, scale, bias, mean, variance] = node.inputs
  const [y] = node.outputs
  const epsilon = scalar(step, 'epsilon', floatAttribute(node, 'epsilon', 1e-5))
  const [sum, root, factor, centred, scaled] = ['variance', 'deviation', 'factor', 'centred', 'scaled'].map((name) =>
    step.fresh(`${y}_${name}`),
  )
  return [
    makeNode('Add', [variance, epsilon], [sum]),
    makeNode('Sqrt', [sum], [root]),
    makeNode('Div', [scale, root], [factor]),
    makeNode('Sub', [x, mean], [centred]),
    makeNode('Mul', [centred, factor], [scaled]),
    makeNode('Add', [scaled, bias], [y]),
  ]
})

/** Before 9 it took the mean over the batch and the sides, or over all; a flag could leave the variance as it was. */
const meanVariance: Change = ({ node }) => {
  if (intAttribute(node, 'normalize_variance', 1) !== 1)
    throw new UnsupportedError(`${describe(node)}: it leaves the variance as it is`)
  const axes: Attribute = { type: 'ints', value: intAttribute(node, 'across_channels', 0) ? [0, 1, 2, 3] : [0, 2, 3] }
  return { ...node, attributes: { ...without(node, 'across_channels', 'normalize_variance').attributes, axes } }
}

/** All axes from `axis` on were one; now `axis` is the only one. */
const softmax: Change = (step) => {
  const { node } = step
  const shape = step.known(node.inputs[0]).shape
  const given = intAttribute(node, 'axis', 1)
  const axis = given < 0 && shape ? given + shape.length : given
  const only = shape?.slice(axis + 1).every((d) => d === 1)
  if (only || given === -1) return { ...node, attributes: { ...node.attributes, axis: { type: 'int', value: axis } } }
  const [size, flat, soft] = ['shape', 'flat', 'soft'].map((n) => step.fresh(`${node.outputs[0]}_${n}`))
  return [
    makeNode('Shape', [node.inputs[0]], [size]),
    makeNode('Flatten', [node.inputs[0]], [flat], { axis: given }),
    { ...node, inputs: [flat], outputs: [soft], attributes: { axis: { type: 'int', value: 1 } } },
    makeNode('Reshape', [soft, size], node.outputs),
  ]
}

/** A Split into equal parts says into how many. */
const split: Change = ({ node }) => {
  if (node.inputs[1]) return node
  const count: Attribute = { type: 'int', value: node.outputs.length }
  return { ...node, attributes: { ...node.attributes, num_outputs: count } }
}

/** The interpolations have other names since 20. */
const gridSample: Change = ({ node }) => {
  const mode = stringAttribute(node, 'mode', 'bilinear').replace(/^bi/, '')
  return { ...node, attributes: { ...node.attributes, mode: { type: 'string', value: mode } } }
}

/** Since 16 places are half a pixel off by default. */
const roiAlign: Change = ({ node }) => {
  const coordinate_transformation_mode: Attribute = { type: 'string', value: 'output_half_pixel' }
  return { ...node, attributes: { coordinate_transformation_mode, ...node.attributes } }
}

/** Changes that `withMovedAttributes` does not make, or that come before it does. */
const changed: Changes = {
  BatchNormalization: { 9: batchNormalization, 14: onlyFirst(({ node }) => node) },
  Dropout: { 10: onlyFirst(({ node }) => node), 12: dropout },
  GridSample: { 20: gridSample },
  Hardmax: { [since.softmaxOfOneAxis]: softmax },
  LogSoftmax: { [since.softmaxOfOneAxis]: softmax },
  MeanVarianceNormalization: { 9: meanVariance },
  Pad: { 11: pad },
  Resize: { [since.resizeToSizes]: resize },
  RoiAlign: { 16: roiAlign },
  Scatter: { 11: ({ node }) => ({ ...node, op: 'ScatterElements' }) },
  Softmax: { [since.softmaxOfOneAxis]: softmax },
  Split: { [since.splitCount]: split },
  Upsample: { 9: upsample, 10: ({ node }) => ({ ...node, op: 'Resize' }) },
}
