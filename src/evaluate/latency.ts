/**
 * Latency of several models side by side: one run of each a round, in rotating order, so that whatever the machine does
 * meanwhile befalls all of them alike. Ratios are taken within a round. Sessions are opened anew several times: where
 * one's memory comes to lie decides part of a small network's time.
 */
import { AbortError } from '../errors.ts'
import type { Feeds } from '../method.ts'
import type { Session } from '../runtime/session.ts'

export interface Contender {
  readonly name: string
  /** Opens the model; measuring releases what it opened. */
  open(): Promise<Session>
  readonly feeds: Feeds
}

export interface LatencyOptions {
  /** Of all openings together; default 50. */
  readonly rounds?: number
  /** How often sessions are opened anew; default 5. */
  readonly openings?: number
  /** Runs of each before the first round of an opening; default 3. */
  readonly warmUps?: number
  /** Measuring stops after this long (but not before 5 rounds); default 20,000. */
  readonly maxMs?: number
  readonly progress?: (done: number, what: string) => void
  readonly signal?: AbortSignal
}

export interface Spread {
  readonly median: number
  readonly p10: number
  readonly p90: number
}

export interface Latency {
  readonly name: string
  /** Milliseconds a call. */
  readonly latencyMs: Spread
  /** The first contender's time over this one's, a round at a time: above 1 is faster than the first. */
  readonly speedUp: Spread
  readonly rounds: number
}

/** A timed sample lasts at least this long, so that the clock's steps do not matter: short calls are repeated. */
const sampleMs = 1
const leastRounds = 5

export async function measureLatency(
  contenders: readonly Contender[],
  options: LatencyOptions = {},
): Promise<Latency[]> {
  const { rounds = 50, openings = 5, warmUps = 3, maxMs = 20_000, progress, signal } = options
  const times: number[][] = contenders.map(() => [])
  const start = performance.now()
  let round = 0
  for (let opening = 1; opening <= openings; opening++) {
    if (round >= leastRounds && performance.now() - start > maxMs) break
    const [untilRound, untilMs] = [(rounds * opening) / openings, (maxMs * opening) / openings]
    const sessions: Session[] = []
    try {
      for (const { open } of contenders) sessions.push(await open())
      const repeats: number[] = []
      for (const [k, { feeds }] of contenders.entries()) {
        for (let i = 0; i < warmUps; i++) await sessions[k].run(feeds)
        repeats.push(Math.max(1, Math.ceil(sampleMs / Math.max(1e-3, await timeRuns(sessions[k], feeds, 1)))))
      }
      for (; round < untilRound; round++) {
        if (round >= leastRounds && performance.now() - start > untilMs) break
        for (let k = 0; k < contenders.length; k++) {
          if (signal?.aborted) throw new AbortError('latency: stopped')
          const i = (k + round) % contenders.length
          times[i].push(await timeRuns(sessions[i], contenders[i].feeds, repeats[i]))
        }
        progress?.((round + 1) / rounds, 'measuring latency')
      }
    } finally {
      for (const session of sessions) await session.release()
    }
  }
  return contenders.map(({ name }, i) => ({
    name,
    latencyMs: spreadOf(times[i]),
    speedUp: spreadOf(times[i].map((time, round) => times[0][round] / time)),
    rounds: times[i].length,
  }))
}

/** Milliseconds a run, over `count` runs. */
async function timeRuns(session: Session, feeds: Feeds, count: number): Promise<number> {
  const start = performance.now()
  for (let i = 0; i < count; i++) await session.run(feeds)
  return (performance.now() - start) / count
}

/** Median and the 10th and 90th percentile (linear between ranks). */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number): number => {
    const rank = share * (sorted.length - 1)
    const low = Math.floor(rank)
    return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (rank - low)
  }
  return { median: at(0.5), p10: at(0.1), p90: at(0.9) }
}
