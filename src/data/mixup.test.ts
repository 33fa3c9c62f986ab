import { expect, it } from 'vitest'
import { random } from '../tensor/random.ts'
import { drawMixing, mixFeeds, mixRows } from './mixup.ts'

it('mixes each row with its partner', () => {
  const rows = Float32Array.of(1, 2, 10, 20, 100, 200)
  const mixed = mixRows(rows, { share: 0.75, partners: Uint32Array.of(1, 0, 2) })
  expect([...mixed]).toEqual([3.25, 6.5, 7.75, 15.5, 100, 200])
})

it('draws shares of the Beta distribution: its mean, its variance, and pairs', () => {
  for (const a of [1e-6, 0.2, 0.5, 1]) {
    const rng = random(3)
    const shares = Array.from({ length: 20_000 }, () => drawMixing(4, a, rng).share)
    const mean = shares.reduce((x, y) => x + y, 0) / shares.length
    const variance = shares.reduce((x, y) => x + (y - mean) ** 2, 0) / shares.length
    expect(mean).toBeCloseTo(0.5, 1)
    // Of Beta(a, a): 1 / (4 (2 a + 1)).
    expect(Math.abs(variance * 4 * (2 * a + 1) - 1)).toBeLessThan(0.05)
  }
  expect([...drawMixing(5, 1, random(1)).partners].sort()).toEqual([0, 1, 2, 3, 4])
})

it('refuses inputs that cannot be mixed', () => {
  const mixing = drawMixing(2, 1, random(1))
  const ids = { dtype: 'int64', dims: [2, 3], data: new BigInt64Array(6) } as const
  expect(() => mixFeeds({ ids }, mixing)).toThrow(
    'mixup: input "ids" is [2,3] of int64; expected 2 samples of float32 along the first axis',
  )
  const state = { dtype: 'float32', dims: [1, 2, 4], data: new Float32Array(8) } as const
  expect(() => mixFeeds({ state }, mixing)).toThrow('mixup: input "state" is [1,2,4] of float32')
})
