/**
 * By how replaceable a filter is (FPGM, He et al. 2019, arXiv:1811.00250): the sum of its distances to all others of its layer,
 * which is least near their geometric median. Distances of all layers that make the group are added, each over its mean.
 */
import { floats } from '../../tensor/dtype.ts'
import { overMean, type UnitScore, unitOfElement } from './unit-score.ts'

export const geometricMedian: UnitScore = async ({ opened, groups }) =>
  groups.map((group) => {
    const { units, members } = group
    const totals = new Float64Array(units)
    for (const member of members) {
      const tensor = opened.model.graph.initializers.get(member.tensor)
      if (member.role !== 'makes' || !tensor || tensor.dims.length < 2) continue
      // The filter of each unit: all its weights, in the order in which they are stored.
      const filters: number[][] = Array.from({ length: units }, () => [])
      const unitOf = unitOfElement(tensor, member)
      for (const [k, v] of floats(tensor).entries()) if (unitOf(k) >= 0) filters[unitOf(k)].push(v)
      const sums = filters.map((a) => filters.reduce((sum, b) => sum + distance(a, b), 0))
      for (const [u, s] of overMean(sums).entries()) totals[u] += s
    }
    return overMean(totals)
  })

function distance(a: readonly number[], b: readonly number[]): number {
  let sum = 0
  for (let i = 0; i < a.length && i < b.length; i++) sum += (a[i] - b[i]) ** 2
  return Math.sqrt(sum)
}
