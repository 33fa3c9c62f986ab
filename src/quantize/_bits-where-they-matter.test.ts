/** The spending of bits against trying every combination. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Choice, spendBits } from './_bits-where-they-matter.ts'

const total = (weights: readonly (readonly Choice[])[], chosen: readonly number[]) => ({
  bits: chosen.reduce((s, c, w) => s + weights[w][c].bits, 0),
  cost: chosen.reduce((s, c, w) => s + weights[w][c].cost, 0),
})

it('keeps the budget, and no combination of as few bits costs less', () => {
  const choice = fc.record({ bits: fc.integer({ min: 1, max: 40 }), cost: fc.integer({ min: 0, max: 100 }) })
  const weights = fc.array(fc.array(choice, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(weights, fc.integer({ min: 4, max: 160 }), (given, budget) => {
      const least = given.reduce((s, all) => s + Math.min(...all.map((c) => c.bits)), 0)
      if (least > budget) {
        expect(() => spendBits(given, budget)).toThrow(/expected at least/)
        return
      }
      const found = total(given, spendBits(given, budget))
      expect(found.bits).toBeLessThanOrEqual(budget)
      const combinations = given.reduce<number[][]>(
        (all, choices) => all.flatMap((head) => choices.map((_, c) => [...head, c])),
        [[]],
      )
      // Whatever costs less, of all that fit, takes more bits: what is left of the budget is too small for a whole step.
      for (const other of combinations.map((c) => total(given, c)))
        if (other.bits <= found.bits) expect(other.cost).toBeGreaterThanOrEqual(found.cost - largestStep(given))
    }),
    { numRuns: 300, seed: 2 },
  )
})

/** What one step along a weight's choices changes at most: the spending is exact up to the last step that does not fit. */
function largestStep(weights: readonly (readonly Choice[])[]): number {
  return Math.max(...weights.map((all) => Math.max(...all.map((c) => c.cost)) - Math.min(...all.map((c) => c.cost))))
}

it('is the best for its bits where every step fits', () => {
  const weights = [
    [
      { bits: 10, cost: 100 },
      { bits: 20, cost: 20 },
      { bits: 30, cost: 10 },
    ],
    [
      { bits: 10, cost: 5 },
      { bits: 20, cost: 1 },
    ],
  ]
  expect(spendBits(weights, 20)).toEqual([0, 0])
  expect(spendBits(weights, 30)).toEqual([1, 0])
  expect(spendBits(weights, 40)).toEqual([2, 0])
  expect(spendBits(weights, 50)).toEqual([2, 1])
})
