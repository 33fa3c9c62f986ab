/**
 * The training loop: the only one. Everything that trains gives it data: regimes (`regime.ts`), an optimiser, a schedule.
 *
 * Batches are of one size, since a step graph has static shapes: what is left of an epoch after its last full batch
 * is not seen in it (the shuffle differs each epoch). The same model, data, options and thread count give the same bytes.
 */

import { crc32 } from '../checksum.ts'
import type { AugmentOptions } from '../data/augment.ts'
import { batches } from '../data/batches.ts'
import type { Batcher, Dataset } from '../data/dataset.ts'
import { stopIfAborted } from '../errors.ts'
import type { Engine } from '../grad/engine.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import type { StateSession } from '../runtime/state-session.ts'
import { forTraining, trainedAs } from '../simplify/float32-arithmetic.ts'
import { inlined } from '../simplify/inline-functions.ts'
import { type AnyBatch, anyBatchOf } from '../task/any-batch.ts'
import type { Task } from '../task/task.ts'
import { type CheckpointStore, decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts'
import { chooseEngine, type EngineChoice } from './choose-engine.ts'
import { trainingFingerprint } from './fingerprint.ts'
import type { Loss, LossName } from './losses.ts'
import { answersOf, countRight, type Objective, objectiveOf, objectiveWithoutAnswers } from './objective.ts'
import { type Optimizer, sgd } from './optimizers.ts'
import { withOwnCopies } from './own-copies.ts'
import { frozenFrom, isFrozen, type OpenPhase, type Phase, phases } from './phases.ts'
import { type Arrays, type Entered, enterAll, mainLossOf, type Regime } from './regime.ts'
import { constant, type Schedule } from './schedules.ts'
import { type FeedSource, feedsOf, mix } from './step-feeds.ts'
import type { StepGraph } from './step-graph.ts'
import { statisticsOf } from './train-state.ts'
import { type Validation, validate } from './validate.ts'

export interface TrainOptions {
  /**
   * Makes the model's inputs of samples. A model whose file fixes another `batchSize` is trained as one that takes any, where
   * it runs so, and is given back with the size that it had.
   */
  readonly batcher: Batcher
  readonly epochs: number
  readonly batchSize: number
  readonly learningRate: number
  /** What the outputs mean; default: guessed from the model and the data. */
  readonly task?: Task
  /** Default: what the task asks for: cross-entropy of classes, of yes or no, or the mean squared error of numbers. */
  readonly loss?: LossName | Loss
  /** Share of each target that is spread over all classes; default 0. */
  readonly labelSmoothing?: number
  /** What the loss compares the first output with, instead of labels: its elements, sample by sample. */
  readonly targets?: (indices: ArrayLike<number>) => Float32Array
  /** Default: SGD with momentum 0.9. */
  readonly optimizer?: Optimizer
  /** Default: constant. */
  readonly schedule?: Schedule
  /** Methods of training, composed in this order. */
  readonly regimes?: readonly Regime[]
  readonly augment?: AugmentOptions
  /** Seeds shuffling, augmentation and dropout; default 0. */
  readonly seed?: number
  /** Data that training does not see, measured after each epoch. */
  readonly validation?: Dataset
  /** Stops after so many epochs without a better validation loss, and gives the best epoch's weights. */
  readonly patience?: number
  /** Stops after an epoch for which this holds, such as once training accuracy is high enough. */
  readonly until?: (epoch: EpochRecord) => boolean
  /** Decay of an exponential average of the weights, which is then what is validated and given; such as 0.999. */
  readonly averageDecay?: number
  readonly checkpoint?: CheckpointOptions
  readonly parameters?: readonly string[]
  readonly decays?: (name: string, shape: readonly number[]) => boolean
  /** Keeps BatchNormalization's statistics as they are: always, or from this epoch on (counted from 0). */
  readonly frozenStatistics?: boolean | number
  readonly clipNorm?: number
  /** Default: the quickest that this machine has (`chooseEngine`). */
  readonly engine?: Engine
  /** Default: the runtime's own choice. */
  readonly threads?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: Progress) => void
  /** Told what a person should know before the first step. */
  readonly warn?: (message: string) => void
}

export interface CheckpointOptions {
  readonly store: CheckpointStore
  /** Default: once per epoch. */
  readonly everySteps?: number
}

export interface Progress {
  /** From 0. */
  readonly epoch: number
  readonly epochs: number
  /** Steps done of all. */
  readonly step: number
  readonly steps: number
  /** Means over the epoch so far. */
  readonly loss: number
  readonly accuracy?: number
  readonly samplesPerSecond: number
  readonly secondsLeft: number
  /** The epoch's record, once it is over. */
  readonly finished?: EpochRecord
}

