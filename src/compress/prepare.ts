/** What a compression is judged by, its search, and the trial at the end: on data, or on random inputs where there is none. */
import { type BoundData, usualTake } from '../data/handle.ts'
import { latencyOf, oneCall } from '../evaluate/compare.ts'
import { notFiniteWarnings } from '../evaluate/data-warnings.ts'
import { type RandomData, randomData, randomSpec } from '../evaluate/random-data.ts'
import { NoInputsError } from '../evaluate/random-inputs.ts'
import { openTrial, type TrialOf } from '../evaluate/trial.ts'
import type { Model } from '../model.ts'
import type { CalibrationSpec } from '../recipe.ts'
import { goals, trainedSize } from '../search/goals.ts'
import { holdBack } from '../search/held-back.ts'
import { openInTurn, type SearchInTurn } from '../search/in-turn.ts'
import { dataScorer, randomScorer, type Scorer, whyNothingVaries } from '../search/scorer.ts'
import type { SpeedUp } from '../speed-up.ts'
import { guessTask } from '../task/guess.ts'
import { resolveTask } from '../task/resolve-task.ts'
import { describeTask, type Task } from '../task/task.ts'
import { answeredData } from '../task/unanswered.ts'
import { repeatable, whyNothingRepeats } from './repeatable.ts'
import { type Settings, trainingMs } from './settings.ts'
import { type Tidied, tidy } from './tidy.ts'
import { unjudged } from './unjudged.ts'

export interface Prepared {
  readonly tidied: Tidied
  readonly task: Task
  readonly scorer: Scorer
  readonly search: SearchInTurn
  readonly trialOf: TrialOf
  /** From now on the search's progress is that of another piece of work. */
  searchAgain(): void
  /** How a recipe takes the same inputs again. */
  readonly calibration?: CalibrationSpec
  /** No loss could be judged, so nothing is done that could lose anything. */
  readonly isUnjudged?: boolean
}

export async function prepare(model: Model, settings: Settings): Promise<Prepared> {
  const { max, seed, signal, warn, workers, outlook, costs, data } = settings
  outlook.begin('tidying', 'tidying')
  const tidied = await tidy(model, settings)
  outlook.begin('running the model', 'running the model')
  let searched: ReturnType<typeof outlook.begin> = () => undefined
  const searchAgain = (): void => {
    searched = outlook.begin('searching')
  }
  const progress = (done: number, what: string): void => searched(done, what)
  const shared = { max, seed, signal, progress, warn, workers, costs }
  const given = { model, tidied: tidied.model, settings, shared, searchAgain }
  const noTensor = whyNoTensor(model)
  if (noTensor) return { tidied, searchAgain, ...unjudged(model, tidied.model, noTensor) }
  return { tidied, searchAgain, ...(data ? await onData(given, data) : await onRandomInputs(given)) }
}

/** Of a model that gives sequences or optional values alone; undefined where some output, or what is behind one, is a tensor. */
function whyNoTensor(model: Model): string | undefined {
  const { outputs } = model.graph
  if (outputs.length === 0 || outputs.some(({ dtype, opaqueType }) => dtype || !opaqueType)) return undefined
  if (guessTask(model).outputs.some((o) => o.kind !== 'ignored')) return undefined
  const names = outputs.map((o) => `"${o.name}"`).join(', ')
  return outputs.length === 1 ? `its output ${names} is not a tensor` : `none of its outputs ${names} is a tensor`
}

interface Given {
  readonly model: Model
  readonly tidied: Model
  readonly settings: Settings
  /** What every search is given. */
  readonly shared: Omit<Parameters<typeof openInTurn>[2], 'task' | 'data'>
  searchAgain(): void
}

export type Judged = Omit<Prepared, 'tidied' | 'searchAgain'>

