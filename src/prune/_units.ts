/**
 * What is removed together: scores of single weights pooled by the unit that they belong to, and marks of units spread back
 * to weights. Of a filter (all weights of an output channel) the mean score counts, or the root of the mean square, so that
 * filters of different sizes compare.
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

/** A score for each filter of a weight, of the scores of its elements. */
export function poolFilters({ tensor, outputAxis = 0 }: WeightTensor, scores: Float32Array, pool: Pool): Float32Array {
  const places = along(tensor.dims, outputAxis)
  const sums = new Float64Array(places.count)
  addSizes(sums, scores, places, pool)
  return Float32Array.from(sums, (s) => {
    const mean = (s * places.count) / scores.length
    return pool === 'mean' ? mean : Math.sqrt(mean)
  })
}

/** Marks of filters as marks of their elements. */
export function spreadFilters({ tensor, outputAxis = 0 }: WeightTensor, mask: Uint8Array): Uint8Array {
  const { count, inner } = along(tensor.dims, outputAxis)
  return Uint8Array.from({ length: sizeOf(tensor.dims) }, (_, i) => mask[Math.floor(i / inner) % count])
}

/** The share of all filters that are zero. */
export function zeroFilterShare(weights: readonly WeightTensor[]): number {
  const sizes = weights.flatMap((w) => [...poolFilters(w, floats(w.tensor), 'mean')])
  return sizes.filter((v) => v === 0).length / Math.max(1, sizes.length)
}