export interface EpochRecord {
  readonly epoch: number
  readonly loss: number
  readonly accuracy?: number
  readonly learningRate: number
  readonly validation?: Validation
}

export interface Trained {
  readonly model: Model
  readonly history: readonly EpochRecord[]
  /** The epoch whose weights these are. */
  readonly epoch: number
  readonly engine: Engine['id']
  /** Why the plain engine was taken, where it was. */
  readonly engineReason?: string
}

/** What is saved beside the arrays. */
interface Saved {
  readonly history: readonly EpochRecord[]
  readonly lossSum: number
  readonly correct: number
  readonly best?: { readonly epoch: number; readonly loss: number }
}

/** Everything of a run that does not change, but for its phase. */
interface Run extends FeedSource {
  readonly entered: Entered
  readonly session: StateSession
  readonly fingerprint: string
}

/**
 * Trains the model's weights on the data's labels or targets (or on `targets`, or on what regimes add to the loss alone).
 * Throws before the first step where it cannot.
 */
export async function train(source: Model, data: Dataset, given: TrainOptions): Promise<Trained> {
  check(data, given)
  const any = await anyBatchFor(source, data, given)
  if (!any) return trainBatches(source, data, given)
  const result = await trainBatches(any.open(source), data, { ...given, batcher: any.batcher }, any.open)
  return { ...result, model: any.close(result.model) }
}

/** What lets the model take batches of the size that is asked for, where its file says another. Throws where nothing does. */
async function anyBatchFor(
  source: Model,
  data: Dataset,
  { batcher, batchSize }: TrainOptions,
): Promise<AnyBatch | undefined> {
  const fixed = batcher.batchSize
  if (fixed === undefined || fixed === batchSize) return undefined
  const any = await anyBatchOf(source, { batcher, dataset: data })
  if (any) return any
  throw new Error(
    `train: batch ${batchSize}; the model takes ${fixed} sample${fixed === 1 ? '' : 's'} per call and runs with no other number, so expected ${fixed}`,
  )
}

/** `open` makes of a model that is fed the same inputs one that takes the batches. */
async function trainBatches(
  source: Model,
  data: Dataset,
  given: TrainOptions,
  open?: (model: Model) => Model,
): Promise<Trained> {
  // Weights inside local functions are trained where they stand in the graph, those of other floats in float32, and those that
  // are stored once because they begin alike each on its own.
  const typed = withOwnCopies(inlined(source))
  const model = forTraining(typed)
  const { regimes = [], batchSize, seed = 0, threads } = given
  const mainLoss = mainLossOf(regimes)
  const labelled = data.labels !== undefined || data.targets !== undefined || mainLoss > 0
  const objective = given.targets || !labelled ? undefined : objectiveOf(model, data, given.task)
  if (given.validation) objectiveOf(model, given.validation, given.task) // throws where it cannot be measured on
  const aim = objective ?? (given.targets ? undefined : unlabelledAim(model, data, given))
  const options: TrainOptions = { ...given, loss: given.loss ?? aim?.loss ?? 'cross-entropy' }
  const fingerprint = options.checkpoint ? `${crc32(writeModel(model))} ${trainingFingerprint(data, options)}` : ''
  const entered = await enterAll(model, regimes, {
    ...{ batchSize, seed, threads, objective: aim, loss: options.loss },
    ...(open ? { open } : {}),
  })
  try {
    if (model !== typed) checkLeaving(model, entered)
    const result = await runIn(entered, { data, options, objective, aim, mainLoss, seed, fingerprint })
    return { ...result, model: trainedAs(typed, model, result.model) }
  } finally {
    await entered.release()
  }
}

/** What labels would be compared with, where there are none. */
function unlabelledAim(model: Model, data: Dataset, { task, warn }: TrainOptions): Objective {
  if (task) return objectiveOf(model, data, task)
  const aim = objectiveWithoutAnswers(model)
  if (aim.isGuess)
    warn?.(
      `output "${aim.output}" is taken as scores of classes, as nothing says what it is; --task numbers if it is not`,
    )
  return aim
}

type Setup = Pick<Run, 'data' | 'options' | 'objective' | 'mainLoss' | 'seed' | 'fingerprint'> & {
  /** The objective, or that which labels would have. */
  readonly aim?: Objective
}

/** Builds the step of a model that regimes have entered, and trains it. */
async function runIn(entered: Entered, { aim, ...setup }: Setup): Promise<Trained> {
  const { options, data, mainLoss } = setup
  const optimizer = options.optimizer ?? sgd()
  const choice: EngineChoice = options.engine ? { engine: options.engine } : await chooseEngine()
  const open = phases(entered, { data, options, aim, mainLoss, optimizer, engine: choice.engine })
  const stepsPerEpoch = Math.floor(data.length / options.batchSize)
  const result = await loop({ ...setup, entered, optimizer, stepsPerEpoch }, open)
  return { ...result, engine: choice.engine.id, ...(choice.reason ? { engineReason: choice.reason } : {}) }
}

