/**
 * What changed from one of ONNX's operator sets to the next, where more than one part of coppice must know it: lists and
 * numbers that were attributes and became inputs, and changes of meaning. Everyone else asks here. How nodes are rewritten
 * for a newer set is in simplify/upgrade.ts, which reads this table too. Source: onnx/docs/Changelog.md.
 */
import { intsAttribute } from '../graph/walk.ts'
import type { Node } from '../model.ts'

interface MovedAttribute {
  /** The first set in which it is an input. */
  readonly since: number
  readonly input: number
}

const reductions = ['L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'SumSquare'].map(
  (kind) => `Reduce${kind}`,
)

/** Attributes that became inputs, by operator and attribute. */
const movedAttributes: Readonly<Record<string, Readonly<Record<string, MovedAttribute>>>> = {
  ...Object.fromEntries(reductions.map((op) => [op, { axes: { since: 18, input: 1 } }])),
  Clip: { min: { since: 11, input: 1 }, max: { since: 11, input: 2 } },
  Pad: { pads: { since: 11, input: 1 }, value: { since: 11, input: 2 } },
  ReduceSum: { axes: { since: 13, input: 1 } },
  Reshape: { shape: { since: 5, input: 1 } },
  Slice: { starts: { since: 10, input: 1 }, ends: { since: 10, input: 2 }, axes: { since: 10, input: 3 } },
  Split: { split: { since: 13, input: 1 } },
  Squeeze: { axes: { since: 13, input: 1 } },
  TopK: { k: { since: 10, input: 1 } },
  Unsqueeze: { axes: { since: 13, input: 1 } },
  Upsample: { scales: { since: 9, input: 1 } },
}

/** Changes of meaning: the first set that has the new one. */
export const since = {
  /** Tile: repeats along every axis, no longer along one. */
  tileEveryAxis: 6,
  /** Inputs broadcast as in NumPy (`broadcastingOps`); before, `broadcast` and `axis` said how, and PRelu had a slope per channel. */
  numpyBroadcasting: 7,
  /** Scan: no batch axis, no list of lengths. */
  scanWithoutBatch: 9,
  /** Dropout: the mask is boolean. */
  booleanMask: 10,
  /** Range; Mod (10) and the rest of what hashes are computed with are there too. */
  range: 11,
  /** Resize: a region, then scales, then sizes; before, scales alone. */
  resizeToSizes: 11,
  /** Softmax, LogSoftmax, Hardmax: over `axis` alone, by default the last; before, over all axes from `axis` on, by default 1. */
  softmaxOfOneAxis: 13,
  /** Cast: to and from bfloat16. */
  bfloat16Casts: 13,
  /** QuantizeLinear, DequantizeLinear: a scale per channel. */
  scalePerChannel: 13,
  /** Split into equal parts: `num_outputs` says how many. */
  splitCount: 18,
  /** DFT: the axis is an input, by default the last but one; before, an attribute, by default 1. */
  dftAxisInput: 20,
} as const

/** Operators whose inputs broadcast as in NumPy since `since.numpyBroadcasting`. */
export const broadcastingOps = 'Add And Div Equal Greater Less Mul Or Pow Sub Xor'.split(' ')

/** Whether a model must be raised before anything works with it: ONNX Runtime computes sets from 7 on, and methods know those. */
export const isTooOld = (opset: number): boolean => opset < 7

/** The attributes of an operator that are inputs from a set on, in the order of those inputs. */
export function movedAt(op: string, opset: number): [name: string, input: number][] {
  return Object.entries(movesOf(op)).flatMap(([name, { since, input }]) => (since === opset ? [[name, input]] : []))
}

/** Whether an operator has any. */
export const hasMovedAttributes = (op: string): boolean => Object.hasOwn(movedAttributes, op)

function movesOf(op: string): Readonly<Record<string, MovedAttribute>> {
  return hasMovedAttributes(op) ? movedAttributes[op] : {}
}

/**
 * A list of whole numbers that is an attribute in older sets and an input in newer ones. `read` gives the elements of the
 * input. Undefined: the node has none.
 */
export function listOf<T>(node: Node, name: string, read: (input: number) => T): number[] | T | undefined {
  const attribute = intsAttribute(node, name)
  if (attribute) return attribute
  const input = movesOf(node.op)[name]?.input
  return input !== undefined && node.inputs[input] ? read(input) : undefined
}

/** Whether nodes of an operator have a list as an input, in this set. */
export function isInput(op: string, attribute: string, opset: number): boolean {
  const moved = movesOf(op)[attribute]
  return moved !== undefined && opset >= moved.since
}
