/** What is tried where nothing that a search found holds its limit on other samples: first what loses little, at last what loses nothing. */
import type { Model } from '../model.ts'
import { runSteps, type Step } from '../recipe.ts'
import type { Goal } from '../search/goals.ts'
import type { Found } from '../search/knob.ts'
import { whyRandomStays } from '../simplify/remarks.ts'
import { judgedPart } from '../task/judged-model.ts'
import type { Task } from '../task/task.ts'
import type { Tidied } from './tidy.ts'

/** What a search found, and the tidied model that it was found on. */
export interface Candidate {
  readonly found: Found
  readonly tidied: Tidied
}

/** A model as it is, in place of what a search finds. `why`: why its weights stayed as they were. */
export function unchanged(model: Model, why: string): Found {
  return { model, steps: [], verdict: { spent: 0, findings: [] }, kept: new Map(), otherwise: why, notes: [] }
}

const why = 'nothing smaller held the limit'

/** In the order in which they are tried. The last is the model as it was given. There are none where judged outputs draw random numbers. */
export function fallbacksOf(
  model: Model,
  tidied: Tidied,
  { goal, task }: { readonly goal: Goal; readonly task: Task },
): (() => Promise<Candidate>)[] {
  if (whyRandomStays(judgedPart(model, task))) return []
  const halves: readonly Step[] = [['float16', {}]]
  const inHalves = async (): Promise<Candidate> => ({
    found: { ...unchanged(await runSteps(tidied.model, halves), why), steps: halves },
    tidied,
  })
  return [
    ...(goal === 'size' ? [inHalves] : []),
    async () => ({ found: unchanged(tidied.model, why), tidied }),
    async () => ({ found: unchanged(model, why), tidied: { model, steps: [], notes: [] } }),
  ]
}
