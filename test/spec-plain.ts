/** The second decoder's plain texts, written after that part of docs/format.md alone. It imports nothing from src. */
import { decodeBytes } from './spec-bytes.ts'
import type { RangeDecoder } from './spec-coder.ts'

export class PlainText {
  private readonly counts: number[][] = []
  private there: boolean[] = []

  decode(form: number, n: number, coder: RangeDecoder): number[] {
    if (form === 3)
      return [...decodeBytes({ dtype: 'uint8', dims: [n], bits: 8, byteLength: n, parameters: [0] }, coder, true)]
    const out: number[] = []
    if (form === 0) {
      for (let i = 0; i < n; i++) out.push([...Array(8)].reduce((byte: number) => 2 * byte + coder.bit(32768), 0))
      return out
    }
    const decide = (decision: number): number => {
      const [z, o] = (this.counts[decision] ??= [0, 0])
      const likely = o > z ? 1 : 0
      const p = Math.floor(((2 * (likely ? z : o) + 1) * 32768) / (z + o + 1))
      const bit = coder.bit(Math.max(1, p)) ^ likely
      const counts = [z + 1 - bit, o + bit]
      this.counts[decision] = counts.includes(65535) ? counts.map((c) => Math.floor(c / 2)) : counts
      return bit
    }
    const there: boolean[] = []
    for (let byte = 0; byte < 256; byte++)
      there.push(decide(1024 + (this.there[byte] ? 2 : 0) + (there[byte - 1] ? 1 : 0)) === 1)
    this.there = there
    const bytes = there.flatMap((is, byte) => (is ? [byte] : []))
    for (let q = 0; out.length < n; ) {
      let node = 1
      for (let shift = 7; shift >= 0; shift--) {
        const next = new Set(bytes.filter((b) => (b | 256) >> (shift + 1) === node).map((b) => (b >> shift) & 1))
        node = 2 * node + (next.size === 2 ? decide(256 * q + node) : next.has(1) ? 1 : 0)
      }
      const byte = node - 256
      out.push(byte)
      if (form === 2) q = byte >= 0xc0 ? 1 : byte >= 0x80 ? Math.min(3, q + 1) : 0
      if (form === 4) q = (byte < 45 && byte !== 43) || byte > 191 ? byte + 5 : 0
    }
    return out
  }
}
