/**
 * Pruning in rounds with training between them: prune, train the survivors under their mask, repeat.
 *
 * Sparsity after round r of n on the way to S:
 *   one-shot   S at once (one round)
 *   iterative  1 - (1 - S)^(r/n): each round takes the same share of the survivors (Han et al. 2015)
 *   gradual    S (1 - (1 - r/n)³): most at first (Zhu & Gupta 2017, arXiv:1710.01878)
 * The mask is the zeros themselves; they only grow. Nothing but the weights passes from round to round.
 */
import type { Dataset } from '../data/dataset.ts'
import { weightTensors } from '../graph/weights.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { floats } from '../tensor/dtype.ts'
import { keepZeros } from '../train/terms.ts'
import { type EpochRecord, type TrainOptions, train } from '../train/train.ts'
import { restartUniform } from './_restart.ts'
import { magnitude } from './magnitude.ts'
import { obd } from './obd.ts'
import { taylor } from './taylor.ts'

export const pruneSchedules = ['one-shot', 'iterative', 'gradual'] as const
export type PruneSchedule = (typeof pruneSchedules)[number]
export const pruneScores = ['magnitude', 'taylor', 'obd'] as const
export type PruneScore = (typeof pruneScores)[number]

export interface PruneOptions {
  /** Share of the weights that are zero at the end; within [0, 1]. */
  readonly sparsity: number
  /** Shares by name instead, as a scan recommends them; weights that are not named are left alone. */
  readonly sparsities?: Readonly<Record<string, number>>
  readonly scope?: 'layer' | 'global'
  /** What the smallest of goes; default magnitude. With another one `context` must give labelled data. */
  readonly score?: PruneScore
  /** Whole filters are zeroed instead of single weights (magnitude only). */
  readonly unit?: 'element' | 'filter'
  readonly exclude?: readonly string[]
  readonly schedule?: PruneSchedule
  /** Default 1; one-shot always takes one. */
  readonly rounds?: number
  /** Draws all surviving weights anew before each training, U(±1/√fanIn), and resets biases and normalisations. */
  readonly restart?: boolean
  /** Training after each round; left out, there is none. */
  readonly training?: TrainOptions
  /** Training after the last round instead, where that should be longer. */
  readonly finalTraining?: TrainOptions
  readonly context?: Context
  /** Told after each round, with its model. */
  readonly onRound?: (round: PruneRound, model: Model) => void | Promise<void>
  /** Rounds that are done already, and the model after them. */
  readonly from?: number
}

export interface PruneRound {
  /** From 1. */
  readonly round: number
  readonly rounds: number
  /** The share of all weights that is zero. */
  readonly sparsity: number
  readonly history: readonly EpochRecord[]
}

/** The share of `target` that is zero after round `round` (from 1) of `rounds`. */
export function sparsityAt(schedule: PruneSchedule, target: number, at: { round: number; rounds: number }): number {
  const part = at.round / at.rounds
  if (part >= 1 || schedule === 'one-shot') return target
  return schedule === 'iterative' ? 1 - (1 - target) ** part : target * (1 - (1 - part) ** 3)
}

/** Prunes in rounds, training `data` between them. Throws where a share, a name or the training options are wrong. */
export async function pruneAndTrain(model: Model, data: Dataset, options: PruneOptions): Promise<Model> {
  const { schedule = 'one-shot', training, finalTraining = training, restart, onRound } = options
  const rounds = schedule === 'one-shot' ? 1 : (options.rounds ?? 1)
  if (!(Number.isInteger(rounds) && rounds > 0))
    throw new Error(`prune: rounds must be a whole number above 0, got ${rounds}`)
  const seed = options.context?.seed ?? 0
  let current = model
  for (let round = (options.from ?? 0) + 1; round <= rounds; round++) {
    const shareOf = (target: number): number => sparsityAt(schedule, target, { round, rounds })
    current = await pruneOnce(current, options, shareOf)
    if (restart) current = restartUniform(current, seed + round)
    const how = round === rounds ? finalTraining : training
    let history: readonly EpochRecord[] = []
    if (how) {
      const trained = await train(current, data, { ...how, project: [...(how.project ?? []), keepZeros()] })
      current = trained.model
      history = trained.history
    }
    await onRound?.({ round, rounds, sparsity: zeroShare(current), history }, current)
  }
  return current
}

function zeroShare(model: Model): number {
  const all = weightTensors(model).map((w) => floats(w.tensor))
  const zeros = all.reduce((n, a) => n + a.reduce((m, v) => m + (v === 0 ? 1 : 0), 0), 0)
  return (
    zeros /
    Math.max(
      1,
      all.reduce((n, a) => n + a.length, 0),
    )
  )
}

function pruneOnce(model: Model, options: PruneOptions, shareOf: (target: number) => number): Promise<Model> {
  const { scope = 'layer', score = 'magnitude', unit = 'element', exclude = [], context = {} } = options
  const sparsity = shareOf(options.sparsity)
  if (score === 'magnitude') {
    const named = Object.entries(options.sparsities ?? {}).map(([name, s]) => [name, shareOf(s)])
    return magnitude(model, { sparsity, scope, unit, exclude, sparsities: Object.fromEntries(named) })
  }
  if (options.sparsities || unit === 'filter')
    throw new Error(
      `prune: score ${score} ranks single weights by one sparsity; expected magnitude with shares by name or filters`,
    )
  return (score === 'taylor' ? taylor : obd)(model, { sparsity, scope, exclude }, context)
}
