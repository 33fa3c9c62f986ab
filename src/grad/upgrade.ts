/**
 * A model in the form of one recent operator set, so that backward rules know one form of each operator: what older
 * sets kept in attributes (axes, pads, clip bounds, ratios) becomes inputs, and Constant nodes become initialisers.
 * Only for graphs that are trained; the model that a user gets back keeps its own operator set.
 */
import { UnsupportedError } from '../errors.ts'
import { nameSource, node } from '../graph/build.ts'
import { describe, floatAttribute, intAttribute, intsAttribute, stringAttribute, subgraphsOf } from '../graph/walk.ts'
import { type Attribute, isOnnxDomain, type Model, type Node, opsetOf, type Tensor } from '../model.ts'
import type { Shapes } from '../ops/shape.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'

export const trainingOpset = 20

interface Tools {
  readonly opset: number
  readonly rank: (name: string) => number
  ints(values: readonly number[]): string
  float(value: number): string
  fresh(base: string): string
}

type Upgrade = (n: Node, tools: Tools) => readonly Node[]

/** The model with every node in the form of `trainingOpset` (newer ones are left as they are). */
export function upgrade(model: Model, shapes: Shapes): Model {
  const opset = opsetOf(model)
  if (opset < 7) throw new UnsupportedError(`model: operator set ${opset} is too old to train; expected 7 or newer`)
  const initializers = new Map(model.graph.initializers)
  const fresh = nameSource(model.graph)
  const store = (tensor: Tensor): string => {
    initializers.set(tensor.name, tensor)
    return tensor.name
  }
  const tools: Tools = {
    opset,
    fresh,
    rank: (name) => {
      const shape = shapes.values.get(name)?.shape
      if (!shape) throw new UnsupportedError(`model: the shape of "${name}" is not known`)
      return shape.length
    },
    // "To the end" is written as the largest int64, which a double rounds up beyond it.
    ints: (values) => store(integerTensor(fresh('ints'), 'int64', [values.length], values.map(clampToSafe))),
    float: (value) => store(floatTensor(fresh('float'), [], [value])),
  }
  const nodes: Node[] = []
  for (const n of model.graph.nodes) {
    const value = n.attributes.value
    if (n.op === 'Constant' && value?.type === 'tensor') {
      initializers.set(n.outputs[0], { ...value.value, name: n.outputs[0] })
      continue
    }
    if (subgraphsOf(n).length > 0 || !isOnnxDomain(n.domain)) nodes.push(n)
    else nodes.push(...(upgrades[n.op]?.(n, tools) ?? [n]))
  }
  const opsets = model.opsets.map((o) =>
    isOnnxDomain(o.domain) ? { ...o, version: Math.max(o.version, trainingOpset) } : o,
  )
  const irVersion = Math.max(model.irVersion, 9)
  return { ...model, irVersion, opsets, graph: { ...model.graph, nodes, initializers } }
}

function clampToSafe(value: number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value))
}

function without(n: Node, ...names: readonly string[]): Record<string, Attribute> {
  return Object.fromEntries(Object.entries(n.attributes).filter(([name]) => !names.includes(name)))
}

/** An attribute that became the input at `index`. */
const toInput =
  (name: string, index: number): Upgrade =>
  (n, tools) => {
    const values = intsAttribute(n, name)
    if (!values) return [n]
    const inputs = Array.from({ length: index }, (_, i) => n.inputs[i] ?? '')
    return [{ ...n, inputs: [...inputs, tools.ints(values)], attributes: without(n, name) }]
  }

const slice: Upgrade = (n, tools) => {
  const starts = intsAttribute(n, 'starts')
  if (!starts) return [n]
  const axes = intsAttribute(n, 'axes') ?? starts.map((_, i) => i)
  const lists = [starts, intsAttribute(n, 'ends') ?? [], axes].map(tools.ints)
  return [{ ...n, inputs: [n.inputs[0], ...lists], attributes: {} }]
}

