/**
 * Judging a model against its original on the same inputs, output by output, as the task says.
 *
 * Values are judged by their signal-to-noise ratio about the mean: the signal is what an output varies from sample to
 * sample, each element about its own mean, so that an answer that does not depend on the input scores 0 dB at best. The
 * few numbers of a regressor or box count alike, each by its own variation; of larger outputs the elements are pooled.
 */
import type { Dataset } from '../data/dataset.ts'
import type { InputGroup } from '../data/handle.ts'
import { stopIfAborted } from '../errors.ts'
import type { Feeds, Value } from '../method.ts'
import type { Model } from '../model.ts'
import { openSession, type Session, withSession } from '../runtime/session.ts'
import { bytesOf } from '../tensor/dtype.ts'
import { answersFor } from './answers.ts'
import { groupKey } from './group-key.ts'
import { judgedModel } from './judged-model.ts'
import { type BatchOutput, samplesOf, withoutCommon } from './samples.ts'
import { type DecisionJudgement, DecisionTally } from './tally-decisions.ts'
import { factsOf, signalOf, type ValueFacts, type ValueJudgement, ValueTally } from './tally-values.ts'
import { isDecision, isYesOrNo, type OutputTask, type Task } from './task.ts'

/** Inputs of one call, and what they are. */
export interface JudgedBatch {
  readonly feeds: Feeds
  /** Samples fed, and how many of the first of them count; default: the call is one sample. */
  readonly fed?: number
  readonly count?: number
  /** Which samples of the data set they are, for labels. */
  readonly indices?: ArrayLike<number>
  /** Batches of one group are judged together, apart from those of others: a range of random inputs. */
  readonly group?: InputGroup
}

export interface JudgeOptions {
  readonly task: Task
  /** A fresh iterator per call, which gives the same batches. */
  readonly inputs: () => Iterable<JudgedBatch>
  /** Whose labels or targets judge the outputs that the task says. */
  readonly dataset?: Dataset
  readonly signal?: AbortSignal
}

/** How one output of a model compares with the original's on one group of inputs. */
export interface OutputJudgement extends Partial<ValueJudgement>, DecisionJudgement {
  readonly task: OutputTask
  readonly group?: string
  readonly samples: number
  /**
   * Whether the original's output depends on the input here, beyond rounding. In a range of random inputs where it varies
   * far less than in another it is saturated, and nothing is shown.
   */
  readonly varies: boolean
}

export interface Judge {
  readonly task: Task
  /** What each output does on the original, by the groups of inputs. */
  readonly varying: readonly { readonly output: string; readonly group?: string; readonly varies: boolean }[]
  /** Samples of the data set for which some output of the original holds NaN or infinity, or nothing finite. */
  readonly unanswered: readonly number[]
  /** Compares another model's outputs, which have the names of the original's. `tell`: the share of the batches that is over. */
  compare(model: Model, tell?: (share: number) => void): Promise<OutputJudgement[]>
}

/** Most bytes of the original's outputs that are kept between comparisons; above it they are computed again. */
const mostKept = 2 ** 28

/** Least share of the mean square that varies, beyond rounding. */
const leastVariation = 1e-10
/** The same beside the range where most does. An output that is mostly an offset varies little in any. */
const leastOfBest = { sure: 0.1, values: 0.01 }
/**
 * The least variance beside the range of the largest: of values, which may lie around an offset whatever they are made of, and of
 * the scores behind what is decided of an image, which say nothing in a range that is not the network's.
 */
const leastVariance = { values: 1e-5, scores: 1e-3 }
/** Probabilities that are less unsure than this are saturated, where another range has answers that vary more; of images, all. */
const leastUnsure = 0.2

interface Subject {
  readonly task: OutputTask
  readonly group?: string
  readonly isImage: boolean
  readonly facts: ValueFacts
  readonly samples: number
  readonly signal?: Float64Array
}

