/**
 * By the scores of single weights: a unit's is the mean over all weights that make it (for magnitude by the L2 norm the root of
 * the mean square), over the mean of its group. Filters by their L1 and L2 norm: Li et al. 2017, arXiv:1608.08710.
 */
import type { ChannelGroup } from '../../channels/channel-groups.ts'
import { type WeightTensor, weightTensors } from '../../graph/weights.ts'
import { checkOptions } from '../../options.ts'
import type { Score } from '../_select.ts'
import { addSizes, along, type Pool } from '../_units.ts'
import { lampScores } from '../lamp.ts'
import { magnitudeScores } from '../magnitude.ts'
import { obd, obdScores } from '../obd.ts'
import { obs, obsScores } from '../obs.ts'
import { taylor, taylorScores } from '../taylor.ts'
import { overMean, type UnitScore } from './unit-score.ts'

type Plain = Score<undefined>

/** Each score with the defaults of its method. */
export const magnitude = byWeights((c, _, context) => magnitudeScores(c, { norm: 'l2' }, context))
export const l1 = byWeights((c, _, context) => magnitudeScores(c, { norm: 'l1' }, context))
export const lamp = byWeights(lampScores)
export const taylorWeights = byWeights((c, _, context) =>
  taylorScores(c, checkOptions(taylor.id, taylor.options), context),
)
export const obdWeights = byWeights((c, _, context) => obdScores(c, checkOptions(obd.id, obd.options), context))
export const obsWeights = byWeights((c, _, context) => obsScores(c, checkOptions(obs.id, obs.options), context))

function byWeights(score: Plain): UnitScore {
  return async ({ opened: { model }, groups, context }) => {
    const makers = new Set(groups.flatMap((g) => g.members.flatMap((m) => (m.role === 'makes' ? [m.tensor] : []))))
    const weights = weightTensors(model).filter((w) => makers.has(w.name))
    const { scores, pool = 'mean' } = await score({ model, weights }, undefined, context)
    const byName = new Map(weights.map((w, i) => [w.name, { weight: w, scores: scores[i] }]))
    return groups.map((g) => pooled(g, byName, pool))
  }
}

function pooled(
  { units, members }: ChannelGroup,
  byName: ReadonlyMap<string, { readonly weight: WeightTensor; readonly scores: Float32Array }>,
  pool: Pool,
): Float32Array {
  const sums = new Float64Array(units)
  const counts = new Float64Array(units)
  for (const { tensor, axis, role, units: unitOf } of members) {
    const found = role === 'makes' ? byName.get(tensor) : undefined
    if (!found) continue
    const places = along(found.weight.tensor.dims, axis)
    const own = new Float64Array(places.count)
    addSizes(own, found.scores, places, pool)
    for (const [k, unit] of unitOf.entries()) {
      if (unit < 0) continue
      sums[unit] += own[k]
      counts[unit] += found.scores.length / places.count
    }
  }
  const means = sums.map((s, u) => s / Math.max(1, counts[u]))
  return overMean(pool === 'mean' ? means : means.map(Math.sqrt))
}
