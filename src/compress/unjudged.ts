/** Compressing a model of which no loss can be judged: nothing is done that could lose anything. */
import type { Trial } from '../evaluate/trial.ts'
import type { Model } from '../model.ts'
import { guessTask } from '../task/guess.ts'
import type { Task } from '../task/task.ts'
import { unchanged } from './fallbacks.ts'
import type { Judged } from './prepare.ts'

/** What stands in place of a search and its trial. `why` says in a sentence what is in the way. */
export function unjudged(model: Model, tidied: Model, why: string): Judged {
  const reason = 'no loss could be judged'
  const task: Task = {
    outputs: guessTask(model).outputs.map(({ output }) => ({ output, kind: 'ignored', why: reason })),
  }
  const found = unchanged(tidied, reason)
  const { verdict } = found
  const trial: Trial = { on: 'nothing', judgements: [], verdict, apart: [], warnings: [] }
  return {
    task,
    scorer: {
      on: trial.on,
      task,
      verdictOf: async () => verdict,
      warnings: [`no loss can be judged, so every weight keeps its values: ${why}`],
    },
    search: { sensitivity: new Map(), first: async () => tidied, find: async () => found },
    trialOf: async () => trial,
    isUnjudged: true,
  }
}
