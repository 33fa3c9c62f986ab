/** What an encoder says of elements that were there before (seen-elements.ts): what each is like, and which way runs go. */
import { bitsOf, type Choices, fresh, old, recent, type Seen } from './seen-elements.ts'

/** Elements looked at to tell which way a run goes. */
const lookAhead = 64

export function seenChoices({ out, width, top, ways, period, seen, keyOf, rankOf }: Seen): Choices {
  const same = (i: number, j: number): boolean => {
    if (((out[i * width] ^ out[j * width]) & top) !== 0) return false
    for (let b = 1; b < width; b++) if (out[i * width + b] !== out[j * width + b]) return false
    return true
  }
  const numberOf = (i: number): number => {
    const number = seen.find(keyOf(i))
    return number >= 0 && same(i, seen.notes[number]) ? number : -1
  }
  /** How long elements from i on, or those of its place, are like those `step` apart from another on. */
  const runLength = (i: number, below: number, from: number, step: number): number => {
    const stride = below ? period : 1
    let n = 1
    for (; n < lookAhead; n++) {
      const a = i + n * stride
      const b = from + n * step
      if (b < 0 || b >= a || (a + 1) * width > out.length || !same(a, b)) break
    }
    return n
  }
  return {
    same,
    numberOf,
    kindOf(i) {
      const number = numberOf(i)
      if (number < 0) return fresh
      if (rankOf(number) >= 0) return recent
      // A number of its own may take more than the element.
      if (bitsOf(seen.size) + 6 < 7 * width) return old
      const source = seen.notes[number]
      const isRun = ways.some((steps, below) => steps.some((step) => runLength(i, below, source, step) > 2))
      return isRun ? old : fresh
    },
    wayOf(i, source, below, last) {
      const lengths = ways[below].map((step) => runLength(i, below, source, step))
      const longest = Math.max(...lengths)
      // Another way than the last takes bits to tell.
      return lengths[last] + 1 >= longest ? last : lengths.indexOf(longest)
    },
  }
}
