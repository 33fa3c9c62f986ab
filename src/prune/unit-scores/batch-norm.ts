/**
 * By the scales of BatchNormalization (network slimming, Liu et al. 2017, arXiv:1708.06519): the mean magnitude over all
 * normalisations that pass a unit on. A group that none passes on has nothing to be ranked by: it keeps its channels.
 */
import { floats } from '../../tensor/dtype.ts'
import { membersOf, type UnitScore } from './unit-score.ts'

export const batchNorm: UnitScore = async (given) =>
  given.groups.map((group) => {
    const sums = new Float64Array(group.units)
    const scales = membersOf(given, group, 'passes').filter((m) => m.at.op === 'BatchNormalization' && m.input === 1)
    if (scales.length === 0) return new Float32Array(group.units).fill(Number.POSITIVE_INFINITY)
    for (const { tensor, units } of scales) {
      const stored = given.opened.model.graph.initializers.get(tensor)
      if (stored) for (const [k, v] of floats(stored).entries()) if (units[k] >= 0) sums[units[k]] += Math.abs(v)
    }
    return Float32Array.from(sums, (s) => s / scales.length)
  })
