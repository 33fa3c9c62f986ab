/**
 * Sensitivity scan: each weight tensor pruned alone to a grid of sparsities, and what is left of accuracy and loss, without
 * retraining (Li et al. 2017, arXiv:1608.08710, section 3.2) or after a short one.
 *
 * Without retraining work is shared: what comes before the pruned layer runs once per layer, from where the layer before was,
 * and only the part after it runs for each sparsity. A curve that has fallen to chance, and below what may be lost, ends there.
 */
import { behindCut } from '../calibrate/behind-cut.ts'
import type { BoundBatcher } from '../data/batcher.ts'
import { batches, first } from '../data/batches.ts'
import type { Dataset } from '../data/dataset.ts'
import { fedBatches } from '../data/fed-batches.ts'
import { evaluateAnswers } from '../evaluate/accuracy.ts'
import { type WeightTensor, weightTensors } from '../graph/weights.ts'
import type { Model } from '../model.ts'
import { magnitude } from '../prune/magnitude.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { type AnswerScore, AnswerTally } from '../task/answer-tally.ts'
import { guessTask } from '../task/guess.ts'
import { judgedModel } from '../task/judged-model.ts'
import { labelledOutput, type OutputKind, type OutputTask, type Task } from '../task/task.ts'
import { answeredSamples, leftOutInWords } from '../task/unanswered.ts'

export interface Score {
  /** Share of right decisions, of 1; of numbers, the share of their variance that is explained. */
  readonly accuracy: number
  /** Mean cross-entropy of the labels, or squared error of numbers. */
  readonly loss: number
}

export interface ScanPoint extends Score {
  readonly sparsity: number
}

export interface ScanCurve {
  /** The weight's name. */
  readonly name: string
  readonly op: string
  readonly dims: readonly number[]
  /** By rising sparsity. */
  readonly points: readonly ScanPoint[]
  /** The curve fell to chance, below what may be lost, at its last point: larger sparsities were not measured. */
  readonly collapsed: boolean
  /** The largest measured sparsity within the allowed loss; 0 where there is none. */
  readonly recommended: number
}

/** What a score's `accuracy` is a share of: right decisions, or the variance of numbers that is explained. */
export type ScanMeasure = 'accuracy' | 'explained variance'

export interface ScanResult {
  readonly measure: ScanMeasure
  /** What the output that is scored is. */
  readonly kind?: OutputKind
  readonly reference: Score
  readonly samples: number
  readonly sparsities: readonly number[]
  /** Points of that which a tensor may cost. */
  readonly maxLoss: number
  /** Most epochs of training before each point was measured; 0: none. */
  readonly retrainEpochs: number
  readonly curves: readonly ScanCurve[]
}

export interface Retraining {
  /** For each point, at most. */
  readonly epochs: number
  /** Trains a pruned model, its zeros kept, on other data than the scan measures on. */
  train(pruned: Model): Promise<Model>
}

export interface ScanOptions {
  /** Each within (0, 1]; default 0.1 to 0.9. */
  readonly sparsities?: readonly number[]
  /** Points of accuracy that a tensor alone may cost; default 1. */
  readonly maxLoss?: number
  readonly unit?: 'element' | 'filter'
  /** The weights to scan; default: all. */
  readonly names?: readonly string[]
  /** Samples per call; default 100. */
  readonly batchSize?: number
  readonly threads?: number
  /** Most bytes of values kept between runs; default 1 GiB. */
  readonly cacheBytes?: number
  /** false runs the whole model each time and follows every curve to its end: for comparing. */
  readonly share?: boolean
  /** What the outputs mean; guessed from the model and the data where it is not given. */
  readonly task?: Task
  readonly retrain?: Retraining
  /** What an earlier run measured, to go on from; its last curve may be unfinished. */
  readonly done?: Partial<Pick<ScanResult, 'reference' | 'curves'>>
  /** Told after each point, with everything so far. */
  readonly onPoint?: (so: ScanResult) => void | Promise<void>
  readonly progress?: (done: number, what: string) => void
  /** Told what a person should know about what is measured on. */
  readonly warn?: (message: string) => void
  readonly signal?: AbortSignal
}

