import { describe, expect, test } from 'vitest'
import { Outlook, type Piece, sharesDone } from './progress.ts'

/** Runs pieces on a clock of its own, each in a hundred steps: how wrong the time left was at worst after the first fifth. */
function wrongBy(guessed: readonly Piece[], took: readonly (readonly [kind: string, ms: number])[]): number {
  let now = 0
  const told: { at: number; done: number }[] = []
  const outlook = new Outlook(
    guessed,
    (done) => told.push({ at: now, done }),
    () => now,
  )
  for (const [kind, ms] of took) {
    const reach = outlook.begin(kind)
    for (let i = 1; i <= 100; i++) {
      now += ms / 100
      reach(i / 100)
    }
  }
  const late = told.filter(({ at }) => at >= now / 5 && now - at > now / 50)
  return Math.max(
    ...late.map(({ at, done }) => {
      const left = (at * (1 - done)) / done
      return Math.max(left / (now - at), (now - at) / left)
    }),
  )
}

describe('time left', () => {
  test('guesses need only be right about each other', () => {
    const guessed = [
      { kind: 'a', cost: 1000 },
      { kind: 'b', cost: 3000 },
    ]
    const took = [['a', 10_000] as const, ['b', 30_000] as const]
    expect(wrongBy(guessed, took)).toBeLessThan(1.3)
  })

  test('of a kind that was begun, the guess counts no more', () => {
    const guessed = ['trial', 'check', 'trial', 'check', 'trial', 'check'].map((kind) => ({ kind, cost: 1000 }))
    const took = guessed.map(({ kind }) => [kind, kind === 'trial' ? 9000 : 1000] as const)
    expect(wrongBy(guessed, took)).toBeLessThan(2)
  })

  test('one guess that is wrong by less than two leaves the time within a factor of two after the first fifth', () => {
    const kinds = ['a', 'b', 'c', 'd']
    for (const factor of [1 / 1.9, 1.9])
      for (const wrong of kinds) {
        const took = kinds.map((kind) => [kind, kind === wrong ? factor * 1000 : 1000] as const)
        expect(
          wrongBy(
            kinds.map((kind) => ({ kind, cost: 1000 })),
            took,
          ),
          `${wrong} ${factor}`,
        ).toBeLessThan(2)
      }
  })

  test('a first trial that begins slowly, or tells nothing for a while, says little of all of them', () => {
    let now = 0
    let left = 0
    const trials = Array.from({ length: 5 }, () => ({ kind: 'trial', cost: 1000 }))
    const outlook = new Outlook(
      [{ kind: 'before', cost: 30_000 }, ...trials],
      (done) => {
        left = (now * (1 - done)) / done
      },
      () => now,
    )
    const before = outlook.begin('before')
    now += 30_000
    before(1)
    const reach = outlook.begin('trial')
    now += 2000
    reach(0)
    expect(left).toBeGreaterThan(2500)
    expect(left).toBeLessThan(10_000)
    now -= 1500
    reach(0.01)
    expect(left).toBeGreaterThan(2500)
    expect(left).toBeLessThan(10_000)
  })

  test('pieces that were left out are over, and better guesses take their place', () => {
    let now = 0
    let done = 0
    const outlook = new Outlook<string>(
      [
        { kind: 'a', cost: 1000 },
        { kind: 'left out', cost: 100_000 },
        { kind: 'b', cost: 1000 },
      ],
      (share) => {
        done = share
      },
      () => now,
    )
    const a = outlook.begin('a', 'first')
    now = 1000
    a(1)
    expect(done).toBeLessThan(0.05)
    outlook.begin('b')
    expect(done).toBeGreaterThan(0.3)
    outlook.expect([{ kind: 'c', cost: 10_000 }])
    now = 2000
    outlook.begin('c')
    expect(done).toBeGreaterThan(0.1)
    expect(done).toBeLessThan(0.25)
    // Of a piece that is over, nothing more is heard.
    const before = done
    a(0)
    expect(done).toBe(before)
  })

  test('shares of work of unlike costs, in whatever order it ends', () => {
    const shares: number[] = []
    const done = sharesDone([1, 7, 2], (share) => shares.push(share))
    for (const place of [2, 0, 1]) done(place)
    expect(shares).toEqual([0.2, 0.3, 1])
  })
})
