/**
 * Progressive pruning by ADMM (Ye et al. 2018, arXiv:1810.07378): the sparsity is reached in stages of moderate ones. Each draws
 * the weights that the stage before left towards sparser ones while they learn (train/regimes/admm.ts), cuts them, and trains
 * what is left under its mask. What is zero stays zero in all stages that follow.
 *
 * With `values` one more stage draws the weights of each tensor to few values, which then learn as values (regimes/tie.ts).
 */
import type { Dataset } from '../data/dataset.ts'
import { type WeightTensor, weightTensors } from '../graph/weights.ts'
import type { Model } from '../model.ts'
import { modelFingerprint } from '../onnx/fingerprint.ts'
import type { CheckpointStore } from '../train/checkpoint.ts'
import { trainingFingerprint } from '../train/fingerprint.ts'
import type { Regime } from '../train/regime.ts'
import { type AdmmTarget, admm } from '../train/regimes/admm.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { tie } from '../train/regimes/tie.ts'
import { type Stage, type StageTraining, trainInStages } from '../train/stages.ts'
import type { EpochRecord } from '../train/train-options.ts'
import { zeroFilterShare, zeroShare } from './_units.ts'
import { valuesTarget, zerosTarget } from './admm-targets.ts'
import { lamp } from './lamp.ts'
import { type PruneSchedule, sparsityAt } from './prune-and-train.ts'

export interface AdmmStagesOptions {
  /** Share of the weights (of the filters, with that unit) that are zero at the end; within [0, 1]. 0: none are made. */
  readonly sparsity: number
  /** Shares by name instead; weights that are not named are left alone. */
  readonly sparsities?: Readonly<Record<string, number>>
  /** Whether each tensor gets that share, or all together, each as many as LAMP finds it to bear at the start of a stage. */
  readonly scope?: 'layer' | 'global'
  readonly unit?: 'element' | 'filter'
  readonly exclude?: readonly string[]
  /** Stages on the way to the sparsity. */
  readonly stages: number
  /** How the share rises from stage to stage, as in rounds of pruning; default iterative. */
  readonly schedule?: Exclude<PruneSchedule, 'one-shot'>
  /** Above 0: one more stage, after which a tensor has at most so many values beside zero. */
  readonly values?: number
  /** ρ at the start of each stage, and at its end. */
  readonly rho: number
  readonly rhoEnd: number
  /** How often z and u change in an epoch. */
  readonly updates: number
  /** While weights are drawn. */
  readonly training: StageTraining
  /** After they are cut. */
  readonly retraining: StageTraining
  readonly checkpoint?: CheckpointStore
  readonly onStage?: (stage: AdmmStage, model: Model) => void | Promise<void>
}

export interface AdmmStage {
  /** From 1. */
  readonly stage: number
  readonly stages: number
  /** Drawn: the weights were drawn and cut; else they were trained under their mask. */
  readonly drawn: boolean
  /** The share of all weights that is zero. */
  readonly sparsity: number
  readonly history: readonly EpochRecord[]
}

/** Throws where an option is out of range, names a weight that the model lacks, or leaves nothing to do. */
export async function pruneByAdmm(model: Model, data: Dataset, options: AdmmStagesOptions): Promise<Model> {
  const { values = 0, checkpoint, onStage, training, retraining, exclude = [] } = options
  const sparse = Object.values(options.sparsities ?? { all: options.sparsity }).some((share) => share > 0)
  const ladder = sparse ? options.stages : 0
  const stages = ladder + (values > 0 ? 1 : 0)
  if (stages === 0)
    throw new Error('progressive-admm: sparsity 0 and values 0 leave nothing to do; expected one of them above 0')
  check(model, data, options)
  const untied = values > 0 ? chosenIn(model, exclude).length - tiedIn(model, exclude).length : 0
  if (untied > 0)
    training.warn?.(`progressive-admm: weights that Constant nodes hold keep values of their own (${untied})`)
  const drawn = (current: Model, onto: AdmmTarget, names: readonly string[]): Stage => ({
    model: current,
    training: withRegimes(training, [admm({ onto, names, ...ramp(data, options) }), keepZeros()]),
  })
  return trainInStages<AdmmStage>(model, data, {
    count: 2 * stages,
    async begin(index, current) {
      const stage = index >> 1
      if (index % 2 === 1) {
        const tied = stage === ladder ? [tie({ names: tiedIn(current, exclude) })] : []
        return { model: current, training: withRegimes(retraining, [keepZeros(), ...tied]) }
      }
      if (stage === ladder) return drawn(current, valuesTarget(values), tiedIn(current, exclude))
      const shares = await sharesAt(current, options, { round: stage + 1, start: model })
      return drawn(current, zerosTarget(shares, options.unit ?? 'element'), Object.keys(shares))
    },
    record: (index, current, history) => ({
      stage: (index >> 1) + 1,
      stages,
      drawn: index % 2 === 0,
      sparsity: zeroShare(weightTensors(current)),
      history,
    }),
    ...(onStage ? { onStage } : {}),
    ...(checkpoint ? { checkpoint } : {}),
    fingerprint: () => fingerprintOf(model, data, options),
    subject: 'pruning by ADMM',
  })
}

