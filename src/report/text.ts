/** The report as a terminal table. */
import { alignColumns, decibels } from './format.ts'
import type { Report } from './report.ts'
import { comparisonRows } from './rows.ts'

export function renderText(report: Report): string {
  const rows = comparisonRows(report).map((r) => [r.what, r.before, r.after, r.change])
  const { agreement, heldBack } = report
  return [
    report.title,
    '',
    ...alignColumns([['', 'before', 'after', 'change'], ...rows]),
    '',
    ...(agreement
      ? [
          `against the original on ${agreement.on}: signal to noise ${decibels(agreement.snrDb)}, largest difference ${agreement.maxAbsDiff.toPrecision(3)}`,
        ]
      : []),
    ...(heldBack ? [`searched by ${heldBack.what}: ${lost(heldBack)}`] : []),
    ...report.notes.map((n) => `note: ${n}`),
    ...report.warnings.map((w) => `warning: ${w}`),
  ].join('\n')
}

/** The loss and its limit in words. */
export function lost({ loss, limit, unit }: { loss: number; limit: number; unit: string }): string {
  if (unit === 'dB of noise') return `signal to noise ${decibels(-loss)} (at least ${-limit} dB wanted)`
  return `lost ${loss.toFixed(2)} ${unit} (at most ${limit.toFixed(2)} wanted)`
}
