/**
 * What a model lost of what is allowed, as searches ask it: on held-back data, or on random inputs where there is none.
 * What came out is judged once more on other samples (evaluate/trial.ts).
 */

import type { Dataset } from '../data/dataset.ts'
import type { BoundData } from '../data/handle.ts'
import { samplesNotFinite } from '../evaluate/data-warnings.ts'
import type { RandomData } from '../evaluate/random-data.ts'
import { batchSize, explainsTargets, randomInWords, withoutMisfits } from '../evaluate/trial.ts'
import type { Model } from '../model.ts'
import { count } from '../numbers.ts'
import { anyBatchOf } from '../task/any-batch.ts'
import { accuracyBesideChance, isAboveChance } from '../task/chance.ts'
import { type Judge, type JudgedBatch, type OutputJudgement, openJudge } from '../task/judge.ts'
import { judgeOnData } from '../task/judge-on-data.ts'
import type { MaxLoss } from '../task/max-loss.ts'
import { answersInWords, outputsInWords } from '../task/misfit.ts'
import type { Task } from '../task/task.ts'
import type { LeftOut } from '../task/unanswered.ts'
import { type Verdict, verdictOf } from '../task/verdict.ts'
import type { HeldBack } from './held-back.ts'

export interface Scorer {
  /** What it judges on, for people. */
  readonly on: string
  readonly task: Task
  /**
   * How a model stands: `spent` above 1 breaks the limit. `tightness` is the share of the limit that may be used; `tell` is told
   * the share of the samples that is over.
   */
  verdictOf(model: Model, tightness?: number, tell?: (share: number) => void): Promise<Verdict>
  /** What a person should know about how much this shows. */
  readonly warnings: readonly string[]
}

/** A model that has memorised nearly all held-back samples loses more on new ones than on them. */
const knownByHeart = 0.995

/**
 * Held-back data, and the samples of it that the original has no answer for. Throws where labels show that the model knows no more
 * than chance, and where its outputs do not depend on the input: no loss means anything then.
 */
export async function dataScorer(
  model: Model,
  { data, heldBack, task, max }: { data: BoundData; heldBack: HeldBack; task: Task; max: MaxLoss },
): Promise<Scorer & { readonly leftOut: LeftOut }> {
  const { isNew } = heldBack
  checkClasses(heldBack.validation.labels, heldBack.validation.id)
  // A search asks many times: a model of one sample per call is judged in batches. The trial at the end runs it as it is.
  const any = await anyBatchOf(model, { batcher: data.batcher, dataset: heldBack.validation })
  const asJudged = any ? any.open : (m: Model): Model => m
  const batcher = any?.batcher ?? data.batcher
  const original = asJudged(model)
  const {
    judge,
    dataset: validation,
    leftOut,
  } = await judgeOnData(original, { task, batcher, dataset: heldBack.validation, batchSize })
  const dead = judge.varying.filter((v) => !v.varies)
  if (dead.length === judge.varying.length && samplesNotFinite(validation) === validation.length)
    throw new Error(
      `${validation.id}: every sample holds NaN or infinity, and ${named(dead)} the same for all of them; expected finite numbers`,
    )
  if (dead.length === judge.varying.length)
    throw new Error(
      `model: ${named(dead)} the same for every sample of ${validation.id}; expected a model that works, its own data and its preprocessing (--input-range, --mean, --std, --layout)`,
    )
  const own = await judge.compare(original)
  const known = labelledWell(own, validation)
  const warnings = [
    ...(dead.length > 0 ? [`${named(dead)} the same for every sample, so nothing is judged there`] : []),
    ...unusedAnswers(model, task, validation),
    ...own
      .filter((j) => !explainsTargets(j))
      .map(
        ({ task: { output }, explained }) =>
          `output "${output}" explains ${Math.max(0, 100 * (explained?.before ?? 0)).toFixed(0)} % of the variance of the targets of ${validation.id}: they are something else (another unit, or labels where it gives logits: --task ${output}=labels), so it is judged by noise`,
      ),
  ]
  const accuracy = Math.max(0, ...known.map((j) => j.right?.before ?? 0))
  const reserve = isNew ? 1 : accuracy > knownByHeart ? 0.2 : 0.5
  return {
    on: `${count(validation.length)} held-back samples of ${validation.id}`,
    task,
    verdictOf: async (m, tightness = 1, tell?) =>
      verdictOf(withoutMisfits(await judge.compare(asJudged(m), tell), known), tightened(max, tightness), {
        reserve,
        searching: true,
      }),
    warnings,
    leftOut,
  }
}

/** Answers in the data that judge no output are not used: said, for a person who gives them expects otherwise. */
function unusedAnswers(model: Model, task: Task, data: Dataset): string[] {
  if ((!data.labels && !data.targets) || task.outputs.some((o) => o.labelled)) return []
  return [
    `${data.id}: its ${answersInWords(data)} fit no output (${outputsInWords(model)}) and are not used: outputs are compared with the original's; --task OUTPUT=KIND says what they judge`,
  ]
}

