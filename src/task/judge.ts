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
import { apartFrom, withoutWeights } from './made-by-weights.ts'
import { paddingMask, withoutPadding } from './padding.ts'
import { type BatchOutput, samplesOf, withoutCommon } from './samples.ts'
import { type DecisionJudgement, DecisionTally } from './tally-decisions.ts'
import { factsOf, signalOf, type ValueFacts, type ValueJudgement, ValueTally } from './tally-values.ts'
import { isDecision, isYesOrNo, type OutputTask, type Task } from './task.ts'
import { unansweredIn } from './unanswered.ts'

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
  /** It is about what the weights add to the output, where that is little beside what goes in: the share that it is, in power. */
  readonly added?: number
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
/** What weights add counts apart where it is less than this share of an output, in power. */
const mostHidden = 0.1

interface Subject {
  readonly task: OutputTask
  readonly added: Added
  /** Of what weights add: its share of the output, in power, of the number of which it is the least. */
  readonly share?: number
  readonly group?: string
  readonly isImage: boolean
  readonly facts: ValueFacts
  readonly samples: number
  readonly signal?: Float64Array
}

/** An output as it is, or what weights add to what such a model without them gives. */
type Added = 'whole' | 0 | 1

/** What the original gives for a batch, and what it gives without its weights, where it runs so. */
interface Answers {
  readonly values: Record<string, Value>
  readonly given: readonly (Record<string, Value> | undefined)[]
}

