/** The distinct values of a matrix, told apart by their bits (so that -0, +0 and every NaN are different), and counts. */

export interface Alphabet {
  /** Distinct values as bits, the most frequent first; at a tie the smaller bits. */
  readonly bits: Uint32Array
  readonly counts: Uint32Array
  /** For each input value, its place in `bits`. */
  readonly indices: Uint32Array
}

export function alphabetOf(values: Uint32Array): Alphabet {
  const { keys, counts, indices } = distinct(values)
  const order = Uint32Array.from(keys, (_, i) => i).sort((a, b) => counts[b] - counts[a] || keys[a] - keys[b])
  const rank = new Uint32Array(order.length)
  for (let i = 0; i < order.length; i++) rank[order[i]] = i
  for (let i = 0; i < indices.length; i++) indices[i] = rank[indices[i]]
  return { bits: order.map((i) => keys[i]), counts: order.map((i) => counts[i]), indices }
}

/** Entropy in bits a symbol. */
export function entropyOf(counts: ArrayLike<number>): number {
  let total = 0
  for (let i = 0; i < counts.length; i++) total += counts[i]
  let bits = 0
  for (let i = 0; i < counts.length; i++) {
    if (counts[i] > 0) bits -= (counts[i] / total) * Math.log2(counts[i] / total)
  }
  return bits
}

/** Open addressing with linear probing, at most half full. */
function distinct(values: Uint32Array): { keys: Uint32Array; counts: Uint32Array; indices: Uint32Array } {
  let shift = 22
  let slots = new Int32Array(1 << (32 - shift)).fill(-1)
  let keys = new Uint32Array(512)
  let counts = new Uint32Array(512)
  let used = 0
  const indices = new Uint32Array(values.length)
  const find = (key: number): number => {
    let slot = Math.imul(key, 0x9e3779b1) >>> shift
    while (slots[slot] >= 0 && keys[slots[slot]] !== key) slot = (slot + 1) & (slots.length - 1)
    return slot
  }
  for (let i = 0; i < values.length; i++) {
    let slot = find(values[i])
    if (slots[slot] < 0) {
      if (used === keys.length) {
        keys = doubled(keys)
        counts = doubled(counts)
        slots = new Int32Array(1 << (32 - --shift)).fill(-1)
        for (let j = 0; j < used; j++) slots[find(keys[j])] = j
        slot = find(values[i])
      }
      keys[used] = values[i]
      slots[slot] = used++
    }
    indices[i] = slots[slot]
    counts[slots[slot]]++
  }
  return { keys: keys.slice(0, used), counts: counts.slice(0, used), indices }
}

function doubled(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const out = new Uint32Array(array.length * 2)
  out.set(array)
  return out
}
