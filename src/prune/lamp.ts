/**
 * Magnitude pruning over all layers that adapts to each: LAMP (Lee et al. 2021, arXiv:2010.07611). The score of a weight is its
 * square over the sum of all squares in its tensor that are no smaller. So a layer whose weights are small as a whole is not
 * wiped out by a common threshold: the largest weight of each tensor scores 1.
 */
import { defineMethod } from '../method.ts'
import type { Tensor } from '../model.ts'
import { floats } from '../tensor/dtype.ts'
import { lowerBound } from '../tensor/search.ts'
import { type Competing, pruneBy, type Scored, selectOptions, zerosFirst } from './_select.ts'

export const lamp = defineMethod({
  id: 'lamp',
  help: 'zeroes the weights that are smallest relative to the larger ones of their layer, with one threshold for all layers',
  options: { ...selectOptions, scope: { ...selectOptions.scope, default: 'global' } },
  run: pruneBy('lamp', lampScores),
})

export function lampScores({ weights }: Competing): Scored {
  return { scores: weights.map((w) => scoresIn(w.tensor)) }
}

function scoresIn(tensor: Tensor): Float32Array {
  // What is no number counts in no sum and is removed last, as by magnitude.
  const sorted = floats(tensor).filter(Number.isFinite).map(Math.abs).sort()
  const sumFrom = new Float64Array(sorted.length + 1)
  for (let i = sorted.length - 1; i >= 0; i--) sumFrom[i] = sumFrom[i + 1] + sorted[i] ** 2
  const score = (v: number): number => v ** 2 / sumFrom[lowerBound(sorted, Math.abs(v))]
  return zerosFirst(tensor, (v) => (Number.isFinite(v) ? score(v) : Number.POSITIVE_INFINITY))
}
