/** Rows brought together for a report: those that differ by seed alone are one, by their means. */
import type { Found, Measure, SweepRow } from './row.ts'

/** A recipe on a model and data, over its seeds. */
export interface Combination {
  /** From 1 on, in the order of rows. */
  readonly number: number
  readonly name: string
  readonly model: string
  readonly data: string
  readonly measure: Measure
  readonly seeds: number
  readonly before: Averages
  readonly after: Averages
  /** The worst and the best score of a seed. */
  readonly scores: { readonly low: number; readonly high: number }
  /** The original's time over the result's, by medians; absent where calls were not timed. */
  readonly speedUp?: { readonly median: number; readonly low: number; readonly high: number }
}

/** Means over seeds. */
export interface Averages {
  readonly bytes: number
  readonly packed: number
  readonly macs: number | null
  readonly score: number
  /** Milliseconds per call. */
  readonly ms?: number
}

/** What was measured in one way on one data set, so that scores can be compared. */
export interface Comparable {
  readonly data: string
  readonly measure: Measure
  readonly on: string
  readonly combinations: readonly Combination[]
}

type Made = SweepRow & { readonly found: Found }

/** In the order of rows; those with an error are left out. */
export function comparables(rows: readonly SweepRow[]): Comparable[] {
  const made = rows.filter((row): row is Made => row.found !== undefined)
  const combinations = groupBy(made, (r) => [r.data.name, r.found.measure, r.model.name, r.name]).map(combine)
  const on = new Map(made.map((r) => [r.data.name, r.found.on]))
  return groupBy(combinations, (c) => [c.data, c.measure]).map((all) => ({
    data: all[0].data,
    measure: all[0].measure,
    on: on.get(all[0].data) ?? '',
    combinations: all,
  }))
}

function combine(rows: readonly Made[], i: number): Combination {
  const [{ name, model, data, found }] = rows
  const scores = rows.map((r) => r.found.after.score)
  const speedUps = rows.flatMap(({ timed }) => timed?.speedUp ?? [])
  const averages = (side: 'before' | 'after'): Averages => {
    const of = (value: (f: Found['after']) => number): number => mean(rows.map((r) => value(r.found[side])))
    const ms = rows.flatMap(({ timed }) => timed?.latencyMs?.[side].median ?? [])
    return {
      bytes: of((f) => f.bytes),
      packed: of((f) => f.packed),
      macs: rows.some((r) => r.found[side].macs === null) ? null : of((f) => f.macs ?? 0),
      score: of((f) => f.score),
      ...(ms.length === rows.length ? { ms: mean(ms) } : {}),
    }
  }
  return {
    number: i + 1,
    name,
    model: model.name,
    data: data.name,
    measure: found.measure,
    seeds: rows.length,
    before: averages('before'),
    after: averages('after'),
    scores: { low: Math.min(...scores), high: Math.max(...scores) },
    ...(speedUps.length === rows.length
      ? {
          speedUp: {
            median: mean(speedUps.map((s) => s.median)),
            low: Math.min(...speedUps.map((s) => s.low)),
            high: Math.max(...speedUps.map((s) => s.high)),
          },
        }
      : {}),
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length
}

function groupBy<T>(values: readonly T[], key: (value: T) => unknown): T[][] {
  const groups = new Map<string, T[]>()
  for (const value of values) {
    const of = JSON.stringify(key(value))
    groups.set(of, [...(groups.get(of) ?? []), value])
  }
  return [...groups.values()]
}