async function onData({ model, tidied, settings, shared, searchAgain }: Given, given: BoundData): Promise<Judged> {
  const { max, seed, signal, teacher, checkpoint, warn } = settings
  const { data, leftOut } = await answeredData(model, given, { seed, signal })
  const heldBack = holdBack(data, seed, settings.validation)
  const [feeds] = heldBack.data.calibration()
  const resolved = await resolveTask(model, { told: settings.task, dataset: data.splits.train, feeds })
  const task = await repeatable(model, resolved, { inputs: () => [{ feeds }], settings })
  if (!task) return unjudged(model, tidied, whyNothingRepeats(model))
  sayHowJudged(task, settings)
  const { train, test } = given.splits
  for (const warning of [train, test].flatMap((set) => notFiniteWarnings(set, 'samples'))) warn(warning)
  const scorer = await dataScorer(model, { data, heldBack, task, max })
  const trialOf = await openTrial(model, { data, leftOut: [leftOut, scorer.leftOut] }, { task, max, signal })
  searchAgain()
  const timed = async (before: Model, after: Model): Promise<SpeedUp> =>
    (await latencyOf([before, after], await oneCall(before, { data, seed }), { signal }))[1].speedUp
  const compareSpeed = settings.compareSpeed ?? timed
  const search = await openInTurn(tidied, searchesOf(settings), {
    ...shared,
    ...(teacher ? { teacher } : {}),
    ...(checkpoint ? { checkpoint } : {}),
    task,
    data: heldBack.data,
    compareSpeed,
  })
  const { samples } = heldBack
  const calibration = settings.calibration && { ...settings.calibration, samples, batchSize: usualTake.batchSize }
  return { task, scorer, search, trialOf, calibration }
}

async function onRandomInputs({ model, tidied, settings, shared, searchAgain }: Given): Promise<Judged> {
  const { goal, max, seed, signal, warn } = settings
  if (goal === 'speed') throw new Error('compress: --goal speed needs calibration inputs; expected --data SPEC')
  const random = await randomData(model, seed).catch((cause: unknown) => {
    if (cause instanceof NoInputsError) return cause
    throw cause
  })
  if (random instanceof NoInputsError) return unjudged(model, tidied, random.message)
  if (random.isNeverFinite)
    return unjudged(
      model,
      tidied,
      `with random inputs in ${inEach(random)} the original itself gives values that are not finite; use --data SPEC`,
    )
  const [feeds] = random.data.calibration()
  const resolved = await resolveTask(model, { told: settings.task, feeds })
  const batches = [...random.batches(Math.min(16, random.mostSamples), 1)]
  const task = await repeatable(model, resolved, { inputs: () => batches, settings })
  if (!task) return unjudged(model, tidied, whyNothingRepeats(model))
  const same = await whyNothingVaries(model, task, batches)
  if (same) return unjudged(model, tidied, same)
  warn('no data was given: the loss was judged on random inputs, which real inputs may not resemble; use --data SPEC')
  sayHowJudged(task, settings)
  searchAgain()
  const search = await openInTurn(tidied, goals[goal], { ...shared, task, data: random.data })
  const scorer = await randomScorer(model, { random, task, max, first: search.first })
  const trialOf = await openTrial(model, { random, samples: scorer.samples }, { task, max, signal })
  const calibration = { data: randomSpec, samples: random.calibrationSamples, batchSize: random.perCall }
  return { task, scorer, search, trialOf, calibration }
}

function inEach({ ranges }: RandomData): string {
  return ranges.length > 1 ? `each of the ranges ${ranges.join(', ')}` : `the range ${ranges[0]}`
}

function searchesOf(settings: Settings): Parameters<typeof openInTurn>[1] {
  const { goal, train, crop, flip, mixup } = settings
  return train ? trainedSize({ budget: trainingMs(settings), crop, flip, mixup }) : goals[goal]
}

function sayHowJudged(task: Task, { say }: Settings): void {
  for (const sentence of describeTask(task)) say?.(sentence)
}
