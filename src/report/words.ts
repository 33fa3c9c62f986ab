/** Sentences that reports share. */
import { apart } from '../numbers.ts'
import { shareInterval } from '../task/statistics.ts'
import { decibels, percent } from './format.ts'
import type { Report } from './report.ts'

/** A moment to the minute, in universal time: "2026-11-29 10:59 UTC". */
export function dateInWords(iso: string): string {
  return `${iso.slice(0, 16).replace('T', ' ')} UTC`
}

/** What the search judged by, and how much was lost. */
export function searched({ what, unit, loss, limit, isTighter }: NonNullable<Report['heldBack']>): string {
  const room = isTighter ? ', tighter than was asked for' : ''
  if (unit === 'dB of noise') {
    const kept = Number.isFinite(loss) ? `${decibels(-loss)} kept` : 'no noise at all'
    return `The search judged by ${what}: ${kept} (limit: at least ${(-limit).toFixed(1)} dB${room}).`
  }
  const [lost, most] = apart(loss, limit)
  return `The search judged by ${what}: ${lost} ${unit} lost (limit ${most}${room}).`
}

/** The 95 % interval of a share that was found on so many samples: "95 %: 94.3 to 97.1 %". */
export function shareRange(share: number, samples: number): string {
  const { low, high } = shareInterval(Math.round(share * samples), samples)
  return `95 %: ${(100 * low).toFixed(1)} to ${percent(high, 1)}`
}
