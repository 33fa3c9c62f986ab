/**
 * Following stored tensors through the nodes that rearrange them, change their type, or compute with constants alone:
 * which of them a value is made of, and which stored axis each of its axes is.
 */
import { type Graph, isOnnxDomain, type Node, type Tensor } from '../model.ts'
import { integers, isFloat, sizeOf } from '../tensor/dtype.ts'
import { arithmetic } from './roles.ts'
import { intAttribute, intsAttribute, isRandom } from './walk.ts'

export interface Stored {
  /** The name of the value. */
  readonly name: string
  readonly tensor: Tensor
  /** The graph that stores it (for a local function's Constant: the main graph). */
  readonly graph: Graph
  /** The Constant node that holds it; undefined for an initialiser. */
  readonly constant?: Node
}

/** A stored tensor as a value shows it. */
export interface Part {
  readonly stored: Stored
  /** For each axis of the value the stored axis that it is, where it is one; undefined where nothing is known of axes. */
  readonly axes?: readonly (number | undefined)[]
  /** Whether the value is all of the stored tensor, and nothing else: rearranged or of another type at most. */
  readonly whole: boolean
  /** Whether the value is the stored tensor itself. */
  readonly direct: boolean
  /** That it only scales or shifts other parts, or is a codebook of them. */
  readonly isFactor?: boolean
}

/** What is known of a value that stored tensors are in. */
export interface Followed {
  readonly parts: readonly Part[]
  /** Whether constants alone decide it. */
  readonly fixed: boolean
}

export function storedValue(stored: Stored): Followed {
  return { parts: [{ stored, axes: stored.tensor.dims.map((_, i) => i), whole: true, direct: true }], fixed: true }
}

/** Nodes that hand on the numbers of their first input, whatever their other inputs are. */
const carriers = new Set([
  ...['Identity', 'Cast', 'CastLike', 'QuantizeLinear', 'DequantizeLinear', 'Transpose', 'Squeeze', 'Unsqueeze'],
  ...['Reshape', 'Flatten', 'Slice', 'Split', 'Expand', 'Tile', 'Pad', 'Resize', 'Upsample'],
])
/** Element by element, of one input. */
const unary = new Set([
  'Abs',
  'Ceil',
  'Clip',
  'Exp',
  'Floor',
  'Log',
  'Neg',
  'Reciprocal',
  'Relu',
  'Round',
  'Sign',
  'Sqrt',
])

/** Beyond this a value is no layer's weight any more, and following on would be slow. */
const maxParts = 1000

export interface Step {
  readonly followed: Followed
  /** The inputs that `followed` is made of; the others say how. */
  readonly inputs: readonly number[]
}

/** What a node's outputs are made of, where it hands on stored numbers or computes with constants alone. */
export function followNode(node: Node, values: readonly (Followed | undefined)[]): Step | undefined {
  const given = node.inputs.flatMap((name, i) => (name ? [i] : []))
  const fixed = given.length > 0 && given.every((i) => values[i]?.fixed)
  if (isCarrier(node)) {
    const [data] = values
    return data && { followed: { parts: data.parts.map((p) => carried(node, p, values)), fixed }, inputs: [0] }
  }
  if (!fixed || isRandom(node)) return undefined
  const inputs = given.filter((i) => i === 0 || isData(node, i, values))
  return { followed: { parts: combined(node, inputs, values), fixed }, inputs }
}

function isCarrier(node: Node): boolean {
  if (node.op === 'FakeQuantize') return node.domain === 'coppice'
  return carriers.has(node.op) && (isOnnxDomain(node.domain) || /uantizeLinear$/.test(node.op))
}

/** Nodes whose every input is numbers that they compute with. */
const ofNumbers = new Set([...arithmetic, 'Concat', 'MatMul', 'Gemm', 'Einsum', 'Where'])

/** Whether a later input holds numbers, rather than axes, sizes or places. */
function isData(node: Node, input: number, values: readonly (Followed | undefined)[]): boolean {
  const parts = values[input]?.parts ?? []
  if (ofNumbers.has(node.op) || parts.some((p) => isFloat(p.stored.tensor.dtype))) return true
  // A codebook, one vector, and the indices into it are both the value; other Gathers of constants pick rows.
  const data = values[0]?.parts ?? []
  return node.op === 'Gather' && data.length === 1 && data[0].stored.tensor.dims.length === 1
}