/** What a scan measures on. */
interface Scanned {
  readonly batcher: BoundBatcher
  readonly data: Dataset
}

export const scanGrid: readonly number[] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
/** A curve has collapsed where less than this share of the accuracy above chance is left. */
const collapsedShare = 0.1

/** Scans every weight tensor. `data` must have labels and must not be test data. */
export async function scan(model: Model, scanned: Scanned, options: ScanOptions = {}): Promise<ScanResult> {
  const { batcher } = scanned
  const { sparsities = scanGrid, maxLoss = 1, share = true, unit = 'element', retrain, done = {} } = options
  check(scanned.data, sparsities)
  const { batchSize, signal } = options
  const looked = { batcher, dataset: scanned.data, batchSize }
  const { dataset: data, leftOut } = await answeredSamples(model, looked, signal)
  for (const warning of leftOutInWords([leftOut])) options.warn?.(warning)
  const task = labelledTask(model, data, options.task)
  await checkAnswers(model, { batcher, data, task }, options.threads)
  const run = runnerOf(model, { batcher, data, task }, options)
  const measure: ScanMeasure = task.kind === 'numbers' ? 'explained variance' : 'accuracy'
  const reference = done.reference ?? (await run.score(model))
  if (!Number.isFinite(reference.loss))
    throw new Error(`model: its scores on ${data.id} are not all finite; expected a model that works, to prune`)
  const chance = data.labels ? 1 / (data.classes ?? 2) : 0
  // Where more than that may be lost, a larger sparsity may still be the one to recommend.
  const lowest = Math.min(lowestAllowed(reference, maxLoss), chance + collapsedShare * (reference.accuracy - chance))
  const fell = (p?: Score): boolean => share && p !== undefined && p.accuracy < lowest
  const finished: ScanCurve[] = []
  const resultWith = (curves: readonly ScanCurve[]): ScanResult => {
    const retrainEpochs = retrain?.epochs ?? 0
    return {
      measure,
      kind: task.kind,
      reference,
      samples: data.length,
      sparsities,
      maxLoss,
      retrainEpochs,
      curves: [...curves],
    }
  }
  const isOpen = (points: readonly ScanPoint[]): boolean => points.length < sparsities.length && !fell(points.at(-1))
  const knownOf = ({ name }: WeightTensor): readonly ScanPoint[] =>
    done.curves?.find((c) => c.name === name)?.points ?? []
  const weights = weightTensors(model).filter((w) => options.names?.includes(w.name) ?? true)
  const lastOpen = weights.findLastIndex((w) => isOpen(knownOf(w)))
  for (const [i, weight] of weights.entries()) {
    const points = [...knownOf(weight)]
    const curve = (): ScanCurve => ({
      name: weight.name,
      op: weight.uses[0].node.op,
      dims: weight.tensor.dims,
      points: [...points],
      collapsed: fell(points.at(-1)) && points.length < sparsities.length,
      recommended: recommend(points, reference, maxLoss),
    })
    // Also past what is done: kept values then come out of the same steps, to the last bit, as in one go.
    if (share && !retrain && i <= lastOpen) await run.moveTo(weight)
    // What was measured of the tensors to come stays known, should this run end early.
    const later = new Set(weights.slice(i + 1).map((w) => w.name))
    const known = (done.curves ?? []).filter((c) => later.has(c.name))
    while (isOpen(points)) {
      const sparsity = sparsities[points.length]
      options.progress?.((i + points.length / sparsities.length) / weights.length, `scanning ${weight.name}`)
      const pruned = await magnitude(model, { sparsities: { [weight.name]: sparsity }, unit })
      points.push({ sparsity, ...(await run.score(retrain ? await retrain.train(pruned) : pruned)) })
      await options.onPoint?.(resultWith([...finished, curve(), ...known]))
    }
    finished.push(curve())
  }
  return resultWith(finished)
}

