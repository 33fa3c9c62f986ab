/** The outputs that no limit was held against, each with why: a report that is silent about one lets a person think it held. */
import type { Model } from '../model.ts'
import type { OutputJudgement } from './judge.ts'
import type { OutputTask, Task } from './task.ts'
import type { Finding } from './verdict.ts'

export interface OutputApart {
  readonly output: string
  /** What is to be said of it after its name: `is not judged: it is not a tensor`. */
  readonly why: string
}

/** What is said of the outputs of a task that have no finding, in its order, and of a model's outputs that it has other values for. */
export function outputsApart(
  { outputs }: Task,
  { graph }: Model,
  { judgements, findings }: { readonly judgements: readonly OutputJudgement[]; readonly findings: readonly Finding[] },
): OutputApart[] {
  const found = new Set(findings.map((f) => f.output))
  const known = new Set(outputs.map((o) => o.output))
  return [
    ...outputs
      .filter((o) => !found.has(o.output) && !o.decides)
      .map((o) => {
        const own = judgements.filter((j) => j.task.output === o.output)
        return { output: o.output, why: whyApart(o, own, found) }
      }),
    ...graph.outputs
      .filter(({ name }) => !known.has(name))
      .map(({ name }) => ({ output: name, why: 'is judged by the scores that it is decided by' })),
  ]
}

function whyApart(
  { kind, why, decidedBy = [] }: OutputTask,
  judgements: readonly OutputJudgement[],
  found: ReadonlySet<string>,
): string {
  if (kind === 'ignored') return `is not judged: ${why}`
  if (judgements.every((j) => !j.varies))
    return 'is the same for every input here, but for rounding, so nothing is judged there'
  const same = sameInWords(judgements.filter((j) => j.varies))
  const by = decidedBy.filter((name) => found.has(name)).map((name) => `"${name}"`)
  return by.length > 0 ? `is judged by what it is made of, ${by.join(', ')}${same}` : `has no limit${same}`
}

/** The share of decisions that stayed, where the inputs are worst. */
function sameInWords(judgements: readonly OutputJudgement[]): string {
  const turned = judgements.flatMap(({ changed }) => (changed ? [changed.share] : []))
  return turned.length === 0
    ? ''
    : `; ${(100 * (1 - Math.max(...turned))).toFixed(2)} % of its values stayed as they were`
}