const withRegimes = (training: StageTraining, regimes: readonly Regime[]): StageTraining => ({
  ...training,
  regimes: [...(training.regimes ?? []), ...regimes],
})

/** Those of the main graph: what loops and branches store is not trained. */
function chosenIn(model: Model, exclude: readonly string[]): string[] {
  return weightTensors(model).flatMap(({ name, graph }) =>
    graph === model.graph && !exclude.includes(name) ? [name] : [],
  )
}

/** Of those, what can learn as values. */
function tiedIn(model: Model, exclude: readonly string[]): string[] {
  return chosenIn(model, exclude).filter((name) => model.graph.initializers.has(name))
}

function check(model: Model, data: Dataset, options: AdmmStagesOptions): void {
  const { sparsities = {}, exclude = [], scope, training } = options
  const known = weightTensors(model).map((w) => w.name)
  const unknown = [...exclude, ...Object.keys(sparsities)].find((name) => !known.includes(name))
  if (unknown) throw new Error(`progressive-admm: the model has no weight "${unknown}"; expected ${known.join(', ')}`)
  for (const [name, share] of Object.entries({ sparsity: options.sparsity, ...sparsities }))
    if (!(share >= 0 && share <= 1)) throw new Error(`progressive-admm: ${name} must be within [0, 1], got ${share}`)
  if (scope === 'global' && options.sparsities)
    throw new Error('progressive-admm: scope global with a share for each tensor; expected scope layer with that')
  if (!(options.rhoEnd >= options.rho))
    throw new Error(`progressive-admm: rhoEnd ${options.rhoEnd} is below rho ${options.rho}; expected as much or more`)
  if (Math.floor(data.length / training.batchSize) < options.updates)
    throw new Error(
      `progressive-admm: updates ${options.updates} in an epoch of ${Math.floor(data.length / training.batchSize)} steps; expected at most one per step`,
    )
}

/** ρ and how it grows, from its start to its end over a stage's changes of z and u. */
function ramp(data: Dataset, { rho, rhoEnd, updates, training }: AdmmStagesOptions) {
  const stepsPerEpoch = Math.floor(data.length / training.batchSize)
  const every = Math.floor(stepsPerEpoch / updates)
  const changes = Math.floor((stepsPerEpoch * training.epochs) / every)
  return { rho, growth: (rhoEnd / rho) ** (1 / Math.max(1, changes - 1)), every }
}

/** The share of each tensor after a stage, `round` from 1. */
async function sharesAt(
  model: Model,
  {
    sparsity,
    sparsities,
    scope = 'layer',
    unit = 'element',
    exclude = [],
    stages,
    schedule = 'iterative',
  }: AdmmStagesOptions,
  { round, start }: { readonly round: number; readonly start: Model },
): Promise<Record<string, number>> {
  const zerosIn = unit === 'filter' ? zeroFilterShare : zeroShare
  const of = (m: Model): WeightTensor[] => {
    const names = chosenIn(m, exclude)
    return weightTensors(m).filter((w) => names.includes(w.name) && (!sparsities || w.name in sparsities))
  }
  const now = (target: number, weights: readonly WeightTensor[]): number =>
    sparsityAt(schedule, target, { round, rounds: stages, start: zerosIn(weights) })
  if (scope === 'global') {
    const names = of(model).map((w) => w.name)
    const others = weightTensors(model).flatMap((w) => (names.includes(w.name) ? [] : [w.name]))
    const cut = await lamp(model, { sparsity: now(sparsity, of(start)), scope, unit, exclude: others })
    return Object.fromEntries(of(cut).map((w) => [w.name, zerosIn([w])]))
  }
  return Object.fromEntries(of(start).map((w) => [w.name, now(sparsities?.[w.name] ?? sparsity, [w])]))
}

/** What must be the same for a checkpoint to go on. */
function fingerprintOf(model: Model, data: Dataset, options: AdmmStagesOptions): string {
  const { checkpoint: _, onStage: __, training, retraining, ...choices } = options
  const of = (t: StageTraining): unknown => [t.epochs, trainingFingerprint(data, t)]
  return JSON.stringify([modelFingerprint(model), choices, of(training), of(retraining)])
}