function check(data: Dataset, sparsities: readonly number[]): void {
  if (!data.labels && !data.targets)
    throw new Error(`${data.id}: it has no labels; expected a class for each sample to scan with`)
  sparsities.forEach((s, i) => {
    if (!(s > 0 && s <= 1) || (i > 0 && s <= sparsities[i - 1]))
      throw new Error(`scan: sparsities ${sparsities.join(', ')}; expected rising numbers within (0, 1]`)
  })
}

/** The output that the data's answers judge. Throws one sentence where none fits. */
function labelledTask(model: Model, dataset: Dataset, told?: Task): OutputTask {
  const task = told ?? guessTask(model, { dataset })
  const labelled = labelledOutput(task)
  if (labelled) return labelled
  const outputs = task.outputs.map((o) => `"${o.output}"`).join(', ')
  const what = dataset.labels ? `labels of ${dataset.classes} classes` : 'targets'
  throw new Error(`${dataset.id}: its ${what} fit none of the outputs ${outputs}; expected a score for each class`)
}

/** Runs one sample, which throws one sentence where the output does not fit the answers. */
async function checkAnswers(
  model: Model,
  { batcher, data, task }: Scanned & { readonly task: OutputTask },
  threads?: number,
): Promise<void> {
  const classes = data.labels?.reduce((n, label) => Math.max(n, label + 1), data.classes ?? 0)
  await withSession(
    () => openSession(judgedModel(model, { outputs: [task] }), { threads }),
    (session) =>
      evaluateAnswers(session, batcher, { ...first(data, 1), ...(classes === undefined ? {} : { classes }) }, { task }),
  )
}

/** Accuracy; of numbers, the share of their variance that is explained, which is never below 0 here. */
function scoreOf({ accuracy, explained = 0, loss = Number.NaN, unanswered = 0 }: AnswerScore): Score {
  if (unanswered > 0) return { accuracy: 0, loss: Number.NaN }
  return { accuracy: accuracy ?? Math.max(0, explained), loss }
}

/** The accuracy that a tensor must leave. */
function lowestAllowed(reference: Score, maxLoss: number): number {
  // A whole sample may lie between two accuracies: half a millionth is far below that and above rounding.
  return reference.accuracy - maxLoss / 100 - 5e-7
}

/** The largest sparsity of a curve whose accuracy is within `maxLoss` points of the reference. */
export function recommend(points: readonly ScanPoint[], reference: Score, maxLoss: number): number {
  const floor = lowestAllowed(reference, maxLoss)
  return Math.max(0, ...points.filter((p) => p.accuracy >= floor).map((p) => p.sparsity))
}

/** Scores pruned models from the values kept in front of the pruned layer. */
function runnerOf(
  model: Model,
  { batcher, data, task }: Scanned & { readonly task: OutputTask },
  options: ScanOptions,
) {
  const { threads, batchSize = 100, cacheBytes = 2 ** 30, signal } = options
  const order = [...batches(data, batcher.batchSize ?? batchSize)]
  const fed = {
    length: order.length,
    *[Symbol.iterator]() {
      for (const { feeds } of fedBatches(batcher, data, batchSize)) yield feeds
    },
  }
  const judged = judgedModel(model, { outputs: [task] })
  const behind = behindCut(judged, fed, { subject: 'scan', mostBytes: cacheBytes, threads, signal })
  return {
    moveTo: behind.moveTo,
    /** Accuracy and loss of a model that differs from the scanned one behind the cut only. */
    async score(changed: Model): Promise<Score> {
      const tally = new AnswerTally(task, data)
      await behind.run(changed, (made, b) => tally.add(made[task.output], order[b], batcher.batchSize))
      return scoreOf(tally.result())
    },
  }
}
