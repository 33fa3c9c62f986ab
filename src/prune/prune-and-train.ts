/**
 * Pruning in rounds with training between them: prune, train the survivors under their mask, repeat.
 *
 * Sparsity after round r of n on the way from s, what is zero at the start, to S:
 *   one-shot   S at once (one round)
 *   iterative  1 - (1 - s) ((1 - S) / (1 - s))^(r/n): each round takes the same share of the survivors (Han et al. 2015)
 *   gradual    s + (S - s) (1 - (1 - r/n)³): most at first (Zhu & Gupta 2017, arXiv:1710.01878)
 * By quality, a threshold in standard deviations that each tensor has at the start, it is the threshold that rises:
 * evenly, with gradual by its own curve.
 * The mask is the zeros themselves; they only grow. Nothing but the weights passes from round to round.
 */

import type { Dataset } from '../data/dataset.ts'
import { type WeightTensor, weightTensors } from '../graph/weights.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { modelFingerprint } from '../onnx/fingerprint.ts'
import type { CheckpointStore } from '../train/checkpoint.ts'
import { trainingFingerprint } from '../train/fingerprint.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { type StageTraining, trainInStages } from '../train/stages.ts'
import type { EpochRecord } from '../train/train-options.ts'
import { restartUniform } from './_restart.ts'
import { zeroFilterShare, zeroShare } from './_units.ts'
import { lamp } from './lamp.ts'
import { magnitude, sharesBelow } from './magnitude.ts'
import { obd } from './obd.ts'
import { obs } from './obs.ts'
import { taylor } from './taylor.ts'

export const pruneSchedules = ['one-shot', 'iterative', 'gradual'] as const
export type PruneSchedule = (typeof pruneSchedules)[number]

/** By score: the methods differ in nothing else. */
const byScore = { magnitude, lamp, taylor, obd, obs }
export type PruneScore = keyof typeof byScore
export const pruneScores = Object.keys(byScore) as readonly PruneScore[]

export interface PruneOptions {
  /** Share of the weights that are zero at the end; within [0, 1]. Not read with `sparsities` or `quality`. */
  readonly sparsity: number
  /** Shares by name instead, as a scan recommends them; weights that are not named are left alone. */
  readonly sparsities?: Readonly<Record<string, number>>
  readonly scope?: 'layer' | 'global'
  /** Above 0: weights below this many standard deviations of their tensor go instead (magnitude only). */
  readonly quality?: number
  /** How weights are ranked for removal; default magnitude. `context` gives the data for taylor and obd (labelled) and obs. */
  readonly score?: PruneScore
  /** Where obd has the Hessian's diagonal from; default fisher. */
  readonly diagonal?: 'fisher' | 'hessian'
  /** Whole filters are zeroed instead of single weights. */
  readonly unit?: 'element' | 'filter'
  readonly exclude?: readonly string[]
  readonly schedule?: PruneSchedule
  /** Default 1; one-shot always takes one. */
  readonly rounds?: number
  /** Draws all surviving weights anew before each training, U(±1/√fanIn), and resets biases and normalisations. */
  readonly restart?: boolean
  /** Training after each round; left out, there is none. */
  readonly training?: RoundTraining
  /** Training after the last round instead, where that should be longer. */
  readonly finalTraining?: RoundTraining
  readonly context?: Context
  /** Saved after each round and, within one, each epoch; a run with the same options goes on from it. */
  readonly checkpoint?: CheckpointStore
  /** Called after each round, with the model; a resumed run first reports the rounds that were done before. */
  readonly onRound?: (round: PruneRound, model: Model) => void | Promise<void>
}

/** Checkpoints are those of the rounds. */
export type RoundTraining = StageTraining

export interface PruneRound {
  /** From 1. */
  readonly round: number
  readonly rounds: number
  /** The share of all weights that is zero. */
  readonly sparsity: number
  readonly history: readonly EpochRecord[]
}

/** The share that is zero after round `round` (from 1) of `rounds`, on the way from `start` to `target`. */
export function sparsityAt(
  schedule: PruneSchedule,
  target: number,
  at: { readonly round: number; readonly rounds: number; readonly start?: number },
): number {
  const { start = 0 } = at
  const part = at.round / at.rounds
  if (part >= 1 || schedule === 'one-shot' || start >= target) return target
  return schedule === 'iterative'
    ? 1 - (1 - start) * ((1 - target) / (1 - start)) ** part
    : start + (target - start) * (1 - (1 - part) ** 3)
}

/** The threshold of round `round` (from 1), in standard deviations. */
function qualityAt(schedule: PruneSchedule, target: number, at: { readonly round: number; readonly rounds: number }) {
  return schedule === 'gradual' ? sparsityAt('gradual', target, at) : (target * at.round) / at.rounds
}

