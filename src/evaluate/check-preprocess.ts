/**
 * Whether a model's images are fed to it as when it was trained: the common ways of normalising are tried on a few training
 * samples. One that is clearly better than the given one is told; nothing is changed.
 *
 * With labels or targets, a way is chosen on some samples and compared with the given one on others, sample by sample (a
 * sign test: McNemar 1947). Without, a way is suspect under which the outputs hardly depend on the image.
 */
import { subset } from '../data/batches.ts'
import type { Dataset, Preprocess } from '../data/dataset.ts'
import { fedBatches } from '../data/fed-batches.ts'
import { variantsOf, type Way, waysFor } from '../data/preprocess-ways.ts'
import { AbortError } from '../errors.ts'
import type { Model } from '../model.ts'
import { openSession, type Session, withSession } from '../runtime/session.ts'
import { type Answers, answersFor } from '../task/answers.ts'
import { decisionsOf } from '../task/decisions.ts'
import { guessTask } from '../task/guess.ts'
import { judgedModel } from '../task/judged-model.ts'
import { type BatchOutput, samplesOf } from '../task/samples.ts'
import { isDecision, labelledOutput, type OutputTask, type Task } from '../task/task.ts'
import { varietyOf } from '../task/variety.ts'
import { permutation, random } from '../tensor/random.ts'

export interface CheckOptions {
  /** Training samples: what is held back for the report is not looked at. */
  readonly dataset: Dataset
  /** How the images would be fed. */
  readonly preprocess: Preprocess
  readonly seed: number
  /** What the outputs mean; default: guessed. */
  readonly task?: Task
  /** Time that may be taken, roughly, in milliseconds; default 2,000. */
  readonly budgetMs?: number
  readonly signal?: AbortSignal
}

export interface PreprocessFinding {
  readonly better: Preprocess
  /** Samples that the two were compared on. */
  readonly samples: number
  /** `right`: share of right answers; `error`: mean squared error; `answers`, `variation`: see task/variety.ts. */
  readonly unit: 'right' | 'error' | 'answers' | 'variation'
  /** In the unit, of the given way and of the better one. */
  readonly given: number
  readonly found: number
}

/** Samples to choose on, and to compare on. */
const mostSamples = 384
const fewestSamples = 12
/** A model is too slow to be checked where even the fewest samples take longer. */
const longestMs = 20_000
/** Standard errors of the sign test, and the share of samples or errors, by which another way must be better. */
const leastZ = 3
const leastGain = 0.01

/** Compares; undefined where nothing is clearly better, or there are no images. */
export async function checkPreprocess(
  model: Model,
  options: CheckOptions,
): Promise<PreprocessFinding | 'too slow' | undefined> {
  const { dataset, preprocess, seed, budgetMs = 2000 } = options
  const ways = waysFor(model, dataset, preprocess)
  if (ways.length < 2 || dataset.length < 2) return undefined
  const task = options.task ?? guessTask(model, { dataset })
  const output = subjectOf(task, dataset)
  if (!output) return undefined
  const order = permutation(dataset.length, random(seed))
  const chosen = (from: number, count: number): Dataset => subset(dataset, order.subarray(from, from + count))
  return withSession(
    () => openSession(judgedModel(model, { outputs: [output] })),
    async (session) => {
      const read = (way: Way, samples: Dataset): Promise<Reading> =>
        readingOf(session, { ...way, output }, samples, options)
      // A first call is slower than those that follow.
      const [given] = ways
      const few = chosen(0, Math.min(fewestSamples, dataset.length))
      await read(given, chosen(0, given.batcher.batchSize ?? 1))
      const start = performance.now()
      await read(given, few)
      const perSample = (performance.now() - start) / few.length
      // Each way once, two variants of the best, and the comparison on as many samples again.
      const perRound = perSample * (ways.length + 4)
      if (perRound * fewestSamples > longestMs) return 'too slow'
      const affordable = Math.floor(budgetMs / perRound)
      const half = Math.floor(dataset.length / 2)
      const first = Math.min(mostSamples, Math.max(fewestSamples, affordable), Math.max(1, half))
      const some = chosen(0, first)
      const tried: { way: Way; reading: Reading }[] = []
      for (const way of ways) tried.push({ way, reading: await read(way, some) })
      for (const way of variantsOf(model, dataset, bestOf(tried).way.preprocess))
        tried.push({ way, reading: await read(way, some) })
      const best = bestOf(tried)
      if (best.way === given) return undefined
      const others = chosen(first, Math.min(mostSamples, 2 * first))
      return verdict(await read(given, others), await read(best.way, others), best.way.preprocess)
    },
  )
}

