import { describe, expect, it } from 'vitest'
import { isDifference } from './rows.ts'

describe('isDifference', () => {
  it.each<[boolean, string, Parameters<typeof isDifference>[0]]>([
    [true, 'a narrow spread', { median: 1.14, p10: 1.05, p90: 1.25, rounds: 50 }],
    [true, 'a slower model', { median: 0.9, p10: 0.85, p90: 0.95, rounds: 50 }],
    [false, 'a few per cent', { median: 1.04, p10: 1.03, p90: 1.05, rounds: 50 }],
    [false, 'a spread that hides it', { median: 1.14, p10: 0.3, p90: 4, rounds: 50 }],
    [true, 'as wide a spread with many rounds', { median: 1.14, p10: 0.3, p90: 4, rounds: 5000 }],
    [false, 'few rounds', { median: 1.14, p10: 0.9, p90: 1.4, rounds: 5 }],
  ])('%s: %s', (expected, _, speedUp) => expect(isDifference(speedUp)).toBe(expected))
})
