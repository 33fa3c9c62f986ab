/** The main job: a model in; a smaller or faster model, its packed form and the recipe that makes them, out. */

import { type BoundData, usualTake } from '../data/handle.ts'
import { latencyOf, oneCall } from '../evaluate/compare.ts'
import { randomData, randomSpec } from '../evaluate/random-data.ts'
import { openTrial, type Trial } from '../evaluate/trial.ts'
import { packModelOn } from '../formats/pack.ts'
import { unpackOnnxOn } from '../formats/unpack.ts'
import { type InputShapes, withInputShapes } from '../graph/input-shapes.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { apart } from '../numbers.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { checkOptions, type OptionsOf } from '../options.ts'
import { Outlook, type Piece } from '../progress.ts'
import type { CalibrationSpec, Recipe, Step } from '../recipe.ts'
import { type CompressCosts, compressCosts } from '../search/costs.ts'
import { type Goal, goals } from '../search/goals.ts'
import { holdBack } from '../search/held-back.ts'
import { openInTurn, type SearchInTurn } from '../search/in-turn.ts'
import type { Found } from '../search/knob.ts'
import { dataScorer, randomScorer, type Scorer } from '../search/scorer.ts'
import { randomRemarks, whyRandomStays } from '../simplify/remarks.ts'
import type { SpeedUp } from '../speed-up.ts'
import { type MaxLoss, parseMaxLoss } from '../task/max-loss.ts'
import { settleTask } from '../task/settle-task.ts'
import { accuracyInWords, describeTask, type Task } from '../task/task.ts'
import type { Finding, LossUnit } from '../task/verdict.ts'
import type { Workers } from '../workers.ts'
import { compressTable } from './options.ts'
import { type Tidied, tidy } from './tidy.ts'

export interface CompressOptions
  extends Partial<OptionsOf<typeof compressTable>>,
    Pick<Context, 'progress' | 'warn' | 'signal'> {
  /** Data bound to the model; without any, the loss is judged on random inputs. */
  readonly data?: BoundData
  /** Told at once how each output is judged. */
  readonly say?: (sentence: string) => void
  /** The bytes of the model's file, which are the result where nothing smaller comes out; default: the model, written. */
  readonly original?: Uint8Array
  /** How the recipe names the data. */
  readonly calibration?: Omit<CalibrationSpec, 'samples' | 'batchSize'>
  /** Threads to quantise and pack on; this one alone where there are none. */
  readonly workers?: Workers
  /** Shapes that the inputs have in what is written; default: those of the model. */
  readonly writtenInputs?: InputShapes
  /** How much faster `after` is than `before` (goal speed); default: timed here, in turn, on the first test sample. */
  readonly compareSpeed?: (before: Model, after: Model) => Promise<SpeedUp>
}

type CompressTable = OptionsOf<typeof compressTable>

/** All that a run needs to know. */
interface Settings extends Omit<CompressOptions, keyof CompressTable | 'progress'>, CompressTable {
  readonly max: MaxLoss
  readonly original: Uint8Array
  readonly outlook: Outlook<Part>
  readonly costs: CompressCosts
}

type Part = 'tidying' | 'running the model' | 'searching' | 'packing' | 'judging'

function partsAhead(costs: CompressCosts): Piece<Part>[] {
  return [
    { kind: 'tidying', cost: costs.tidying },
    { kind: 'running the model', cost: costs.running },
    { kind: 'searching', cost: costs.searching },
    ...partsBehind(costs),
  ]
}

/** What comes after each search. */
function partsBehind({ packing, proving }: CompressCosts): Piece<Part>[] {
  return [
    { kind: 'packing', cost: packing },
    { kind: 'judging', cost: proving },
  ]
}

/** What was compressed, and how: all that a report needs to know of it. */
export interface Source extends Pick<CompressOptions, 'data' | 'calibration'> {
  readonly model: Model
  /** The model as its inputs are written. */
  readonly written: Model
  readonly original: Uint8Array
  readonly goal: Goal
  readonly seed: number
  readonly packMode: CompressTable['packMode']
}

export interface Compressed {
  readonly from: Source
  readonly model: Model
  /** The file; the original's bytes where nothing smaller came out. */
  readonly onnx: Uint8Array
  readonly packed: Uint8Array
  /** The ONNX file that comes out of `packed`: what was judged. */
  readonly decoded: Uint8Array
  readonly recipe: Recipe
  readonly task: Task
  /** The worst that the search found on held-back data (or random inputs), and its limit. */
  readonly heldBack?: HeldBackLoss
  /** The model decoded from the packed bytes, judged on other samples than the search's. */
  readonly trial: Trial
  /** Whether that stayed within the limit. */
  readonly holds: boolean
  /** The model with its BatchNormalization folded and its weights in float: whose weights `sensitivity` names. */
  readonly floatForm: Model
  /** Divergence of the output by layer, where it was measured. */
  readonly sensitivity: ReadonlyMap<string, number>
  /** Why a node's weight stayed as it was, by the node's name; and why any other did. */
  readonly kept: ReadonlyMap<string, string>
  readonly otherwise: string
  readonly notes: readonly string[]
  /** What a person should know about how much the result shows; also told at once, to `warn`. */
  readonly warnings: readonly string[]
}

