/**
 * How far two models agree on the same inputs, output by output.
 *
 * snr = 10 log10(sum reference^2 / sum (reference - other)^2), in dB, over every element of every batch.
 */
import { AbortError } from '../errors.ts'
import type { Feeds, Value } from '../method.ts'
import type { Session } from '../runtime/session.ts'
import { floatValues } from '../tensor/dtype.ts'

export interface OutputAgreement {
  /** The reference's name for the output; outputs are paired by name, else by place. */
  readonly output: string
  /** Signal-to-noise ratio in dB; Infinity where the outputs are equal. */
  readonly snrDb: number
  /** Infinity where one is not a number and the other is. */
  readonly maxAbsDiff: number
  /** Share of rows with the same largest entry; left out where the output is not [rows, 2 or more]. */
  readonly top1?: number
  /** Elements compared. */
  readonly count: number
}

export interface Agreement {
  readonly outputs: readonly OutputAgreement[]
  /** Samples, or calls where the inputs have no batch axis. */
  readonly batches: number
}

export interface AgreementOptions {
  /** How many batches there are, for the progress. */
  readonly total?: number
  readonly progress?: (done: number, what: string) => void
  readonly signal?: AbortSignal
}

interface Tally {
  signal: number
  noise: number
  maxAbsDiff: number
  rows: number
  same: number
  count: number
}

/**
 * Runs both on each of the batches; `count` is how many of its first samples matter (all by default).
 * Throws one sentence where the outputs differ in number or shape.
 */
export async function measureAgreement(
  reference: Session,
  other: Session,
  inputs: Iterable<{ readonly feeds: Feeds; readonly count?: number }>,
  options: AgreementOptions = {},
): Promise<Agreement> {
  const pairs = pairOutputs(reference, other)
  const tallies = pairs.map((): Tally => ({ signal: 0, noise: 0, maxAbsDiff: 0, rows: 0, same: 0, count: 0 }))
  let done = 0
  for (const { feeds, count } of inputs) {
    if (options.signal?.aborted) throw new AbortError('agreement: stopped')
    const expected = await reference.run(feeds)
    const actual = await other.run(feedsFor(other, reference, feeds))
    pairs.forEach(([from, to], i) => {
      tally(tallies[i], expected[from], actual[to], { output: from, count })
    })
    done++
    options.progress?.(options.total ? done / options.total : 0, 'comparing')
  }
  if (done === 0) throw new Error('agreement: there are no inputs to compare on')
  return {
    batches: done,
    outputs: pairs.map(([output], i) => {
      const { signal, noise, maxAbsDiff, rows, same, count } = tallies[i]
      return {
        output,
        snrDb: noise === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(signal / noise),
        maxAbsDiff,
        ...(rows > 0 ? { top1: same / rows } : {}),
        count,
      }
    }),
  }
}

function pairOutputs(reference: Session, other: Session): [string, string][] {
  const names = reference.outputNames
  if (names.length !== other.outputNames.length) {
    throw new Error(
      `agreement: the models have ${names.length} and ${other.outputNames.length} outputs; expected the same`,
    )
  }
  const byName = names.every((name) => other.outputNames.includes(name))
  return names.map((name, i) => [name, byName ? name : other.outputNames[i]])
}

/** The same inputs under the other model's names. */
function feedsFor(other: Session, reference: Session, feeds: Feeds): Feeds {
  if (other.inputNames.every((name) => name in feeds)) {
    return Object.fromEntries(other.inputNames.map((name) => [name, feeds[name]]))
  }
  if (other.inputNames.length !== reference.inputNames.length) {
    throw new Error(
      `agreement: the models take the inputs ${reference.inputNames.join(', ')} and ${other.inputNames.join(', ')}; expected the same`,
    )
  }
  return Object.fromEntries(other.inputNames.map((name, i) => [name, feeds[reference.inputNames[i]]]))
}

function tally(
  sums: Tally,
  expected: Value,
  actual: Value,
  { output, count }: { readonly output: string; readonly count?: number },
): void {
  const { dims } = expected
  if (dims.join() !== actual.dims.join()) {
    throw new Error(`agreement: output "${output}" has shapes [${dims.join(',')}] and [${actual.dims.join(',')}]`)
  }
  const [x, y] = [expected, actual].map((v) => floatValues(v) ?? v.data)
  const total = x.length
  const used = count !== undefined && dims[0] > 0 && count < dims[0] ? (total / dims[0]) * count : total
  for (let i = 0; i < used; i++) {
    const a = Number(x[i])
    const b = Number(y[i])
    if (Object.is(a, b) || a === b) {
      sums.signal += Number.isFinite(a) ? a * a : 0
      continue
    }
    const diff = Number.isNaN(a - b) ? Number.POSITIVE_INFINITY : Math.abs(a - b)
    sums.signal += Number.isFinite(a) ? a * a : 0
    sums.noise += diff * diff
    sums.maxAbsDiff = Math.max(sums.maxAbsDiff, diff)
  }
  sums.count += used
  const width = dims.slice(1).reduce((product, d) => product * d, 1)
  if (dims.length < 2 || width < 2 || dims.slice(1).filter((d) => d > 1).length > 1) return
  for (let row = 0; row < used / width; row++) {
    sums.rows++
    if (argmax(x, row * width, width) === argmax(y, row * width, width)) sums.same++
  }
}

function argmax(data: Value['data'], from: number, width: number): number {
  let best = 0
  for (let i = 1; i < width; i++) if (data[from + i] > data[from + best]) best = i
  return best
}
