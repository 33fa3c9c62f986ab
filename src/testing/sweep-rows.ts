/** Rows of a sweep that was never made, for tests of what is drawn and counted. */
import type { Measured, SweepRow } from '../sweep/row.ts'

const shares = [0.3, 0.5, 0.8, 0.9]

/** For each model, four recipes with two seeds, of which each next one is smaller and worse, and one that failed. */
export function exampleRows(models: readonly string[]): SweepRow[] {
  return models.flatMap((name, m) => [
    ...shares.flatMap((share) => [0, 1].map((seed) => row(name, m, { share, seed }))),
    { ...empty(name, 'int8', 0), error: 'int8: there is no data; expected samples to calibrate on' },
  ])
}

function empty(name: string, recipe: string, seed: number) {
  return {
    coppice: 1,
    key: '0'.repeat(32),
    identity: { model: 'a', data: 'b', version: '1' },
    model: { name, file: `${name}.onnx` },
    data: { name: 'digits', data: 'digits:400' },
    name: recipe,
    recipe: { coppice: 1, seed, steps: [] },
  } as const
}

function row(name: string, m: number, { share, seed }: { share: number; seed: number }): SweepRow {
  const before: Measured = {
    bytes: 1e5,
    packed: 9e4,
    params: 25_000,
    nonZero: 25_000,
    macs: 2e6 * (m + 1),
    score: 0.98,
  }
  const after = {
    ...before,
    packed: Math.round(9e4 * (1 - share)),
    macs: before.macs && Math.round(before.macs * (1 - share / 2)),
    score: 0.98 - share ** 4 / 10 - seed / 1000,
  }
  const spread = (median: number) => ({ median, p10: median, p90: median * 1.1 })
  return {
    ...empty(name, `magnitude sparsity=${share}`, seed),
    found: {
      measure: 'accuracy',
      on: '1,000 samples of digits:400',
      samples: 1000,
      before,
      after,
      sha256: 'c',
      warnings: [],
    },
    timed: {
      seconds: 3,
      latencyMs: { before: spread(0.2), after: spread(0.2 * (1 - share / 2)) },
      speedUp: { median: 1 / (1 - share / 2), low: 1.05, high: 2.2, rounds: 100 },
      environment: ['a machine'],
    },
  }
}
