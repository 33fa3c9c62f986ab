/** What training says, as plain data: the history file, the text and the page are drawn from it. */
import type { EpochRecord, Progress } from '../train/train-options.ts'
import { count, percent } from './format.ts'

export interface TrainReport {
  /** The file that was written. */
  readonly model: string
  /** When it was made, as ISO 8601. */
  readonly made: string
  readonly epochs: number
  /** The epoch whose weights were written, from 0. */
  readonly epoch: number
  readonly engine: string
  readonly seconds: number
  readonly history: readonly EpochRecord[]
  readonly curve: readonly CurvePoint[]
  /** The whole test set. */
  readonly test?: TestScore
  /** Options that were given, as the command line takes them. */
  readonly options: Readonly<Record<string, string>>
  readonly environment: readonly string[]
}

/** A share of 1 for classes (`top-1`) and for yes and no (`accuracy`); for numbers the root of the mean squared error. */
export interface TestScore {
  readonly samples: number
  readonly measure: 'top-1' | 'accuracy' | 'RMS error'
  readonly before: number
  readonly after: number
}

/** The measure that goes with each kind of objective. */
export const measures = { classes: 'top-1', decisions: 'accuracy', numbers: 'RMS error' } as const

/** A test set's scores in a sentence. */
export function describeTest(test: TestScore): string {
  const [before, after] = [test.before, test.after].map((value) => showScore(test, value))
  return `${test.measure} ${after} on ${count(test.samples)} test samples (before: ${before})`
}

/** A score as people read it. */
export function showScore({ measure }: Pick<TestScore, 'measure'>, value: number): string {
  return measure === 'RMS error' ? value.toPrecision(4) : percent(value)
}

/** Means over the training steps since the point before, or since the epoch began. */
export interface CurvePoint {
  /** In epochs, from 0. */
  readonly at: number
  readonly loss: number
  readonly accuracy?: number
}

/** Collects a curve of about `points` points while a run reports how far it is. A resumed run begins where it resumed. */
export function curveRecorder(points = 200): { readonly curve: readonly CurvePoint[]; add(p: Progress): void } {
  const curve: CurvePoint[] = []
  let last = { epoch: -1, inEpoch: 0, loss: 0, accuracy: 0 }
  return {
    curve,
    add({ epoch, epochs, step, steps, loss, accuracy, finished }) {
      const stepsPerEpoch = steps / epochs
      const inEpoch = step - epoch * stepsPerEpoch
      if (last.epoch !== epoch) last = { epoch, inEpoch: 0, loss: 0, accuracy: 0 }
      if (!finished && step % Math.max(1, Math.floor(steps / points)) !== 0) return
      // Progress reports means since the epoch began.
      const since = (now: number, before: number): number =>
        (now * inEpoch - before * last.inEpoch) / (inEpoch - last.inEpoch)
      curve.push({
        at: step / stepsPerEpoch,
        loss: since(loss, last.loss),
        ...(accuracy === undefined ? {} : { accuracy: since(accuracy, last.accuracy) }),
      })
      last = { epoch, inEpoch, loss, accuracy: accuracy ?? 0 }
    },
  }
}
