/** Numbers as this page shows them: as reports do, and sizes in units. */
import { count } from 'coppice/report'

export { count, duration, percent, sizeDifference } from 'coppice/report'

/** "1.2 MB", with bytes alone below a thousand. */
export function size(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB']
  let [value, unit] = [bytes, 0]
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1]
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toPrecision(value >= 9.95 ? 3 : 2)} ${units[unit]}`
}

/** A sentence of the library with options called as forms call them: input range, of `--input-range`. */
export function withoutFlags(sentence: string): string {
  return sentence.replace(/--([a-z]+(?:-[a-z]+)*)/g, (_, name: string) => name.replaceAll('-', ' ')).replaceAll('`', '')
}

/** Multiply-adds and parameters: "40.6 million". */
export function large(n: number | null): string {
  if (n === null) return 'not known'
  const units: [number, string][] = [
    [1e9, 'billion'],
    [1e6, 'million'],
  ]
  const unit = units.find(([least]) => n >= least)
  return unit ? `${(n / unit[0]).toPrecision(3)} ${unit[1]}` : count(n)
}