function combined(node: Node, inputs: readonly number[], values: readonly (Followed | undefined)[]): Part[] {
  const parts = inputs.map((i) => values[i]?.parts ?? [])
  const largest = Math.max(...parts.flat().map(sizeOfPart), 0)
  const found = new Map<Tensor, Part>()
  for (const [k, list] of parts.entries()) {
    for (const part of list) {
      const isFactor = part.isFactor || isFactorOf(node, { part, alone: list.length === 1, largest, input: inputs[k] })
      const axes = axesThrough(node, inputs[k], { part, values })
      const { stored } = part
      if (found.size < maxParts && !found.has(stored.tensor))
        found.set(stored.tensor, {
          stored,
          whole: false,
          direct: false,
          ...(axes ? { axes } : {}),
          ...(isFactor ? { isFactor } : {}),
        })
    }
  }
  return [...found.values()]
}

function isFactorOf(
  node: Node,
  { part, alone, largest, input }: { part: Part; alone: boolean; largest: number; input: number },
): boolean {
  if (largest > 1 && sizeOfPart(part) === 1) return true
  if (node.op === 'Gather') return input === 0
  return arithmetic.has(node.op) && alone && part.whole && sizeOfPart(part) < largest
}

function sizeOfPart({ stored }: Part): number {
  return sizeOf(stored.tensor.dims)
}

interface Through {
  readonly part: Part
  readonly values: readonly (Followed | undefined)[]
}

function axesThrough(node: Node, input: number, { part, values }: Through): Part['axes'] {
  const { axes } = part
  if (!axes) return undefined
  if (unary.has(node.op) || node.op === 'Concat') return axes
  if (arithmetic.has(node.op)) {
    const rank = Math.max(...values.map((v) => v?.parts[0]?.axes?.length ?? 0))
    return [...Array<undefined>(Math.max(0, rank - axes.length)).fill(undefined), ...axes]
  }
  // A product of two low-rank factors: the rows of one, the columns of the other.
  if (node.op === 'MatMul' && axes.length === 2) return input === 0 ? [axes[0], undefined] : [undefined, axes[1]]
  return undefined
}

/** A part behind a node that hands it on. */
function carried(node: Node, part: Part, values: readonly (Followed | undefined)[]): Part {
  const axes = part.axes && carriedAxes(node, part, values)
  const whole = part.whole && !['Slice', 'Split', 'Expand', 'Tile', 'Pad', 'Resize', 'Upsample'].includes(node.op)
  const { stored, isFactor } = part
  return {
    stored,
    whole,
    direct: node.op === 'Identity' && part.direct,
    ...(axes ? { axes } : {}),
    ...(isFactor ? { isFactor } : {}),
  }
}

function carriedAxes(node: Node, part: Part, values: readonly (Followed | undefined)[]): Part['axes'] {
  const axes = part.axes ?? []
  switch (node.op) {
    case 'Expand':
    case 'Flatten':
      return undefined
    case 'Transpose': {
      const order = intsAttribute(node, 'perm') ?? axes.map((_, i) => axes.length - 1 - i)
      return order.map((p) => axes[p])
    }
    case 'Unsqueeze':
    case 'Squeeze':
    case 'Reshape': {
      const given = values[1]?.fixed ? values[1].parts[0]?.stored.tensor : undefined
      const list =
        given && !isFloat(given.dtype)
          ? Array.from(integers(given))
          : intsAttribute(node, node.op === 'Reshape' ? 'shape' : 'axes')
      return list && rearranged(node, part, list)
    }
    default:
      return axes
  }
}

/** `list`: the axes that are added or dropped, or the shape that is asked for. */
function rearranged(node: Node, part: Part, list: readonly number[]): Part['axes'] {
  const axes = part.axes ?? []
  if (node.op === 'Unsqueeze') {
    const rank = axes.length + list.length
    const added = new Set(list.map((a) => (a < 0 ? a + rank : a)))
    let next = 0
    return Array.from({ length: rank }, (_, i) => (added.has(i) ? undefined : axes[next++]))
  }
  if (node.op === 'Squeeze') {
    const dropped = new Set(list.map((a) => (a < 0 ? a + axes.length : a)))
    return axes.filter((_, i) => !dropped.has(i))
  }
  // Reshape keeps its leading and trailing axes as long as the sizes agree; only known while nothing was permuted.
  const { dims } = part.stored.tensor
  const wanted = list.map((d, i) => (d === 0 && intAttribute(node, 'allowzero', 0) === 0 ? (dims[i] ?? 0) : d))
  const out: (number | undefined)[] = wanted.map(() => undefined)
  if (axes.length !== dims.length || axes.some((a, i) => a !== i)) return out
  const open = wanted.indexOf(-1)
  if (open >= 0) wanted[open] = sizeOf(dims) / Math.abs(sizeOf(wanted))
  for (let i = 0; i < Math.min(wanted.length, dims.length) && wanted[i] === dims[i]; i++) out[i] = i
  for (let i = 1; i <= Math.min(wanted.length, dims.length) && wanted.at(-i) === dims.at(-i); i++) {
    out[wanted.length - i] = dims.length - i
  }
  return out
}
