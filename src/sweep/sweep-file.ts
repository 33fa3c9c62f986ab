/** SWEEP.json: recipes, models, data and seeds, of which every combination is tried. */
import { didYouMean } from '../errors.ts'
import { type CalibrationSpec, checkSteps, parseRecipe, type Recipe, type Step } from '../recipe.ts'
import { withVariables } from './_variables.ts'

/** A model, by its file. */
export interface SweepModel {
  readonly name: string
  readonly file: string
}

/** A data set and how it is read; `random` stands for random inputs. */
export interface SweepData extends Omit<NonNullable<Recipe['calibration']>, 'samples' | 'batchSize'> {
  readonly name: string
  /** Samples that methods look at, and how many per call; default: as the recipe has them, or 512 and 64. */
  readonly samples?: number
  readonly batchSize?: number
}

/** The steps of a recipe, with what it says of outputs and of the samples that it looks at. */
export interface SweepRecipe extends Pick<Recipe, 'steps' | 'task'> {
  readonly name: string
  readonly take?: Pick<CalibrationSpec, 'samples' | 'batchSize'>
}

export interface Sweep {
  readonly models: readonly SweepModel[]
  readonly data: readonly SweepData[]
  /** Grids are written out: a recipe per combination of their values. */
  readonly recipes: readonly SweepRecipe[]
  readonly seeds: readonly number[]
  /** Whether calls are timed. */
  readonly latency: boolean
}

type Json = Readonly<Record<string, unknown>>

const known = {
  sweep: ['coppice', 'models', 'data', 'recipes', 'seeds', 'latency'],
  model: ['name', 'file'],
  data: [
    ...['name', 'data', 'samples', 'batchSize', 'range', 'mean', 'std', 'channels'],
    ...['layout', 'resize', 'label', 'header'],
  ],
  recipe: ['name', 'file', 'steps', 'grid'],
}

/**
 * Reads a sweep. `read` gives the text of a recipe's file that it names. Throws one sentence, which begins with `subject`,
 * where anything is wrong: an unknown word, a method or option that there is none of, two of one name.
 */
export async function parseSweep(
  text: string,
  subject: string,
  read: (file: string) => string | Promise<string>,
): Promise<Sweep> {
  const sweep = object(parsed(text, subject), known.sweep, subject)
  if (sweep.coppice !== 1) throw new Error(`${subject}: it does not say "coppice": 1; expected a sweep of version 1`)
  const recipes: SweepRecipe[] = []
  for (const entry of list(sweep.recipes, 'recipes', subject)) recipes.push(...(await recipesOf(entry, subject, read)))
  const result: Sweep = {
    models: list(sweep.models, 'models', subject).map((entry) => modelOf(entry, subject)),
    data: list(sweep.data ?? ['random'], 'data', subject).map((entry) => dataOf(entry, subject)),
    recipes,
    seeds: list(sweep.seeds ?? [0], 'seeds', subject).map((seed) => seedOf(seed, subject)),
    latency: flag(sweep.latency ?? true, 'latency', subject),
  }
  for (const part of ['models', 'data', 'recipes'] as const) distinct(result[part], part, subject)
  if (new Set(result.seeds).size < result.seeds.length) throw new Error(`${subject}: "seeds" has one of them twice`)
  return result
}

function parsed(text: string, subject: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new Error(`${subject}: it is not JSON; expected a sweep`, { cause })
  }
}

