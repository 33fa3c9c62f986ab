/** How fast one model is beside another, and what may be said of it. */
import { factor } from './numbers.ts'

/** The first model's time over the second's, from an interleaved run: above 1 the second is faster. */
export interface SpeedUp {
  readonly median: number
  /** The median ratio lies within [low, high] at a confidence of at least 99 %. */
  readonly low: number
  readonly high: number
  /** How often each model was timed. */
  readonly rounds: number
}

export type SpeedVerdict = 'faster' | 'slower' | 'could not tell'

/** What the interval shows of the second model. */
export function speedVerdict({ low, high }: Pick<SpeedUp, 'low' | 'high'>): SpeedVerdict {
  if (low > 1) return 'faster'
  return high < 1 ? 'slower' : 'could not tell'
}

/** Whether there was nothing to compare: both were the same file. */
export function isSameModel({ low, high }: Pick<SpeedUp, 'low' | 'high'>): boolean {
  return low === 1 && high === 1
}

/** The verdict with its numbers: "1.39 x faster (1.31 to 1.45)". */
export function speedInWords(speedUp: SpeedUp): string {
  const { median, low, high } = speedUp
  const verdict = speedVerdict(speedUp)
  if (verdict === 'faster') return `${factor(median)} x faster (${factor(low)} to ${factor(high)})`
  if (verdict === 'slower') return `${factor(1 / median)} x slower (${factor(1 / high)} to ${factor(1 / low)})`
  if (isSameModel(speedUp)) return 'the same file'
  return `could not tell (${factor(low)} to ${factor(high)} x the speed)`
}
