/** The report as a terminal table. */
import { alignColumns, bytes, decibels } from './format.ts'
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
    ...untouchedLines(report),
    ...report.notes.map((n) => `note: ${n}`),
    ...report.warnings.map((w) => `warning: ${w}`),
  ].join('\n')
}

/** What was left as it was, by reason, with its share of the constants' bytes. */
function untouchedLines({ untouched = [], layers }: Report): string[] {
  const total = (rows: readonly { readonly bytes: number }[]): number => rows.reduce((sum, r) => sum + r.bytes, 0)
  const left = total(untouched)
  if (left === 0) return []
  const all = left + layers.reduce((sum, l) => sum + l.bytesBefore, 0)
  const reasons = [...new Set(untouched.map((u) => u.reason))]
  return [
    `left as they were: ${bytes(left)} of ${bytes(all)} bytes of constants`,
    ...reasons.map((reason) => {
      const rows = untouched.filter((u) => u.reason === reason)
      const names = rows.slice(0, 3).map((r) => r.name)
      const more = rows.length > names.length ? `, and ${rows.length - names.length} more` : ''
      return `  ${bytes(total(rows))} bytes, ${reason}: ${names.join(', ')}${more}`
    }),
  ]
}

/** The loss and its limit in words. */
export function lost({ loss, limit, unit }: { loss: number; limit: number; unit: string }): string {
  if (unit === 'dB of noise') return `signal to noise ${decibels(-loss)} (at least ${-limit} dB wanted)`
  return `lost ${loss.toFixed(2)} ${unit} (at most ${limit.toFixed(2)} wanted)`
}