/** Runs the original once, to learn what its outputs do. Throws one sentence where nothing can be judged. */
export async function openJudge(model: Model, options: JudgeOptions): Promise<Judge> {
  const { task, dataset } = options
  const judged = task.outputs.filter((o) => o.kind !== 'ignored')
  const kept: Record<string, Value>[] = []
  let bytes = 0
  const parts = new Map<string, Omit<Subject, 'facts'> & { facts: ReturnType<typeof factsOf>; samples: number }>()
  const original = judgedModel(model, task)
  const run = (m: Model, use: (session: Session) => Promise<void>): Promise<void> =>
    withSession(() => openSession(m), use)
  const unanswered = new Set<number>()
  const total = await eachBatch(original, run, options, async (batch, values) => {
    for (const v of Object.values(values)) bytes += bytesOf(v.data).byteLength
    if (bytes <= mostKept) kept.push(values)
    for (const o of judged) {
      const key = keyOf(o, batch)
      const { isImage = false } = batch.group ?? {}
      const part = parts.get(key) ?? {
        task: o,
        group: groupKey(o, batch.group),
        isImage,
        facts: factsOf(o),
        samples: 0,
      }
      const cut = cutOf(values, o, batch)
      part.facts.add(cut)
      for (const s of unansweredIn(cut, batch)) unanswered.add(s)
      part.samples += cut.samples
      parts.set(key, part)
    }
  })
  if (total === 0) throw new Error('judge: there are no inputs to compare on')
  const keptAll = kept.length === total ? kept : undefined
  const subjects = new Map<string, Subject>(
    [...parts].map(([key, part]) => [key, { ...part, facts: part.facts.finish() }]),
  )
  const varies = (subject: Subject): boolean => variesBeside(subject, [...subjects.values()])
  if (keptAll) addSignals(subjects, judged, options, keptAll)
  return {
    task,
    varying: [...subjects.values()].map((s) => ({ output: s.task.output, group: s.group, varies: varies(s) })),
    unanswered: [...unanswered],
    async compare(other, tell) {
      const tallies = new Map(
        [...subjects].map(([key, { task, facts, samples, signal }]) => [
          key,
          {
            values: new ValueTally(facts, samples, signal),
            decisions: isDecision(task) ? new DecisionTally(task) : undefined,
          },
        ]),
      )
      let [done, told] = [0, 0]
      const add = (batch: JudgedBatch, expected: Record<string, Value>, actual: Record<string, Value>): void => {
        // Batches of one sample are many, and take less time than telling of them.
        if (++done - told >= total / 100) tell?.((told = done) / total)
        for (const o of judged) {
          const tally = tallies.get(keyOf(o, batch))
          const [from, to] = [cutOf(expected, o, batch), cutOf(actual, o, batch)]
          if (from.dims.join() !== to.dims.join())
            throw new Error(`model: output "${o.output}" has shapes [${from.dims}] and [${to.dims}]; expected the same`)
          const answers =
            dataset && batch.indices && o.labelled ? answersFor(dataset, batch.indices, from.samples) : undefined
          tally?.values.add(from, to, isDecision(o) ? undefined : answers?.rows)
          tally?.decisions?.add(from, to, answers)
        }
      }
      const compared = judgedModel(other, task)
      if (keptAll && other === model) {
        // The original beside itself need not run again.
        let b = 0
        for (const batch of options.inputs()) add(batch, keptAll[b], keptAll[b++])
      } else if (keptAll) {
        let b = 0
        await eachBatch(compared, run, options, async (batch, values) => add(batch, keptAll[b++], values))
      } else {
        await run(original, (session) =>
          eachBatch(compared, run, options, async (batch, values) =>
            add(batch, await session.run(batch.feeds), values),
          ).then(() => undefined),
        )
      }
      return [...subjects].map(([key, subject]): OutputJudgement => {
        const { task, group, facts, samples } = subject
        const tally = tallies.get(key)
        const values = facts.isValued ? tally?.values.finish() : undefined
        return {
          task,
          ...(group ? { group } : {}),
          samples,
          varies: varies(subject),
          ...values,
          ...tally?.decisions?.finish(),
        }
      })
    },
  }
}

