/** A whole recipe on a model: its steps, with the data, the seed and the meaning of outputs that it names. */
import type { BoundData } from '../data/handle.ts'
import { randomData, randomSpec } from '../evaluate/random-data.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { type Recipe, runSteps } from '../recipe.ts'
import { answeredHandle } from '../task/unanswered.ts'
import { checkTeacher } from './recipe-teacher.ts'
import { resumeSteps } from './resume-steps.ts'

export interface RecipeContext
  extends Pick<Context, 'progress' | 'warn' | 'signal' | 'workers' | 'checkpoint' | 'teacher'> {
  /** Where the recipe names data: that, bound to the model. */
  readonly data?: BoundData
}

/**
 * The same recipe, model and data give the same bytes. Random inputs are drawn where the recipe names them and no data is
 * given. With a checkpoint, a run that was stopped goes on from its last training step, or from the epoch that it was in.
 * Throws one sentence where a step, or the data that it needs, is missing, and where the checkpoint is of another run.
 */
export async function runRecipe(
  model: Model,
  recipe: Recipe,
  { data, checkpoint, ...context }: RecipeContext = {},
): Promise<Model> {
  const { calibration, seed, task, steps } = recipe
  if (calibration && !data && calibration.data !== randomSpec)
    throw new Error(`recipe: it was made with the data ${calibration.data}, and none is given; expected data`)
  checkTeacher(recipe.teacher, context.teacher)
  const random = calibration && !data ? await randomData(model, seed, calibration) : undefined
  const bound = calibration && data
  const complete: Context = {
    ...context,
    seed,
    ...(task ? { task } : {}),
    ...(random ? { data: random.data } : {}),
    ...(bound ? { data: await answeredHandle(model, bound, { ...context, seed, usual: calibration }) } : {}),
  }
  return checkpoint ? resumeSteps(model, steps, complete, checkpoint) : runSteps(model, steps, complete)
}
