/**
 * Whether a model's images are fed to it as when it was trained: the common ways of normalising are tried on a few training
 * samples. One that is clearly better than the given one is reported; nothing is changed.
 *
 * With labels or targets, a way is chosen on some samples, the best of them on more, and then compared with the given one
 * on others, sample by sample (a sign test: McNemar 1947). It must know more than one class for all images. Without answers,
 * a way is suspect under which the outputs hardly depend on the image.
 */
import { subset } from '../data/batches.ts'
import type { Dataset, Preprocess } from '../data/dataset.ts'
import { fedBatches } from '../data/fed-batches.ts'
import { variantsOf, type Way, waysFor } from '../data/preprocess-ways.ts'
import { stopIfAborted } from '../errors.ts'
import type { Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import { macsOfGraph } from '../ops/cost.ts'
import { inferShapes } from '../ops/shape.ts'
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

/**
 * Samples of the first round, in which all ways are tried: by the model's multiply-adds, not by the clock, so that the same
 * command says the same. The second round has three times as many, the last four times.
 */
const samplesFor = (macs: number): number => Math.max(8, Math.min(96, Math.floor(1.25e9 / macs)))
/** A model of more multiply-adds per sample is not checked: a few hundred samples would take half a minute. */
const mostMacs = 5e9
/** Ways that are tried on more samples. */
const finalists = 3
/** Standard errors of the sign test, and the share of samples or errors, by which another way must be better. */
const leastZ = 3
const leastGain = 0.01

/** Compares; undefined where nothing is clearly better, or there are no images. */
export async function checkPreprocess(
  model: Model,
  options: CheckOptions,
): Promise<PreprocessFinding | 'too slow' | undefined> {
  const { dataset, preprocess, seed } = options
  const ways = waysFor(model, dataset, preprocess)
  if (ways.length < 2 || dataset.length < 2) return undefined
  const task = options.task ?? guessTask(model, { dataset })
  const output = subjectOf(task, dataset)
  if (!output) return undefined
  const one = ways[0].batcher(dataset, new Uint32Array(ways[0].batcher.batchSize ?? 1))
  const macs = macsPerSample(model, one)
  const first = Math.min(samplesFor(macs), Math.floor(dataset.length / 8))
  if (first < 2) return undefined
  if (macs > mostMacs) return 'too slow'
  const order = permutation(dataset.length, random(seed))
  const [some, more, others] = [
    order.subarray(0, first),
    order.subarray(first, 4 * first),
    order.subarray(4 * first, 8 * first),
  ]
  return withSession(
    () => openSession(judgedModel(model, { outputs: [output] })),
    async (session) => {
      const read = async (way: Way, samples: Uint32Array): Promise<Tried> => ({
        way,
        reading: await readingOf(session, { ...way, output }, subset(dataset, samples), options),
      })
      const each = async (of: readonly Way[], samples: Uint32Array): Promise<Tried[]> => {
        const tried: Tried[] = []
        for (const way of of) tried.push(await read(way, samples))
        return tried
      }
      const [given] = ways
      const tried = await each(ways, some)
      const [leader, ...next] = ranked(tried).slice(0, finalists)
      const variants = variantsOf(model, dataset, leader.way.preprocess)
      const best = bestOf(await each([leader.way, ...next.map(({ way }) => way), ...variants], more)).way
      if (best === given) return undefined
      const [before, after] = await each([given, best], others)
      const compared = subset(dataset, others)
      if (after.reading.unit === 'right' && !knows(after.reading.whole, compared)) return undefined
      return verdict(before.reading, after.reading, best.preprocess)
    },
  )
}

interface Tried {
  readonly way: Way
  readonly reading: Reading
}

/** Multiply-adds per sample; a middling number where shapes do not tell. */
function macsPerSample(model: Model, feeds: Feeds): number {
  const shapes = Object.fromEntries(Object.entries(feeds).map(([name, { dims }]) => [name, dims]))
  const samples = Math.max(1, Object.values(feeds)[0]?.dims[0] ?? 1)
  const macs = macsOfGraph(model.graph, inferShapes(model, { inputShapes: shapes })) ?? 1e8
  return macs / samples
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
    stopIfAborted(signal, 'preprocessing')
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

/** Whether a share of right answers is clearly above that of the commonest class for all samples. */
function knows(right: number, { labels }: Dataset): boolean {
  if (!labels) return true
  const counts = new Map<number, number>()
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1)
  const constant = Math.max(...counts.values()) / labels.length
  return right >= constant + 0.1 * (1 - constant)
}

/** The best way first, then the others as good as they did. */
function ranked(tried: readonly Tried[]): Tried[] {
  const best = bestOf(tried)
  return [best, ...tried.filter((t) => t !== best).sort((a, b) => b.reading.whole - a.reading.whole)]
}

/** The way that does best; of those that are about as good, the earliest. */
function bestOf(tried: readonly Tried[]): Tried {
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
