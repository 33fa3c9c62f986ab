/**
 * What training aims at: which output of the model learns, by which loss, and what it is compared with. It follows from
 * the task and from what the data has: classes, yes or no, several labels, or numbers.
 */
import type { Dataset } from '../data/dataset.ts'
import { dropUnused } from '../graph/drop-unused.ts'
import { finalSigmoid, finalSoftmax } from '../graph/final-softmax.ts'
import { type Model, withGraph } from '../model.ts'
import { answersFor } from '../task/answers.ts'
import { guessTask } from '../task/guess.ts'
import { answersInWords, outputsInWords } from '../task/misfit.ts'
import { argmax } from '../task/scores.ts'
import { isYesOrNo, labelledOutput, type OutputTask, type Task } from '../task/task.ts'
import { sizeOf } from '../tensor/dtype.ts'
import { type LossName, oneHot } from './losses.ts'

export interface Objective {
  /** The value that learns: an output, or the scores behind it. */
  readonly output: string
  readonly kind: 'classes' | 'decisions' | 'numbers'
  readonly loss: LossName
  /** The axis of the classes, of the output as the model gives it. */
  readonly axis?: number
  /** Whether the model gives probabilities (a softmax or sigmoid comes last). */
  readonly probabilities: boolean
  /**
   * Of numbers: what their squared error is divided by, the variance of the training targets where it is above 1. Else
   * targets in large units (prices, milliseconds) would make every step too far for the layers before the last.
   */
  readonly unit?: number
}

/**
 * Infers the objective from the data and the task (guessed, unless given). Throws one sentence where the labels or targets
 * fit no output.
 */
export function objectiveOf(model: Model, data: Dataset, told?: Task): Objective {
  const task = told ?? guessTask(model, { dataset: data })
  const learnt = labelledOutput(task) ?? told?.outputs.find((o) => o.why === 'as told' && o.kind !== 'ignored')
  if (!learnt) throw new Error(misfit(model, data))
  if (learnt.batchAxis)
    throw new Error(
      `model: output "${learnt.output}" has its samples along axis ${learnt.batchAxis}; expected axis 0 for training`,
    )
  const { output, axis } = learnt
  const { graph } = model
  switch (learnt.kind) {
    case 'classes':
    case 'tokens':
    case 'mask':
      if (isYesOrNo(learnt)) return decisions(model, learnt)
      if (axis === undefined) break
      return {
        output,
        kind: 'classes',
        loss: 'cross-entropy',
        axis,
        probabilities: finalSoftmax(graph, output) !== undefined,
      }
    case 'binary':
    case 'labels':
      return decisions(model, learnt)
    case 'numbers':
      if (finalSigmoid(graph, output) && data.targets?.data.every((v) => v === 0 || v === 1))
        return decisions(model, learnt)
      return { output, kind: 'numbers', loss: 'mse', probabilities: false, unit: unitOf(data) }
  }
  throw new Error(
    `model: output "${output}" is taken as ${learnt.kind} (${learnt.why}), which the data's ${answers(data)} cannot train; expected scores of classes, yes or no, or numbers`,
  )
}

/** The mean variance of the numbers of a sample, about the mean of each; 1 where it is less. */
function unitOf({ targets }: Dataset): number {
  if (!targets) return 1
  const width = sizeOf(targets.shape)
  const count = targets.data.length / width
  let variance = 0
  for (let column = 0; column < width; column++) {
    let sum = 0
    for (let i = column; i < targets.data.length; i += width) sum += targets.data[i]
    const mean = sum / count
    for (let i = column; i < targets.data.length; i += width)
      variance += (targets.data[i] - mean) ** 2 / targets.data.length
  }
  return variance > 1 && Number.isFinite(variance) ? variance : 1
}

/** The objective that labels would have; the first output where none looks like decisions. */
export function objectiveOfLabels(model: Model): Objective {
  const labels = { id: 'labels', length: 0, fields: {}, labels: new Int32Array(), classes: 2 }
  const found = labelledOutput(guessTask(model, { dataset: labels }))
  if (found) return objectiveOf(model, labels, { outputs: [found] })
  const output = model.graph.outputs[0].name
  const probabilities = finalSoftmax(model.graph, output) !== undefined
  return { output, kind: 'classes', loss: 'cross-entropy', probabilities }
}

/**
 * What the outputs look like they are for, where the data has no answers to compare with. Several values of which nothing
 * says more are taken as scores of classes (`isGuess`); one value, images and embeddings are numbers.
 */
