/** What constants alone compute is stored, where the file does not grow. */
import { describe, expect, it } from 'vitest'
import { constantsOf } from '../graph/constants.ts'
import { storedBytes } from '../graph/walk.ts'
import { largestDifference, outputsOf, randomFeeds } from '../testing/real-models.ts'
import { weightWays } from '../testing/weight-ways.ts'
import { foldWeights } from './fold-weights.ts'

describe('fold-weights', () => {
  it.each(['a quantiser of float weights', 'weight normalisation', 'a low-rank side, merged', 'a constant scale'])(
    '%s',
    async (name) => {
      const { model } = weightWays[name]()
      const after = await foldWeights(model)
      expect(storedBytes(after)).toBeLessThanOrEqual(storedBytes(model))
      const direct = constantsOf(after).filter((c) => c.role === 'weight')
      expect(direct.every((c) => c.uses.every((u) => u.direct))).toBe(true)
      const feeds = randomFeeds(model)
      expect(largestDifference(await outputsOf(model, feeds), await outputsOf(after, feeds))).toBeLessThan(1e-5)
    },
  )

  it.each(['a Transpose', 'a Cast of float16', 'a table tied to the output', 'gates joined by Concat'])(
    'leaves what is only rearranged: %s',
    async (name) => {
      const { model } = weightWays[name]()
      expect(await foldWeights(model)).toBe(model)
    },
  )
})
