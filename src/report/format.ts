/** Numbers for people. */
import { count, factor, percent } from '../numbers.ts'

export { count, percent }

export function bytes(n: number): string {
  return count(n)
}

/** A difference in bytes: ["13.5 x", "smaller"] or ["1.39 x", "larger"]; of nearly equal sizes ["12", "bytes larger"]. */
export function sizeDifference(before: number, after: number): [amount: string, what: string] {
  if (before === after) return ['the same', 'size']
  const word = after < before ? 'smaller' : 'larger'
  const ratio = after < before ? before / Math.max(1, after) : after / Math.max(1, before)
  return ratio < 1.01 ? [count(Math.abs(after - before)), `bytes ${word}`] : [`${factor(ratio)} x`, word]
}

/** "3.9 x fewer" or "1.2 x more"; of nearly equal counts "2 fewer", and nothing where both are the same. */
export function countChange(before: number, after: number): string {
  if (before === after) return ''
  const ratio = after < before ? before / Math.max(1, after) : after / Math.max(1, before)
  const word = after < before ? 'fewer' : 'more'
  return ratio < 1.01 ? `${count(Math.abs(after - before))} ${word}` : `${factor(ratio)} x ${word}`
}

/** A time per call: "2.04 ms". */
export function milliseconds(ms: number): string {
  return `${ms < 0.1 ? ms.toPrecision(2) : ms < 10 ? ms.toFixed(2) : ms.toFixed(1)} ms`
}

/** A duration: "12 s", "3 min 20 s". */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)]
  return hours > 0 ? `${hours} h ${minutes % 60} min` : `${minutes} min ${seconds % 60} s`
}

/** A signed difference of two shares, in points: "-0.11 points". */
export function points(before: number, after: number): string {
  return `${signed(100 * (after - before))} points`
}

/** With its sign, and 0 without one. */
export function signed(value: number, digits = 2): string {
  const text = value.toFixed(digits)
  if (Number(text) === 0) return (0).toFixed(digits)
  return value > 0 ? `+${text}` : text
}

export function decibels(snrDb: number): string {
  return Number.isFinite(snrDb) ? `${snrDb.toFixed(1)} dB` : 'no noise'
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
