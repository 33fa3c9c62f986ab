/**
 * Which axis of a value counts samples: the one home of that question, for inputs and outputs. Exporters put the batch first
 * but for recurrent states ([layers, batch, hidden], as PyTorch has them) and time-major sequences ([time, batch, features]).
 */
import type { Value } from '../method.ts'
import type { Dim, Model, ValueInfo } from '../model.ts'

/** The inputs that a caller must give: those that no initialiser fills. A tensor that may be left out is given. */
export function requiredInputs(model: Model): ValueInfo[] {
  return model.graph.inputs
    .filter((input) => !model.graph.initializers.has(input.name))
    .map((input) => ({ ...input.optional, ...input }))
}

/** What a model's inputs and outputs together tell about the batch: its symbol, or its size where that is fixed. */
export interface BatchSize {
  readonly symbol?: string
  readonly fixed?: number
}

/** Names of symbols that say what they count. */
const saysBatch = /batch|^(n|b|bs|bsz)$/i
const saysLength = /seq|len|time|frame|step|token|position|length|past|^(t|s|l)$|height|width|^(h|w)$/i

/**
 * The axis of `info`, an input or output of `model`, that counts samples; undefined where none does (a scalar, or a value
 * whose sizes leave no room for it). Read off the symbols that inputs and outputs share, their names, and fixed sizes.
 */
export function batchAxisOf(info: ValueInfo, model: Model): number | undefined {
  return axisOf(info, batchOf(requiredInputs(model), model.graph.outputs))
}

/** The batch of all inputs and outputs of a model. */
export function batchOf(inputs: readonly ValueInfo[], outputs: readonly ValueInfo[]): BatchSize {
  const withAxes = (infos: readonly ValueInfo[]) => infos.flatMap(({ shape }) => (shape?.length ? [shape] : []))
  const shapes = withAxes([...inputs, ...outputs])
  // What outputs alone have may be anything: boxes found, samples of a file whose inputs were fixed later.
  const symbols = new Set(withAxes(inputs).flatMap((shape) => shape.filter((d) => typeof d === 'string')))
  const rank = (symbol: string): readonly number[] => [
    saysBatch.test(symbol) ? 1 : saysLength.test(symbol) ? -1 : 0,
    shapes.filter((shape) => shape.includes(symbol)).length,
    shapes.filter((shape) => shape[0] === symbol).length,
  ]
  // Of symbols that are alike in all of this, the first in order is the batch.
  const [best] = [...symbols].sort((a, b) => compare(rank(b), rank(a)))
  const isBatch = best !== undefined && (!saysLength.test(best) || shapes.some((shape) => shape[0] === best))
  if (isBatch) return { symbol: best }
  // A batch that is open, without a name: sizes that are fixed say nothing of it.
  if (inputs.some(({ shape }) => shape !== undefined && shape.length > 0 && isOpen(shape[0]))) return { fixed: 1 }
  // The size that most values have somewhere, and begin with: states begin with their layers, but have the batch too.
  const sizes = new Set(shapes.flatMap((shape) => shape.filter((d) => typeof d === 'number' && d > 0))) as Set<number>
  const having = (size: number): number => shapes.filter((s) => s.includes(size) || isOpen(s[0])).length
  const weight = (size: number): readonly number[] => [
    having(size),
    shapes.filter((shape) => shape[0] === size).length,
    -size,
  ]
  const [fixed] = [...sizes].sort((a, b) => compare(weight(b), weight(a)))
  if (fixed === undefined) return {}
  const alone = having(fixed) < Math.min(2, shapes.length)
  return alone && fixed !== 1 ? {} : { fixed }
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((v, i) => v !== b[i])
  return at < 0 ? 0 : a[at] - b[at]
}

/** The axis of `info` that counts samples, given the batch of its model. */
export function axisOf({ shape }: ValueInfo, { symbol, fixed }: BatchSize): number | undefined {
  if (!shape) return 0
  if (shape.length === 0) return undefined
  const named = symbol === undefined ? -1 : shape.indexOf(symbol)
  if (named >= 0) return named
  const aside = symbol !== undefined && lengthLike(shape[0])
  if (isOpen(shape[0]) && !aside) return 0
  const open = shape.findIndex((dim, axis) => isOpen(dim) && !(shape.length === 4 && axis >= 2) && !lengthLike(dim))
  if (open > 0 && shape.length > 2) return open
  // Beside a batch that is open, a value of fixed size is of one sample.
  const sized = shape.indexOf(fixed ?? (symbol === undefined ? Number.NaN : 1))
  return sized < 0 ? undefined : sized
}

export function isOpen(dim: Dim): boolean {
  return typeof dim !== 'number' || dim <= 0
}

function lengthLike(dim: Dim): boolean {
  return typeof dim === 'string' && saysLength.test(dim)
}

/** The samples `indices` of a value, along `axis`. */
export function pickSamples<T extends Value>(value: T, axis: number, indices: ArrayLike<number>): T {
  const count = value.dims[axis]
  const inner = value.dims.slice(axis + 1).reduce((a, b) => a * b, 1)
  const outer = value.dims.slice(0, axis).reduce((a, b) => a * b, 1)
  const data = emptyLike(value.data, outer * indices.length * inner)
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < indices.length; i++) {
      const from = (o * count + indices[i]) * inner
      copyInto(data, (o * indices.length + i) * inner, value.data, from, inner)
    }
  }
  return { ...value, dims: value.dims.with(axis, indices.length), data }
}

/** Values that differ only in how many samples they hold along `axis`, as one. */
export function joinSamples<T extends Value>(values: readonly T[], axis: number): T {
  const [first] = values
  if (values.length === 1) return first
  const inner = first.dims.slice(axis + 1).reduce((a, b) => a * b, 1)
  const outer = first.dims.slice(0, axis).reduce((a, b) => a * b, 1)
  const count = values.reduce((sum, v) => sum + v.dims[axis], 0)
  const data = emptyLike(first.data, outer * count * inner)
  let at = 0
  for (let o = 0; o < outer; o++) {
    for (const value of values) {
      const size = value.dims[axis] * inner
      copyInto(data, at, value.data, o * size, size)
      at += size
    }
  }
  return { ...first, dims: first.dims.with(axis, count), data }
}

export type Elements = Value['data']

function emptyLike(data: Elements, length: number): Elements {
  if (isStrings(data)) return new Array<string>(length)
  return new (data.constructor as new (length: number) => Exclude<Elements, readonly string[]>)(length)
}

function copyInto(target: Elements, at: number, source: Elements, from: number, count: number): void {
  if (isStrings(target)) {
    for (let i = 0; i < count; i++) (target as string[])[at + i] = source[from + i] as string
  } else (target as Float32Array).set((source as Float32Array).subarray(from, from + count), at)
}

export function isStrings(data: ArrayLike<unknown>): data is readonly string[] {
  return Array.isArray(data)
}
