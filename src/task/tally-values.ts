/** Values against those of the original: noise against what the output varies, by element or number. */
import type { BatchOutput } from './samples.ts'
import { meanAndError, ratioAndError } from './statistics.ts'
import { isDecision, type OutputTask } from './task.ts'

export interface ValueJudgement {
  /** Signal about the mean over noise, in dB; Infinity where all is equal, -Infinity where numbers became none. */
  readonly snrDb: number
  /** Its standard error over samples, in dB. */
  readonly snrErrorDb: number
  readonly maxAbsDiff: number
  /** Against numbers that the data has: shares of their variance that are explained, before and after. */
  readonly explained?: { readonly before: number; readonly after: number; readonly lossError: number }
}

/** What the original's output does over all samples. */
export interface ValueFacts {
  /** Whether values are compared: floats, and whole numbers that are no decisions, which are judged as such alone. */
  readonly isValued: boolean
  /** The share of the output's mean square that varies from sample to sample; of several numbers the largest. Of whole numbers 0 or 1. */
  readonly variation: number
  /** How much that is for an element, in the output's own unit squared. */
  readonly variance: number
  /** Of probabilities, how unsure they are: from 0, where all are 0 or 1, to 1, where no answer is likelier than another. */
  readonly unsure: number
  /** Elements that have weights of their own; 1 where all have the same. */
  readonly elements: number
  /** What a squared difference of element `j` counts, so that noise as large as the signal counts 1 in all. */
  weight(j: number): number
  /** What element `j` is about, over samples. */
  mean(j: number): number
}

/** Numbers up to this many along an axis (of a box, of a point, of a field's quantities) have ranges of their own; more are features of one kind. */
const mostNumbers = 16
/** Of more numbers those whose deviations lie this far apart, with none between, are of different units. */
const unitGap = 5
/** A unit has this share of the numbers at least: a few features that hardly move are no unit. */
const leastOfUnit = 0.1
/** More elements than this share one mean. */
const mostElements = 2 ** 22
/** A deviation below 1e-5 of a number's size is rounding, and the number a constant. */
const leastSignal = 1e-10
/** Of a constant, noise of 1e-4 of its size counts as much as noise as large as the signal does elsewhere. */
const leastShare = 1e-8

/** Adds up the original's outputs. */
export function factsOf(task: OutputTask) {
  const isValued = ({ float }: BatchOutput): boolean => float || !isDecision(task)
  let sums: Float64Array | undefined
  let squares: Float64Array | undefined
  let counts: Float64Array | undefined
  let first: BatchOutput | undefined
  let samples = 0
  let sum = 0
  let square = 0
  let count = 0
  let differs = false
  return {
    add(out: BatchOutput): void {
      first ??= out
      if (!isValued(out)) differs ||= differsFrom(first, out)
      // Outputs whose size changes from call to call have one mean over all.
      const elementwise = out.size === first.size && out.size <= mostElements
      if (samples === 0 && elementwise) {
        sums = new Float64Array(out.size)
        squares = new Float64Array(out.size)
        counts = new Float64Array(out.size)
      } else if (!elementwise) sums = undefined
      for (let s = 0; s < out.samples; s++) {
        for (let j = 0; j < out.size; j++) {
          const x = out.data[out.at(s, j)]
          if (!Number.isFinite(x)) continue
          sum += x
          square += x * x
          count++
          if (sums && squares && counts) {
            sums[j] += x
            squares[j] += x * x
            counts[j]++
          }
        }
      }
      samples += out.samples
    },
    finish(): ValueFacts {
      const valued = first !== undefined && isValued(first)
      // As of floats, one sample alone shows what varies within it.
      if (samples === 1) differs = first?.data.some((v) => v !== first?.data[0]) ?? false
      // One sample alone varies about the mean of all of its numbers.
      const varied = sums && squares && counts && samples > 1 ? signalsOf(sums, squares, counts) : undefined
      const ownRanges = task.kind === 'numbers' || task.valuesToo === true
      const inner = first?.dims.toSpliced(task.batchAxis ?? 0, 1) ?? []
      const groups = ownRanges && varied ? groupsOf(inner, varied) : oneGroup
      const { columns } = groups
      const signal = new Float64Array(columns)
      const energy = new Float64Array(columns)
      if (varied && squares) {
        for (let j = 0; j < varied.length; j++) {
          signal[groups.of(j)] += varied[j]
          energy[groups.of(j)] += squares[j]
        }
      } else {
        signal[0] = Math.max(0, square - (sum * sum) / Math.max(1, count))
        energy[0] = square
      }
      const all = energy.reduce((a, b) => a + b, 0)
      const moves = (c: number): boolean => signal[c] > leastSignal * energy[c]
      // Numbers that are constant share in no signal, and take none of the noise of the others off.
      const moving = signal.reduce((n, _, c) => n + Number(moves(c)), 0) || columns
      const weights = signal.map((v, c) => {
        // What moves counts by that alone, however small it is beside others: it may be in another unit.
        const least = moves(c) ? 0 : Math.max(leastShare * energy[c], leastShare * leastShare * all)
        return 1 / (moving * Math.max(v, least, Number.MIN_VALUE))
      })
      const overall = count > 0 ? sum / count : 0
      const about =
        sums && samples > 1 ? sums.map((total, j) => total / Math.max(1, counts?.[j] ?? samples)) : undefined
      const mean = (j: number): number => about?.[j] ?? overall
      const variation = signal.reduce((most, v, c) => Math.max(most, energy[c] > 0 ? v / energy[c] : 0), 0)
      const variance = signal.reduce((total, v) => total + v, 0) / Math.max(1, count)
      // Probabilities of classes add up to 1 for each decision; others are for yes or no each.
      const classes = task.axis === undefined ? undefined : first?.dims[task.axis]
      const unsure = classes ? (sum - square) / (sum * (1 - 1 / Math.max(2, classes))) : (4 * (sum - square)) / count
      return {
        isValued: valued,
        variation: valued ? variation : Number(differs),
        variance,
        unsure,
        elements: columns > 1 ? (varied?.length ?? 1) : 1,
        weight: (j) => weights[groups.of(j)],
        mean,
      }
    },
  }
}