/**
 * Which samples of the data set an output gives NaN or infinity for. Minus infinity may be an answer, of a logarithm or behind a
 * mask, beside others that are finite.
 */
function* unansweredIn(out: BatchOutput, { indices, fed = 1, count = fed }: JudgedBatch): Generator<number> {
  if (!indices || !out.float || out.samples !== count) return
  for (let s = 0; s < out.samples; s++) {
    let [isUnfit, isAnswered] = [false, out.size === 0]
    for (let j = 0; j < out.size; j++) {
      const v = out.data[out.at(s, j)]
      if (Number.isFinite(v)) isAnswered = true
      else if (v !== Number.NEGATIVE_INFINITY) isUnfit = true
    }
    if (isUnfit || !isAnswered) yield indices[s]
  }
}

/** Whether an output varies with the inputs of a group so much, beside the other groups, that something is shown there. */
function variesBeside({ task, facts, isImage }: Subject, all: readonly Subject[]): boolean {
  const others = all.filter((s) => s.task.output === task.output).map((s) => s.facts)
  const isSure = task.probabilities && (isImage || facts.unsure < leastUnsure)
  const variation = leastOfBest[isSure ? 'sure' : 'values'] * Math.max(...others.map((f) => f.variation))
  const variance =
    leastVariance[isImage && isDecision(task) ? 'scores' : 'values'] * Math.max(...others.map((f) => f.variance))
  return facts.variation > leastVariation && (facts.variation > variation || (!isSure && facts.variance > variance))
}

/** What each sample adds to the signal, of outputs that are at hand. */
function addSignals(
  subjects: Map<string, Subject>,
  judged: readonly OutputTask[],
  { inputs }: JudgeOptions,
  kept: readonly Record<string, Value>[],
): void {
  const signals = new Map<string, number[]>()
  let b = 0
  for (const batch of inputs()) {
    const values = kept[b++]
    for (const o of judged) {
      const key = keyOf(o, batch)
      const { facts } = subjects.get(key) as Subject
      const cut = cutOf(values, o, batch)
      const list = signals.get(key) ?? []
      if (facts.isValued) for (let s = 0; s < cut.samples; s++) list.push(signalOf(cut, s, facts))
      signals.set(key, list)
    }
  }
  for (const [key, list] of signals)
    if (list.length > 0) subjects.set(key, { ...(subjects.get(key) as Subject), signal: Float64Array.from(list) })
}

function keyOf(task: OutputTask, { group }: JudgedBatch): string {
  return `${groupKey(task, group)}\n${task.output}`
}

function cutOf(values: Record<string, Value>, task: OutputTask, batch: JudgedBatch): BatchOutput {
  const { output, batchAxis } = task
  const { fed = 1, count = fed } = batch
  const cut = samplesOf(values[output], { fed, count, axis: batchAxis })
  const { axis, probabilities, valuesToo } = task
  const isScores = cut.float && isDecision(task) && !isYesOrNo(task) && !probabilities && !valuesToo
  return isScores && axis !== undefined ? withoutCommon(cut, axis) : cut
}

/** Runs a model on every batch; gives how many there were. */
async function eachBatch(
  model: Model,
  run: (m: Model, use: (session: Session) => Promise<void>) => Promise<void>,
  { inputs, signal }: JudgeOptions,
  use: (batch: JudgedBatch, values: Record<string, Value>) => Promise<void>,
): Promise<number> {
  let done = 0
  await run(model, async (session) => {
    for (const batch of inputs()) {
      stopIfAborted(signal, 'judge')
      const feeds = Object.fromEntries(session.inputNames.map((name) => [name, batch.feeds[name]]))
      await use(batch, await session.run(feeds))
      done++
    }
  })
  return done
}
