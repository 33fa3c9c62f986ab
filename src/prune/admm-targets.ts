/**
 * What ADMM draws weights to (Ye et al. 2018, arXiv:1810.07378; Ren et al. 2018, arXiv:1812.11677, for shared values): the
 * nearest tensor with so many zeros, the nearest whose filters are zero, the nearest of few values.
 */
import type { WeightTensor } from '../graph/weights.ts'
import { kmeans1d, nearest } from '../tensor/kmeans.ts'
import type { AdmmTarget } from '../train/regimes/admm.ts'
import { smallest } from './_select.ts'
import { poolUnits, spreadUnits } from './_units.ts'

/** The smallest weights, or filters of the smallest mean square, are zero: of each tensor the share by its name. */
export function zerosTarget(shares: Readonly<Record<string, number>>, unit: 'element' | 'filter'): AdmmTarget {
  return {
    digest: { shares, unit },
    nearest(weight, values) {
      const scores = unit === 'element' ? values : poolUnits(weight, values, { kind: unit, pool: 'root-mean-square' })
      const [marked] = smallest([scores], shares[weight.name] ?? 0)
      const mask = unit === 'element' ? marked : spreadUnits(weight, marked, { kind: unit })
      return values.map((v, i) => (mask[i] ? 0 : v))
    },
  }
}

/** Each tensor has at most so many values beside zero: the means of the clusters that its weights form best (k-means). */
export function valuesTarget(count: number): AdmmTarget {
  return {
    digest: { values: count },
    nearest(_: WeightTensor, values) {
      const sorted = Float64Array.from(values.filter((v) => v !== 0)).sort()
      if (sorted.length === 0) return values.slice()
      const book = Float32Array.from(kmeans1d(sorted, count, { start: 'density' }))
      return values.map((v) => (v === 0 ? 0 : book[nearest(book, v)]))
    },
  }
}
