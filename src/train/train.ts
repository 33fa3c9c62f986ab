/** Training of a model from its options: what is checked and prepared before the loop (`loop.ts`), and taken back after it. */
import type { Dataset } from '../data/dataset.ts'
import type { Model } from '../model.ts'
import { modelFingerprint } from '../onnx/fingerprint.ts'
import { forTraining, trainedAs } from '../simplify/float32-arithmetic.ts'
import { inlined } from '../simplify/inline-functions.ts'
import { type AnyBatch, anyBatchOf } from '../task/any-batch.ts'
import { answeredSamples, leftOutInWords } from '../task/unanswered.ts'
import { chooseEngine, type EngineChoice } from './choose-engine.ts'
import { trainingFingerprint } from './fingerprint.ts'
import { loop, type Run } from './loop.ts'
import { type Objective, objectiveOf, objectiveWithoutAnswers } from './objective.ts'
import { sgd } from './optimizers.ts'
import { withOwnCopies } from './own-copies.ts'
import { phases } from './phases.ts'
import { type Entered, enterAll, mainLossOf } from './regime.ts'
import type { Trained, TrainOptions } from './train-options.ts'

/**
 * Trains the model's weights on the data's labels or targets (or on `targets`, or on what regimes add to the loss alone).
 * Throws before the first step where it cannot.
 */
export async function train(source: Model, all: Dataset, told: TrainOptions): Promise<Trained> {
  check(all, told)
  const { data, given } = await withAnswers(source, all, told)
  const any = await anyBatchFor(source, data, given)
  if (!any) return trainBatches(source, data, given)
  const result = await trainBatches(any.open(source), data, { ...given, batcher: any.batcher }, any.open)
  return { ...result, model: any.close(result.model) }
}

/**
 * The training and validation samples that the model has a finite answer for. Targets that are told by a sample's place in the data
 * leave all in.
 */
async function withAnswers(
  source: Model,
  all: Dataset,
  told: TrainOptions,
): Promise<{ readonly data: Dataset; readonly given: TrainOptions }> {
  if (told.targets) return { data: all, given: told }
  const { batcher, batchSize, signal, validation, warn } = told
  const training = await answeredSamples(source, { batcher, dataset: all, batchSize }, signal)
  const held = validation && (await answeredSamples(source, { batcher, dataset: validation, batchSize }, signal))
  for (const warning of leftOutInWords([training.leftOut, ...(held ? [held.leftOut] : [])])) warn?.(warning)
  check(training.dataset, told)
  return { data: training.dataset, given: held ? { ...told, validation: held.dataset } : told }
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
  if (mainLoss > 0 && mainLoss < 1 && !data.labels && !data.targets && !given.targets)
    throw new Error(
      `${data.id}: it has no labels; expected labels or targets to train on, or an alpha of 1: the teacher's answers alone`,
    )
  const found = given.targets || !labelled ? undefined : objectiveOf(model, data, given.task)
  // A loss that was given is counted as it is.
  const objective = found && given.loss ? { ...found, unit: 1 } : found
  if (given.validation) objectiveOf(model, given.validation, given.task) // throws where it cannot be measured on
  const aim = objective ?? (given.targets ? undefined : unlabelledAim(model, data, given))
  const options: TrainOptions = { ...given, loss: given.loss ?? aim?.loss ?? 'cross-entropy' }
  const fingerprint = options.checkpoint ? `${modelFingerprint(model)} ${trainingFingerprint(data, options)}` : ''
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
  const open = phases(entered, {
    data,
    options,
    aim,
    mainLoss: mainLoss / (aim?.unit ?? 1),
    optimizer,
    engine: choice.engine,
  })
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
