/**
 * An output against the answers that the data has: the one place that counts accuracy, losses and explained variance, and the
 * one loop over a data set that does it.
 */

import type { Batcher, Dataset } from '../data/dataset.ts'
import { fedBatches } from '../data/fed-batches.ts'
import { stopIfAborted } from '../errors.ts'
import type { Value } from '../method.ts'
import type { Session } from '../runtime/session.ts'
import { answersFor, labelAt } from './answers.ts'
import { decisionsOf } from './decisions.ts'
import { type BatchOutput, samplesOf } from './samples.ts'
import { binaryCrossEntropy, crossEntropy, logitOf, rowsAlong } from './scores.ts'
import { isYesOrNo, type OutputTask } from './task.ts'

export interface AnswerScore {
  /** Those that are scored. */
  readonly samples: number
  /** Samples with numbers that are NaN or infinite, which no error can be told of; decisions that are none count as wrong. Absent where there is none. */
  readonly unanswered?: number
  /** Share of right decisions, of 1: of several per sample, their mean. Absent for numbers. */
  readonly accuracy?: number
  readonly correct?: number
  /** Share whose label is among the five largest scores, where there are more than five classes. */
  readonly top5?: number
  /** Share of the targets' variance that is explained (1 - squared error / variance), for numbers; may be negative. */
  readonly explained?: number
  /** Root mean square error, for numbers. */
  readonly rmse?: number
  /** Mean over decisions of the cross-entropy of classes or of yes and no, or of the squared error of numbers; absent without scores. */
  readonly loss?: number
}

export class AnswerTally {
  private readonly task: OutputTask
  private readonly dataset: Dataset
  private samples = 0
  private unanswered = 0
  private decisions = 0
  private correct = 0
  private within5: number | undefined
  private loss: number | undefined
  /** Of each number per sample: the mean of its answers, their summed squares about it (Welford 1962), and squared errors. */
  private readonly numbers: { mean: number; squares: number; error: number }[] = []

  constructor(task: OutputTask, dataset: Dataset) {
    this.task = task
    this.dataset = dataset
  }

  /** Takes the output of one call that was fed `fed` samples, of which the first are `indices`. */
  add(value: Value, indices: ArrayLike<number>, fed = indices.length): void {
    const { task, dataset } = this
    const out = samplesOf(value, { fed, count: indices.length, axis: task.batchAxis })
    const answers = answersFor(dataset, indices, out.samples)
    if (task.kind === 'numbers') {
      this.addNumbers(out, answers.rows ?? (answers.labels && { data: answers.labels, width: 1 }))
      return
    }
    this.samples += out.samples
    const { classes, positions, rank } = decisionsOf(out, task)
    const labelOf = labelAt(answers, task, positions)
    if (!labelOf)
      throw new Error(
        `${dataset.id}: ${answers.labels ? 1 : (answers.rows?.width ?? 0)} answers per sample; expected ${positions}, as the output "${task.output}" [${value.dims}] decides`,
      )
    const scores = task.axis === undefined ? undefined : rowsAlong(out.dims, task.axis)
    const width = task.axis === undefined ? 0 : out.dims[task.axis]
    for (let i = 0; i < classes.length; i++) {
      const label = labelOf(i)
      if (label === undefined) continue
      this.decisions++
      if (classes[i] === label) this.correct++
      if (scores) {
        if (!(label >= 0 && label < width))
          throw new Error(
            `${dataset.id}: sample ${indices[Math.floor(i / positions)]} is of class ${label}; expected 0 to ${width - 1}, the scores of output "${task.output}"`,
          )
        if (rank) this.within5 = (this.within5 ?? 0) + (rank(i, label) < 5 ? 1 : 0)
        this.addLoss(crossEntropy(out.data, scores.at(i), label, task.probabilities === true))
      } else if (isYesOrNo(task)) {
        const logit = logitOf(out.data[out.at(Math.floor(i / positions), i % positions)], task.probabilities === true)
        // Answers may be shares between no and yes.
        this.addLoss(binaryCrossEntropy(logit, answers.rows ? answers.rows.data[i] : label))
      }
    }
  }

