/**
 * What is known about a value before anything runs, and the helpers that the shape rules are written with.
 *
 * A rule takes a call (a node and what is known of its inputs) and gives what is known of its outputs. It throws
 * `ShapeProblem` where the inputs contradict each other, and `UnsupportedError` where it cannot say.
 */
import type { Dim, Graph, Node, SparseTensor, Tensor } from '../../model.ts'
import { type DataType, dataTypes, floats, integers, sizeOf } from '../../tensor/dtype.ts'

/** Every part may be missing: then it is not known. */
export interface Known {
  readonly dtype?: DataType
  readonly shape?: readonly Dim[]
  /**
   * The elements of a small tensor in row-major order, where they follow from constants and shapes alone. An element
   * may be a symbol (`Shape` of `[N, 3]` is `['N', 3]`) or undefined. Booleans are 0 and 1.
   */
  readonly value?: readonly Dim[]
  /** Of a sequence or an optional: what is known of each of its elements. Its own type and shape are then not known. */
  readonly element?: Known
}

export interface Call {
  readonly node: Node
  /** The version of ONNX's own operator set. */
  readonly opset: number
  /** What is known of input `i`; nothing where it is left out. */
  readonly in: (i: number) => Known
  /** Whether input `i` is there. */
  readonly has: (i: number) => boolean
  /** Outputs of a graph in an attribute, given what is known of its inputs; `aside` keeps its problems to itself. */
  readonly infer: (graph: Graph, inputs: readonly Known[], aside?: boolean) => Known[]
}

export type Rule = (call: Call) => readonly Known[]

/** The model contradicts itself. The message is the part after the node's name. */
export class ShapeProblem extends Error {
  override name = 'ShapeProblem'
}

export function fail(what: string): never {
  throw new ShapeProblem(what)
}

/** Elements of a tensor that shape arithmetic may follow. */
export const maxElements = 1024
/** Dimensions that a tensor may have; ONNX Runtime itself stops far earlier. */
export const maxRank = 255

export function knownTensor(tensor: Tensor): Known {
  const { dtype, dims } = tensor
  if (sizeOf(dims) > maxElements) return { dtype, shape: dims }
  const { kind } = dataTypes[dtype]
  if (kind === 'float') return { dtype, shape: dims, value: Array.from(floats(tensor)) }
  if (kind === 'int' || kind === 'uint' || kind === 'bool')
    return { dtype, shape: dims, value: Array.from(integers(tensor)) }
  return { dtype, shape: dims }
}

export function knownSparse({ values, dims }: SparseTensor): Known {
  return { dtype: values.dtype, shape: dims }
}

/** Shape arithmetic's usual result: a list of int64. */
export function int64s(value: readonly Dim[]): Known {
  return { dtype: 'int64', shape: [value.length], value }
}

/** The whole numbers of an input, or undefined where any of them is not known. */
export function numbers(known: Known): number[] | undefined {
  return known.value?.every((v) => typeof v === 'number') ? (known.value as number[]) : undefined
}

/** How many elements a shape has, or undefined. */
export function countOf(shape: readonly Dim[] | undefined): number | undefined {
  return shape?.every((d) => typeof d === 'number') ? sizeOf(shape as number[]) : undefined
}

export function unknownDims(rank: number): Dim[] {
  if (!(rank >= 0 && rank <= maxRank)) fail(`a tensor of ${rank} dimensions is not possible`)
  return new Array<Dim>(rank).fill(undefined)
}

/** An axis counted from the front; negative ones count from the back. */
export function axisOf(axis: number, rank: number): number {
  if (!(axis >= -rank && axis < rank)) fail(`axis ${axis} is outside its ${rank} dimensions`)
  return axis < 0 ? axis + rank : axis
}

export function show(shape: readonly Dim[] | undefined): string {
  return shape ? `[${shape.map((d) => d ?? '?').join(', ')}]` : 'unknown shape'
}

/** Sizes that must be one and the same. */
export function same(a: Dim, b: Dim, what: string): Dim {
  if (typeof a === 'number' && typeof b === 'number' && a !== b) fail(`${what}: ${a} and ${b} should be equal`)
  return typeof a === 'number' ? a : typeof b === 'number' ? b : (a ?? b)
}

