/** The judgement of a result at the end, on other samples than any search saw: test data, or another draw of random inputs. */
import type { BoundData } from '../data/handle.ts'
import type { Model } from '../model.ts'
import { count } from '../numbers.ts'
import { chanceWarnings } from '../task/chance.ts'
import { type OutputJudgement, openJudge } from '../task/judge.ts'
import { judgeOnData } from '../task/judge-on-data.ts'
import type { MaxLoss } from '../task/max-loss.ts'
import { type OutputApart, outputsApart } from '../task/outputs-apart.ts'
import { isDecision, type Task } from '../task/task.ts'
import { type LeftOut, leftOutInWords } from '../task/unanswered.ts'
import { type Verdict, verdictOf } from '../task/verdict.ts'
import type { RandomData } from './random-data.ts'

/** A judgement on other samples than the search's, of the original and of what came out. */
export interface Trial {
  readonly on: string
  readonly judgements: readonly OutputJudgement[]
  readonly verdict: Verdict
  /** The outputs that the verdict says nothing of. */
  readonly apart: readonly OutputApart[]
  /** What a person should know about how much it shows. */
  readonly warnings: readonly string[]
}

/** Judges a model. `tell`: the share of the samples that is over. */
export type TrialOf = (model: Model, tell?: (share: number) => void) => Promise<Trial>

/** Samples per call. */
export const batchSize = 250

/** The final judgement: on test data, or on another draw. `leftOut`: what a search left out before, to be told with what is here. */
export async function openTrial(
  model: Model,
  inputs:
    | { readonly data: BoundData; readonly leftOut?: readonly LeftOut[] }
    | { readonly random: RandomData; readonly samples: number },
  { task, max, signal }: { task: Task; max: MaxLoss; signal?: AbortSignal },
): Promise<TrialOf> {
  if ('data' in inputs) {
    const { batcher, splits } = inputs.data
    const opened = await judgeOnData(model, { task, batcher, dataset: splits.test, batchSize, signal })
    const { judge, dataset: test } = opened
    const unanswered = leftOutInWords([opened.leftOut, ...(inputs.leftOut ?? [])])
    return async (other, tell) => {
      const all = await judge.compare(other, tell)
      const known = all.filter((j) => isDecision(j.task) && j.right)
      const judgements = withoutMisfits(all, bestOf(known))
      const verdict = verdictOf(judgements, max)
      const warnings = chanceWarnings(
        known.map((j) => j.right?.before ?? 0),
        test,
      )
      const apart = outputsApart(task, model, { judgements, findings: verdict.findings })
      const on = `${count(test.length)} samples of ${test.id}`
      return { on, judgements, verdict, apart, warnings: [...unanswered, ...warnings] }
    }
  }
  const { random, samples } = inputs
  const batches = [...random.batches(samples, 2)]
  const judge = await openJudge(model, { task, inputs: () => batches, signal })
  return async (other, tell) => {
    const judgements = await judge.compare(other, tell)
    const verdict = verdictOf(judgements, max, { valuesOnly: true })
    return {
      on: `another draw of ${randomInWords(samples, random)}`,
      judgements,
      verdict,
      apart: outputsApart(task, model, { judgements, findings: verdict.findings }),
      warnings: rangesLeftOutInWords(random),
    }
  }
}

/** Of several labelled outputs, those that the labels fit: about as right as the best. */
function bestOf(known: readonly OutputJudgement[]): OutputJudgement[] {
  const best = Math.max(0, ...known.map((j) => j.right?.before ?? 0))
  return known.filter((j) => (j.right?.before ?? 0) >= 0.5 * best)
}

export function randomInWords(samples: number, { ranges, drawn }: RandomData): string {
  return `${count(drawn(samples))} random inputs ${ranges.length > 1 ? `in each of the ranges ${ranges.join(', ')}` : ''}`.trim()
}

function rangesLeftOutInWords({ leftOut }: RandomData): string[] {
  if (leftOut.length === 0) return []
  const [which, those] = leftOut.length > 1 ? ['ranges', 'those ranges were'] : ['range', 'that range was']
  return [
    `with inputs in the ${which} ${leftOut.join(', ')} the original itself gives values that are not finite, so ${those} left out`,
  ]
}

/** Less of the targets' variance than that says that the output gives something else than they are. */
const leastExplained = 0.1

export function explainsTargets({ explained }: OutputJudgement): boolean {
  return explained === undefined || explained.before >= leastExplained
}

/**
 * Judgements without the answers that do not fit: another head's labels, and targets that the output does not give (of
 * another unit, or labels where it gives logits), which it could come nearer to while it is ruined. Decisions are then
 * judged by agreement; what only the labels made classes of, and numbers, by noise.
 */
export function withoutMisfits(
  judged: readonly OutputJudgement[],
  known: readonly OutputJudgement[],
): OutputJudgement[] {
  const names = new Set(known.map((k) => k.task.output))
  return judged.map((j) => {
    if (!explainsTargets(j)) return { ...j, explained: undefined }
    if (!j.right || names.has(j.task.output)) return j
    if (!j.task.labelsAlone) return { ...j, right: undefined }
    const { axis: _axis, ...task } = j.task
    return { ...j, task: { ...task, kind: 'numbers' }, right: undefined, changed: undefined }
  })
}