const clip: Upgrade = (n, tools) => {
  if (tools.opset >= 11) return [n]
  const bound = (name: string): string => (n.attributes[name] ? tools.float(floatAttribute(n, name, 0)) : '')
  return [{ ...n, inputs: [n.inputs[0], bound('min'), bound('max')], attributes: {} }]
}

const pad: Upgrade = (n, tools) => {
  const pads = intsAttribute(n, 'pads')
  if (!pads) return [n]
  const value = tools.float(floatAttribute(n, 'value', 0))
  return [{ ...n, inputs: [n.inputs[0], tools.ints(pads), value], attributes: without(n, 'pads', 'value') }]
}

const split: Upgrade = (n, tools) => {
  const sizes = intsAttribute(n, 'split')
  if (sizes) return [{ ...n, inputs: [n.inputs[0], tools.ints(sizes)], attributes: without(n, 'split') }]
  if (n.inputs[1] || n.attributes.num_outputs) return [n]
  return [{ ...n, attributes: { ...n.attributes, num_outputs: { type: 'int', value: n.outputs.length } } }]
}

/** Before set 13, softmax worked on the matrix that the axes from `axis` on flatten to. */
const softmax: Upgrade = (n, tools) => {
  if (tools.opset >= 13) return [n]
  const rank = tools.rank(n.inputs[0])
  const given = intAttribute(n, 'axis', 1)
  const axis = given < 0 ? given + rank : given
  const attributes: Record<string, Attribute> = { axis: { type: 'int', value: -1 } }
  if (axis === rank - 1) return [{ ...n, attributes }]
  const [flat, soft, shape] = [tools.fresh('flat'), tools.fresh('soft'), tools.fresh('shape')]
  return [
    node('Flatten', [n.inputs[0]], [flat], { axis }),
    { ...n, inputs: [flat], outputs: [soft], attributes },
    node('Shape', [n.inputs[0]], [shape]),
    node('Reshape', [soft, shape], [...n.outputs]),
  ]
}

/** In inference form: the identity. (Training gives it masks.) */
const dropout: Upgrade = (n, tools) => {
  if (tools.opset >= 12) return [n]
  const inputs = [n.inputs[0], tools.float(floatAttribute(n, 'ratio', 0.5))]
  return [{ ...n, inputs, outputs: n.outputs.slice(0, 1), attributes: {} }]
}

const batchNormalization: Upgrade = (n, tools) => {
  if (tools.opset >= 14) return [n]
  if (intAttribute(n, 'spatial', 1) !== 1)
    throw new UnsupportedError(`${describe(n)}: statistics for each position (spatial = 0) cannot be trained`)
  return [{ ...n, outputs: n.outputs.slice(0, 1), attributes: without(n, 'spatial', 'is_test', 'consumed_inputs') }]
}

/** Set 10 had no regions of interest and one way to place coordinates; Upsample is its older name. */
const resize: Upgrade = (n, tools) => {
  if (n.op === 'Resize' && tools.opset >= 11) return [n]
  const mode = stringAttribute(n, 'mode', 'nearest')
  const scales = n.attributes.scales
  const attributes = {
    mode: mode === 'bilinear' || mode === 'trilinear' ? 'linear' : mode,
    coordinate_transformation_mode: 'asymmetric',
    nearest_mode: 'floor',
  }
  if (!n.inputs[1] && scales?.type === 'floats')
    throw new UnsupportedError(`${describe(n)}: scales in an attribute cannot be trained; expected an input`)
  return [node('Resize', [n.inputs[0], '', n.inputs[1]], [...n.outputs], attributes, { name: n.name })]
}

const upgrades: Readonly<Record<string, Upgrade>> = {
  Clip: clip,
  Pad: pad,
  Slice: slice,
  Split: split,
  Squeeze: toInput('axes', 1),
  Unsqueeze: toInput('axes', 1),
  Softmax: softmax,
  LogSoftmax: softmax,
  Dropout: dropout,
  BatchNormalization: batchNormalization,
  Resize: resize,
  Upsample: resize,
  ...Object.fromEntries(
    ['L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'Sum', 'SumSquare'].map((kind) => [
      `Reduce${kind}`,
      toInput('axes', 1),
    ]),
  ),
}