function object(value: unknown, words: readonly string[], subject: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${subject}: ${JSON.stringify(value)}; expected an object with ${words.join(', ')}`)
  for (const word of Object.keys(value))
    if (!words.includes(word))
      throw new Error(`${subject}: there is no "${word}"${didYouMean(word, words)}; expected ${words.join(', ')}`)
  return value as Json
}

function list(value: unknown, name: string, subject: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new Error(
      `${subject}: "${name}" is ${value === undefined ? 'missing' : JSON.stringify(value)}; expected a list`,
    )
  return value
}

function string(value: unknown, name: string, subject: string): string {
  if (typeof value !== 'string' || value === '')
    throw new Error(`${subject}: "${name}" is ${JSON.stringify(value) ?? 'missing'}; expected a text`)
  return value
}

function flag(value: unknown, name: string, subject: string): boolean {
  if (typeof value !== 'boolean')
    throw new Error(`${subject}: "${name}" is ${JSON.stringify(value)}; expected true or false`)
  return value
}

function seedOf(value: unknown, subject: string): number {
  if (!Number.isSafeInteger(value))
    throw new Error(`${subject}: the seed ${JSON.stringify(value)}; expected a whole number`)
  return value as number
}

function modelOf(entry: unknown, subject: string): SweepModel {
  const given = typeof entry === 'string' ? { file: entry } : object(entry, known.model, subject)
  const file = string(given.file, 'file', subject)
  return { name: given.name === undefined ? baseName(file) : string(given.name, 'name', subject), file }
}

/** The file's name without folder and ending. */
function baseName(file: string): string {
  return file.replace(/^.*[/\\]/, '').replace(/\.[^.]+$/, '')
}

function dataOf(entry: unknown, subject: string): SweepData {
  const given = typeof entry === 'string' ? { data: entry } : object(entry, known.data, subject)
  const { name, ...rest } = given
  const data = string(rest.data, 'data', subject)
  const isNumbers = (value: unknown): boolean => Array.isArray(value) && value.every((v) => Number.isFinite(v))
  const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0
  const checks: Readonly<Record<string, readonly [isRight: (value: unknown) => boolean, expected: string]>> = {
    samples: [isCount, 'a whole number from 1 on'],
    batchSize: [isCount, 'a whole number from 1 on'],
    range: [(v) => isNumbers(v) && (v as unknown[]).length === 2, 'two numbers, such as [0, 1]'],
    mean: [isNumbers, 'a list of numbers'],
    std: [isNumbers, 'a list of numbers'],
    channels: [(v) => v === 'RGB' || v === 'BGR', '"RGB" or "BGR"'],
    layout: [(v) => v === 'NCHW' || v === 'NHWC', '"NCHW" or "NHWC"'],
    resize: [(v) => typeof v === 'boolean', 'true or false'],
    label: [(v) => typeof v === 'string', 'a text'],
    header: [(v) => typeof v === 'boolean', 'true or false'],
  }
  for (const [word, [isRight, expected]] of Object.entries(checks))
    if (rest[word] !== undefined && !isRight(rest[word]))
      throw new Error(
        `${subject}: "${word}" of the data ${data} is ${JSON.stringify(rest[word])}; expected ${expected}`,
      )
  return { ...rest, data, name: name === undefined ? data : string(name, 'name', subject) }
}

async function recipesOf(
  entry: unknown,
  subject: string,
  read: (file: string) => string | Promise<string>,
): Promise<SweepRecipe[]> {
  const given = typeof entry === 'string' ? { file: entry } : object(entry, known.recipe, subject)
  if ((given.file === undefined) === (given.steps === undefined))
    throw new Error(`${subject}: the recipe ${JSON.stringify(entry)}; expected either its "file" or its "steps"`)
  const named = given.name === undefined ? undefined : string(given.name, 'name', subject)
  if (given.file !== undefined) {
    const file = string(given.file, 'file', subject)
    if (given.grid !== undefined) throw new Error(`${subject}: ${file} has a "grid"; expected "steps" beside it`)
    const { steps, task, calibration } = parseRecipe(await read(file), file)
    checkSteps(steps)
    const take = calibration && { samples: calibration.samples, batchSize: calibration.batchSize }
    return [{ name: named ?? baseName(file), steps, ...(task ? { task } : {}), ...(take ? { take } : {}) }]
  }
  return withVariables(given.steps, given.grid, subject).map(({ value, words }) => {
    const { steps } = parseRecipe(JSON.stringify({ coppice: 1, seed: 0, steps: value }), subject)
    check(steps, subject)
    const name = [named ?? (steps.map(([id]) => id).join(' + ') || 'as it is'), ...words].join(' ')
    return { name, steps }
  })
}

function check(steps: readonly Step[], subject: string): void {
  try {
    checkSteps(steps)
  } catch (cause) {
    throw new Error(`${subject}: ${(cause as Error).message}`, { cause })
  }
}

function distinct(entries: readonly { readonly name: string }[], part: string, subject: string): void {
  const seen = new Set<string>()
  for (const { name } of entries) {
    if (seen.has(name))
      throw new Error(`${subject}: two of its ${part} are called "${name}"; expected a "name" of its own for each`)
    seen.add(name)
  }
}