/** Why random inputs show no loss of any kind: all outputs are the same whatever they are. Undefined where they show some. */
export async function whyNothingVaries(
  model: Model,
  task: Task,
  batches: readonly JudgedBatch[],
): Promise<string | undefined> {
  const { varying } = await openJudge(model, { task, inputs: () => batches })
  if (varying.length === 0 || varying.some((v) => v.varies)) return undefined
  return `${samenessOf(varying.map((v) => v.output))}; expected a model that works, and samples of its own where random inputs do not reach it (--data SPEC)`
}

function samenessOf(outputs: readonly string[]): string {
  return `${named([...new Set(outputs)].map((output) => ({ output })))} the same for every random input`
}

/**
 * Random inputs: as many as let the standard error of a noisy copy's ratio fall below a limit, where that is affordable. Some
 * output depends on them (`whyNothingVaries`).
 */
export async function randomScorer(
  model: Model,
  { random, task, max, first }: { random: RandomData; task: Task; max: MaxLoss; first: () => Promise<Model> },
): Promise<Scorer & { readonly samples: number }> {
  let samples = Math.min(16, random.mostSamples)
  let judge: Judge
  let spread: number
  const noisy = await first()
  for (;;) {
    const batches = [...random.batches(samples, 1)]
    judge = await openJudge(model, { task, inputs: () => batches })
    const varying = (await judge.compare(noisy)).filter((j) => j.varies)
    spread = Math.max(0, ...varying.map((j) => j.snrErrorDb ?? 0))
    // Of text and whole numbers nothing but the decisions is seen.
    const decides = varying.some((j) => j.snrDb === undefined) && max.points < Number.POSITIVE_INFINITY
    const changes = decides ? (random.drawn(samples) * max.points) / 100 : allowedChanges
    if ((spread <= mostErrorDb && changes >= allowedChanges) || samples >= random.mostSamples) break
    samples = Math.min(random.mostSamples, samples * 4)
  }
  const outputs = new Set(judge.varying.map((v) => v.output))
  const dead = [...outputs].filter((o) => judge.varying.every((v) => v.output !== o || !v.varies))
  const warnings = dead.length > 0 ? [`${samenessOf(dead)}, so nothing is judged there; use --data SPEC`] : []
  const flat = [...new Set(judge.varying.flatMap(({ group = [] }) => group))].filter((group) =>
    judge.varying.every((v) => v.group !== group || !v.varies || dead.includes(v.output)),
  )
  if (flat.length > 0)
    warnings.push(
      `inputs ${flat.join(' and ')} hardly change the outputs, beside inputs in another range, so nothing is judged there; use --data SPEC if yours are such`,
    )
  const drawn = count(random.drawn(samples))
  if (spread > mostErrorDb)
    warnings.push(
      Number.isFinite(spread)
        ? `${drawn} random inputs in each range leave the ratios of noise uncertain by ${(1.96 * spread).toFixed(1)} dB`
        : `${drawn} random inputs in each range do not tell how sure the ratios of noise are`,
    )
  return {
    on: randomInWords(samples, random),
    samples,
    task,
    verdictOf: async (m, tightness = 1, tell?) =>
      verdictOf(await judge.compare(m, tell), tightened(max, tightness), { searching: true, valuesOnly: true }),
    warnings,
  }
}

/** Of a ratio on random inputs, in dB: a second draw is then within 1 dB nearly always. */
const mostErrorDb = 0.35

/** Changed decisions that a limit must allow for, so that not one alone breaks it. */
const allowedChanges = 4

/** Limits that leave room: what a search may use where a first result broke them on other samples. */
function tightened(max: MaxLoss, tightness: number): MaxLoss {
  return { ...max, points: max.points * tightness, snrDb: max.snrDb - 20 * Math.log10(tightness) }
}

/** Labels of one class alone say nothing. */
export function checkClasses(labels: Int32Array | undefined, id: string): void {
  if (labels && labels.length > 0 && labels.every((label) => label === labels[0]))
    throw new Error(
      `${id}: every sample is of class ${labels[0]}, so no loss could be seen; expected samples of two classes or more, or data without labels`,
    )
}

/** The outputs that labels judge: those on which the model knows more than chance. Throws where there is none. */
function labelledWell(own: readonly OutputJudgement[], data: Dataset): OutputJudgement[] {
  const labelled = own.filter((j) => j.right)
  const well = labelled.filter((j) => isAboveChance(j.right?.before ?? 0, data))
  if (labelled.length > 0 && well.length === 0) {
    const best = Math.max(...labelled.map((j) => j.right?.before ?? 0))
    throw new Error(
      `model: ${accuracyBesideChance(best, data)}; expected a trained model, its own data, classes numbered as in its training, and its preprocessing (--input-range, --mean, --std, --layout)`,
    )
  }
  return well
}

function named(outputs: readonly { readonly output: string }[]): string {
  const names = outputs.map((o) => `"${o.output}"`).join(', ')
  return outputs.length === 1 ? `output ${names} is` : `outputs ${names} are`
}