/** Runs the original once, to learn what its outputs do. Throws one sentence where nothing can be judged. */
export async function openJudge(model: Model, options: JudgeOptions): Promise<Judge> {
  const { task, dataset } = options
  const judged = task.outputs.filter((o) => o.kind !== 'ignored')
  const original = judgedModel(model, task)
  let bare: readonly Model[] = withoutWeights(original)
  let kept: Answers[] = []
  let bytes = 0
  const parts = new Map<string, Omit<Subject, 'facts'> & { facts: ReturnType<typeof factsOf>; samples: number }>()
  const unanswered = new Set<number>()
  const total = await eachAnswer({ original, bare }, options, (batch, answers) => {
    for (const values of [answers.values, ...answers.given])
      for (const v of Object.values(values ?? {})) bytes += bytesOf(v.data).byteLength
    if (bytes <= mostKept) kept.push(answers)
    for (const o of judged) {
      for (const cut of cutsOf(answers, o, batch)) {
        const { added, out, values } = cut
        const key = keyOf(o, batch, added)
        const { isImage = false } = batch.group ?? {}
        const part = parts.get(key) ?? {
          task: o,
          added,
          group: groupKey(o, batch.group),
          isImage,
          facts: factsOf(o),
          samples: 0,
        }
        part.facts.add(values)
        part.samples += out.samples
        parts.set(key, part)
        if (added === 'whole') for (const s of unansweredIn(out, batch)) unanswered.add(s)
      }
    }
  })
  if (total === 0) throw new Error('judge: there are no inputs to compare on')
  const subjects = new Map<string, Subject>(
    [...parts].map(([key, part]) => [key, { ...part, facts: part.facts.finish() }]),
  )
  dropShown(subjects)
  if ([...subjects.values()].every((s) => s.added === 'whole')) {
    bare = []
    kept = kept.map(({ values }) => ({ values, given: [] }))
  }
  const keptAll = kept.length === total ? kept : undefined
  const varies = (subject: Subject): boolean => variesBeside(subject, [...subjects.values()])
  if (keptAll) addSignals(subjects, judged, options, keptAll)
  return {
    task,
    varying: [...subjects.values()]
      .filter((s) => s.added === 'whole')
      .map((s) => ({ output: s.task.output, group: s.group, varies: varies(s) })),
    unanswered: [...unanswered],
    async compare(other, tell) {
      const tallies = new Map(
        [...subjects].map(([key, { task, added, facts, samples, signal }]) => [
          key,
          {
            values: new ValueTally(facts, samples, signal),
            decisions: isDecision(task) && added === 'whole' ? new DecisionTally(task) : undefined,
          },
        ]),
      )
      let [done, told] = [0, 0]
      const add = (batch: JudgedBatch, expected: Answers, actual: Record<string, Value>): void => {
        // Batches of one sample are many, and take less time than telling of them.
        if (++done - told >= total / 100) tell?.((told = done) / total)
        for (const o of judged) {
          const [from, to] = [cutsOf(expected, o, batch), cutsOf(expected, o, batch, actual)]
          for (const [i, { added, out, values }] of from.entries()) {
            const tally = tallies.get(keyOf(o, batch, added))
            const answers =
              added === 'whole' && dataset && batch.indices && o.labelled
                ? answersFor(dataset, batch.indices, out.samples)
                : undefined
            tally?.values.add(values, to[i].values, isDecision(o) ? undefined : answers?.rows)
            tally?.decisions?.add(out, to[i].out, answers)
          }
        }
      }
      const compared = judgedModel(other, task)
      if (keptAll) {
        let b = 0
        // The original beside itself need not run again.
        if (other === model) for (const batch of options.inputs()) add(batch, keptAll[b], keptAll[b++].values)
        else
          await eachAnswer({ original: compared, bare: [] }, options, (batch, { values }) =>
            add(batch, keptAll[b++], values),
          )
      } else {
        await withRunner(compared, async (run) => {
          await eachAnswer({ original, bare }, options, async (batch, answers) => {
            add(batch, answers, await run(batch))
          })
        })
      }
      return [...subjects].map(([key, subject]): OutputJudgement => {
        const { task, share, group, facts, samples } = subject
        const tally = tallies.get(key)
        const values = facts.isValued ? tally?.values.finish() : undefined
        return {
          task,
          ...(share === undefined ? {} : { added: share }),
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

/** Leaves out what weights add where it is so much of the output that noise which ruins it shows there as well. */
function dropShown(subjects: Map<string, Subject>): void {
  for (const [key, subject] of subjects) {
    const { task, added, group, facts } = subject
    if (added === 'whole') continue
    const whole = [...subjects.values()].find((s) => s.added === 'whole' && s.task === task && s.group === group)?.facts
    // A number counts the more the less it varies.
    const shareOf = (j: number): number => (whole?.weight(j) ?? 1) / facts.weight(j)
    let share = shareOf(0)
    for (let j = 1; j < Math.max(facts.elements, whole?.elements ?? 1); j++) share = Math.min(share, shareOf(j))
    if (facts.isValued && facts.variation > 0 && share < mostHidden) subjects.set(key, { ...subject, share })
    else subjects.delete(key)
  }
}

/** Whether an output varies with the inputs of a group so much, beside the other groups, that something is shown there. */
function variesBeside({ task, added, facts, isImage }: Subject, all: readonly Subject[]): boolean {
  const others = all.filter((s) => s.task.output === task.output && s.added === added).map((s) => s.facts)
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
  kept: readonly Answers[],
): void {
  const signals = new Map<string, number[]>()
  let b = 0
  for (const batch of inputs()) {
    const answers = kept[b++]
    for (const o of judged) {
      for (const { added, values } of cutsOf(answers, o, batch)) {
        const key = keyOf(o, batch, added)
        const facts = subjects.get(key)?.facts
        if (!facts) continue
        const list = signals.get(key) ?? []
        if (facts.isValued) for (let s = 0; s < values.samples; s++) list.push(signalOf(values, s, facts))
        signals.set(key, list)
      }
    }
  }
  for (const [key, list] of signals)
    if (list.length > 0) subjects.set(key, { ...(subjects.get(key) as Subject), signal: Float64Array.from(list) })
}

function keyOf(task: OutputTask, { group }: JudgedBatch, added: Added): string {
  return `${groupKey(task, group)}\n${added}\n${task.output}`
}

interface Cut {
  readonly added: Added
  readonly out: BatchOutput
  /** What noise is measured in: of scores what decides. */
  readonly values: BatchOutput
}

/** An output cut into samples: as it is, and what the weights add to it. `actual`: another model's, beside the original's answers. */
function cutsOf({ values, given }: Answers, task: OutputTask, batch: JudgedBatch, actual = values): Cut[] {
  const { output, batchAxis, axis, probabilities, valuesToo } = task
  const { fed = 1, count = fed } = batch
  const padding = paddingMask(batch.feeds)
  const cut = (value: Value): BatchOutput =>
    withoutPadding(samplesOf(value, { fed, count, axis: batchAxis }), padding, task)
  const centred = (out: BatchOutput): BatchOutput => {
    const isScores = out.float && isDecision(task) && !isYesOrNo(task) && !probabilities && !valuesToo
    return isScores && axis !== undefined ? withoutCommon(out, axis) : out
  }
  const out = cut(actual[output])
  const expected = actual === values ? out : cut(values[output])
  if (out.dims.join() !== expected.dims.join())
    throw new Error(`model: output "${output}" has shapes [${expected.dims}] and [${out.dims}]; expected the same`)
  const parts = ([0, 1] as const).flatMap((added) => {
    const base = given[added] && cut(given[added][output])
    if (base?.dims.join() !== out.dims.join()) return []
    const apart = apartFrom(out, base, values[output].dtype, expected)
    return [{ added, out: apart, values: centred(apart) }]
  })
  return [{ added: 'whole', out, values: centred(out) }, ...parts]
}

type Runner = (batch: JudgedBatch) => Promise<Record<string, Value>>

function runnerOf(session: Session): Runner {
  return ({ feeds }) => session.run(Object.fromEntries(session.inputNames.map((name) => [name, feeds[name]])))
}

function withRunner(model: Model, use: (run: Runner) => Promise<void>): Promise<void> {
  return withSession(
    () => openSession(model),
    (session) => use(runnerOf(session)),
  )
}

/** Runs a model, and the same without its weights where that runs, on every batch; gives how many there were. */
async function eachAnswer(
  { original, bare }: { readonly original: Model; readonly bare: readonly Model[] },
  { inputs, signal }: JudgeOptions,
  use: (batch: JudgedBatch, answers: Answers) => void | Promise<void>,
): Promise<number> {
  let done = 0
  const sessions: (Session | undefined)[] = []
  await withRunner(original, async (run) => {
    try {
      for (const model of bare) sessions.push(await openSession(model).catch(() => undefined))
      for (const batch of inputs()) {
        stopIfAborted(signal, 'judge')
        const given: Answers['given'][number][] = []
        for (const session of sessions) given.push(session && (await runnerOf(session)(batch).catch(() => undefined)))
        await use(batch, { values: await run(batch), given })
        done++
      }
    } finally {
      for (const session of sessions) await session?.release()
    }
  })
  return done
}