export interface HeldBackLoss {
  readonly what: string
  readonly unit: LossUnit
  readonly loss: number
  readonly limit: number
  readonly interval?: readonly [low: number, high: number]
}

/** Searches again with a tighter limit where a result breaks it on other samples; so often at most. */
const mostAttempts = { size: 4, speed: 2 }

/**
 * Makes a model smaller or faster within the loss that is allowed. Throws one sentence where an option is wrong, or where
 * no loss could be judged (data of one class, outputs that do not depend on the input).
 */
export async function compress(model: Model, given: CompressOptions = {}): Promise<Compressed> {
  const table = Object.fromEntries(Object.entries(given).filter(([name]) => name in compressTable))
  const checked = checkOptions('compress', compressTable, table)
  const max = parseMaxLoss(checked.maxLoss)
  const costs = compressCosts(model, given.data)
  const outlook = new Outlook(partsAhead(costs), given.progress)
  const warnings: string[] = []
  const warn = (message: string): void => {
    warnings.push(message)
    given.warn?.(message)
  }
  const options: Settings = {
    ...given,
    ...checked,
    warn,
    max,
    costs,
    outlook,
    original: given.original ?? writeModel(model),
  }
  if (!options.data)
    warn('no data was given: the loss was judged on random inputs, which real inputs may not resemble; use --data SPEC')
  const { goal, signal } = options
  const prepared = await prepare(model, options)
  const { task, scorer, search, trialOf, tidied } = prepared
  for (const warning of scorer.warnings) warn(warning)
  const notes: string[] = []
  let tightness = 1
  for (let attempt = 1; ; attempt++) {
    const found = await search.find((m, share) => scorer.verdictOf(m, tightness * share))
    const made = await encode(found, prepared, { model, options })
    outlook.begin('judging', 'judging the result')
    const decoded = await unpackOnnxOn(made.packed, options.workers)
    const trial = await trialOf(readModel(decoded))
    const { spent } = trial.verdict
    if (spent > 1 && attempt < mostAttempts[goal] && !signal?.aborted) {
      tightness *= Math.min(0.85 ** attempt, 0.9 / spent)
      notes.push(`${brokenInWords(trial)}: searched again with a tighter limit`)
      outlook.expect([{ kind: 'searching', cost: costs.searching / 2 }, ...partsBehind(costs)])
      prepared.searchAgain()
      continue
    }
    return {
      ...made,
      from: sourceOf(model, options),
      decoded,
      task,
      ...(found.verdict.worst ? { heldBack: heldBackLoss(found.verdict.worst, task, scorer.on) } : {}),
      trial,
      holds: spent <= 1,
      floatForm: tidied.model,
      sensitivity: search.sensitivity,
      notes: [...notes, ...made.notes],
      warnings,
    }
  }
}

function sourceOf(model: Model, options: Settings): Source {
  const { original, goal, seed, packMode, data, calibration } = options
  return { model, written: asWritten(model, options), original, goal, seed, packMode, data, calibration }
}

function asWritten(model: Model, { writtenInputs = new Map() }: Settings): Model {
  return withInputShapes(model, writtenInputs)
}

interface Prepared {
  readonly tidied: Tidied
  readonly task: Task
  readonly scorer: Scorer
  readonly search: SearchInTurn
  readonly trialOf: (other: Model) => Promise<Trial>
  /** The search's progress is told as that of another piece from now on. */
  searchAgain(): void
  /** How a recipe takes the same inputs again. */
  readonly calibration?: CalibrationSpec
}

/** What to judge by, the search, and the trial at the end: on data, or on random inputs where there is none. */
async function prepare(model: Model, options: Settings): Promise<Prepared> {
  const { goal, max, seed, data, signal, warn, workers, outlook, costs } = options
  for (const remark of randomRemarks(model)) warn?.(`${remark}, and the difference counts as loss`)
  outlook.begin('tidying', 'tidying')
  const tidied = await tidy(model, options)
  outlook.begin('running the model', 'running the model')
  let searched: ReturnType<typeof outlook.begin> = () => undefined
  const searchAgain = (): void => {
    searched = outlook.begin('searching')
  }
  const shared = {
    max,
    seed,
    signal,
    progress: (done: number, what: string) => searched(done, what),
    warn,
    workers,
    costs,
  }
  const tell = (task: Task): Task => {
    for (const sentence of describeTask(task)) options.say?.(sentence)
    return task
  }
  if (data) {
    const heldBack = holdBack(data, seed)
    const [feeds] = heldBack.data.calibration()
    const task = tell(await settleTask(model, { told: options.task, dataset: data.splits.train, feeds }))
    const scorer = await dataScorer(model, { data, heldBack, task, max })
    const trialOf = await openTrial(model, { data }, { task, max, signal })
    searchAgain()
    const context = { ...shared, task, data: heldBack.data }
    const timed = async (before: Model, after: Model): Promise<SpeedUp> =>
      (await latencyOf([before, after], await oneCall(before, { data, seed }), { signal }))[1].speedUp
    const compareSpeed = options.compareSpeed ?? timed
    const search = await openInTurn(tidied.model, goals[goal], { ...context, compareSpeed })
    const spec = options.calibration && {
      ...options.calibration,
      samples: heldBack.samples,
      batchSize: usualTake.batchSize,
    }
    return { tidied, task, scorer, search, trialOf, searchAgain, calibration: spec }
  }
  if (goal === 'speed') throw new Error('compress: --goal speed needs calibration inputs; expected --data SPEC')
  const random = await randomData(model, seed)
  const [feeds] = random.data.calibration()
  const task = tell(await settleTask(model, { told: options.task, feeds }))
  searchAgain()
  const search = await openInTurn(tidied.model, goals[goal], { ...shared, task, data: random.data })
  const scorer = await randomScorer(model, { random, task, max, first: search.first })
  return {
    tidied,
    task,
    scorer,
    search,
    searchAgain,
    trialOf: await openTrial(model, { random, samples: scorer.samples }, { task, max, signal }),
    calibration: { data: randomSpec, samples: random.calibrationSamples, batchSize: random.perCall },
  }
}

