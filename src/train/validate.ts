/** Loss and accuracy of a model in inference form on data that training does not see. */
import { batches } from '../data/batches.ts'
import type { Batcher, Dataset } from '../data/dataset.ts'
import type { Model } from '../model.ts'
import { openSession } from '../runtime/session.ts'
import { argmax, binaryCrossEntropy, crossEntropy, logitOf, rowsAlong } from '../task/scores.ts'
import type { Task } from '../task/task.ts'
import { floatValues } from '../tensor/dtype.ts'
import { answersOf, type Objective, objectiveOf, onlyOutput } from './objective.ts'

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

/** Needs labels or targets. Works in batches of `batchSize`, which is the model's own where its batch axis is fixed. */
export async function validate(model: Model, data: Dataset, options: ValidateOptions): Promise<Validation> {
  if (data.length === 0) throw new Error(`${data.id}: it has no samples; expected some to validate on`)
  const objective = objectiveOf(model, data, options.task)
  const { output } = objective
  const session = await openSession(onlyOutput(model, output), { threads: options.threads })
  const fixed = model.graph.inputs.some(
    (i) => typeof i.shape?.[0] === 'number' && !model.graph.initializers.has(i.name),
  )
  let loss = 0
  let correct = 0
  try {
    for (const indices of batches(data, options.batchSize)) {
      // A fixed batch is filled up with its first sample, whose copies are not counted.
      const fed = fixed ? Uint32Array.from({ length: options.batchSize }, (_, i) => indices[i] ?? indices[0]) : indices
      const found = (await session.run(options.batcher(data, fed), [output]))[output]
      const size = found.data.length / fed.length
      const values = (floatValues(found) as Float32Array).subarray(0, size * indices.length)
      const sums = judge(objective, { values, dims: found.dims }, { data, indices })
      loss += sums.loss
      correct += sums.correct
    }
  } finally {
    await session.release()
  }
  return { loss: loss / data.length, ...(objective.kind === 'numbers' ? {} : { accuracy: correct / data.length }) }
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

interface Judged {
  readonly values: Float32Array | Float64Array
  readonly dims: readonly number[]
}

/** Sums over samples. */
function judge(
  objective: Objective,
  { values, dims }: Judged,
  { data, indices }: { readonly data: Dataset; readonly indices: Uint32Array },
): { loss: number; correct: number } {
  const { kind, axis = -1, probabilities } = objective
  const answers = answersOf(data, indices)
  const at = axis < 0 ? axis + dims.length : axis
  const width = kind === 'classes' ? dims[at] : 1
  const rows = values.length / width
  if (answers.length !== rows)
    throw new Error(
      `${data.id}: ${answers.length / indices.length} answers per sample; expected ${rows / indices.length}, as the model's output "${objective.output}" [${dims}] has`,
    )
  const classes = rowsAlong(dims, at)
  let loss = 0
  let correct = 0
  for (let i = 0; i < rows; i++) {
    const answer = answers[i]
    if (kind === 'classes') {
      if (!(answer >= 0 && answer < width))
        throw new Error(
          `${data.id}: sample ${indices[Math.floor((i * indices.length) / rows)]} is of class ${answer}; expected 0 to ${width - 1}, the model's outputs`,
        )
      loss += crossEntropy(values, classes.at(i), answer, probabilities)
      if (argmax(values, classes.at(i)) === answer) correct++
    } else if (kind === 'decisions') {
      const logit = logitOf(values[i], probabilities)
      loss += binaryCrossEntropy(logit, answer)
      if (logit > 0 === answer > 0.5) correct++
    } else loss += (values[i] - answer) ** 2
  }
  const share = indices.length / rows
  return { loss: loss * share, correct: correct * share }
}