/** What is trained in float32 goes back to its own types weight by weight, which takes the graph that it had. */
function checkLeaving(model: Model, { model: inside, members, leave }: Entered): void {
  const graphOf = ({ graph }: Model): string =>
    JSON.stringify([[...graph.initializers.keys()], graph.nodes.map((n) => [n.op, n.inputs, n.outputs])])
  const changing = members.filter((m) => m.model || m.leave)
  if (changing.length === 0) return
  const left = leave(inside, ({ state = {} }) => new Map(Object.entries(state).map(([name, s]) => [name, s.values])))
  if (graphOf(left) !== graphOf(model))
    throw new Error(
      `train: ${changing.map((m) => m.id).join(', ')} changes the graph permanently, which needs a model of float32; expected one converted by float32-arithmetic first`,
    )
}

function sayUntrained(untrained: StepGraph['untrained']): string {
  const more = untrained.length - 3
  const few = untrained.slice(0, 3).map(({ name, why }) => `"${name}" ${why}`)
  return `weights that are not trained: ${few.join('; ')}${more > 0 ? `; and ${more} more` : ''}`
}

function check(data: Dataset, { batchSize, epochs, patience, validation }: TrainOptions): void {
  for (const [name, value] of Object.entries({ batchSize, epochs })) {
    if (!(Number.isInteger(value) && value > 0))
      throw new Error(`train: ${name} must be a whole number above 0, got ${value}`)
  }
  if (data.length < batchSize)
    throw new Error(
      `${data.id}: ${data.length} training samples do not fill a batch of ${batchSize}; expected more, or a smaller batch (--batch ${data.length})`,
    )
  if (patience !== undefined && !validation) throw new Error('train: early stopping needs validation data')
  if (validation?.length === 0)
    throw new Error(`${validation.id}: no sample is held back; expected a larger share, or more data`)
}

/** Runs all steps; opens another phase where statistics are frozen on the way. */
async function loop(setup: Omit<Run, keyof Phase>, open: OpenPhase): Promise<Omit<Trained, 'engine'>> {
  const { options, stepsPerEpoch } = setup
  const resumed = await resume(setup)
  let at = resumed?.step ?? 0
  let saved: Saved = resumed?.saved ?? { history: [], lossSum: 0, correct: 0 }
  let phase = await open(isFrozen(options, Math.floor(at / stepsPerEpoch)), resumed && statisticsOf(resumed.arrays))
  try {
    const { untrained } = phase.step
    if (untrained.length > 0 && !options.parameters) options.warn?.(sayUntrained(untrained))
    if (resumed) phase.state.load(resumed.arrays)
    let run: Run = { ...setup, ...phase }
    const everySteps = options.checkpoint?.everySteps ?? stepsPerEpoch
    const clock = { startedAt: performance.now(), startedFrom: at }
    const isOver = (): boolean => at >= stepsPerEpoch * options.epochs || exhausted(saved, options)
    while (!isOver()) {
      const epoch = Math.floor(at / stepsPerEpoch)
      if (!phase.frozen && isFrozen(options, epoch)) {
        phase = await frozenFrom(phase, open)
        run = { ...setup, ...phase }
      }
      const order = [...batches(run.data, options.batchSize, { shuffleSeed: mix(run.seed, epoch), dropLast: true })]
      for (const indices of order.slice(at % stepsPerEpoch)) {
        stopIfAborted(options.signal, 'train')
        const { loss, correct } = await runStep(run, at, indices)
        at++
        saved = { ...saved, lossSum: saved.lossSum + loss, correct: saved.correct + correct }
        if (at % stepsPerEpoch !== 0) options.onProgress?.(progressOf(run, { at, saved, clock }))
        if (at % everySteps === 0 && at % stepsPerEpoch !== 0) await save(run, at, saved)
      }
      saved = await finishEpoch(run, { at, saved, clock })
      if (at % everySteps === 0 || isOver()) await save(run, at, saved)
    }
    const last = saved.history.length - 1
    const best = options.patience === undefined ? undefined : saved.best
    return { model: leftModel(run, best ? 'best' : 'now'), history: saved.history, epoch: best ? best.epoch : last }
  } finally {
    await phase.session.release()
  }
}

/** The model as it is given: without what regimes put in. */
function leftModel({ entered, state }: Run, which: 'now' | 'best'): Model {
  return entered.leave(state.model(which), (member) => state.stateOf(member, which))
}