export function objectiveWithoutAnswers(model: Model): Objective & { readonly isGuess?: boolean } {
  const { outputs } = guessTask(model)
  if (outputs.some((o) => decisionKinds.has(o.kind))) return objectiveOfLabels(model)
  const first = outputs.find((o) => o.kind !== 'ignored' && o.kind !== 'state') ?? outputs[0]
  const { shape } = model.graph.outputs.find((o) => o.name === first.output) ?? {}
  const isRow = !shape || (shape.length > 1 && shape.slice(1).filter((d) => d !== 1).length === 1)
  if (isRow && first.kind === 'numbers') return { ...objectiveOfLabels(model), isGuess: true }
  return { output: first.output, kind: 'numbers', loss: 'mse', probabilities: false }
}

const decisionKinds: ReadonlySet<string> = new Set(['classes', 'tokens', 'mask', 'binary', 'labels'])

/** The part of a model that makes one value, as its only output. */
export function onlyOutput(model: Model, name: string): Model {
  const declared = model.graph.outputs.find((o) => o.name === name)
  const inputs = model.graph.inputs
  const outputs = [declared ?? { name, dtype: 'float32' as const }]
  const part = dropUnused({ ...model.graph, outputs })
  return withGraph(model, { ...part, inputs })
}

function decisions(model: Model, { output, probabilities }: OutputTask): Objective {
  if (finalSigmoid(model.graph, output))
    return { output, kind: 'decisions', loss: 'binary-cross-entropy', probabilities: true }
  // Probabilities that no sigmoid makes are compared as they are.
  const loss = probabilities ? 'binary-cross-entropy-of-probabilities' : 'binary-cross-entropy'
  return { output, kind: 'decisions', loss, probabilities: probabilities === true }
}

const answers = ({ labels }: Dataset): string => (labels ? 'labels' : 'targets')

function misfit(model: Model, data: Dataset): string {
  const { id, labels, targets } = data
  if (!labels && !targets) return `${id}: it has no labels; expected labels or targets to train on`
  return `${id}: its ${answersInWords(data)} fit no output of the model (${outputsInWords(model)}); expected an output of that size, or --task OUTPUT=KIND`
}

/** What the loss compares the output of samples with, in the shape [rows, classes] or that of the output. */
export function targetsFor(
  { kind }: Objective,
  data: Dataset,
  indices: ArrayLike<number>,
  { shape, smoothing = 0 }: { readonly shape: readonly number[]; readonly smoothing?: number },
): Float32Array {
  const given = answersOf(data, indices)
  const size = sizeOf(shape)
  if (kind === 'classes') {
    const classes = shape[shape.length - 1]
    const rows = size / classes
    if (given.length !== rows)
      throw new Error(
        `${data.id}: ${given.length / indices.length} classes per sample; expected ${rows / indices.length}, one for each position of the model's output`,
      )
    return oneHot(given, classes, smoothing)
  }
  if (given.length !== size)
    throw new Error(
      `${data.id}: ${given.length / indices.length} targets per sample; expected ${size / indices.length}, as many as the model's output has`,
    )
  const targets = Float32Array.from(given)
  const wrong = kind === 'decisions' ? targets.findIndex((v) => !(v >= 0 && v <= 1)) : -1
  if (wrong >= 0)
    throw new Error(`${data.id}: a label is ${targets[wrong]}; expected 0 or 1, the only answers of the model's output`)
  return targets
}

/** The labels or targets of samples, in their order. */
export function answersOf(data: Dataset, indices: ArrayLike<number>): ArrayLike<number> {
  const { labels, rows } = answersFor(data, indices, indices.length)
  const answers = labels ?? rows?.data
  if (!answers) throw new Error(`${data.id}: it has no labels; expected labels or targets to train on`)
  return answers
}

/**
 * How many decisions are right (share of 1, summed over samples) in what a step's output holds: logits, the classes along
 * the last axis. Undefined for numbers.
 */
export function countRight(
  { kind, loss }: Objective,
  values: Float32Array,
  {
    targets,
    classes,
    samples,
  }: { readonly targets: ArrayLike<number>; readonly classes: number; readonly samples: number },
): number | undefined {
  if (kind === 'numbers') return undefined
  let right = 0
  if (kind === 'decisions') {
    const threshold = loss === 'binary-cross-entropy' ? 0 : 0.5
    for (let i = 0; i < values.length; i++) if (values[i] > threshold === targets[i] > 0.5) right++
    return (right * samples) / values.length
  }
  for (let row = 0; row < targets.length; row++) {
    if (argmax(values, { from: row * classes, width: classes, stride: 1 }) === targets[row]) right++
  }
  return (right * samples) / targets.length
}