/** How much each element varies over samples, as a sum of squares over all of them. */
function signalsOf(sums: Float64Array, squares: Float64Array, counts: Float64Array): Float64Array {
  return sums.map((sum, j) => {
    const n = counts[j]
    return n > 1 ? Math.max(0, squares[j] - (sum * sum) / n) * (n / (n - 1)) : 0
  })
}

interface Groups {
  readonly columns: number
  /** The group of element `j` of a sample. */
  of(j: number): number
}

const oneGroup: Groups = { columns: 1, of: () => 0 }

/**
 * Which elements have a range in common, of what an output has for a sample: those at the same place of its first axis and of
 * its last, where these are short; else the numbers of a row, by units that their deviations fall into.
 */
function groupsOf(dims: readonly number[], variances: Float64Array): Groups {
  const rank = dims.length
  if (rank === 0) return oneGroup
  const last = dims[rank - 1] <= mostNumbers ? dims[rank - 1] : 1
  const first = rank > 1 && dims[0] <= mostNumbers ? dims[0] : 1
  if (first === 1 && last === 1) return rank === 1 ? unitsOf(variances) : oneGroup
  const behind = dims.slice(1).reduce((a, b) => a * b, 1)
  return { columns: first * last, of: (j) => (Math.floor(j / behind) % first) * last + (j % last) }
}

/** Numbers by the units that they are in: where sorted deviations leave a gap, and enough lie on both sides of it. */
function unitsOf(variances: Float64Array): Groups {
  const order = [...variances.keys()].filter((j) => variances[j] > 0).sort((a, b) => variances[a] - variances[b])
  const least = Math.max(2, leastOfUnit * order.length)
  const groups = new Uint32Array(variances.length)
  let [columns, begun] = [1, 0]
  for (const [i, j] of order.entries()) {
    const isGap = i > 0 && variances[j] > unitGap ** 2 * variances[order[i - 1]]
    if (isGap && i - begun >= least && order.length - i >= least) {
      columns++
      begun = i
    }
    groups[j] = columns - 1
  }
  return { columns, of: (j) => groups[j] }
}

/** Whether any sample is another than the first of all. */
function differsFrom(first: BatchOutput, out: BatchOutput): boolean {
  if (out.size !== first.size) return true
  for (let s = 0; s < out.samples; s++)
    for (let j = 0; j < out.size; j++) if (out.data[out.at(s, j)] !== first.data[first.at(0, j)]) return true
  return false
}

