/**
 * What changed in operator sets 2 to 7: broadcasting that attributes steered, lists that were attributes, flags for
 * training, and a few operators of set 1 that were experiments and were removed (Affine, Crop, ImageScaler,
 * ParametricSoftplus, ScaledTanh). Source: onnx/docs/Changelog.md.
 */
import { UnsupportedError } from '../errors.ts'
import { f, node as makeNode } from '../graph/build.ts'
import { describe, floatAttribute, intAttribute, intsAttribute, stringAttribute } from '../graph/walk.ts'
import type { Attribute, Node } from '../model.ts'
import { broadcastingOps, since } from '../ops/operator-sets.ts'
import { dataTypeNamed, dataTypes, floatTensor } from '../tensor/dtype.ts'
import { type Change, type Changes, ints, type Step, scalar, without } from './_upgrade-step.ts'

/** The node with attributes set where it has none of that name. */
function withDefaults(node: Node, defaults: Readonly<Record<string, Attribute>>): Node {
  return { ...node, attributes: { ...defaults, ...node.attributes } }
}

const int = (value: number): Attribute => ({ type: 'int', value })

function rankOf(step: Step, name: string): number {
  const { shape } = step.known(name)
  if (!shape)
    throw new UnsupportedError(`${describe(step.node)}: it depends on the rank of "${name}", which is not known`)
  return shape.length
}

/** The name of an input with `count` dimensions of 1 after its own, and the node that makes it. */
function trailed(step: Step, name: string, count: number): { name: string; nodes: Node[] } {
  if (count === 0) return { name, nodes: [] }
  const rank = rankOf(step, name)
  const made = step.fresh(`${step.node.outputs[0]}_aligned`)
  const axes = Array.from({ length: count }, (_, i) => rank + i)
  return { name: made, nodes: [makeNode('Unsqueeze', [name], [made], { axes })] }
}

/** B's dimensions lay at A's from `axis` on, else at its last ones, as they do now. */
const broadcast: Change = (step) => {
  const { node } = step
  const plain = without(node, 'broadcast', 'axis')
  if (intAttribute(node, 'broadcast', 0) === 0 || !node.attributes.axis) return plain
  const [a, b] = node.inputs
  const [rank, own] = [rankOf(step, a), rankOf(step, b)]
  const axis = intAttribute(node, 'axis', 0)
  const after = rank - (axis < 0 ? axis + rank : axis) - own
  // One element fits anywhere.
  if (after < 0 && !step.known(b).shape?.every((d) => d === 1))
    throw new UnsupportedError(`${describe(node)}: axis ${axis} does not fit inputs of ${rank} and ${own} dimensions`)
  const aligned = trailed(step, b, Math.max(0, after))
  return [...aligned.nodes, { ...plain, inputs: [a, aligned.name] }]
}

/** One slope per channel, the second dimension; now a slope broadcasts from the last one. */
const prelu: Change = (step) => {
  const { node } = step
  const [x, slope] = node.inputs
  if (rankOf(step, slope) !== 1 || step.known(slope).shape?.[0] === 1) return node
  const aligned = trailed(step, slope, Math.max(0, rankOf(step, x) - 2))
  return [...aligned.nodes, { ...node, inputs: [x, aligned.name] }]
}

/** Two descriptions of the flag disagree; a node whose statistics nobody reads was always run as a test. */
const batchNormalization: Change = ({ node }) => {
  if (intAttribute(node, 'is_test', 0) === 0 && node.outputs.slice(1).some((o) => o))
    throw new UnsupportedError(`${describe(node)}: it is in training form`)
  return { ...without(node, 'is_test'), outputs: node.outputs.slice(0, 1) }
}

/** The element type by its name in TensorProto.DataType. */
const cast: Change = ({ node }) => {
  if (node.attributes.to?.type !== 'string') return node
  const name = stringAttribute(node, 'to', '')
  const dtype = dataTypeNamed(name)
  if (!dtype) throw new UnsupportedError(`${describe(node)}: no element type is named "${name}"`)
  return { ...node, attributes: { ...node.attributes, to: int(dataTypes[dtype].code) } }
}

const pad: Change = ({ node }) => {
  const { paddings, ...rest } = node.attributes
  return paddings ? { ...node, attributes: { ...rest, pads: paddings } } : node
}

/** The order of a norm as a whole number. */
const wholeP: Change = ({ node }) => {
  const p = node.attributes.p?.type === 'float' ? floatAttribute(node, 'p', 2) : intAttribute(node, 'p', 2)
  if (!Number.isInteger(p)) throw new UnsupportedError(`${describe(node)}: a norm of order ${p}`)
  return { ...node, attributes: { ...node.attributes, p: int(p) } }
}

/** The parts' sizes could be an input. */
const split: Change = (step) => {
  const node = withDefaults(step.node, { axis: int(0) })
  if (!node.inputs[1]) return node
  const sizes = step.known(node.inputs[1]).value
  if (!sizes?.every((v) => typeof v === 'number'))
    throw new UnsupportedError(`${describe(node)}: the sizes of its parts are computed`)
  const list: Attribute = { type: 'ints', value: sizes as number[] }
  return { ...node, inputs: [node.inputs[0]], attributes: { ...node.attributes, split: list } }
}

