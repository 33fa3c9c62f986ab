/** The main job: a model in; a smaller or faster model, its packed form and the recipe that makes them, out. */
import { preprocessWarnings } from '../evaluate/preprocess-warnings.ts'
import { unpackOnnxOn } from '../formats/unpack.ts'
import type { Model } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { checkOptions } from '../options.ts'
import { Outlook } from '../progress.ts'
import { compressCosts } from '../search/costs.ts'
import { holdBackOfTest } from '../search/held-back.ts'
import { parseMaxLoss } from '../task/max-loss.ts'
import { encode } from './encode.ts'
import { fallbacksOf } from './fallbacks.ts'
import { compressTable } from './options.ts'
import { prepare } from './prepare.ts'
import { brokenInWords, type Compressed, heldBackLoss, type Source } from './result.ts'
import {
  asWritten,
  type CompressOptions,
  type CompressTable,
  partsAfterSearch,
  partsAhead,
  type Settings,
  trainingMs,
} from './settings.ts'

/** Searches again with a tighter limit where a result breaks it on other samples; so often in all. */
const mostSearches = { size: 4, speed: 2 }

/**
 * Makes a model smaller or faster within the loss that is allowed. Throws one sentence where an option is wrong, or where
 * no loss could be judged (data of one class, outputs that do not depend on the input).
 */
export async function compress(model: Model, given: CompressOptions = {}): Promise<Compressed> {
  if (model.graph.outputs.length === 0)
    throw new Error('model: it has no outputs, so nothing of it could be kept; expected a model with at least one')
  const warnings: string[] = []
  const settings = settingsOf(model, given, warnings)
  const { goal, costs, data, outlook, seed, signal, warn, workers } = settings
  if (data && settings.preprocessCheck)
    for (const warning of await preprocessWarnings(model, data, { seed, signal })) warn(warning)
  const prepared = await prepare(model, settings)
  const { task, scorer, search, trialOf, tidied, isUnjudged = false } = prepared
  for (const warning of scorer.warnings) warn(warning)
  // A set: a coarse figure (a share of few samples) may come out the same in several attempts.
  const notes = new Set<string>()
  let tightness = 1
  const searches = mostSearches[goal]
  const fallbacks = fallbacksOf(model, tidied, { goal, task })
  for (let attempt = 1; ; attempt++) {
    const candidate =
      attempt <= searches
        ? { tidied, found: await search.find((m, share, tell) => scorer.verdictOf(m, tightness * share, tell)) }
        : await fallbacks[attempt - searches - 1]()
    const { found } = candidate
    const made = await encode(found, { ...prepared, ...candidate }, { model, settings })
    const decoded = await unpackOnnxOn(made.packed, { workers, progress: outlook.begin('unpacking', 'unpacking') })
    const trial = await trialOf(readModel(decoded), outlook.begin('judging', 'judging the result'))
    const { spent } = trial.verdict
    if (spent > 1 && attempt < searches + fallbacks.length && !signal?.aborted) {
      const broken = brokenInWords(trial)
      if (attempt < searches) {
        tightness *= Math.min(0.85 ** attempt, 0.9 / spent)
        notes.add(`${broken}: searched again with a tighter limit`)
        outlook.expect([{ kind: 'searching', cost: costs.searching / 2 }, ...partsAfterSearch(costs)])
        prepared.searchAgain()
      } else {
        notes.add(`${broken}: the weights keep more of their precision than any search asked for`)
        outlook.expect(partsAfterSearch(costs))
      }
      continue
    }
    for (const warning of trial.warnings) warn(warning)
    // What the search judged is told where it is what came out.
    const isFound = found.steps.length > 0 && found.steps.every((step) => made.recipe.steps.includes(step))
    const { worst } = found.verdict
    return {
      ...made,
      from: sourceOf(model, settings),
      decoded,
      task,
      ...(isFound && worst ? { heldBack: heldBackLoss(worst, task, { on: scorer.on, trial }) } : {}),
      trial,
      isUnjudged,
      holds: spent <= 1,
      floatForm: candidate.tidied.model,
      sensitivity: search.sensitivity,
      notes: [...notes, ...made.notes],
      warnings,
    }
  }
}

/** The options, checked; each warning is put on the list and told at once. */
function settingsOf(model: Model, given: CompressOptions, warnings: string[]): Settings {
  const table = Object.fromEntries(Object.entries(given).filter(([name]) => name in compressTable))
  const checked = checkOptions('compress', compressTable, table)
  checkTraining(checked, given)
  const split = checked.train && given.data ? holdBackOfTest(given.data, checked.seed) : {}
  const costs = compressCosts(model, { data: given.data, goal: checked.goal, training: trainingMs(checked) })
  return {
    ...given,
    ...checked,
    ...split,
    max: parseMaxLoss(checked.maxLoss),
    costs,
    outlook: new Outlook(partsAhead(costs), given.progress),
    original: given.original ?? writeModel(model),
    warn(message) {
      warnings.push(message)
      given.warn?.(message)
    },
  }
}

function checkTraining({ train, goal }: CompressTable, { data, teacher, checkpoint }: CompressOptions): void {
  if (!train) {
    const other = teacher ? 'teacher' : checkpoint ? 'checkpoint' : undefined
    if (other) throw new Error(`compress: ${other} is for training; expected --train with it`)
    return
  }
  if (goal !== 'size') throw new Error(`compress: --train with goal ${goal}; expected goal size`)
  const set = data?.splits.train
  if (!set?.labels && !set?.targets)
    throw new Error(
      `compress: --train needs labels or targets to train on, which ${set ? `${set.id} has not` : 'no data gives'}; expected --data SPEC with them`,
    )
}

function sourceOf(model: Model, settings: Settings): Source {
  const { original, goal, seed, mode, data, calibration } = settings
  return { model, written: asWritten(model, settings), original, goal, seed, mode, data, calibration }
}
