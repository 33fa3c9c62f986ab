/** Ways to find a knob's setting, each written once. They know nothing of models: they are told what a setting's verdict is. */
import type { Verdict } from '../task/verdict.ts'

/** A value that was tried, and how it stood. */
export interface Tried {
  readonly value: number
  readonly verdict: Verdict
}

/** When a value is near enough to the highest that holds. */
export interface Precision {
  /** Halvings of a bracket of one octave. */
  readonly halvings: number
  /** The share of what is allowed that must be spent, where noise is what counts. */
  readonly enough: number
}

/** From the start: what holds everywhere is soon seen, what needs the finest steps takes longer. */
const mostOctaves = { up: 16, down: 40 }

/**
 * The highest value that holds (undefined: none tried): octaves up or down from a start, the further down the more at once, then
 * bisection. Where noise is what counts, which grows smoothly with the value, the next one is where two trials say that the
 * limit is reached.
 */
export async function highestThatHolds(
  verdictAt: (value: number) => Promise<Verdict>,
  start: number,
  { halvings, enough }: Precision,
): Promise<Tried | undefined> {
  let good: Tried | undefined
  let bad: Tried | undefined
  let before: Tried | undefined
  let last: Tried = { value: start, verdict: await verdictAt(start) }
  // Trials that bisect, and how many more of them a bracket wider than guesses make needs.
  let inside = 0
  let more = 0
  for (;;) {
    if (last.verdict.spent <= 1) good = last
    else bad = last
    const gap = good && bad ? Math.log2(bad.value / good.value) : undefined
    const near = gap !== undefined && (gap < 1.2 * 0.5 ** halvings || inside > halvings + more)
    if (good && (near || (isNoise(good) && good.verdict.spent >= enough))) return good
    const from = Math.log2(last.value / start)
    if (gap === undefined && (from > mostOctaves.up - 0.1 || from < 0.1 - mostOctaves.down)) return good
    const guess = guessFrom(last, gap === undefined ? before : last === good ? bad : good, (1 + enough) / 2)
    let octaves: number
    if (gap === undefined) octaves = guess ?? (good ? 1 : -Math.max(1, Math.floor(0.1 - from / 2)))
    else {
      if (inside++ === 0) more = Math.max(0, Math.round(Math.log2(gap / furthest)))
      // Values are rounded to few digits; halves are those of the octave.
      const fromGood =
        guess === undefined
          ? 2 ** Math.round(Math.log2(gap)) / 2
          : guess + Math.log2(last.value / (good as Tried).value)
      octaves = Math.min(0.9 * gap, Math.max(0.1 * gap, fromGood)) + Math.log2((good as Tried).value / last.value)
    }
    before = last
    const value = short(last.value * 2 ** octaves)
    last = { value, verdict: await verdictAt(value) }
  }
}

function isNoise({ verdict: { worst, spent } }: Tried): boolean {
  return worst?.unit === 'dB of noise' && spent > 0 && Number.isFinite(spent)
}

/** Noise in amplitude grows as the root of the price of a bit where all weights trade as theory says. */
const usualGrowth = 0.5
/** The most octaves that a guess from the trials may go beyond them. */
const furthest = 4

/** Octaves from a trial to where a share of what is allowed is spent, as it and another tell; undefined where it is not noise that counts. */
function guessFrom(last: Tried, other: Tried | undefined, share: number): number | undefined {
  if (!isNoise(last)) return undefined
  let growth = usualGrowth
  if (other && isNoise(other) && other.value !== last.value) {
    const measured = Math.log2(last.verdict.spent / other.verdict.spent) / Math.log2(last.value / other.value)
    growth = Math.min(1, Math.max(0.2, measured))
  }
  const octaves = Math.log2(share / last.verdict.spent) / growth
  return Math.min(furthest, Math.max(-furthest, octaves))
}

/** Few digits, so that the recipe's text says exactly what was run. */
export function short(x: number): number {
  return Number(x.toPrecision(3))
}

/**
 * The first rung of a ladder that holds, by doubling and then halving the gap; the rungs are 1 to `count`, from the one that
 * loses most to the one that loses least, which is taken to hold. For layers ranked by what they lose and for lists of
 * values alike: scores are noisy, but later rungs seldom lose more.
 */
export async function firstThatHolds(count: number, holds: (rung: number) => Promise<boolean>): Promise<number> {
  let high = 1
  let low = 0
  while (high < count && !(await holds(high))) {
    low = high
    high = Math.min(count, high * 2)
  }
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (await holds(middle)) high = middle
    else low = middle
  }
  return high
}

/**
 * Those of a list that cannot be left out: each is tried, the last first, at most the last `most` of them; again where some were
 * left out, for errors may add up or cancel.
 */
export async function withoutNeedless<T>(
  items: readonly T[],
  holds: (fewer: readonly T[]) => Promise<boolean>,
  most: number,
): Promise<readonly T[]> {
  let needed = items
  let tried = items.slice(-most).reverse()
  for (let before = items.length + 1; needed.length < before && tried.length > 0; ) {
    before = needed.length
    for (const item of tried) {
      const fewer = needed.filter((n) => n !== item)
      if (await holds(fewer)) needed = fewer
    }
    tried = tried.filter((item) => needed.includes(item))
  }
  return needed
}
