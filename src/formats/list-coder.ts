/**
 * Long lists of numbers or strings in the head stream: nodes of trees, vocabularies, scores. Such lists are columns of a table:
 * what an element is depends on the one before and on the elements at the same index of the lists before that are as long.
 */
import { type ContextMixer, hash } from './entropy/context-mixer.ts'

/** Elements from which on a list is long. */
export const longList = 16
/** Lists before that are looked at. */
const maxColumns = 7
/** Lists that are kept, of all lengths. */
const maxKept = 16

/** Mixing weights 576 to 831 are this file's: 8 for each of 32 kinds of lists. */
const firstSet = 576
const sets = { header: 0, guess: 1, explicit: 2, same: 3, bytes: 4 } as const

export interface ListCoder {
  /** Integers that fit 32 bits, signed. */
  ints(values: readonly number[] | undefined, count: number, place: number): number[]
  /** float32 values as their bits. */
  words(values: Int32Array | undefined, count: number, place: number): Int32Array
  /** Strings, those that were in the list before by their number; `fresh` codes one that was not. */
  strings(
    values: readonly Uint8Array[] | undefined,
    options: { count: number; place: number; fresh: (value: Uint8Array | undefined) => Uint8Array },
  ): Uint8Array[]
}

/** What an integer may be: as the one before, one more, nothing, as in another list, one more, a step further, as last time. */
const guesses = 7

/** `plan` is an encoder's alone. */
export function listCoder(mixer: ContextMixer, check: () => void, plan: typeof planOf | undefined): ListCoder {
  const kept: Int32Array[] = []
  const columnsOf = (count: number) => kept.filter((c) => c.length === count).slice(0, maxColumns)
  const keep = (column: Int32Array): void => {
    kept.unshift(column)
    if (kept.length > maxKept) kept.pop()
  }
  const contexts: number[] = []

  /** Contexts of element i: these, then each column's with `at`. */
  const contextsOf = (own: readonly number[], columns: readonly Int32Array[], i: number, at: number): number[] => {
    contexts.length = 0
    for (const c of own) contexts.push(c)
    for (let k = 0; k < columns.length; k++) contexts.push(hash(hash(at, k), columns[k][i]))
    return contexts
  }

  return {
    ints(values, count, place) {
      const columns = columnsOf(count)
      const set = setsOf(place)
      const chosen = values && plan?.(values, columns)
      const guess = mixer.bit(chosen?.guess ?? 0, [hash(place, 1)], 1, set + sets.header)
      const delta = mixer.bit(chosen?.delta ?? 0, [hash(place, 2)], 2, set + sets.header)
      const other = columns[mixer.number(chosen?.other ?? 0, [hash(place, 3)], set + sets.header)]
      const out = new Int32Array(count)
      const memory = new Int32Array(1 << 12)
      let before = 0
      for (let i = 0; i < count; i++) {
        check()
        const left = i > 0 ? out[i - 1] : 0
        const left2 = i > 1 ? out[i - 2] : 0
        const beside = other ? other[i] : 0
        const key = hash(left, columns.length > 0 ? columns[0][i] : 0) & 0xfff
        let choice = guesses
        let v = values ? values[i] : 0
        if (guess) {
          const guessed = (g: number): number =>
            (g === 0
              ? left
              : g === 1
                ? left + 1
                : g === 2
                  ? 0
                  : g === 3
                    ? beside
                    : g === 4
                      ? beside + 1
                      : g === 5
                        ? 2 * left - left2
                        : memory[key]) | 0
          if (values) for (choice = 0; choice < guesses && guessed(choice) !== v; ) choice++
          const own = [place, hash(place, before & 7), hash(place, 64 + (before & 63))]
          choice = mixer.symbol(choice, 3, contextsOf(own, columns, i, place), set + sets.guess)
          before = (before << 3) | choice
          if (choice < guesses) v = guessed(choice)
        }
        if (choice === guesses) {
          const own = [hash(place, 4), hash(hash(place, 5), left), hash(hash(place, 6), left2)]
          const base = delta ? left : 0
          v =
            (unfold(
              mixer.number(fold((v - base) | 0), contextsOf(own, columns, i, hash(place, 7)), set + sets.explicit),
            ) +
              base) |
            0
        }
        out[i] = v
        memory[key] = v
      }
      keep(out)
      return Array.from(out)
    },
    words(values, count, place) {
      const columns = columnsOf(count)
      const set = setsOf(place)
      const out = new Int32Array(count)
      let before = 0
      for (let i = 0; i < count; i++) {
        check()
        const left = i > 0 ? out[i - 1] : 0
        const own = [place, hash(place, 1 + (before & 3))]
        const same = mixer.bit(values?.[i] === left ? 1 : 0, contextsOf(own, columns, i, place), 1, set + sets.same)
        before = (before << 1) | same
        let word = 0
        if (same) word = left
        else
          for (let shift = 24; shift >= 0; shift -= 8) {
            const part = hash(hash(place, 8 + shift), word)
            const first = [part, hash(8 + shift, word), hash(part, left)]
            const symbol = values ? (values[i] >>> shift) & 255 : 0
            word =
              (word << 8) |
              mixer.symbol(symbol, 8, contextsOf(first, columns, i, part), set + sets.bytes + (shift >> 3))
          }
        out[i] = word
      }
      keep(out)
      return out
    },
    strings(values, { count, place, fresh }) {
      const columns = columnsOf(count)
      const set = setsOf(place)
      const known = new Map<string, number>()
      const distinct: Uint8Array[] = []
      const numbers = new Int32Array(count)
      for (let i = 0; i < count; i++) {
        check()
        const left = i > 0 ? numbers[i - 1] : 0
        const left2 = i > 1 ? numbers[i - 2] : 0
        const value = values?.[i]
        const key = value && latin1.decode(value)
        const own = [place, hash(hash(place, 1), left), hash(hash(place, 2), hash(left, left2))]
        const number = mixer.number(
          key === undefined ? 0 : (known.get(key) ?? 0),
          contextsOf(own, columns, i, place),
          set + sets.explicit,
        )
        if (number > distinct.length)
          throw new Error('cop: a string refers to one that is not there; the file is damaged')
        numbers[i] = number
        if (number === 0) {
          distinct.push(fresh(value))
          if (key !== undefined) known.set(key, distinct.length)
          numbers[i] = distinct.length
        }
      }
      keep(numbers)
      return Array.from(numbers, (n) => distinct[n - 1])
    },
  }
}

