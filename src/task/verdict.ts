/** What was lost of what is allowed, output by output; the worst of them counts. */
import type { OutputJudgement } from './judge.ts'
import type { MaxLoss } from './max-loss.ts'
import { below90, pairedInterval, shareInterval } from './statistics.ts'
import { isDecision, type OutputTask } from './task.ts'

export type LossUnit =
  | 'points of accuracy'
  | 'points of accuracy per class'
  | 'points of agreement'
  | 'points of explained variance'
  | 'dB of noise'

/** One output's loss in one unit, and its limit. Larger is worse in every unit: noise is -30 dB where the SNR is 30 dB. */
export interface Finding {
  readonly output: string
  readonly kind: OutputTask['kind']
  /** Whether it is about what the weights add to the output alone. */
  readonly added?: boolean
  /** The inputs that it was found on, where there are several groups of them. */
  readonly group?: string
  readonly unit: LossUnit
  readonly loss: number
  readonly limit: number
  /** The 95 % interval of the loss. */
  readonly interval?: readonly [low: number, high: number]
  readonly samples: number
  /** The share of what is allowed that is spent: above 1 the limit is broken. */
  readonly spent: number
}

export interface Verdict {
  /** Of the worst finding; 0 where there is none. */
  readonly spent: number
  readonly worst?: Finding
  readonly findings: readonly Finding[]
}

export interface VerdictOptions {
  /**
   * The share of the points of accuracy that held-back samples may lose (default 1): the model may have seen them in
   * training, and loses less on them than on new ones.
   */
  readonly reserve?: number
  /** A search must show that what it takes stays within the limit; else what was measured counts as it is. */
  readonly searching?: boolean
  /** Random inputs: decisions on them say nothing, so the values of all outputs are judged. */
  readonly valuesOnly?: boolean
}

/** Holds judgements against what is allowed. */
export function verdictOf(judgements: readonly OutputJudgement[], max: MaxLoss, options: VerdictOptions = {}): Verdict {
  const told = judgements.filter((j) => j.varies)
  // On random inputs what decisions are made by is judged in their place, where it is known.
  const standsFor = ({ task: { decidedBy = [] }, group }: OutputJudgement): boolean =>
    decidedBy.some((name) => told.some((j) => j.task.output === name && j.group === group))
  const findings = told
    .filter((j) => (options.valuesOnly ? !standsFor(j) : !j.task.decides))
    .flatMap((j) => {
      const scoresToo = max.scoresToo || j.task.valuesToo || isLopsided(j)
      const values = j.snrDb !== undefined && (options.valuesOnly || !isDecision(j.task) || scoresToo)
      const decided = !options.valuesOnly || j.snrDb === undefined
      const own = decided && max.points < Number.POSITIVE_INFINITY ? pointsOf(j, max, options) : undefined
      // Numbers that the data knows are judged by those.
      const noise = values && (own === undefined || scoresToo) ? [noiseOf(j, max, options)] : []
      const perClass = own ? perClassOf(j, max, options) : []
      return own ? [own, ...perClass, ...noise] : noise
    })
  const worst = findings.reduce<Finding | undefined>((w, f) => (w && w.spent >= f.spent ? w : f), undefined)
  // Where nothing was judged a search has shown nothing, and may not take what it likes.
  const unseen = options.searching ? Number.POSITIVE_INFINITY : 0
  return { spent: worst?.spent ?? unseen, ...(worst ? { worst } : {}), findings }
}

function about(j: OutputJudgement): Pick<Finding, 'output' | 'kind' | 'added' | 'group' | 'samples'> {
  const { task, added, group, samples } = j
  return {
    output: task.output,
    kind: task.kind,
    samples,
    ...(added === undefined ? {} : { added: true }),
    ...(group ? { group } : {}),
  }
}

/** Share of decisions for one class above which the others could be lost within few points of all. */
const mostForOne = 0.9

/** Whether nearly all decisions are for one class, so that counting them says little: the scores behind them must hold too. */
function isLopsided({ task: { kind }, commonest = 0 }: OutputJudgement): boolean {
  return commonest > mostForOne && (kind === 'classes' || kind === 'binary' || kind === 'tokens')
}

/**
 * How much noisier than values the scores behind decisions may be, where noise stands for the decisions. Four networks
 * compressed without data lost at most 0.15 of 0.5 allowed points at 30 dB (bench/compress-without-data.mts), so there is room.
 */
const decisionsAllowDb = 3

/** How much noisier what weights add may be than values, of which it is a part: noise of 10 % of it where values bear 3 %. */
const addedAllowsDb = 10
/** The share that weights add to scores of which a mask rules some out, in power: it is far less than that. */
const besideMasks = 1e-6

/** The least signal-to-noise ratio of an output, in dB. */
function leastSnr({ task, added }: OutputJudgement, max: MaxLoss): number {
  // Where a mask rules scores out, what is left hangs on the weights alone, which have no more than other scores.
  const isAlone = isDecision(task) && added !== undefined && added < besideMasks
  if (added !== undefined && !isAlone) return max.snrDb - addedAllowsDb
  return isDecision(task) && !max.scoresToo && !task.valuesToo ? max.snrDb - decisionsAllowDb : max.snrDb
}