/** Prunes in rounds, training `data` between them. Throws where a share, a name or the training options are wrong. */
export async function pruneAndTrain(model: Model, data: Dataset, options: PruneOptions): Promise<Model> {
  const { schedule = 'one-shot', training, finalTraining = training, restart, checkpoint, onRound } = options
  const rounds = schedule === 'one-shot' ? 1 : (options.rounds ?? 1)
  if (!(Number.isInteger(rounds) && rounds > 0))
    throw new Error(`prune: rounds must be a whole number above 0, got ${rounds}`)
  checkChoices(options)
  const seed = options.context?.seed ?? 0
  return trainInStages<PruneRound>(model, data, {
    count: rounds,
    async begin(index, before) {
      const round = index + 1
      const shareOf = (target: number, start: number): number => sparsityAt(schedule, target, { round, rounds, start })
      const quality = options.quality && qualityAt(schedule, options.quality, { round, rounds })
      const pruned = await pruneOnce(before, { ...options, quality }, { shareOf, start: model })
      const how = round === rounds ? finalTraining : training
      return {
        model: restart ? restartUniform(pruned, seed + round) : pruned,
        ...(how ? { training: { ...how, regimes: [...(how.regimes ?? []), keepZeros()] } } : {}),
      }
    },
    record: (index, current, history) => ({
      round: index + 1,
      rounds,
      sparsity: zeroShare(weightTensors(current)),
      history,
    }),
    ...(onRound ? { onStage: onRound } : {}),
    ...(checkpoint ? { checkpoint } : {}),
    fingerprint: () => fingerprintOf(model, data, options),
    subject: 'pruning',
  })
}

/** What must be the same for a checkpoint to go on. */
function fingerprintOf(model: Model, data: Dataset, options: PruneOptions): string {
  const { checkpoint: _, onRound: __, context, training, finalTraining, ...choices } = options
  const of = (t?: RoundTraining): unknown => t && [t.epochs, trainingFingerprint(data, t)]
  const seed = context?.seed ?? 0
  return JSON.stringify([
    modelFingerprint(model),
    data.id,
    data.length,
    choices,
    seed,
    of(training),
    finalTraining === training ? 0 : of(finalTraining),
  ])
}

interface Target {
  /** Today's share on the way from `start` to `target`. */
  shareOf(target: number, start: number): number
  /** The model before the first round. */
  readonly start: Model
}

function checkChoices({ score = 'magnitude', scope, quality, diagonal, sparsities }: PruneOptions): void {
  if (quality !== undefined && !(quality > 0 && quality <= 100))
    throw new Error(`prune: quality ${quality}; expected a number of standard deviations above 0, at most 100`)
  if (score !== 'magnitude' && quality !== undefined)
    throw new Error(`prune: score ${score} with a quality; expected score magnitude with that`)
  if (diagonal && score !== 'obd')
    throw new Error(`prune: score ${score} with diagonal ${diagonal}; expected score obd with that`)
  if (sparsities && Object.keys(sparsities).length === 0)
    throw new Error('prune: sparsities by name, but none is named; expected at least one')
  if (sparsities && quality !== undefined)
    throw new Error('prune: sparsities by name and a quality are both given; expected one of them')
  if (scope === 'global' && (sparsities || quality !== undefined))
    throw new Error(
      `prune: scope global with ${sparsities ? 'a share for each tensor' : 'a quality'}; expected scope layer with that`,
    )
}

function pruneOnce(model: Model, options: PruneOptions, { shareOf, start }: Target): Promise<Model> {
  const { scope = 'layer', score = 'magnitude', unit, quality, diagonal, exclude = [], context } = options
  const competingIn = (m: Model): WeightTensor[] => weightTensors(m).filter((w) => !exclude.includes(w.name))
  const competing = competingIn(start)
  const zerosIn = unit === 'filter' ? zeroFilterShare : zeroShare
  const named = Object.entries(options.sparsities ?? {}).map(([name, s]) => [
    name,
    shareOf(s, zerosIn(competing.filter((w) => w.name === name))),
  ])
  const byName = quality ? sharesBelow(competingIn(model), quality, competing) : Object.fromEntries(named)
  const choices = {
    ...(Object.keys(byName).length > 0
      ? { sparsities: byName }
      : { sparsity: shareOf(options.sparsity, zerosIn(competing)), scope }),
    exclude,
    ...(unit ? { unit } : {}),
    // Only obd has it.
    ...(diagonal ? { diagonal } : {}),
  }
  return byScore[score](model, choices, context)
}
