/** Numbers as sentences print them. */

/** A whole number with a comma between thousands: 2,001. */
export function count(n: number): string {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** A share of 1 for people: "91.76 %". */
export function percent(share: number, digits = 2): string {
  return `${(100 * share).toFixed(digits)} %`
}

/** A factor for people: enough digits that a difference from 1 shows. */
export function factor(value: number): string {
  if (value >= 100) return value.toFixed(0)
  if (value >= 10) return value.toFixed(1)
  return Math.abs(value - 1) < 0.005 && value !== 1 ? value.toFixed(3) : value.toFixed(2)
}

/**
 * Two numbers with as many digits as tell them apart where they differ, from `digits` on: what is more than its limit must
 * also look so.
 */
export function apart(a: number, b: number, digits = 2): [string, string] {
  let d = digits
  while (Math.abs(a - b) >= 1e-6 && a.toFixed(d) === b.toFixed(d) && d < 6) d++
  return [a.toFixed(d), b.toFixed(d)]
}
