/**
 * How far long work is: the one home of that estimate. Work is told as pieces that lie ahead, each of a kind and with a guess of its
 * cost. How long a unit of cost takes is learnt for each kind while the work runs, so that guesses need only be right about each
 * other, and only until something of the kind was done. The share that is told is one of time: what is over, of what is over and left.
 */

/** Told the share of the time that is over, 0 to 1, and what is done now. It may fall where a guess was too low. */
export type Tell = (done: number, what: string) => void

/** Work that lies ahead. */
export interface Piece<Kind extends string = string> {
  readonly kind: Kind
  /** A guess of the milliseconds that it takes on some machine. */
  readonly cost: number
}

interface Spent {
  ms: number
  cost: number
}

/** What a kind took counts as much as the guess does once this share of all pieces of the kind was done; what all took, of all work. */
const trusted = { kind: 0.1, all: 0.05 }

export class Outlook<Kind extends string = string> {
  private readonly start: number
  private readonly spent = new Map<Kind, Spent>()
  private current: (Piece<Kind> & { readonly from: number; share: number }) | undefined
  private what = ''
  private readonly tell: Tell | undefined
  private readonly now: () => number
  private ahead: readonly Piece<Kind>[]

  /** `ahead`: the pieces in their order. */
  constructor(ahead: readonly Piece<Kind>[], tell?: Tell, now: () => number = () => performance.now()) {
    this.ahead = ahead
    this.tell = tell
    this.now = now
    this.start = now()
  }

  /** A better guess of what lies behind the present piece. */
  expect(ahead: readonly Piece<Kind>[]): void {
    this.ahead = ahead
  }

  /** Begins the next piece of a kind: what was before it is over. Gives what to tell its progress to, as a share of the piece. */
  begin(kind: Kind, what = this.what): (share: number, what?: string) => void {
    this.end()
    const at = this.ahead.findIndex((piece) => piece.kind === kind)
    const cost = at < 0 ? 0 : this.ahead[at].cost
    this.ahead = this.ahead.slice(at + 1)
    const piece = { kind, cost, from: this.now(), share: 0 }
    this.current = piece
    const reach = (share: number, now = this.what): void => {
      if (this.current !== piece) return
      piece.share = Math.min(1, share)
      this.what = now
      this.tell?.(this.done(), now)
    }
    reach(0, what)
    return reach
  }

  /** The present piece is over. */
  private end(): void {
    if (!this.current) return
    const { kind, cost, from } = this.current
    const spent = this.spent.get(kind) ?? { ms: 0, cost: 0 }
    this.spent.set(kind, { ms: spent.ms + this.now() - from, cost: spent.cost + cost })
    this.current = undefined
  }

  /** The share of the time that is over. */
  private done(): number {
    const over = this.now() - this.start
    const left = this.left()
    return over + left > 0 ? over / (over + left) : 0
  }

  private left(): number {
    const { current } = this
    const elapsed = current ? this.now() - current.from : 0
    const kinds = new Map(this.spent)
    const learn = (kind: Kind, more: Spent): void => {
      const { ms, cost } = kinds.get(kind) ?? { ms: 0, cost: 0 }
      kinds.set(kind, { ms: ms + more.ms, cost: cost + more.cost })
    }
    if (current && current.share > 0) learn(current.kind, { ms: elapsed, cost: current.share * current.cost })
    const all = sum(kinds.values())
    const total =
      all.cost + this.ahead.reduce((n, { cost }) => n + cost, current ? (1 - current.share) * current.cost : 0)
    const usual = total > 0 ? (all.ms + trusted.all * total) / (all.cost + trusted.all * total) : 1
    const pieces = current ? [current, ...this.ahead] : this.ahead
    const leftOf = ({ kind, cost }: Piece<Kind>, share: number): number => {
      if (cost === 0) return 0
      const own = kinds.get(kind) ?? { ms: 0, cost: 0 }
      const least = trusted.kind * pieces.reduce((n, other) => n + (other.kind === kind ? other.cost : 0), 0)
      return (cost * (1 - share) * (own.ms + least * usual)) / (own.cost + least)
    }
    let { share = 0 } = current ?? {}
    if (current && share === 0 && elapsed > 0) {
      // It has told nothing of itself yet: the longer that takes, the longer it is, but as much is left as was expected of it.
      share = elapsed / (elapsed + leftOf(current, 0))
      learn(current.kind, { ms: elapsed, cost: share * current.cost })
    }
    return this.ahead.reduce((n, piece) => n + leftOf(piece, 0), current ? leftOf(current, share) : 0)
  }
}

/** What is told of long work at a moment. */
export interface Reached {
  /** The furthest that it has reached: estimates go up and down, but nobody expects that of a share done. */
  readonly done: number
  readonly elapsedMs: number
  /** Undefined until enough is done to tell. */
  readonly leftMs?: number
}

/** Reckons from the shares that a `Tell` is told how long work will still take. */
export class Pace {
  private readonly now: () => number
  private readonly start: number
  /** Where the first progress of a step was, and the furthest that it has reached. */
  private from = { done: Number.POSITIVE_INFINITY, at: 0 }
  private reached = 0

  constructor(now: () => number = () => performance.now()) {
    this.now = now
    this.start = now()
  }

  /** `done` may begin above 0, where work goes on; at 0, below where it began, or after a step that was over, another begins. */
  reach(done: number): Reached {
    const elapsedMs = this.now() - this.start
    const another = done === 0 || done < this.from.done || (this.reached === 1 && done < 1)
    if (another) {
      this.from = { done, at: elapsedMs }
      this.reached = 0
    }
    this.reached = Math.max(this.reached, done)
    const gained = done - this.from.done
    const leftMs = gained > 0.01 ? ((elapsedMs - this.from.at) / gained) * (1 - done) : undefined
    return { done: this.reached, elapsedMs, ...(leftMs === undefined ? {} : { leftMs }) }
  }
}

function sum(spent: Iterable<Spent>): Spent {
  const all = { ms: 0, cost: 0 }
  for (const { ms, cost } of spent) {
    all.ms += ms
    all.cost += cost
  }
  return all
}

/** Tells the share that is done of work with these costs, each time that one place of it is, in whatever order. */
export function sharesDone(costs: readonly number[], tell: (share: number) => void): (place: number) => void {
  const all = costs.reduce((a, b) => a + b, 0)
  let done = 0
  return (place) => {
    done += costs[place]
    tell(done / Math.max(all, Number.MIN_VALUE))
  }
}