/** What two values that may stand for each other agree on. */
export function either(a: Known, b: Known): Known {
  const agreed = a.shape && b.shape && a.shape.length === b.shape.length
  return {
    dtype: a.dtype ?? b.dtype,
    shape: agreed ? a.shape?.map((d, i) => (d === b.shape?.[i] ? d : undefined)) : undefined,
    ...(a.element && b.element ? { element: either(a.element, b.element) } : {}),
  }
}

/** NumPy's broadcasting, as ONNX uses it. */
export function broadcast(shapes: readonly (readonly Dim[] | undefined)[]): Dim[] | undefined {
  let out: Dim[] = []
  for (const shape of shapes) {
    if (!shape) return undefined
    const rank = Math.max(out.length, shape.length)
    const at = (s: readonly Dim[], i: number): Dim => (i < rank - s.length ? 1 : s[i - rank + s.length])
    const a = out
    out = Array.from({ length: rank }, (_, i) => broadcastDim(at(a, i), at(shape, i), a, shape))
  }
  return out
}

function broadcastDim(a: Dim, b: Dim, left: readonly Dim[], right: readonly Dim[]): Dim {
  if (a === 1) return b
  if (b === 1 || a === b) return a
  if (typeof a === 'number' && typeof b === 'number')
    fail(`shapes ${show(left)} and ${show(right)} cannot be broadcast`)
  return typeof a === 'number' ? a : typeof b === 'number' ? b : undefined
}

/** A product of sizes and symbols; undefined where a size is not known. */
interface Product {
  readonly size: number
  readonly symbols: readonly string[]
}

function productOf(dims: readonly Dim[]): Product | undefined {
  let size = 1
  const symbols: string[] = []
  for (const d of dims) {
    if (d === undefined) return undefined
    if (typeof d === 'number') size *= d
    else symbols.push(d)
  }
  return { size, symbols }
}

/** The product of dimensions as one, where it is a number or a lone symbol. */
export function multiply(dims: readonly Dim[]): Dim {
  if (dims.includes(0)) return 0
  return asDim(productOf(dims))
}

function asDim(product: Product | undefined): Dim {
  if (!product) return undefined
  if (product.symbols.length === 0) return product.size
  return product.symbols.length === 1 && product.size === 1 ? product.symbols[0] : undefined
}

/** All dimensions over some of them: what -1 stands for in a Reshape. */
export function divide(all: readonly Dim[], by: readonly Dim[]): Dim {
  const whole = productOf(all)
  const part = productOf(by)
  if (!whole || !part) return undefined
  const symbols = [...whole.symbols]
  for (const symbol of part.symbols) {
    const i = symbols.indexOf(symbol)
    if (i < 0) return undefined
    symbols.splice(i, 1)
  }
  if (part.size === 0) return undefined
  const size = whole.size / part.size
  if (symbols.length === 0 && !Number.isInteger(size))
    fail(`${show(all)} cannot be reshaped to hold ${show(by)} and -1`)
  return asDim({ size, symbols })
}

/** The same type and shape as the first input: most activations. */
export const like: Rule = ({ in: input }) => {
  const { dtype, shape } = input(0)
  return [{ dtype, shape }]
}

/** An output that has input `i`'s type. */
export function typed(call: Call, shape: readonly Dim[] | undefined, i = 0): Known {
  return { dtype: call.in(i).dtype, shape }
}

/** The elements of a rearranged tensor: `from` says where in the input the element at an index of the output lies. */
export function rearrange(
  known: Known,
  shape: readonly Dim[],
  from: (index: readonly number[]) => readonly number[],
): Dim[] | undefined {
  const count = countOf(shape)
  if (!known.value || count === undefined || count > maxElements || countOf(known.shape) === undefined) return undefined
  const [out, own] = [shape as readonly number[], known.shape as readonly number[]]
  const index = new Array<number>(out.length)
  return Array.from({ length: count }, (_, i) => {
    for (let d = out.length - 1, rest = i; d >= 0; d--) {
      index[d] = rest % out[d]
      rest = Math.floor(rest / out[d])
    }
    return known.value?.[from(index).reduce((at, k, d) => at * own[d] + k, 0)]
  })
}
