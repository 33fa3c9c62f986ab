/**
 * Emitting nodes with their shapes: what backward rules, losses and optimisers are written with.
 *
 * An emitter collects nodes and constants, and knows the type of every value of the graph it grows. All shapes are
 * static: a training graph is made for one batch size. Equal constants are made once.
 */
import { node, valueInfo } from '../../graph/build.ts'
import type { Attribute, Node, Tensor } from '../../model.ts'
import { bytesOf, type DataType, dataTypes, integerTensor, sizeOf } from '../../tensor/dtype.ts'

export interface ValueType {
  readonly dtype: DataType
  readonly shape: readonly number[]
}

export type Types = ReadonlyMap<string, ValueType>
export type Shape = readonly number[]
type Attributes = Parameters<typeof node>[3]

interface OpOptions {
  readonly attributes?: Attributes
  /** Default: the inputs' shapes broadcast together. */
  readonly shape?: Shape
  /** Default: the first input's. */
  readonly dtype?: DataType
  readonly domain?: string
}

export interface Emitter {
  readonly nodes: Node[]
  readonly initializers: Map<string, Tensor>
  readonly types: Map<string, ValueType>
  /** A name that nothing else has. */
  fresh(base: string): string
  /** The static shape of a value. Throws where it is not known. */
  shape(value: string): Shape
  dtype(value: string): DataType
  /** Adds a node with one output and gives the output's name. */
  op(op: string, inputs: readonly string[], options?: OpOptions): string
  /** Adds a node with one output for each of `types`. */
  ops(op: string, inputs: readonly string[], types: readonly ValueType[], options?: OpOptions): string[]
  /** A float constant: one value everywhere, or one for each element. */
  constant(value: number | readonly number[] | Float32Array, dtype?: DataType, shape?: Shape): string
  /** A list of whole numbers as an int64 tensor. */
  ints(values: readonly number[]): string
}

export function createEmitter(types: Types, fresh: (base: string) => string): Emitter {
  const known = new Map(types)
  const initializers = new Map<string, Tensor>()
  const nodes: Node[] = []
  const cache = new Map<string, string>()
  const typeOf = (value: string): ValueType => {
    const type = known.get(value)
    if (!type) throw new Error(`gradient graph: the shape of "${value}" is not known`)
    return type
  }
  const store = (key: string, make: (name: string) => Tensor): string => {
    let name = cache.get(key)
    if (!name) {
      name = fresh('const')
      const tensor = make(name)
      initializers.set(name, tensor)
      known.set(name, { dtype: tensor.dtype, shape: tensor.dims })
      cache.set(key, name)
    }
    return name
  }
  const emitter: Emitter = {
    nodes,
    initializers,
    types: known,
    fresh,
    shape: (value) => typeOf(value).shape,
    dtype: (value) => typeOf(value).dtype,
    op(op, inputs, options = {}) {
      const shape = options.shape ?? broadcastShapes(inputs.filter((i) => i).map((i) => typeOf(i).shape))
      return emitter.ops(op, inputs, [{ dtype: options.dtype ?? typeOf(inputs[0]).dtype, shape }], options)[0]
    },
    ops(op, inputs, outputs, options = {}) {
      const names = outputs.map((type) => {
        const name = fresh(op)
        known.set(name, type)
        return name
      })
      nodes.push(node(op, inputs, names, options.attributes, options.domain ? { domain: options.domain } : {}))
      return names
    },
    constant(value, dtype = 'float32', shape = typeof value === 'number' ? [] : [value.length]) {
      const key = `${dtype}[${shape}]${typeof value === 'number' || value.length <= 32 ? value : fresh('key')}`
      return store(key, (name) => {
        const array = dtype === 'float64' ? new Float64Array(sizeOf(shape)) : new Float32Array(sizeOf(shape))
        if (typeof value === 'number') array.fill(value)
        else array.set(value)
        return { name, dtype, dims: shape, data: bytesOf(array) }
      })
    },
    ints: (values) => store(`int64:${values}`, (name) => integerTensor(name, 'int64', [values.length], values)),
  }
  return emitter
}

