/** What `compress` gives, and its sentences about what was lost. */

import type { Trial } from '../evaluate/trial.ts'
import type { Model, Tensor } from '../model.ts'
import { apart } from '../numbers.ts'
import type { Recipe } from '../recipe.ts'
import type { Goal } from '../search/goals.ts'
import { shownName } from '../shown-name.ts'
import { accuracyInWords, type Task } from '../task/task.ts'
import type { Finding, LossUnit } from '../task/verdict.ts'
import type { CompressOptions, CompressTable } from './settings.ts'

/** What was compressed, and how: all that a report needs to know of it. */
export interface Source extends Pick<CompressOptions, 'data' | 'calibration'> {
  readonly model: Model
  /** The model as its inputs are written. */
  readonly written: Model
  readonly original: Uint8Array
  readonly goal: Goal
  readonly seed: number
  readonly mode: CompressTable['mode']
}

export interface Compressed {
  readonly from: Source
  readonly model: Model
  /** The file; the original's bytes where nothing smaller came out. */
  readonly onnx: Uint8Array
  readonly packed: Uint8Array
  /** Bytes of it that each tensor of `model` takes, about; none where all of it is coded as one. */
  readonly tensorBytes: ReadonlyMap<Tensor, number>
  /** The ONNX file that comes out of `packed`: what was judged. */
  readonly decoded: Uint8Array
  readonly recipe: Recipe
  readonly task: Task
  /** The worst that the search found on held-back data (or random inputs), and its limit. */
  readonly heldBack?: HeldBackLoss
  /** The model decoded from the packed bytes, judged on other samples than the search's. */
  readonly trial: Trial
  /** No loss could be judged: nothing was done that could lose anything, and the trial is empty. */
  readonly isUnjudged: boolean
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
  /** The limit leaves room below what was asked for: other samples may lose more. */
  readonly isTighter: boolean
  readonly interval?: readonly [low: number, high: number]
}

/** What the worst of a trial that broke its limit lost, and the limit. */
export function brokenInWords({ on, verdict: { worst } }: Trial): string {
  if (!worst) return 'nothing was judged'
  const { output, added, unit, loss, limit, group } = worst
  const which = `"${output}"${added ? ' (what the weights add)' : ''}`
  const where = group ? ` in the range ${group}` : ''
  if (unit === 'dB of noise') {
    const [kept, least] = apart(-loss, -limit, 1)
    return `output ${which} keeps ${kept} dB of signal to noise${where} on ${on}, where at least ${least} dB was asked for`
  }
  const [lost, most] = apart(loss, limit)
  return `output ${which} loses ${lost} ${unit}${where} on ${on}, where at most ${most} points was asked for`
}

/** The worst that the search found, named. The trial has the limit that was asked for. */
export function heldBackLoss(
  { output, kind, added, unit, loss, limit, interval, group }: Finding,
  { outputs }: Task,
  { on, trial }: { readonly on: string; readonly trial: Trial },
): HeldBackLoss {
  const what = {
    'points of accuracy': accuracyInWords(kind),
    'points of accuracy per class': `${accuracyInWords(kind)}, every class counting alike,`,
    'points of agreement': `${accuracyInWords(kind).replace('accuracy', 'agreement')} with the original`,
    'points of explained variance': 'variance of the targets explained',
    'dB of noise': added ? 'noise of what the weights add' : 'output noise against the original',
  }[unit]
  const of = outputs.length > 1 ? ` of "${shownName(output)}"` : ''
  const where = group ? `, worst in the range ${group}` : ''
  const asked =
    trial.verdict.findings.find((f) => f.output === output && f.unit === unit && f.added === added)?.limit ?? limit
  const isTighter = limit < asked
  return { what: `${what}${of} on ${on}${where}`, unit, loss, limit, isTighter, ...(interval ? { interval } : {}) }
}
