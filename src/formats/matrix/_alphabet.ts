/** The distinct values of a matrix, told apart by their bits (so that -0, +0 and every NaN are different), and counts. */
import { Distinct } from '../distinct.ts'

export interface Alphabet {
  /** Distinct values as bits, the most frequent first; at a tie the smaller bits. */
  readonly bits: Uint32Array
  readonly counts: Uint32Array
  /** For each input value, its place in `bits`. */
  readonly indices: Uint32Array
}

export function alphabetOf(values: Uint32Array): Alphabet {
  const seen = new Distinct()
  const indices = new Uint32Array(values.length)
  for (let i = 0; i < values.length; i++) {
    indices[i] = seen.add(values[i])
    seen.notes[indices[i]]++
  }
  const { keys, notes: counts, size } = seen
  const order = new Uint32Array(size).map((_, i) => i).sort((a, b) => counts[b] - counts[a] || keys[a] - keys[b])
  const rank = new Uint32Array(order.length)
  for (let i = 0; i < order.length; i++) rank[order[i]] = i
  for (let i = 0; i < indices.length; i++) indices[i] = rank[indices[i]]
  return { bits: order.map((i) => keys[i]), counts: order.map((i) => counts[i]), indices }
}

/** Entropy in bits per symbol. */
export function entropyOf(counts: ArrayLike<number>): number {
  let total = 0
  for (let i = 0; i < counts.length; i++) total += counts[i]
  let bits = 0
  for (let i = 0; i < counts.length; i++) {
    if (counts[i] > 0) bits -= (counts[i] / total) * Math.log2(counts[i] / total)
  }
  return bits
}
