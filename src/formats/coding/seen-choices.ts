/** What an encoder says of elements that were there before (seen-elements.ts): what each is like, and which way runs go. */
import { bitsOf, type Choices, fresh, jump, old, recent, type Seen } from './seen-elements.ts'

/** Elements looked at to tell which way a run goes. */
const lookAhead = 64

export function seenChoices({ out, width, top, steps, seen, keyOf, rankOf }: Seen): Choices {
  const same = (i: number, j: number): boolean => {
    if (((out[i * width] ^ out[j * width]) & top) !== 0) return false
    for (let b = 1; b < width; b++) if (out[i * width + b] !== out[j * width + b]) return false
    return true
  }
  const numberOf = (i: number): number => {
    const number = seen.find(keyOf(i))
    return number >= 0 && same(i, seen.notes[number]) ? number : -1
  }
  const runLength = (i: number, from: number, step: number): number => {
    let n = 1
    for (; n < lookAhead; n++) {
      const a = i + n
      const b = from + n * step
      if (b < 0 || b >= a || (a + 1) * width > out.length || !same(a, b)) break
    }
    return n
  }
  return {
    same,
    numberOf,
    kindOf(i, jumped) {
      if (jumped >= 0 && jumped < i && same(i, jumped)) return jump
      const number = numberOf(i)
      if (number < 0) return fresh
      if (rankOf(number) >= 0) return recent
      // A number of its own may take more than the element.
      if (bitsOf(seen.size) + 6 < 7 * width) return old
      return steps.some((step) => runLength(i, seen.notes[number], step) > 2) ? old : fresh
    },
    wayOf(i, source, way) {
      const lengths = steps.map((step) => runLength(i, source, step))
      const longest = Math.max(...lengths)
      // Another way than the last takes bits to tell.
      return lengths[way] + 1 >= longest ? way : lengths.indexOf(longest)
    },
  }
}