/** The output that shows how a model is fed: the one with labels, else the first that decides or has values. */
function subjectOf(task: Task, { labels, targets }: Dataset): OutputTask | undefined {
  if (labels || targets) return labelledOutput(task)
  const judged = task.outputs.filter((o) => o.kind !== 'ignored' && o.kind !== 'state')
  return judged.find((o) => o.kind === 'classes' && o.axis !== undefined) ?? judged.find((o) => !isDecision(o))
}

/** What a way gives: per sample how well (larger is better), or without answers one number for all. */
interface Reading {
  readonly unit: PreprocessFinding['unit']
  readonly perSample: Float64Array
  readonly whole: number
}

async function readingOf(
  session: Session,
  { batcher, output }: Way & { readonly output: OutputTask },
  samples: Dataset,
  { signal }: CheckOptions,
): Promise<Reading> {
  const perSample: number[] = []
  const variety = varietyOf(output)
  const labelled = samples.labels !== undefined || samples.targets !== undefined
  for (const { feeds, fed, count, indices } of fedBatches(batcher, samples, 32)) {
    if (signal?.aborted) throw new AbortError('preprocessing: stopped')
    const value = (await session.run(feeds, [output.output]))[output.output]
    const out = samplesOf(value, { fed, count, axis: output.batchAxis })
    if (!labelled) {
      variety.add(out)
      continue
    }
    const answers = answersFor(samples, indices, out.samples)
    perSample.push(...(isDecision(output) ? rightShares(out, output, answers) : negatedErrors(out, answers)))
  }
  const mean = perSample.reduce((a, b) => a + b, 0) / Math.max(1, perSample.length)
  if (!labelled) {
    const unit = output.kind === 'classes' ? 'answers' : 'variation'
    return { unit, perSample: new Float64Array(samples.length), whole: variety.finish() }
  }
  return { unit: isDecision(output) ? 'right' : 'error', perSample: Float64Array.from(perSample), whole: mean }
}

/** The share of right decisions of each sample. */
function rightShares(out: BatchOutput, output: OutputTask, { labels, rows }: Answers): number[] {
  const { positions, classes } = decisionsOf(out, output)
  const answerOf = (s: number, p: number): number =>
    labels ? labels[s] : (rows?.data[s * positions + p] ?? 0) > 0.5 ? 1 : 0
  return Array.from({ length: out.samples }, (_, s) => {
    let right = 0
    for (let p = 0; p < positions; p++) if (classes[s * positions + p] === answerOf(s, p)) right++
    return right / positions
  })
}

/** The mean squared error of each sample, negated: larger is better. */
function negatedErrors(out: BatchOutput, { labels, rows }: Answers): number[] {
  const width = rows?.width ?? 1
  return Array.from({ length: out.samples }, (_, s) => {
    let error = 0
    for (let j = 0; j < width; j++)
      error += (out.data[out.at(s, j)] - (rows ? rows.data[s * width + j] : (labels?.[s] ?? 0))) ** 2
    return Number.isNaN(error) ? Number.NEGATIVE_INFINITY : -error / width
  })
}

/** The way that does best; of those that are about as good, the earliest. */
function bestOf<T extends { readonly reading: Reading }>(tried: readonly T[]): T {
  const most = Math.max(...tried.map(({ reading }) => reading.whole))
  const slack = (reading: Reading): number => 0.01 * (reading.unit === 'right' ? 1 : Math.abs(most))
  return tried.find(({ reading }) => reading.whole >= most - slack(reading)) ?? tried[0]
}

function verdict(given: Reading, other: Reading, better: Preprocess): PreprocessFinding | undefined {
  const { unit } = given
  const finding = { better, unit, samples: given.perSample.length, given: given.whole, found: other.whole }
  // Without answers right and wrong cannot be told: only outputs that are all the same are suspect.
  if (unit === 'answers') return given.whole < 1.2 && other.whole > 2 ? finding : undefined
  if (unit === 'variation') return given.whole < 0.001 && other.whole > 0.02 ? finding : undefined
  let [gained, lost] = [0, 0]
  given.perSample.forEach((value, s) => {
    if (other.perSample[s] > value) gained++
    else if (other.perSample[s] < value) lost++
  })
  const z = (gained - lost) / Math.sqrt(Math.max(1, gained + lost))
  if (z < leastZ) return undefined
  if (unit === 'right') return other.whole - given.whole >= leastGain ? finding : undefined
  const errors = { ...finding, given: Math.abs(given.whole), found: Math.abs(other.whole) }
  return errors.found < 0.7 * errors.given ? errors : undefined
}
