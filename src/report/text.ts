/** The report for a terminal of 80 columns. */

import { shownName } from '../shown-name.ts'
import { alignColumns, bytes } from './format.ts'
import type { Report } from './report.ts'
import { comparisonRows, downloadLegend, factRows, judgedRows, loadingLines, unsureInWords } from './rows.ts'
import { searched } from './words.ts'

const width = 80

export function renderText(report: Report): string {
  const rows = comparisonRows(report).map((r) => [r.what, r.before, r.after, r.change])
  const { heldBack, goal } = report
  return [
    report.title,
    ...report.warnings.flatMap((w) => wrap(`warning: ${w}`, 2)),
    '',
    ...alignColumns([['', 'before', 'after', 'change'], ...rows]),
    downloadLegend,
    '',
    ...judgedLines(report),
    ...(heldBack ? wrap(searched(heldBack), 2) : []),
    ...untouchedLines(report),
    ...report.notes.flatMap((n) => wrap(`note: ${n}`, 2)),
    '',
    ...factRows(report).flatMap(([name, what]) => wrap(`${name.padEnd(15)}${what}`, 15)),
    ...(goal && report.packedFile ? ['', 'to load it in a page:', ...loadingLines(report).map((l) => `  ${l}`)] : []),
  ].join('\n')
}

/** Of many outputs, those that are printed. */
const mostOutputs = 8

function judgedLines(report: Report): string[] {
  const rows = judgedRows(report)
  const apart = report.judged?.apart ?? []
  if (rows.length + apart.length === 0) return []
  // Of many, the worst of each output.
  const worst = rows.filter((r, i) => rows.findIndex((other) => other.of === r.of) === i)
  const shown = rows.length > mostOutputs ? worst.slice(0, mostOutputs) : rows
  const told = shown.flatMap((r) => {
    const range = r.interval ? ` (95 %: ${r.interval})` : ''
    const limit = report.goal && r.limit ? `; limit ${r.limit}: ${r.broken ? 'BROKEN' : 'held'}` : ''
    return wrap(`  ${r.output} (${r.kind}): ${r.value} ${r.what}${range}${limit}`, 4)
  })
  const more = rows.length - shown.length
  const unsure = unsureInWords(report)
  return [
    ...wrap(`kept of the original, on ${report.judged?.on}:`, 2),
    ...told,
    ...(more > 0 ? [`  and ${more} more, which lose less of what is allowed`] : []),
    ...apart.slice(0, mostOutputs).flatMap(({ output, why }) => wrap(`  "${shownName(output)}" ${why}`, 4)),
    ...(apart.length > mostOutputs ? [`  and ${apart.length - mostOutputs} more that no limit is held against`] : []),
    ...(unsure ? wrap(unsure, 2) : []),
  ]
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
    ...reasons.flatMap((reason) => {
      const rows = untouched.filter((u) => u.reason === reason)
      const names = rows.slice(0, 3).map((r) => shownName(r.name))
      const more = rows.length > names.length ? `, and ${rows.length - names.length} more` : ''
      return wrap(`  ${bytes(total(rows))} bytes, ${reason}: ${names.join(', ')}${more}`, 4)
    }),
  ]
}

/** Lines of at most 80 columns, those after the first indented. A word that is longer has a line of its own. */
export function wrap(text: string, indent: number): string[] {
  const start = text.length - text.trimStart().length
  const lines: string[] = []
  let line = ' '.repeat(start)
  let empty = true
  for (const word of text.trimStart().split(/(?<=\s)(?=\S)/)) {
    if (!empty && line.length + word.trimEnd().length > width) {
      lines.push(line.trimEnd())
      line = ' '.repeat(indent)
    }
    line += word
    empty = false
  }
  return [...lines, line.trimEnd()]
}
