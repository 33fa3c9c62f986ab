/** How well an output of a model meets the answers of a whole data set: accuracy, or explained variance of numbers. */

import type { BoundBatcher } from '../data/batcher.ts'
import type { Dataset } from '../data/dataset.ts'
import type { Value } from '../method.ts'
import type { Session } from '../runtime/session.ts'
import { type AnswerScore, type ScoreOptions, scoreAnswers } from '../task/answer-tally.ts'
import type { OutputTask } from '../task/task.ts'
import { floatValues } from '../tensor/dtype.ts'

export interface EvaluateOptions extends Omit<ScoreOptions, 'keep'> {
  /** The output that the answers judge, and how; default: the first, as classes. */
  readonly task?: OutputTask
  /** Keeps every sample's scores. */
  readonly keepLogits?: boolean
}

export interface Accuracy {
  /** Shares of 1. Ties go to the class that comes first; a sample whose scores are not numbers counts as wrong. */
  readonly top1: number
  /** Left out where there are no more than 5 classes. */
  readonly top5?: number
  readonly correct: number
  readonly count: number
  /** [count, classes], where they were asked for. */
  readonly logits?: Float32Array
}

/** Runs the whole set. Throws one sentence where there are no labels or the output does not fit the classes. */
export async function evaluateAccuracy(
  session: Session,
  batcher: BoundBatcher,
  dataset: Dataset,
  options: EvaluateOptions = {},
): Promise<Accuracy> {
  const { labels, targets, length, id } = dataset
  if (!labels && !targets)
    throw new Error(`${id}: it has no labels; expected a class for each sample to measure accuracy`)
  const logits: number[] = []
  const keep = (scores: Value, count: number): void => {
    const width = scores.data.length / scores.dims[0]
    for (const v of (floatValues(scores) ?? new Float32Array()).subarray(0, count * width)) logits.push(v)
  }
  const {
    accuracy = 0,
    correct = 0,
    top5,
  } = await evaluateAnswers(session, batcher, dataset, {
    ...options,
    ...(options.keepLogits ? { keep } : {}),
  })
  return {
    top1: accuracy,
    ...(top5 === undefined ? {} : { top5 }),
    correct,
    count: length,
    ...(options.keepLogits ? { logits: Float32Array.from(logits) } : {}),
  }
}

/** The same for any task that answers judge. */
export async function evaluateAnswers(
  session: Session,
  batcher: BoundBatcher,
  dataset: Dataset,
  options: EvaluateOptions & ScoreOptions = {},
): Promise<AnswerScore> {
  const { task, ...rest } = options
  const output = task?.output ?? session.outputNames[0]
  const taskOf = (value: Value): OutputTask => {
    const known = task ?? asClasses(value, output)
    if (known.kind === 'classes' && known.axis !== undefined) checkClasses(value, known, dataset)
    return known
  }
  return scoreAnswers(session, { batcher, dataset }, { output, taskOf }, rest)
}

/** Scores along the only axis behind the samples that is not 1. */
function asClasses({ dims }: Value, output: string): OutputTask {
  const wide = dims.flatMap((d, axis) => (axis > 0 && d > 1 ? [axis] : []))
  return { output, kind: 'classes', axis: wide[0] ?? 1, why: 'the first output' }
}

function checkClasses({ dims, data }: Value, { output, axis = 1 }: OutputTask, { classes = 0 }: Dataset): void {
  const width = dims[axis] ?? 0
  const rows = dims.length > 0 && width > 0 ? data.length / width : 0
  if (rows !== dims[0] || width < Math.max(2, classes)) {
    throw new Error(
      `evaluate: output "${output}" has shape [${dims.join(',')}]; expected [batch, classes] with at least ${classes} classes`,
    )
  }
}
