/**
 * The second decoder's arithmetic decoder, probabilities and mixer, written after those sections of docs/format.md alone. It imports
 * nothing.
 */

// ---- probabilities

/** R of the page. */
export const reciprocal = Array.from({ length: 1024 }, (_, n) => Math.floor(163840 / (10 * n + 16)))
export const squash = (() => {
  const table = new Int32Array(2 * 3071 + 1)
  let e = 1
  for (let x = 0; x <= 3071; x++) {
    const p = Math.floor((65536 * e) / (1 + e) + 0.5)
    table[3071 + x] = Math.min(65535, p)
    table[3071 - x] = Math.max(1, 65536 - p)
    e *= 1.0039138893383475
  }
  return (x: number): number => table[3071 + x]
})()
export const stretch = Array.from({ length: 4096 }, (_, i) => {
  let low = -3071
  let high = 3071
  // The smallest x with squash(x) >= 16 i + 8, or 3071.
  while (low < high) {
    const middle = (low + high) >> 1
    if (squash(middle) >= 16 * i + 8) high = middle
    else low = middle + 1
  }
  return low
})

export const hash = (a: number, b: number): number => {
  let h = Math.imul(a, 0x2c1b3c6d) ^ Math.imul((b + 0x7f4a7c15) | 0, 0x297a2d39)
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b)
  return h ^ (h >>> 13)
}
// ---- the arithmetic decoder, and a coder that is told the bits (for the primer)

export interface BitCoder {
  bit(p: number): number
}

export class RangeDecoder implements BitCoder {
  range = 0xffffffff
  code = 0
  private at = 0
  private readonly bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    for (let i = 0; i < 4; i++) this.code = this.code * 256 + this.next()
  }
  private next(): number {
    if (this.at > this.bytes.length + 12) throw new Error('the stream ends too soon')
    return this.bytes[this.at++] ?? 0
  }
  bit(p: number): number {
    const bound = Math.floor(this.range / 65536) * p
    const bit = this.code < bound ? 1 : 0
    if (bit) this.range = bound
    else {
      this.code -= bound
      this.range -= bound
    }
    this.fill()
    return bit
  }
  /** Reads bytes until the range is wide enough for the next step. */
  fill(): void {
    for (; this.range < 2 ** 24; this.range *= 256) this.code = this.code * 256 + this.next()
  }
}

export class Mixer {
  coder: BitCoder
  /** While the primer is coded: the bit that is wanted next. */
  told: number | undefined
  private readonly p: readonly Int32Array[]
  private readonly n: readonly Uint16Array[]
  private readonly weights = new Int32Array(1024 * 10 * 4).fill(18000)
  private readonly corrections = Array.from({ length: 1024 }, () =>
    Array.from({ length: 33 }, (_, i) => ({ p: 64 * squash(128 * i - 2048), n: 1 })),
  )
  /** Bits that each set has coded. */
  private readonly coded = new Int32Array(1024)
  private readonly slots: number
  private readonly limit: number
  private readonly ofNodes: boolean
  /** With corrections of nodes, or of sets and nodes. */
  constructor(coder: BitCoder, { slots = 65536, limit = 60, ofNodes = false } = {}) {
    this.coder = coder
    this.slots = slots
    this.limit = limit
    this.ofNodes = ofNodes
    this.p = Array.from({ length: 10 }, () => new Int32Array(slots).fill(1 << 21))
    this.n = Array.from({ length: 10 }, () => new Uint16Array(slots))
  }
  bit(wanted: number, contexts: readonly number[], node: number, set: number): number {
    const slots = contexts.map((c) => hash(c, node) & (this.slots - 1))
    const s = slots.map((slot, j) => {
      return this.n[j][slot] === 0 ? 0 : stretch[this.p[j][slot] >> 10]
    })
    const which = slots.map((slot, j) => {
      const seen = [2, 4, 32].filter((least) => this.n[j][slot] >= least).length
      return 4 * (10 * set + j) + seen
    })
    let sum = 0
    for (const [j, x] of s.entries()) sum += Math.imul(this.weights[which[j]], x) >> 4
    const x = Math.max(-2047, Math.min(2047, sum >> 12))
    const p = squash(x)
    const e = this.corrections[(this.ofNodes ? node : hash(set, node)) & 1023]
    const [i, d] = [(x + 2048) >> 7, (x + 2048) & 127]
    const c = (e[i].p >> 6) * (128 - d) + (e[i + 1].p >> 6) * d
    this.told = wanted
    const bit = this.coder.bit(Math.max(1, (128 * p + c) >> 8))
    const nearest = e[d < 64 ? i : i + 1]
    nearest.p += Math.imul(((bit ? 4194303 : 0) - nearest.p) >> 5, reciprocal[nearest.n]) >> 9
    nearest.n = Math.min(255, nearest.n + 1)
    const error = bit * 65536 - p
    const uses = ++this.coded[set]
    const shift = uses < 256 ? 13 : uses < 2048 ? 14 : uses < 16384 ? 15 : 16
    for (const [j, slot] of slots.entries()) {
      const weight = this.weights[which[j]] + ((Math.imul(error, s[j]) + 2 ** (shift - 1)) >> shift)
      this.weights[which[j]] = Math.max(-(2 ** 18), Math.min(2 ** 18, weight))
      const [old, count] = [this.p[j][slot], this.n[j][slot]]
      this.p[j][slot] = old + (Math.imul(((bit ? 4194303 : 0) - old) >> 5, reciprocal[count]) >> 9)
      if (count < (j === 0 ? 1023 : this.limit)) this.n[j][slot]++
    }
    return bit
  }
  symbol(wanted: number, count: number, contexts: readonly number[], set: number): number {
    let node = 1
    for (let i = count - 1; i >= 0; i--) node = 2 * node + this.bit((wanted >> i) & 1, contexts, node, set)
    return node - 2 ** count
  }
  number(wanted: number, contexts: readonly number[], set: number): number {
    const bits = (wanted + 1).toString(2)
    let length = 0
    while (length < 53 && this.bit(length < bits.length - 1 ? 1 : 0, contexts, length + 1, set)) length++
    let out = 1
    for (let i = length - 1; i >= 0; i--) {
      const node = out < 4096 ? 64 + 4096 * length + out : 32 + i
      out = 2 * out + this.bit(Number(bits[bits.length - 1 - i] ?? 0), contexts, node, set)
    }
    return out - 1
  }
}