const latin1 = new TextDecoder('latin1')

function setsOf(place: number): number {
  return firstSet + 8 * (hash(place, 0) & 31)
}

/** Signed numbers as others of 0 and above: 0, -1, 1, -2, ... */
function fold(v: number): number {
  return v < 0 ? -2 * v - 1 : 2 * v
}

function unfold(n: number): number {
  return n % 2 === 1 ? -(n + 1) / 2 : n / 2
}

/** How an encoder codes a list: whether guesses are worth it, whether other values are differences, and which list helps. */
export function planOf(
  values: readonly number[],
  columns: readonly Int32Array[],
): { guess: number; delta: number; other: number } {
  const hits = columns.map((c) => values.reduce((n, v, i) => n + (v === c[i] || v === c[i] + 1 ? 1 : 0), 0))
  const other = hits.reduce((best, n, k) => (n > hits[best] ? k : best), 0)
  let guessed = 0
  let direct = 0
  let differences = 0
  values.forEach((v, i) => {
    const left = i > 0 ? values[i - 1] : 0
    if (v === left || v === left + 1 || v === 0) guessed++
    direct += Math.log2(1 + Math.abs(v))
    differences += Math.log2(1 + Math.abs(v - left))
  })
  const guess = Math.max(guessed, hits[other] ?? 0) > values.length / 3
  return { guess: guess ? 1 : 0, delta: differences < 0.8 * direct ? 1 : 0, other }
}
