import { describe, expect, it } from 'vitest'
import { speedInWords, speedVerdict } from '../speed-up.ts'
import { random } from '../tensor/random.ts'
import { type Contender, type LatencyOptions, measureLatency, spreadOf } from './latency.ts'

/** A machine whose clock only its own work moves. `noise` makes a run of so many milliseconds longer. */
function machine(noise: (ms: number) => number = (ms) => ms) {
  let at = 0
  const calls: string[] = []
  const contender = (name: string, ms: number, { opening = 5, luck = (): number => 1 } = {}): Contender => ({
    name,
    feeds: {},
    async open() {
      calls.push('open')
      at += opening
      const own = ms * luck()
      return {
        inputNames: [],
        outputNames: [],
        async run() {
          calls.push(name)
          at += noise(own)
          return {}
        },
        async release() {
          calls.push('release')
        },
      }
    },
  })
  const compare = async (contenders: Contender[], options: LatencyOptions = {}) =>
    measureLatency(contenders, { now: () => at, ...options })
  return { calls, contender, compare, now: () => at }
}

/** Other work takes the processor away every few milliseconds, half of the time, and keeps it for 12 ms on average. */
function busy(seed: number): (ms: number) => number {
  const rng = random(seed)
  return (ms) => {
    let time = ms * (1 + 0.03 * rng.next())
    for (let slice = 0; slice < Math.ceil(ms / 4); slice++) if (rng.next() < 0.5) time += -12 * Math.log(1 - rng.next())
    return time
  }
}

describe('measureLatency', () => {
  it('takes turns in rotating order, opens anew every ten rounds, and compares with the first', async () => {
    const { calls, contender, compare } = machine()
    const [a, b] = await compare([contender('a', 3), contender('b', 2)])
    expect(a.speedUp).toEqual({ median: 1, low: 1, high: 1, rounds: 120 })
    expect(b.speedUp).toEqual({ median: 1.5, low: 1.5, high: 1.5, rounds: 120 })
    expect([a.latencyMs.median, b.latencyMs.median]).toEqual([3, 2])
    const rounds = 'a b b a a b b a a b b a a b b a a b b a'
    const turned = 'b a a b b a a b b a a b b a a b b a a b'
    const blocks = calls.join(' ').split('release release').slice(0, 12)
    expect(blocks.map((text) => text.trim())).toEqual(
      blocks.map((_, i) => `open open a a a b b b ${i % 2 === 0 ? rounds : turned}`),
    )
  })

  it('opens slow models twelve times too, and runs them little', async () => {
    const { calls, contender, compare, now } = machine()
    const [, b] = await compare([contender('a', 900, { opening: 500 }), contender('b', 600, { opening: 500 })])
    expect(calls.filter((c) => c === 'open')).toHaveLength(24)
    expect(speedVerdict(b.speedUp)).toBe('faster')
    expect(now()).toBeLessThan(50_000)
  })

  it('ends when its time is over', async () => {
    const { contender, compare, now } = machine(busy(1))
    await compare([contender('a', 5), contender('b', 5)], { precision: 0, maxMs: 10_000 })
    expect(now()).toBeGreaterThan(10_000)
    expect(now()).toBeLessThan(12_000)
  })

  it('releases what it opened where opening fails, and stops on request', async () => {
    const { calls, contender, compare } = machine()
    const failing = { ...contender('b', 2), open: () => Promise.reject(new Error('no room')) }
    await expect(compare([contender('a', 2), failing])).rejects.toThrow('no room')
    expect(calls).toEqual(['open', 'release'])
    const signal = AbortSignal.abort()
    await expect(compare([contender('a', 2)], { signal })).rejects.toThrow('stopped')
  })
})

describe('the verdict on a busy machine', () => {
  /** Verdicts over many runs; where a session's memory comes to lie changes its time by up to a tenth. */
  async function verdicts(share: number, runs: number, ms: number): Promise<Record<string, number>> {
    const tally: Record<string, number> = {}
    for (let seed = 0; seed < runs; seed++) {
      const { contender, compare } = machine(busy(seed))
      const rng = random(1000 + seed)
      const luck = () => 1 + 0.1 * rng.next()
      const [, b] = await compare([contender('a', ms, { luck }), contender('b', ms * share, { luck })])
      const verdict = speedVerdict(b.speedUp)
      tally[verdict] = (tally[verdict] ?? 0) + 1
    }
    return tally
  }

  it.each([2, 20])('a model of %d ms beside itself: could not tell', async (ms) => {
    const { 'could not tell': unclear = 0 } = await verdicts(1, 200, ms)
    expect(unclear).toBeGreaterThanOrEqual(195)
  })

  it('of 2 ms with 30 % more work: slower, with less: faster', async () => {
    expect((await verdicts(1.3, 100, 2)).slower).toBeGreaterThanOrEqual(99)
    expect((await verdicts(1 / 1.3, 100, 2)).faster).toBeGreaterThanOrEqual(99)
  })

  it('of 20 ms with twice the work: slower', async () => {
    expect((await verdicts(2, 100, 20)).slower).toBeGreaterThanOrEqual(95)
  })
})

it('spreadOf has percentiles between ranks', () => {
  expect(spreadOf([3, 1, 2, 5, 4])).toEqual({ median: 3, p10: 1.4, p90: 4.6 })
  expect(spreadOf([2])).toEqual({ median: 2, p10: 2, p90: 2 })
})

describe('speedInWords', () => {
  it.each([
    ['1.39 x faster (1.31 to 1.45)', { median: 1.39, low: 1.31, high: 1.45 }],
    ['2.08 x slower (2.00 to 2.50)', { median: 0.48, low: 0.4, high: 0.5 }],
    ['could not tell (0.93 to 1.08 x the speed)', { median: 1.01, low: 0.93, high: 1.08 }],
    ['1.003 x faster (1.001 to 1.005)', { median: 1.003, low: 1.001, high: 1.0049 }],
    ['12.3 x faster (11.0 to 112)', { median: 12.34, low: 11, high: 112.4 }],
  ])('%s', (words, speedUp) => expect(speedInWords({ ...speedUp, rounds: 80 })).toBe(words))
})
