/** Numbers for people. */

export function count(n: number): string {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',')
}

export function bytes(n: number): string {
  return count(n)
}

export function percent(share: number, digits = 2): string {
  return `${(100 * share).toFixed(digits)} %`
}

/** "13.5 x smaller", or larger. */
export function ratio(before: number, after: number, digits = 2): string {
  return `${(before / after).toFixed(before / after >= 10 ? 1 : digits)} x`
}

export function milliseconds({ median, p10, p90 }: { median: number; p10: number; p90: number }): string {
  const digits = median < 10 ? 2 : 1
  return `${median.toFixed(digits)} ms (${p10.toFixed(digits)}-${p90.toFixed(digits)})`
}

/** A signed difference in points. */
export function points(before: number, after: number): string {
  const difference = 100 * (after - before)
  return `${difference >= 0 ? '+' : ''}${difference.toFixed(2)} points`
}

export function decibels(snrDb: number): string {
  return Number.isFinite(snrDb) ? `${snrDb.toFixed(1)} dB` : 'no noise: equal'
}

/** Rows as aligned columns: the first to the left, the others to the right. */
export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, c) => Math.max(...rows.map((r) => (r[c] ?? '').length)))
  return rows.map((row) =>
    row
      .map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
      .join('  ')
      .trimEnd(),
  )
}