  private addLoss(loss: number): void {
    this.loss = (this.loss ?? 0) + loss
  }

  private addNumbers(
    out: BatchOutput,
    rows: { readonly data: ArrayLike<number>; readonly width: number } | undefined,
  ): void {
    if (rows?.width !== out.size)
      throw new Error(
        `${this.dataset.id}: ${rows?.width ?? 0} numbers per sample to judge by; expected ${out.size}, as the output "${this.task.output}" has`,
      )
    for (let s = 0; s < out.samples; s++) {
      if (!hasNumbers(out, s)) {
        this.unanswered++
        continue
      }
      const n = ++this.samples
      for (let j = 0; j < out.size; j++) {
        const y = rows.data[s * out.size + j]
        this.numbers[j] ??= { mean: 0, squares: 0, error: 0 }
        const number = this.numbers[j]
        const step = y - number.mean
        number.mean += step / n
        number.squares += step * (y - number.mean)
        number.error += (out.data[out.at(s, j)] - y) ** 2
      }
    }
  }

  result(): AnswerScore {
    const { samples, numbers, unanswered } = this
    if (this.task.kind === 'numbers') {
      const none = samples === 0 && unanswered > 0
      const mean = none
        ? Number.NaN
        : numbers.reduce((sum, n) => sum + n.error, 0) / Math.max(1, samples * numbers.length)
      return {
        samples,
        ...(unanswered > 0 ? { unanswered } : {}),
        explained: none ? Number.NaN : explainedBy(numbers),
        rmse: Math.sqrt(mean),
        loss: mean,
      }
    }
    return {
      samples,
      accuracy: this.correct / Math.max(1, this.decisions),
      correct: this.correct,
      ...(this.within5 === undefined ? {} : { top5: this.within5 / this.decisions }),
      ...(this.loss === undefined ? {} : { loss: this.loss / this.decisions }),
    }
  }
}

function hasNumbers(out: BatchOutput, s: number): boolean {
  for (let j = 0; j < out.size; j++) if (!Number.isFinite(out.data[out.at(s, j)])) return false
  return true
}

/** Numbers per sample up to which each counts alike; of more, variances and errors are added up. */
const fewNumbers = 16

/** The share of the answers' variance that is explained, each number's about its own mean; 0 where none varies. */
function explainedBy(numbers: readonly { readonly squares: number; readonly error: number }[]): number {
  const total = (key: 'squares' | 'error'): number => numbers.reduce((sum, n) => sum + n[key], 0)
  const parts = numbers.length <= fewNumbers ? numbers : [{ squares: total('squares'), error: total('error') }]
  const varying = parts.filter((p) => p.squares > 0)
  return varying.reduce((sum, p) => sum + (1 - p.error / p.squares), 0) / Math.max(1, varying.length)
}

export interface ScoreOptions {
  /** Samples per call; default 100. Models that take one batch size get that. */
  readonly batchSize?: number
  /** Handed each call's value of the output, of which the first `count` samples count. */
  readonly keep?: (scores: Value, count: number) => void
  readonly progress?: (done: number, what: string) => void
  readonly signal?: AbortSignal
}

/** Runs a whole data set and scores one output. `taskOf` says how, once it has seen what the first call gave. */
export async function scoreAnswers(
  session: Session,
  { batcher, dataset }: { readonly batcher: Batcher; readonly dataset: Dataset },
  { output, taskOf }: { readonly output: string; readonly taskOf: (value: Value) => OutputTask },
  options: ScoreOptions = {},
): Promise<AnswerScore> {
  let tally: AnswerTally | undefined
  let done = 0
  for (const { feeds, count, fed, indices } of fedBatches(batcher, dataset, options.batchSize)) {
    stopIfAborted(options.signal, 'evaluate')
    const value = (await session.run(feeds, [output]))[output]
    tally ??= new AnswerTally(taskOf(value), dataset)
    tally.add(value, indices, fed)
    options.keep?.(value, count)
    done += count
    options.progress?.(done / dataset.length, 'evaluating')
  }
  if (!tally) throw new Error(`${dataset.id}: it has no samples; expected some to evaluate on`)
  return tally.result()
}