/** The files of a result: where nothing smaller came out, the tidied model, or if that is no smaller either, the file as it was. */
async function encode(found: Found, prepared: Prepared, { model, options }: { model: Model; options: Settings }) {
  const { original } = options
  const { tidied } = prepared
  const progress = options.outlook.begin('packing', 'packing')
  const result = async (of: { model: Model; onnx: Uint8Array; steps: readonly Step[]; notes: readonly string[] }) => ({
    model: asWritten(of.model, options),
    onnx: of.onnx,
    packed: await packModelOn(asWritten(of.model, options), {
      mode: options.packMode,
      workers: options.workers,
      progress,
    }),
    recipe: recipeOf(of.steps, prepared, options),
    notes: of.notes,
  })
  const written = writeModel(asWritten(found.model, options))
  if (options.goal === 'speed' || written.byteLength < original.byteLength) {
    const steps = [...tidied.steps, ...found.steps]
    const notes = [...tidied.notes, ...found.notes]
    const { kept, otherwise } = found
    return { ...(await result({ model: found.model, onnx: written, steps, notes })), kept, otherwise }
  }
  const isQuantised = found.steps.length > 0
  const why = {
    kept: found.kept,
    otherwise: isQuantised
      ? (whyRandomStays(model) ?? 'quantising it did not make the .onnx smaller')
      : found.otherwise,
  }
  const unquantised = isQuantised
    ? [whyRandomStays(model) ?? 'quantising did not make the .onnx smaller, so the weights keep their precision']
    : found.notes
  const onnx = writeModel(asWritten(tidied.model, options))
  if (onnx.byteLength < original.byteLength && tidied.notes.length > 0) {
    const notes = [...tidied.notes, ...unquantised]
    return { ...(await result({ model: tidied.model, onnx, steps: tidied.steps, notes })), ...why }
  }
  const notes = [...(isQuantised ? [] : found.notes), 'no smaller .onnx came out, so the original file is kept']
  return { ...(await result({ model, onnx: original, steps: [], notes })), ...why }
}

/** What the worst of a trial that broke its limit lost, and the limit. */
export function brokenInWords({ on, verdict: { worst } }: Trial): string {
  if (!worst) return 'nothing was judged'
  const { output, unit, loss, limit, group } = worst
  const where = group ? ` in the range ${group}` : ''
  if (unit === 'dB of noise') {
    const [kept, least] = apart(-loss, -limit, 1)
    return `output "${output}" keeps ${kept} dB of signal to noise${where} on ${on}, where at least ${least} dB was asked for`
  }
  const [lost, most] = apart(loss, limit)
  return `output "${output}" loses ${lost} ${unit}${where} on ${on}, where at most ${most} points was asked for`
}

function heldBackLoss(
  { output, kind, unit, loss, limit, interval, group }: Finding,
  { outputs }: Task,
  on: string,
): HeldBackLoss {
  const what = {
    'points of accuracy': accuracyInWords(kind),
    'points of agreement': `${accuracyInWords(kind).replace('accuracy', 'agreement')} with the original`,
    'points of explained variance': 'variance of the targets explained',
    'dB of noise': 'output noise against the original',
  }[unit]
  const of = outputs.length > 1 ? ` of "${output}"` : ''
  const where = group ? `, worst in the range ${group}` : ''
  return { what: `${what}${of} on ${on}${where}`, unit, loss, limit, ...(interval ? { interval } : {}) }
}

function recipeOf(
  steps: readonly Step[],
  { task, calibration }: Pick<Prepared, 'task' | 'calibration'>,
  { goal, max, seed }: Settings,
): Recipe {
  return {
    coppice: 1,
    made: `compress --goal ${goal} --max-loss ${max.text}`,
    seed,
    ...(calibration ? { calibration } : {}),
    task,
    steps,
  }
}
