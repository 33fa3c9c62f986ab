/**
 * A recipe: the list of methods that made a model, with every option and the seed, as JSON. Running it on the same model
 * with the same data gives the same bytes.
 */
import type { Context } from './method.ts'
import { methodNamed } from './methods.ts'
import type { Model } from './model.ts'
import { checkOptions } from './options.ts'
import { outputKinds, type Task } from './task/task.ts'

export type Step = readonly [id: string, options: Readonly<Record<string, unknown>>]

export interface Recipe {
  /** Version of the recipe's form. */
  readonly coppice: 1
  /** What made it, for people. */
  readonly made?: string
  readonly seed: number
  /** How calibration inputs are taken, where a step uses them. */
  readonly calibration?: CalibrationSpec
  /** The teacher whose answers steps learn, as the checksum of its bytes (CRC-32, hex). */
  readonly teacher?: string
  /** What the outputs mean, where a step compares them. */
  readonly task?: Task
  readonly steps: readonly Step[]
}

export interface CalibrationSpec {
  /** A data spec, such as `mnist:DIR`. */
  readonly data: string
  /** Samples of its training part, drawn by the seed. */
  readonly samples: number
  readonly batchSize: number
  readonly range?: readonly [number, number]
  readonly mean?: readonly number[]
  readonly std?: readonly number[]
  readonly channels?: 'RGB' | 'BGR'
  readonly layout?: 'NCHW' | 'NHWC'
  readonly resize?: boolean
  /** The column or array with the answers. */
  readonly label?: string
  /** Whether the first row of a table names its columns. */
  readonly header?: boolean
}

/** Throws one sentence where any step's method or options are wrong. */
export function checkSteps(steps: readonly Step[]): void {
  for (const [id, options] of steps) checkOptions(id, methodNamed(id).options, options as Record<string, never>)
}

/** Runs the steps in order. Throws before the first where any step's method or options are wrong. */
export async function runSteps(model: Model, steps: readonly Step[], context: Context = {}): Promise<Model> {
  checkSteps(steps)
  let current = model
  for (const [i, [id, options]] of steps.entries()) {
    current = await methodNamed(id)(current, options as Record<string, number>, {
      ...context,
      progress: (done, what) => context.progress?.((i + done) / steps.length, what),
    })
  }
  return current
}

/** Reads a recipe's JSON. Throws one sentence where it is none. */
export function parseRecipe(text: string, subject: string): Recipe {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new Error(`${subject}: it is not JSON; expected a recipe`, { cause })
  }
  const recipe = value as Partial<Recipe> | null
  if (recipe?.coppice !== 1) throw new Error(`${subject}: it does not say "coppice": 1; expected a recipe of version 1`)
  if (!Number.isInteger(recipe.seed)) throw new Error(`${subject}: "seed" is ${recipe.seed}; expected a whole number`)
  if (!Array.isArray(recipe.steps))
    throw new Error(`${subject}: "steps" is missing; expected a list of [method, options]`)
  if (recipe.task !== undefined) checkTask(recipe.task, subject)
  for (const step of recipe.steps) {
    if (
      !Array.isArray(step) ||
      step.length !== 2 ||
      typeof step[0] !== 'string' ||
      typeof step[1] !== 'object' ||
      !step[1]
    ) {
      throw new Error(`${subject}: the step ${JSON.stringify(step)}; expected [method, options]`)
    }
    methodNamed(step[0])
  }
  return recipe as Recipe
}

function checkTask(task: Partial<Task> | null, subject: string): void {
  const outputs = Array.isArray(task?.outputs) ? task.outputs : [null]
  const wrong = outputs.find((o) => typeof o?.output !== 'string' || !outputKinds.includes(o.kind))
  if (wrong !== undefined)
    throw new Error(`${subject}: "task" has ${JSON.stringify(wrong)}; expected outputs of a known kind`)
}
