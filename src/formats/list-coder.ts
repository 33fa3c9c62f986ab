/**
 * Long lists of numbers or strings in the head stream: nodes of trees, vocabularies, scores. Such lists are columns of a table:
 * what an element is depends on the one before and on the elements at the same index of the lists before that are as long.
 */
import { fold, unfold } from './bits.ts'
import { type ContextMixer, hash } from './entropy/context-mixer.ts'

/** Elements from which on a list is long. */
export const longList = 16
/** Lists before that are looked at. */
const maxColumns = 7
/** Lists that are kept, of all lengths. */
const maxKept = 16

/** Mixing weights 576 to 831 are this file's: 8 for each of 32 kinds of lists. */
const firstSet = 576
const sets = { guess: 1, explicit: 2, same: 3, bytes: 4 } as const

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

/** In place of one of 7 guesses: none is right. */
const explicit = 7

/** What codes element i of a list. */
interface Element {
  readonly i: number
  /** The elements before. */
  readonly left: number
  readonly left2: number
  /** These contexts, then with `at` one for each column. */
  readonly contexts: (own: readonly number[], at: number) => number[]
}

/** `plan` is an encoder's alone. */
export function listCoder(mixer: ContextMixer, check: () => void, plan: typeof planOf | undefined): ListCoder {
  const kept: Int32Array[] = []
  const columnsOf = (count: number) => kept.filter((c) => c.length === count).slice(0, maxColumns)

  /** Codes a list element by element, and keeps it as a column for the lists after it. */
  const column = (count: number, element: (e: Element) => number): Int32Array => {
    const columns = columnsOf(count)
    const out = new Int32Array(count)
    for (let i = 0; i < count; i++) {
      check()
      const contexts: Element['contexts'] = (own, at) => [...own, ...columns.map((c, k) => hash(hash(at, k), c[i]))]
      out[i] = element({ i, left: i > 0 ? out[i - 1] : 0, left2: i > 1 ? out[i - 2] : 0, contexts })
    }
    kept.unshift(out)
    kept.splice(maxKept)
    return out
  }

  return {
    ints(values, count, place) {
      const columns = columnsOf(count)
      const set = setsOf(place)
      // 1. How the whole list is coded, so that no element has to say it: by guesses or not, other values as they are or as
      //    differences from the left, and beside which earlier list.
      const chosen = values && plan?.(values, columns)
      const guess = mixer.bit(chosen?.guess ?? 0, [hash(place, 1)], 1, set)
      const delta = mixer.bit(chosen?.delta ?? 0, [hash(place, 2)], 2, set)
      const other = columns[mixer.number(chosen?.other ?? 0, [hash(place, 3)], set)]
      // What last followed such a value at the left beside such a one in the first column: it repeats where rows repeat.
      const memory = new Int32Array(1 << 12)
      let before = 0
      const out = column(count, ({ i, left, left2, contexts }) => {
        // 2. The guesses: the same again, counting on, a zero (an absent child of a tree), as in the other list, a straight
        //    line, and what followed the last time. A decoder can make all of them.
        const beside = other ? other[i] : 0
        const key = hash(left, columns[0]?.[i] ?? 0) & 0xfff
        const guessed = [left, left + 1, 0, beside, beside + 1, 2 * left - left2, memory[key]].map((g) => g | 0)
        const v = values ? values[i] : 0
        // 3. Which guess is right, if any. The last few choices say which rule holds here.
        let choice: number = explicit
        if (guess) {
          const found = guessed.indexOf(v)
          const own = [place, hash(place, before & 7), hash(place, 64 + (before & 63))]
          choice = mixer.symbol(found < 0 ? explicit : found, 3, contexts(own, place), set + sets.guess)
          before = (before << 3) | choice
        }
        // 4. Where none is, the number itself, or how far it is from the one at the left.
        if (choice < explicit) memory[key] = guessed[choice]
        else {
          const own = [hash(place, 4), hash(hash(place, 5), left), hash(hash(place, 6), left2)]
          const base = delta ? left : 0
          const n = mixer.number(fold((v - base) | 0), contexts(own, hash(place, 7)), set + sets.explicit)
          memory[key] = unfold(n) + base
        }
        return memory[key]
      })
      return Array.from(out)
    },
    words(values, count, place) {
      const set = setsOf(place)
      let before = 0
      return column(count, ({ i, left, contexts }) => {
        // 1. Scores and thresholds come in runs: one decision does for an element that is the one before again.
        const v = values ? values[i] : 0
        const own = [place, hash(place, 1 + (before & 3))]
        const same = mixer.bit(v === left ? 1 : 0, contexts(own, place), 1, set + sets.same)
        before = (before << 1) | same
        // 2. Else four bytes, sign and exponent first: each is expected from those above it, which the low ones depend on most.
        let word = same ? left : 0
        for (let shift = 24; !same && shift >= 0; shift -= 8) {
          const part = hash(hash(place, 8 + shift), word)
          const first = [part, hash(8 + shift, word), hash(part, left)]
          const symbol = mixer.symbol((v >>> shift) & 255, 8, contexts(first, part), set + sets.bytes + (shift >> 3))
          word = (word << 8) | symbol
        }
        return word
      })
    },
    strings(values, { count, place, fresh }) {
      const known = new Map<string, number>()
      const distinct: Uint8Array[] = []
      const numbers = column(count, ({ i, left, left2, contexts }) => {
        // 1. The number of a string that was in this list before, 0 for a new one: names of classes repeat, by the columns.
        const key = values && latin1.decode(values[i])
        const own = [place, hash(hash(place, 1), left), hash(hash(place, 2), hash(left, left2))]
        const before = key === undefined ? 0 : (known.get(key) ?? 0)
        const number = mixer.number(before, contexts(own, place), setsOf(place) + sets.explicit)
        if (number > 0 && number <= distinct.length) return number
        // 2. A new string is coded as text and gets the next number. A number that there is none of (damage) reads as new.
        distinct.push(fresh(values?.[i]))
        if (key !== undefined) known.set(key, distinct.length)
        return distinct.length
      })
      return Array.from(numbers, (n) => distinct[n - 1])
    },
  }
}

const latin1 = new TextDecoder('latin1')

function setsOf(place: number): number {
  return firstSet + 8 * (hash(place, 0) & 31)
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