/** A branch or a loop's body for a node of `g`: `emit` writes it, and may read values of `g` beside its own inputs. */
export function nestedGraph(
  g: Emitter,
  inputs: readonly ValueType[],
  emit: (inner: Emitter, inputs: readonly string[]) => readonly string[],
): Extract<Attribute, { type: 'graph' }> {
  const inner = createEmitter(g.types, g.fresh)
  const given = inputs.map((type) => {
    const name = g.fresh('inner')
    inner.types.set(name, type)
    return name
  })
  const made = emit(inner, given)
  const info = (name: string) => valueInfo(name, inner.dtype(name), inner.shape(name))
  const { nodes, initializers } = inner
  const graph = { name: g.fresh('graph'), nodes, initializers, inputs: given.map(info), outputs: made.map(info) }
  return { type: 'graph', value: graph }
}

/** NumPy's rule; throws where shapes do not go together. */
export function broadcastShapes(shapes: readonly Shape[]): number[] {
  const rank = Math.max(0, ...shapes.map((s) => s.length))
  return Array.from({ length: rank }, (_, axis) => {
    let size = 1
    for (const s of shapes) {
      const d = s[axis - rank + s.length] ?? 1
      if (d !== 1 && size !== 1 && d !== size)
        throw new Error(`gradient graph: shapes ${shapes.map((x) => `[${x}]`).join(' and ')} do not broadcast`)
      if (d !== 1) size = d
    }
    return size
  })
}

export const add = (g: Emitter, a: string, b: string): string => binary(g, 'Add', a, b)
export const sub = (g: Emitter, a: string, b: string): string => binary(g, 'Sub', a, b)
export const mul = (g: Emitter, a: string, b: string): string => binary(g, 'Mul', a, b)
export const div = (g: Emitter, a: string, b: string): string => binary(g, 'Div', a, b)
export const neg = (g: Emitter, a: string): string => g.op('Neg', [a])

/** A number times a value. */
export const scale = (g: Emitter, a: string, by: number): string =>
  by === 1 ? a : by === -1 ? neg(g, a) : mul(g, a, g.constant(by, g.dtype(a)))

/** A value plus a number. */
export const shift = (g: Emitter, a: string, by: number): string => add(g, a, g.constant(by, g.dtype(a)))

function binary(g: Emitter, op: string, a: string, b: string): string {
  return g.op(op, [ranked(g, a, b), ranked(g, b, a)])
}

/** A scalar in as many dimensions as `other`, where that ends in a 1: ONNX Runtime would take element after element, 25 times slower. */
function ranked(g: Emitter, value: string, other: string): string {
  const shape = g.shape(other)
  if (g.shape(value).length > 0 || shape.length < 2 || shape.at(-1) !== 1) return value
  return reshape(g, value, new Array(shape.length).fill(1))
}

export function reshape(g: Emitter, a: string, shape: Shape): string {
  return sameShape(g.shape(a), shape) ? a : g.op('Reshape', [a, g.ints(shape)], { shape })
}

export function transpose(g: Emitter, a: string, perm: readonly number[]): string {
  if (perm.every((p, i) => p === i)) return a
  return g.op('Transpose', [a], { attributes: { perm }, shape: perm.map((p) => g.shape(a)[p]) })
}

/** Sum over `axes`, all by default. */
export function sum(g: Emitter, a: string, axes?: readonly number[], keepDims = false): string {
  return reduce(g, 'ReduceSum', a, { axes, keepDims })
}

interface ReduceOptions {
  readonly axes?: readonly number[]
  readonly keepDims?: boolean
}

export function reduce(g: Emitter, op: string, a: string, { axes, keepDims = false }: ReduceOptions = {}): string {
  const from = g.shape(a)
  const over = axes ?? from.map((_, i) => i)
  if (over.length === 0) return a
  const shape = keepDims ? from.map((d, i) => (over.includes(i) ? 1 : d)) : from.filter((_, i) => !over.includes(i))
  return g.op(op, [a, g.ints(over)], { attributes: { keepdims: keepDims ? 1 : 0 }, shape })
}

