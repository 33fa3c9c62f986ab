/** Strategies, on made-up verdicts. */
import { expect, it } from 'vitest'
import type { Finding, LossUnit, Verdict } from '../task/verdict.ts'
import { firstThatHolds, highestThatHolds, withoutNeedless } from './strategies.ts'

function verdict(spent: number, unit: LossUnit): Verdict {
  const worst: Finding = { output: 'y', kind: 'numbers', unit, loss: 0, limit: 0, samples: 1, spent }
  return { spent, worst, findings: [worst] }
}

const precision = { halvings: 3, enough: 0.975 }

it.each([1e-12, 3e-10, 1e-8, 4.4e-8, 7e-5])(
  'where noise counts, few trials come close to the limit: %d',
  async (limit) => {
    for (const growth of [0.4, 0.5, 0.7]) {
      let tries = 0
      const best = await highestThatHolds(
        async (price) => {
          // Noise is not quite smooth: two percent, by the price's digits.
          const rough = 1 + 0.01 * Math.sin(1e3 * Math.log(price))
          tries++
          return verdict(rough * (price / limit) ** growth, 'dB of noise')
        },
        1e-8,
        precision,
      )
      expect(best?.verdict.spent).toBeLessThanOrEqual(1)
      expect(best?.verdict.spent).toBeGreaterThan(0.93)
      expect(tries).toBeLessThanOrEqual(8)
    }
  },
)

it('where decisions count, the price is found by octaves and halves', async () => {
  for (const limit of [2e-11, 9e-9, 1.9e-8, 3e-6]) {
    const tried: number[] = []
    const best = await highestThatHolds(
      async (price) => {
        tried.push(price)
        return verdict(price <= limit ? 0.5 : 1.2, 'points of accuracy')
      },
      1e-8,
      precision,
    )
    expect(best?.value).toBeLessThanOrEqual(limit)
    expect(best?.value).toBeGreaterThan(limit * 0.9)
    expect(new Set(tried).size).toBe(tried.length)
  }
})

it('a price far below the first one is found too, by larger strides', async () => {
  let tries = 0
  const best = await highestThatHolds(
    async (price) => {
      tries++
      return verdict(price <= 3e-18 ? 0.5 : 1.2, 'points of accuracy')
    },
    1e-8,
    precision,
  )
  expect(best?.value).toBeLessThanOrEqual(3e-18)
  expect(best?.value).toBeGreaterThan(2.2e-18)
  expect(tries).toBeLessThanOrEqual(18)
})

it('nothing comes out where no price holds, and the last where all do', async () => {
  let tries = 0
  const none = await highestThatHolds(
    async () => {
      tries++
      return verdict(2, 'points of accuracy')
    },
    1e-8,
    precision,
  )
  expect(none).toBeUndefined()
  expect(tries).toBeLessThanOrEqual(12)
  const most = await highestThatHolds(async () => verdict(0, 'points of accuracy'), 1e-8, precision)
  expect(most?.value).toBeGreaterThan(1e-8 * 2 ** 15)
})

it('the first rung that holds is found in about twice the logarithm of the rungs', async () => {
  for (let count = 1; count <= 40; count++) {
    for (let first = 1; first <= count; first++) {
      let tries = 0
      const found = await firstThatHolds(count, async (rung) => {
        tries++
        return rung >= first
      })
      expect(found).toBe(first)
      expect(tries).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(first + 1)) + 1)
    }
  }
})

it('what can be left out is, the last first, of the last few alone', async () => {
  // Any two of the three vowels are enough.
  const vowels = (items: readonly string[]): number => items.filter((c) => 'aeo'.includes(c)).length
  const holds = async (fewer: readonly string[]) => vowels(fewer) >= 2
  expect(await withoutNeedless([...'axeyo'], holds, 5)).toEqual(['a', 'e'])
  expect(await withoutNeedless([...'axeyo'], holds, 2)).toEqual(['a', 'x', 'e'])
  // x cannot be left out beside y, but without it.
  const odd = async (fewer: readonly string[]) => vowels(fewer) >= 2 && !(fewer.includes('y') && !fewer.includes('x'))
  expect(await withoutNeedless([...'aeyx'], odd, 4)).toEqual(['a', 'e'])
})
