/** What is judged of a model that draws random numbers: what it gives again for the same inputs. */
import { redraw } from '../evaluate/random-draws.ts'
import type { Model } from '../model.ts'
import { drawsRandom } from '../simplify/remarks.ts'
import type { JudgeOptions } from '../task/judge.ts'
import { withoutRandom } from '../task/random-values.ts'
import type { Task } from '../task/task.ts'
import type { Settings } from './settings.ts'

/**
 * The task without outputs that differ by more than is allowed when other random numbers are drawn, unless a person said how
 * they are judged. Undefined where that leaves nothing to judge.
 */
export async function repeatable(
  model: Model,
  task: Task,
  { inputs, settings }: { readonly inputs: JudgeOptions['inputs']; readonly settings: Settings },
): Promise<Task | undefined> {
  const { max, signal, data, warn } = settings
  const found = await redraw(model, task, { inputs, signal, max, valuesOnly: !data })
  if (!found) return task
  const differs = `the model draws random numbers as it runs (${found.drawer}), and its outputs differ from run to run`
  if (found.spent <= 1) {
    warn(`${differs}, by less than may be lost: that is a part of the loss that is reported`)
    return task
  }
  if (settings.task !== undefined) {
    warn(`${differs}, by more than may be lost; they are judged all the same, as the task was given`)
    return task
  }
  const judged = withoutRandom(model, task)
  if (!judged.outputs.some((o) => o.kind !== 'ignored')) return undefined
  warn(`${differs}, by more than may be lost: those are not judged, but what is computed before the numbers come in`)
  return judged
}

/** Why nothing can be judged of a model of which nothing is repeatable. */
export function whyNothingRepeats(model: Model): string {
  return `the model draws random numbers as it runs (${drawsRandom(model)}), by which its outputs differ from run to run by more than may be lost, and it computes no values before them that could be judged`
}