function exhausted({ history, best }: Saved, { patience, until }: TrainOptions): boolean {
  if (history.length > 0 && until?.(history[history.length - 1])) return true
  return patience !== undefined && best !== undefined && history.length - 1 - best.epoch >= patience
}

async function runStep(run: Run, at: number, indices: Uint32Array): Promise<{ loss: number; correct: number }> {
  const { options, step, session, state, objective } = run
  const results = await session.run(await feedsOf(run, at, indices))
  const loss = results[step.lossOutput][0]
  if (!Number.isFinite(loss)) {
    const kept = options.checkpoint ? '; the last good checkpoint is kept' : ''
    throw new Error(
      `train: the loss became ${loss} at step ${at}; expected a finite loss; a lower learning rate may help${kept}`,
    )
  }
  state.afterStep(results, at)
  project(run, at)
  if (!objective) return { loss, correct: 0 }
  const targets = answersOf(run.data, indices)
  const classes = step.target.shape?.at(-1) as number
  const correct = countRight(objective, results[step.output], { targets, classes, samples: indices.length })
  return { loss, correct: correct ?? 0 }
}

function project({ entered, state }: Run, at: number): void {
  for (const member of entered.members) {
    for (const { apply, every = 1 } of member.projections ?? []) {
      if (!apply || (at + 1) % every !== 0) continue
      state.change(member, apply({ step: at + 1, weights: state.weights(), state: state.stateOf(member) }))
    }
  }
}

interface Moment {
  /** Steps done. */
  readonly at: number
  readonly saved: Saved
  readonly clock: { readonly startedAt: number; readonly startedFrom: number }
}

function progressOf({ options, stepsPerEpoch, objective }: Run, { at, saved, clock }: Moment): Progress {
  const inEpoch = ((at - 1) % stepsPerEpoch) + 1
  const seconds = (performance.now() - clock.startedAt) / 1000
  const steps = stepsPerEpoch * options.epochs
  return {
    epoch: Math.floor((at - 1) / stepsPerEpoch),
    epochs: options.epochs,
    step: at,
    steps,
    loss: saved.lossSum / inEpoch,
    ...(objective && objective.kind !== 'numbers' ? { accuracy: saved.correct / (inEpoch * options.batchSize) } : {}),
    samplesPerSecond: ((at - clock.startedFrom) * options.batchSize) / seconds,
    secondsLeft: (seconds / (at - clock.startedFrom)) * (steps - at),
  }
}

async function finishEpoch(run: Run, moment: Moment): Promise<Saved> {
  const { options, state, stepsPerEpoch } = run
  const { at, saved } = moment
  const progress = progressOf(run, moment)
  const validation = options.validation && (await validate(leftModel(run, 'now'), options.validation, options))
  const factor = (options.schedule ?? constant)({ step: at - 1, stepsPerEpoch, epochs: options.epochs })
  const record: EpochRecord = {
    epoch: progress.epoch,
    loss: progress.loss,
    ...(progress.accuracy === undefined ? {} : { accuracy: progress.accuracy }),
    learningRate: options.learningRate * factor,
    ...(validation ? { validation } : {}),
  }
  const better = validation !== undefined && validation.loss < (saved.best?.loss ?? Number.POSITIVE_INFINITY)
  if (better && options.patience !== undefined) state.keepBest()
  options.onProgress?.({ ...progress, finished: record })
  return {
    history: [...saved.history, record],
    lossSum: 0,
    correct: 0,
    ...(better ? { best: { epoch: record.epoch, loss: validation.loss } } : saved.best ? { best: saved.best } : {}),
  }
}

async function save({ options, state, fingerprint }: Run, step: number, saved: Saved): Promise<void> {
  if (!options.checkpoint) return
  const arrays = state.arrays()
  for (const [name, values] of arrays) {
    if (!values.every(Number.isFinite))
      throw new Error(`train: "${name}" is no longer finite at step ${step}; the last good checkpoint is kept`)
  }
  await options.checkpoint.store.save(encodeCheckpoint({ fingerprint, step, progress: saved, arrays }))
}

interface Resumed {
  readonly step: number
  readonly saved: Saved
  readonly arrays: Arrays
}

async function resume({ options, fingerprint }: Pick<Run, 'options' | 'fingerprint'>): Promise<Resumed | undefined> {
  const bytes = await options.checkpoint?.store.load()
  if (!bytes) return undefined
  const checkpoint = decodeCheckpoint(bytes)
  if (checkpoint.fingerprint !== fingerprint)
    throw new Error(
      'checkpoint: it is of another run (model, data or options differ); expected that of this run, or none',
    )
  return { step: checkpoint.step, saved: checkpoint.progress as Saved, arrays: checkpoint.arrays }
}
