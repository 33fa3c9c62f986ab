/**
 * What is removed together: scores of single weights pooled by the unit that they belong to, and marks of units spread back
 * to weights. Of a unit the mean score counts, or the root of the mean square, so that units of different sizes compare.
 */
import type { WeightTensor } from '../graph/weights.ts'
import { floats, sizeOf } from '../tensor/dtype.ts'

export type Pool = 'mean' | 'root-mean-square'

/** The unit of each element along an axis of `count` places: element i is at place floor(i / inner) % count. */
interface Along {
  readonly count: number
  readonly inner: number
}

export function along(dims: readonly number[], axis: number): Along {
  return { count: dims[axis], inner: sizeOf(dims.slice(axis + 1)) }
}

/** Adds each element's size (or its square) to the sum of its place along an axis. */
export function addSizes(sums: Float64Array, values: Float32Array, { count, inner }: Along, pool: Pool): void {
  for (let i = 0; i < values.length; i++) {
    sums[Math.floor(i / inner) % count] += pool === 'mean' ? Math.abs(values[i]) : values[i] ** 2
  }
}

/**
 * What is zeroed at once (Anwar et al. 2015, arXiv:1512.08571): a filter is all weights of an output channel, which makes one
 * feature map; a kernel those between one input and one output channel; a stride every so-manieth place inside the kernels of an
 * input channel, of all outputs alike, so that the patches that a product multiplies become shorter. A dense layer's kernels
 * are single weights, its strides the weights of an input.
 */
export const unitKinds = ['element', 'filter', 'kernel', 'stride'] as const
export type UnitKind = (typeof unitKinds)[number]

interface UnitsOf {
  readonly count: number
  of(element: number): number
}

/** The units of a weight, numbered from 0. */
function unitsOf({ tensor: { dims }, outputAxis = 0 }: WeightTensor, kind: UnitKind, stride: number): UnitsOf {
  const taps = sizeOf(dims.slice(2))
  switch (kind) {
    case 'element':
      return { count: sizeOf(dims), of: (i) => i }
    case 'filter': {
      const { count, inner } = along(dims, outputAxis)
      return { count, of: (i) => Math.floor(i / inner) % count }
    }
    case 'kernel':
      return { count: sizeOf(dims) / taps, of: (i) => Math.floor(i / taps) }
    case 'stride': {
      const { count, inner } = along(dims, outputAxis === 0 ? 1 : 0)
      const each = Math.min(stride, taps)
      return { count: count * each, of: (i) => (Math.floor(i / inner) % count) * each + ((i % taps) % each) }
    }
  }
}

/** Every so-manieth place inside a kernel is a unit of strides, unless more is said. */
const usualStride = 2

/** A score for each unit of a weight, of the scores of its elements. */
export function poolUnits(
  weight: WeightTensor,
  scores: Float32Array,
  { kind, pool, stride = usualStride }: { readonly kind: UnitKind; readonly pool: Pool; readonly stride?: number },
): Float32Array {
  const { count, of } = unitsOf(weight, kind, stride)
  const sums = new Float64Array(count)
  const sizes = new Float64Array(count)
  for (let i = 0; i < scores.length; i++) {
    sums[of(i)] += pool === 'mean' ? Math.abs(scores[i]) : scores[i] ** 2
    sizes[of(i)]++
  }
  return Float32Array.from(sums, (s, u) => (pool === 'mean' ? s / sizes[u] : Math.sqrt(s / sizes[u])))
}

/** Marks of units as marks of their elements. */
export function spreadUnits(
  weight: WeightTensor,
  mask: Uint8Array,
  { kind, stride = usualStride }: { readonly kind: UnitKind; readonly stride?: number },
): Uint8Array {
  const { of } = unitsOf(weight, kind, stride)
  return Uint8Array.from({ length: sizeOf(weight.tensor.dims) }, (_, i) => mask[of(i)])
}

/** The share of all filters that are zero. */
export function zeroFilterShare(weights: readonly WeightTensor[]): number {
  const sizes = weights.flatMap((w) => [...poolUnits(w, floats(w.tensor), { kind: 'filter', pool: 'mean' })])
  return sizes.filter((v) => v === 0).length / Math.max(1, sizes.length)
}

/** The share of all elements that are zero. */
export function zeroShare(weights: readonly WeightTensor[]): number {
  const all = weights.map((w) => floats(w.tensor))
  const zeros = all.reduce((n, a) => n + a.reduce((m, v) => m + (v === 0 ? 1 : 0), 0), 0)
  const count = all.reduce((n, a) => n + a.length, 0)
  return zeros / Math.max(1, count)
}