/** Adds up the differences of another model's outputs. */
export class ValueTally {
  private readonly noise: Float64Array
  /** Squared errors of samples beside their answers: of each of a few numbers, of all of many. */
  private readonly before: number[][] = []
  private readonly after: number[][] = []
  /** Means and summed squares about them, of each number of the answers (Welford 1962). */
  private readonly answers: { mean: number; squares: number }[] = []
  private answered = 0
  private maxAbsDiff = 0
  private done = 0
  private readonly signal?: Float64Array

  private readonly facts: ValueFacts

  /** `signal`: what each sample adds to the signal, for the interval; without it all count as alike. */
  constructor(facts: ValueFacts, samples: number, signal?: Float64Array) {
    this.facts = facts
    this.signal = signal
    this.noise = new Float64Array(samples)
  }

  /** `rows`: the numbers that the data has for these samples. */
  add(from: BatchOutput, to: BatchOutput, rows?: { readonly data: Float32Array; readonly width: number }): void {
    for (let s = 0; s < from.samples; s++) {
      let noise = 0
      for (let j = 0; j < from.size; j++) {
        const at = from.at(s, j)
        const [a, b] = [from.data[at], to.data[at]]
        if (a === b || Object.is(a, b)) continue
        const difference = Number.isNaN(a - b) ? Number.POSITIVE_INFINITY : Math.abs(a - b)
        noise += difference * difference * this.facts.weight(j)
        this.maxAbsDiff = Math.max(this.maxAbsDiff, difference)
      }
      this.noise[this.done++] = noise
      if (rows && rows.width === from.size) this.addAnswers(from, to, s, rows.data)
    }
  }

  private addAnswers(from: BatchOutput, to: BatchOutput, s: number, answers: Float32Array): void {
    const n = ++this.answered
    for (let j = 0; j < from.size; j++) {
      const y = answers[s * from.size + j]
      const at = from.at(s, j)
      const part = from.size <= mostNumbers ? j : 0
      this.before[part] ??= []
      this.after[part] ??= []
      this.before[part][n - 1] = (this.before[part][n - 1] ?? 0) + (from.data[at] - y) ** 2
      this.after[part][n - 1] = (this.after[part][n - 1] ?? 0) + (to.data[at] - y) ** 2
      this.answers[j] ??= { mean: 0, squares: 0 }
      const answer = this.answers[j]
      const step = y - answer.mean
      answer.mean += step / n
      answer.squares += step * (y - answer.mean)
    }
  }

  finish(): ValueJudgement {
    const ratio = this.noise.reduce((a, b) => a + b, 0)
    const alike = new Float64Array(this.noise.length).fill(1)
    const { error } = ratioAndError(this.noise, this.signal ?? alike)
    return {
      snrDb: ratio === 0 ? Number.POSITIVE_INFINITY : -10 * Math.log10(ratio),
      snrErrorDb: Number.isFinite(error) ? 4.343 * error : Number.POSITIVE_INFINITY,
      maxAbsDiff: this.maxAbsDiff,
      ...(this.before.length > 0 ? { explained: this.explained() } : {}),
    }
  }

  /** Each of a few numbers by its own variance about its own mean, and all alike; of many, all variances together. */
  private explained(): NonNullable<ValueJudgement['explained']> {
    const squares = this.answers.map((a) => a.squares)
    const variances = this.before.length > 1 ? squares : [squares.reduce((a, b) => a + b, 0)]
    // Answers that never vary have nothing to explain.
    const parts = variances.flatMap((variance, part) => (variance > 0 ? [{ variance, part }] : []))
    const share = (errors: readonly number[][]): number =>
      Math.min(1, parts.length) -
      parts.reduce((sum, { variance, part }) => sum + errors[part].reduce((a, b) => a + b, 0) / variance, 0) /
        Math.max(1, parts.length)
    const losses = Array.from({ length: this.answered }, (_, i) =>
      parts.reduce(
        (sum, { variance, part }) => sum + (this.after[part][i] - this.before[part][i]) / variance / parts.length,
        0,
      ),
    )
    return {
      before: share(this.before),
      after: share(this.after),
      lossError: meanAndError(losses).error * this.answered,
    }
  }
}

/** What one sample adds to the signal about the mean. */
export function signalOf(out: BatchOutput, s: number, facts: ValueFacts): number {
  let sum = 0
  for (let j = 0; j < out.size; j++) {
    const x = out.data[out.at(s, j)]
    if (Number.isFinite(x)) sum += (x - facts.mean(j)) ** 2 * facts.weight(j)
  }
  return sum
}
