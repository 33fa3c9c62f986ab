/**
 * Pruning in rounds with training between them: prune, train the survivors under their mask, repeat.
 *
 * Sparsity after round r of n on the way from s, what is zero at the start, to S:
 *   one-shot   S at once (one round)
 *   iterative  1 - (1 - s) ((1 - S) / (1 - s))^(r/n): each round takes the same share of the survivors (Han et al. 2015)
 *   gradual    s + (S - s) (1 - (1 - r/n)³): most at first (Zhu & Gupta 2017, arXiv:1710.01878)
 * The mask is the zeros themselves; they only grow. Nothing but the weights passes from round to round.
 */
import type { Dataset } from '../data/dataset.ts'
import { crc32 } from '../formats/checksum.ts'
import { type WeightTensor, weightTensors } from '../graph/weights.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { floats } from '../tensor/dtype.ts'
import type { CheckpointStore } from '../train/checkpoint.ts'
import { keepZeros } from '../train/terms.ts'
import { type EpochRecord, type TrainOptions, train } from '../train/train.ts'
import { restartUniform } from './_restart.ts'
import { decodeRounds, encodeRounds, type RoundsState } from './_rounds-file.ts'
import { lamp } from './lamp.ts'
import { magnitude } from './magnitude.ts'
import { obd } from './obd.ts'
import { taylor } from './taylor.ts'

export const pruneSchedules = ['one-shot', 'iterative', 'gradual'] as const
export type PruneSchedule = (typeof pruneSchedules)[number]
export const pruneScores = ['magnitude', 'lamp', 'taylor', 'obd'] as const
export type PruneScore = (typeof pruneScores)[number]

export interface PruneOptions {
  /** Share of the weights that are zero at the end; within [0, 1]. */
  readonly sparsity: number
  /** Shares by name instead, as a scan recommends them; weights that are not named are left alone. */
  readonly sparsities?: Readonly<Record<string, number>>
  readonly scope?: 'layer' | 'global'
  /** What the smallest of goes; default magnitude. With taylor and obd `context` must give labelled data. */
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
  readonly training?: RoundTraining
  /** Training after the last round instead, where that should be longer. */
  readonly finalTraining?: RoundTraining
  readonly context?: Context
  /** Saved after each round and, within one, each epoch; a run with the same options goes on from it. */
  readonly checkpoint?: CheckpointStore
  /** Told after each round, with the model; a run that goes on tells first of the rounds that were done before. */
  readonly onRound?: (round: PruneRound, model: Model) => void | Promise<void>
}

/** Checkpoints are those of the rounds. */
export type RoundTraining = Omit<TrainOptions, 'checkpoint'>

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

/** Prunes in rounds, training `data` between them. Throws where a share, a name or the training options are wrong. */
export async function pruneAndTrain(model: Model, data: Dataset, options: PruneOptions): Promise<Model> {
  const { schedule = 'one-shot', training, finalTraining = training, restart, checkpoint, onRound } = options
  const rounds = schedule === 'one-shot' ? 1 : (options.rounds ?? 1)
  if (!(Number.isInteger(rounds) && rounds > 0))
    throw new Error(`prune: rounds must be a whole number above 0, got ${rounds}`)
  const seed = options.context?.seed ?? 0
  const fingerprint = fingerprintOf(model, data, options)
  const resumed = await resume(checkpoint, fingerprint)
  const finished = [...(resumed?.finished ?? [])]
  let current = resumed?.model ?? model
  for (const round of finished) await onRound?.(round, current)
  for (let round = finished.length + 1; round <= rounds; round++) {
    const before = current
    const shareOf = (target: number, start: number): number => sparsityAt(schedule, target, { round, rounds, start })
    current = await pruneOnce(current, options, { shareOf, start: model })
    if (restart) current = restartUniform(current, seed + round)
    const how = round === rounds ? finalTraining : training
    let history: readonly EpochRecord[] = []
    if (how) {
      const store = checkpoint && {
        load: async () => (round === (resumed?.finished.length ?? 0) + 1 ? resumed?.training : undefined),
        save: (bytes: Uint8Array) =>
          checkpoint.save(encodeRounds({ fingerprint, finished, model: before, training: bytes })),
      }
      const project = [...(how.project ?? []), keepZeros()]
      const trained = await train(current, data, { ...how, project, checkpoint: store && { store } })
      current = trained.model
      history = trained.history
    }
    finished.push({ round, rounds, sparsity: zeroShare(weightTensors(current)), history })
    await checkpoint?.save(encodeRounds({ fingerprint, finished, model: current }))
    await onRound?.(finished[round - 1], current)
  }
  return current
}

/** What must be the same for a checkpoint to go on. */
function fingerprintOf(model: Model, data: Dataset, options: PruneOptions): string {
  const { checkpoint: _, onRound: __, context, training, finalTraining, ...choices } = options
  const of = (t?: RoundTraining): unknown => t && [t.epochs, t.batchSize, t.learningRate, t.seed, t.optimizer?.id]
  const seed = context?.seed ?? 0
  return JSON.stringify([
    crc32(writeModel(model)),
    data.id,
    data.length,
    choices,
    seed,
    of(training),
    of(finalTraining),
  ])
}

async function resume(store: CheckpointStore | undefined, fingerprint: string): Promise<RoundsState | undefined> {
  const bytes = await store?.load()
  if (!bytes) return undefined
  const state = decodeRounds(bytes)
  if (state.fingerprint !== fingerprint)
    throw new Error(
      'checkpoint: it is of another pruning (model, data or options differ); expected that of this run, or none',
    )
  return state
}

function zeroShare(weights: readonly WeightTensor[]): number {
  const all = weights.map((w) => floats(w.tensor))
  const zeros = all.reduce((n, a) => n + a.reduce((m, v) => m + (v === 0 ? 1 : 0), 0), 0)
  const count = all.reduce((n, a) => n + a.length, 0)
  return zeros / Math.max(1, count)
}

interface Target {
  /** Today's share on the way from `start` to `target`. */
  shareOf(target: number, start: number): number
  /** The model before the first round. */
  readonly start: Model
}

function pruneOnce(model: Model, options: PruneOptions, { shareOf, start }: Target): Promise<Model> {
  const { scope = 'layer', score = 'magnitude', unit = 'element', exclude = [], context = {} } = options
  const competing = weightTensors(start).filter((w) => !exclude.includes(w.name))
  const sparsity = shareOf(options.sparsity, zeroShare(competing))
  if (score === 'magnitude') {
    const named = Object.entries(options.sparsities ?? {}).map(([name, s]) => [
      name,
      shareOf(s, zeroShare(competing.filter((w) => w.name === name))),
    ])
    return magnitude(model, { sparsity, scope, unit, exclude, sparsities: Object.fromEntries(named) })
  }
  if (options.sparsities || unit === 'filter')
    throw new Error(
      `prune: score ${score} ranks single weights by one sparsity; expected magnitude with shares by name or filters`,
    )
  return { lamp, taylor, obd }[score](model, { sparsity, scope, exclude }, context)
}
