/**
 * Latency of several models side by side, such that a busy machine does not decide who is faster.
 *
 * - A round runs each model once, in rotating order: whatever the machine does meanwhile befalls all of them alike.
 * - Sessions are opened anew all the time, in rotating order: where one session's memory comes to lie decides part of a small
 *   network's time, for as long as it is open.
 * - Openings are dealt to twelve groups. A group gives one ratio, of its shortest times: other work on the machine only ever
 *   adds to a time. The ratios are independent of each other, so the second smallest and the second largest hold the true
 *   median between them with a chance of 1 - 2 (1 + 12) / 2^12, 99.4 %, whatever their distribution (the sign test:
 *   Hollander & Wolfe, Nonparametric Statistical Methods, section 3.6).
 * - Openings are added until that interval is narrow or the time is over.
 */
import { stopIfAborted } from '../errors.ts'
import type { Feeds } from '../method.ts'
import type { Session } from '../runtime/session.ts'
import type { SpeedUp } from '../speed-up.ts'

export interface Contender {
  readonly name: string
  /** Opens the model; measuring releases what it opened. */
  open(): Promise<Session>
  readonly feeds: Feeds
}

export interface LatencyOptions {
  /** Nothing is opened after this long, but for the first twelve openings, which an interval needs; default 10,000. */
  readonly maxMs?: number
  /** Measuring ends once each interval reaches at most this share from its median; default 0.02. */
  readonly precision?: number
  /** The clock, in milliseconds; default: the platform's. */
  readonly now?: () => number
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
  /** Milliseconds per call: the shortest of each group. */
  readonly latencyMs: Spread
  /** The first contender's time over this one's. */
  readonly speedUp: SpeedUp
}

/** A timed sample lasts at least this long, so that the clock's steps do not matter: short calls are repeated. */
const sampleMs = 1
/** Runs before the first round of an opening: at most so many, and no further one after so long. */
const warmUps = { runs: 3, ms: 100 }
const groups = 12
/** Rounds of an opening at least, unless they are long. */
const leastRounds = 10

export async function measureLatency(
  contenders: readonly Contender[],
  options: LatencyOptions = {},
): Promise<Latency[]> {
  const { maxMs = 10_000, precision = 0.02, now = () => performance.now(), progress, signal } = options
  const start = now()
  const elapsed = (): number => now() - start
  const sessions = new Sessions(contenders, now)
  /** By group and contender, in milliseconds. */
  const shortest = Array.from({ length: groups }, () => contenders.map(() => Number.POSITIVE_INFINITY))
  let rounds = 0
  try {
    for (let opening = 0; opening < groups || elapsed() < maxMs; opening++) {
      const times = shortest[opening % groups]
      // A group's openings begin with another contender each time.
      const turn = opening + Math.floor(opening / groups)
      const from = elapsed()
      await sessions.reopen(turn)
      const ready = elapsed()
      // As much time goes into the rounds as into what the sessions took to get ready.
      const isOver = (done: number): boolean =>
        done < leastRounds ? done > 0 && elapsed() > ready + maxMs / (2 * groups) : elapsed() > 2 * ready - from
      for (let round = 0; !isOver(round); round++, rounds++) {
        for (let k = 0; k < contenders.length; k++) {
          stopIfAborted(signal, 'latency')
          const i = (k + round + turn) % contenders.length
          times[i] = Math.min(times[i], await sessions.time(i))
        }
      }
      progress?.(Math.min(1, elapsed() / maxMs), 'measuring latency')
      if (opening >= groups - 1 && contenders.every((_, i) => isNarrow(ratiosOf(shortest, i), precision))) break
    }
  } finally {
    await sessions.release()
  }
  return contenders.map(({ name }, i) => ({
    name,
    latencyMs: spreadOf(shortest.map((group) => group[i])),
    speedUp: { ...ratiosOf(shortest, i), rounds },
  }))
}

/** The open sessions of all contenders. */
class Sessions {
  private readonly contenders: readonly Contender[]
  private readonly now: () => number
  private sessions: Session[] = []
  /** Runs that make a sample. */
  private readonly repeats: number[] = []

  constructor(contenders: readonly Contender[], now: () => number) {
    this.contenders = contenders
    this.now = now
  }

  /** Opens all of them anew, the `turn`-th first, and warms them up. */
  async reopen(turn: number): Promise<void> {
    await this.release()
    const count = this.contenders.length
    for (let k = 0; k < count; k++) {
      const i = (k + turn) % count
      this.sessions[i] = await this.contenders[i].open()
    }
    for (let i = 0; i < count; i++) {
      this.repeats[i] = 1
      const until = this.now() + warmUps.ms
      let ms = Number.POSITIVE_INFINITY
      for (let n = 0; n === 0 || (n < warmUps.runs && this.now() < until); n++) ms = Math.min(ms, await this.time(i))
      this.repeats[i] = Math.max(1, Math.ceil(sampleMs / Math.max(1e-3, ms)))
    }
  }

  /** Milliseconds per run, over one sample. */
  async time(i: number): Promise<number> {
    const [session, { feeds }, repeats] = [this.sessions[i], this.contenders[i], this.repeats[i]]
    const start = this.now()
    for (let n = 0; n < repeats; n++) await session.run(feeds)
    return (this.now() - start) / repeats
  }

  async release(): Promise<void> {
    // Not all are open where opening one failed.
    const open = Object.values(this.sessions)
    this.sessions = []
    for (const session of open) await session.release()
  }
}

type Interval = Pick<SpeedUp, 'median' | 'low' | 'high'>

/** The ratios of the first contender's times to those of contender `i`; times by group and contender. */
function ratiosOf(shortest: readonly (readonly number[])[], i: number): Interval {
  const ratios = shortest.map((times) => times[0] / times[i]).sort((a, b) => a - b)
  return { median: spreadOf(ratios).median, low: ratios[1], high: ratios[groups - 2] }
}

/** Whether the interval reaches no further than it must: the precision, or a quarter of the difference where that is more. */
function isNarrow({ median, low, high }: Interval, precision: number): boolean {
  const enough = Math.max(precision, Math.min(0.1, Math.abs(median - 1) / 4))
  return median - low <= enough * median && high - median <= enough * median
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