/** It repeated along one axis. */
const tile: Change = (step) => {
  const { node } = step
  const [x, tiles, axis] = node.inputs
  if (axis === undefined) return node
  const [count, at] = [step.known(tiles).value?.[0], step.known(axis).value?.[0]]
  if (typeof count !== 'number' || typeof at !== 'number')
    throw new UnsupportedError(`${describe(node)}: how often it repeats is computed`)
  const repeats = new Array<number>(rankOf(step, x)).fill(1)
  repeats[at < 0 ? at + repeats.length : at] = count
  return { ...node, inputs: [x, ints(step, 'repeats', repeats)] }
}

const upsample: Change = ({ node }) => {
  if (node.attributes.scales) return node
  const [height, width] = [floatAttribute(node, 'height_scale', 1), floatAttribute(node, 'width_scale', 1)]
  const scales: Attribute = { type: 'floats', value: [1, 1, height, width] }
  const rest = without(node, 'height_scale', 'width_scale')
  return { ...rest, attributes: { ...rest.attributes, scales } }
}

const drop =
  (...names: string[]): Change =>
  ({ node }) =>
    without(node, ...names)

/** A chain of nodes of one input, the last of which makes the node's output. */
function chain(step: Step, links: readonly { op: string; second?: string }[]): Node[] {
  let value = step.node.inputs[0]
  return links.map(({ op, second }, i) => {
    const out = i === links.length - 1 ? step.node.outputs[0] : step.fresh(`${step.node.outputs[0]}_${op}`)
    const made = makeNode(op, second ? [value, second] : [value], [out])
    value = out
    return made
  })
}

/** alpha x + beta */
const affine: Change = (step) =>
  chain(step, [
    { op: 'Mul', second: scalar(step, 'alpha', floatAttribute(step.node, 'alpha', 1)) },
    { op: 'Add', second: scalar(step, 'beta', floatAttribute(step.node, 'beta', 0)) },
  ])

/** alpha g(beta x) */
const scaled =
  (op: string): Change =>
  (step) =>
    chain(step, [
      { op: 'Mul', second: scalar(step, 'beta', floatAttribute(step.node, 'beta', 1)) },
      { op },
      { op: 'Mul', second: scalar(step, 'alpha', floatAttribute(step.node, 'alpha', 1)) },
    ])

/** scale x + bias[channel] */
const imageScaler: Change = (step) => {
  const bias = step.node.attributes.bias
  const values = bias?.type === 'floats' ? bias.value : []
  const name = step.constant(`${step.node.outputs[0]}_bias`, (n) => floatTensor(n, [values.length, 1, 1], values))
  return chain(step, [
    { op: 'Mul', second: scalar(step, 'scale', floatAttribute(step.node, 'scale', 1)) },
    { op: 'Add', second: name },
  ])
}

/** Cuts a border of left, top, right and bottom off images, or as much as leaves `scale`: height and width. */
const crop: Change = ({ node }) => {
  const [left = 0, top = 0, right = 0, bottom = 0] = intsAttribute(node, 'border') ?? []
  const kept = intsAttribute(node, 'scale')
  const end = (border: number): number => (border === 0 ? 2 ** 31 - 1 : -border)
  const ends = kept ? [top + kept[0], left + kept[1]] : [end(bottom), end(right)]
  return makeNode('Slice', [node.inputs[0]], [node.outputs[0]], { starts: [top, left], ends, axes: [2, 3] })
}

export const changedBefore8: Changes = {
  ...Object.fromEntries(broadcastingOps.map((op) => [op, { [since.numpyBroadcasting]: broadcast }])),
  ...Object.fromEntries(['GRU', 'LSTM', 'RNN'].map((op) => [op, { 7: drop('output_sequence') }])),
  Affine: { 7: affine },
  BatchNormalization: { 7: batchNormalization },
  Cast: { 6: cast },
  Concat: { 4: ({ node }) => withDefaults(node, { axis: int(1) }) },
  Crop: { 7: crop },
  Dropout: { 7: drop('is_test') },
  Gemm: { 7: drop('broadcast') },
  GlobalLpPool: { 2: wholeP },
  ImageScaler: { 7: imageScaler },
  LpPool: { 2: wholeP },
  PRelu: { [since.numpyBroadcasting]: prelu },
  Pad: { 2: pad },
  ParametricSoftplus: { 7: scaled('Softplus') },
  ScaledTanh: { 7: scaled('Tanh') },
  // The defaults of set 1 had fewer digits.
  Selu: { 6: ({ node }) => withDefaults(node, { alpha: f(1.6732), gamma: f(1.0507) }) },
  Split: { 2: split },
  Tile: { [since.tileEveryAxis]: tile },
  Upsample: { 7: upsample },
}