/** Noise as a share of what is allowed, in amplitude. A search counts what is not shown against the model. */
function noiseShare(j: OutputJudgement, max: MaxLoss, sure: boolean): number {
  const { snrDb = Number.POSITIVE_INFINITY, snrErrorDb = 0 } = j
  const doubt = sure && Number.isFinite(snrErrorDb) ? below90 * snrErrorDb : 0
  return snrDb === Number.POSITIVE_INFINITY ? 0 : 10 ** ((leastSnr(j, max) - snrDb + doubt) / 20)
}

function noiseOf(j: OutputJudgement, max: MaxLoss, { searching = false }: VerdictOptions): Finding {
  const { snrDb = Number.POSITIVE_INFINITY, snrErrorDb = 0 } = j
  const around = 1.96 * snrErrorDb
  return {
    ...about(j),
    unit: 'dB of noise',
    loss: -snrDb,
    limit: -leastSnr(j, max),
    ...(Number.isFinite(around) && Number.isFinite(snrDb) ? { interval: [-snrDb - around, -snrDb + around] } : {}),
    spent: noiseShare(j, max, searching),
  }
}

/** Points of accuracy, of explained variance, or of agreement; undefined where there are no decisions or answers. */
function pointsOf(j: OutputJudgement, max: MaxLoss, options: VerdictOptions): Finding | undefined {
  const { right, explained, changed, samples } = j
  if (right) {
    const interval = pairedInterval(right)
    return points(j, max, options, {
      unit: 'points of accuracy',
      loss: right.before - right.after,
      interval: [interval.low, interval.high],
      shown: right.loss.expected ?? right.loss,
      total: right.total,
      // Where counting is fine enough beside the limit (a standard error of at most six tenths of it), the reserve is all
      // that is kept back.
      counts: Math.sqrt(right.lost + right.gained + 1) / right.total <= 0.006 * max.points,
    })
  }
  if (explained) {
    const loss = explained.before - explained.after
    const around = 1.96 * explained.lossError
    return points(j, max, options, {
      unit: 'points of explained variance',
      loss,
      interval: [loss - around, loss + around],
      shown: { share: loss, error: explained.lossError },
      total: samples,
    })
  }
  if (!changed || !isDecision(j.task)) return undefined
  const one = j.task.kind === 'classes' || j.task.kind === 'binary'
  const { low, high } = one
    ? shareInterval(Math.round(changed.share * samples), samples)
    : { low: Math.max(0, changed.share - 1.96 * changed.error), high: changed.share + 1.96 * changed.error }
  return points(
    j,
    max,
    { ...options, reserve: 1 },
    {
      unit: 'points of agreement',
      loss: changed.share,
      interval: [low, high],
      shown: changed.expected ?? changed,
      total: samples,
    },
  )
}

/** Where most pixels are of one class, the others could be lost within few points of all: each class counts alike. */
function perClassOf(j: OutputJudgement, max: MaxLoss, options: VerdictOptions): Finding[] {
  const { perClass } = j.right ?? {}
  if (!perClass) return []
  const { share, error, total } = perClass
  const around = 1.96 * finite(error)
  const interval = [share - around, share + around] as const
  return [
    points(j, max, options, { unit: 'points of accuracy per class', loss: share, interval, shown: perClass, total }),
  ]
}

function points(
  j: OutputJudgement,
  max: MaxLoss,
  { reserve = 1, searching = false }: VerdictOptions,
  found: {
    readonly unit: LossUnit
    readonly loss: number
    readonly interval: readonly [number, number]
    readonly shown: { readonly share: number; readonly error: number }
    readonly total: number
    /** Whether what was counted shows enough by itself. */
    readonly counts?: boolean
  },
): Finding {
  const { unit, interval, shown, total } = found
  const limit = max.points * reserve
  const loss = 100 * found.loss
  const measured = shareSpent(loss, limit)
  const finding = { ...about(j), unit, loss, limit, interval: [100 * interval[0], 100 * interval[1]] as const }
  if (!searching) return { ...finding, spent: measured }
  // Losses are whole samples: one that is half a sample from the reserve is as near as counting comes.
  if (found.counts) return { ...finding, spent: shareSpent(loss - 50 / total, limit) }
  // A search must be able to show that the limit holds: the expected loss, what it may be above that at 90 %, and half a
  // sample for what no sample says. Where too few samples show anything, noise as low as values must keep is harmless.
  const high = 100 * (Math.max(0, shown.share) + below90 * finite(shown.error) + 0.5 / total)
  return { ...finding, spent: Math.max(measured, Math.min(shareSpent(high, max.points), noiseShare(j, max, true))) }
}

function finite(error: number): number {
  return Number.isFinite(error) ? error : 1
}

/** A gain is no room to spend. */
function shareSpent(loss: number, limit: number): number {
  // A whole sample may lie between two losses: a millionth of a point is far below that and above rounding.
  if (loss <= limit + 1e-6) return limit > 0 ? Math.max(0, Math.min(1, loss / limit)) : 0
  return limit > 0 ? loss / limit : Number.POSITIVE_INFINITY
}