export function expand(g: Emitter, a: string, shape: Shape): string {
  return sameShape(g.shape(a), shape) ? a : g.op('Expand', [a, g.ints(shape)], { shape })
}

interface SliceOptions {
  readonly axes: readonly number[]
  readonly starts: readonly number[]
  readonly ends: readonly number[]
  readonly steps?: readonly number[]
}

/** Starts and ends are counted from 0 with positive steps; with step -1, whole axes are reversed. */
export function slice(g: Emitter, a: string, { axes, starts, ends, steps = axes.map(() => 1) }: SliceOptions): string {
  const shape = [...g.shape(a)]
  axes.forEach((axis, i) => {
    if (steps[i] > 0) shape[axis] = Math.ceil((Math.min(ends[i], shape[axis]) - starts[i]) / steps[i])
  })
  return g.op('Slice', [a, g.ints(starts), g.ints(ends), g.ints(axes), g.ints(steps)], { shape })
}

/** The value with some axes in reverse order. */
export function flip(g: Emitter, a: string, axes: readonly number[]): string {
  const turned = axes.filter((axis) => g.shape(a)[axis] > 1)
  if (turned.length === 0) return a
  const starts = turned.map((axis) => g.shape(a)[axis] - 1)
  const ends = turned.map((axis) => -g.shape(a)[axis] - 1)
  return slice(g, a, { axes: turned, starts, ends, steps: turned.map(() => -1) })
}

/** Pads by zeros; a negative amount crops. `pads` is ONNX's order: all begins, then all ends. */
export function pad(g: Emitter, a: string, pads: readonly number[]): string {
  if (pads.every((p) => p === 0)) return a
  const rank = g.shape(a).length
  const shape = g.shape(a).map((d, i) => d + pads[i] + pads[i + rank])
  return g.op('Pad', [a, g.ints(pads)], { shape })
}

export function concat(g: Emitter, parts: readonly string[], axis: number): string {
  if (parts.length === 1) return parts[0]
  const shape = [...g.shape(parts[0])]
  shape[axis] = parts.reduce((total, p) => total + g.shape(p)[axis], 0)
  return g.op('Concat', parts, { attributes: { axis }, shape })
}

export function matMul(g: Emitter, a: string, b: string): string {
  const [sa, sb] = [g.shape(a), g.shape(b)]
  const batch = broadcastShapes([sa.slice(0, -2), sb.slice(0, -2)])
  return g.op('MatMul', [a, b], { shape: [...batch, sa[sa.length - 2], sb[sb.length - 1]] })
}

export function cast(g: Emitter, a: string, dtype: DataType): string {
  if (g.dtype(a) === dtype) return a
  return g.op('Cast', [a], { attributes: { to: dataTypes[dtype].code }, dtype })
}

/** 1 where `a op b` (Greater, Less, Equal, ...), else 0, as a float of a's type. */
export function indicator(g: Emitter, op: string, a: string, b: string): string {
  return cast(g, g.op(op, [a, b], { dtype: 'bool' }), g.dtype(a))
}

/** Sums a gradient down to the shape that was broadcast up to it. */
export function unbroadcast(g: Emitter, gradient: string, shape: Shape): string {
  const from = g.shape(gradient)
  if (sameShape(from, shape)) return gradient
  const lead = from.length - shape.length
  const axes = from.map((_, i) => i).filter((i) => i < lead || (shape[i - lead] === 1 && from[i] !== 1))
  return reshape(g, sum(g, gradient, axes, true), shape)
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i])
}

export function zeros(g: Emitter, like: string): string {
  const dtype = g.dtype(like)
  const zero: Tensor = {
    name: 'zero',
    dtype,
    dims: [1],
    data: new Uint8Array(dtype === 'float64' ? 8 : dtype === 'float16' ? 2 : 4),
  }
  const shape = g.shape(like)
  const attributes: Record<string, Attribute> = { value: { type: 'tensor', value: zero } }
  return g.op('ConstantOfShape', [g.ints(shape)], { attributes, shape, dtype })
}
