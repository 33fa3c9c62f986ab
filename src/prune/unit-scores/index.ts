/** How units are ranked for removal, by name. */
import { activations, zeros } from './activations.ts'
import { batchNorm } from './batch-norm.ts'
import { l1, lamp, magnitude, obdWeights, obsWeights, taylorWeights } from './by-weights.ts'
import { featureMaps, gates } from './gates.ts'
import { geometricMedian } from './geometric-median.ts'
import { thinet } from './thinet.ts'
import type { UnitScore } from './unit-score.ts'

export const unitScores = {
  magnitude,
  l1,
  lamp,
  taylor: taylorWeights,
  obd: obdWeights,
  obs: obsWeights,
  'batch-norm': batchNorm,
  'geometric-median': geometricMedian,
  gates,
  'feature-maps': featureMaps,
  activations,
  zeros,
  thinet,
} satisfies Record<string, UnitScore>

export type UnitScoreName = keyof typeof unitScores

/** Those that look at stored tensors alone. */
export const scoresOfWeights: readonly UnitScoreName[] = ['magnitude', 'l1', 'lamp', 'batch-norm', 'geometric-median']
