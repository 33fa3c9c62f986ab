/** Loss and accuracy of a model in inference form on data that training does not see. */
import type { Batcher, Dataset } from '../data/dataset.ts'
import type { Model } from '../model.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { scoreAnswers } from '../task/answer-tally.ts'
import type { OutputTask, Task } from '../task/task.ts'
import { type Objective, objectiveOf, onlyOutput } from './objective.ts'

export interface Validation {
  /**
   * The mean over the samples of what training lowers: the cross-entropy of classes or of yes and no (of probabilities,
   * where the model gives them), the mean squared error of numbers.
   */
  readonly loss: number
  /** The share of right decisions, of 1; of a sequence, an image or several labels the mean share. Absent for numbers. */
  readonly accuracy?: number
}

export interface ValidateOptions {
  readonly batcher: Batcher
  readonly batchSize: number
  /** What the outputs mean; default: guessed from the model and the data. */
  readonly task?: Task
  readonly threads?: number
}

/** Needs labels or targets. Works in batches of `batchSize`, or of the size that the model takes alone. */
export async function validate(model: Model, data: Dataset, options: ValidateOptions): Promise<Validation> {
  if (data.length === 0) throw new Error(`${data.id}: it has no samples; expected some to validate on`)
  const objective = objectiveOf(model, data, options.task)
  const { output } = objective
  const { batchSize } = options
  const isFixed = model.graph.inputs.some(
    (i) => typeof i.shape?.[0] === 'number' && !model.graph.initializers.has(i.name),
  )
  const batcher: Batcher = Object.assign(
    (...given: Parameters<Batcher>) => options.batcher(...given),
    isFixed ? { batchSize: options.batcher.batchSize ?? batchSize } : {},
  )
  const {
    loss: counted = Number.NaN,
    accuracy,
    unanswered = 0,
  } = await withSession(
    () => openSession(onlyOutput(model, output), { threads: options.threads }),
    (session) =>
      scoreAnswers(
        session,
        { batcher, dataset: data },
        { output, taskOf: ({ dims }) => taskOf(objective, dims.length) },
        { batchSize },
      ),
  )
  // Training is given no sample that lacks an answer, so one that does now is the fault of what was learnt.
  const loss = unanswered > 0 ? Number.NaN : counted
  return { loss, ...(accuracy === undefined ? {} : { accuracy }) }
}

/** The output as the objective has it, for each of whose decisions the data has an answer. */
function taskOf({ output, kind, axis = -1, probabilities }: Objective, rank: number): OutputTask {
  const task = { output, probabilities, labelled: true, why: 'it is what learns' }
  if (kind === 'classes') return { ...task, kind: 'tokens', axis: axis < 0 ? axis + rank : axis }
  return { ...task, kind: kind === 'decisions' ? 'labels' : 'numbers' }
}

/** What is reported: the accuracy, or the root of the mean squared error of numbers. */
export function scoreOf({ accuracy, loss }: Validation): number {
  return accuracy ?? Math.sqrt(loss)
}

export type ClassValidation = Required<Validation>

/** The same of a model that decides, whose accuracy there always is. */
export async function validateClasses(model: Model, data: Dataset, options: ValidateOptions): Promise<ClassValidation> {
  const { loss, accuracy } = await validate(model, data, options)
  if (accuracy === undefined) throw new Error(`${data.id}: its targets are numbers; expected labels`)
  return { loss, accuracy }
}
