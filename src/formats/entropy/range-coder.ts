/**
 * Binary range coder: bits and their probabilities to bytes, and back.
 *
 * A 32-bit range split by 16-bit probabilities (Martin 1979; renormalised by bytes as in LZMA, without its leading
 * zero byte). Integer arithmetic only, so that every machine makes the same bytes. Past the end of its input the decoder
 * reads zeros, and the encoder leaves trailing zeros out.
 *
 * One class codes in both directions: a model calls `code(bit, p)` and uses the bit that it returns, so that the encoder
 * and the decoder cannot drift apart.
 */
import { grown } from '../memory.ts'

export class BinaryCoder {
  private low = 0
  private range = 0xffffffff
  private value = 0
  private at = 0
  private bytes: Uint8Array
  readonly decoding: boolean

  /** A decoder of `input`; an encoder where there is none. */
  constructor(input?: Uint8Array) {
    this.decoding = input !== undefined
    this.bytes = input ?? new Uint8Array(1024)
    if (input) for (let i = 0; i < 4; i++) this.value = ((this.value << 8) | this.next()) >>> 0
  }

  private next(): number {
    const byte = this.at < this.bytes.length ? this.bytes[this.at] : 0
    this.at++
    return byte
  }

  /** Bytes that a decoder has asked for beyond the end of its input: more than 12 mean that the input is damaged. */
  get overrun(): number {
    return Math.max(0, this.at - this.bytes.length)
  }

  /** Bytes that an encoder has written. */
  get length(): number {
    return this.at
  }

  /** Codes one bit; `p` is the probability of a 1, in 1..65535 of 65536. Returns the bit. */
  code(bit: number, p: number): number {
    const bound = Math.imul(this.range >>> 16, p) >>> 0
    if (this.decoding) bit = this.value < bound ? 1 : 0
    if (bit) this.narrow(0, bound)
    else this.narrow(bound, (this.range - bound) >>> 0)
    this.normalise()
    return bit
  }

  /**
   * Codes a value other than 0: its magnitude m, at most 15, in the part of the range between `shares[at + m]` and
   * `shares[at + m - 1]` of 32768, and its sign as the half of that part, positive below. Returns the value.
   */
  codeSigned(value: number, shares: Int16Array, at: number): number {
    const unit = this.range >>> 15
    let m = Math.min(15, Math.abs(value))
    if (this.decoding) {
      const place = Math.min(32766, Math.floor(this.value / unit))
      for (m = 1; shares[at + m] > place; ) m++
    }
    const low = unit * shares[at + m]
    const size = unit * shares[at + m - 1] - low
    const half = size >>> 1
    const negative = this.decoding ? this.value - low >= half : value < 0
    if (negative) this.narrow(low + half, size - half)
    else this.narrow(low, half)
    this.normalise()
    return negative ? -m : m
  }

  private narrow(start: number, size: number): void {
    if (this.decoding) this.value = (this.value - start) >>> 0
    else {
      const low = (this.low + start) >>> 0
      if (low < this.low) this.carry()
      this.low = low
    }
    this.range = size
  }

  private normalise(): void {
    while (this.range < 0x1000000) {
      if (this.decoding) this.value = ((this.value << 8) | this.next()) >>> 0
      else {
        this.put(this.low >>> 24)
        this.low = (this.low << 8) >>> 0
      }
      this.range = (this.range << 8) >>> 0
    }
  }

  /** Codes the low `count` (0..32) bits of a number as they are, the highest first. */
  codeRaw(value: number, count: number): number {
    let out = 0
    for (let i = count - 1; i >= 0; i--) out = (out << 1) | this.code((value >>> i) & 1, 32768)
    return out >>> 0
  }

  private put(byte: number): void {
    if (this.at === this.bytes.length) this.bytes = grown(this.bytes)
    this.bytes[this.at++] = byte
  }

  private carry(): void {
    let i = this.at - 1
    while (i >= 0 && this.bytes[i] === 255) this.bytes[i--] = 0
    this.bytes[i]++
  }

  /** Ends an encoder's stream: the fewest bytes that name a number within the final range. */
  finish(): Uint8Array {
    const last = this.low + this.range - 1
    for (const unit of [0x1000000, 0x10000, 0x100, 1]) {
      // The multiples of `unit` within [low, last], if any: it needs 1, 2, 3 or 4 bytes.
      const value = Math.ceil(this.low / unit) * unit
      if (value > last) continue
      if (value >= 2 ** 32) this.carry()
      for (let rest = value >>> 0; rest !== 0; rest = (rest << 8) >>> 0) this.put(rest >>> 24)
      break
    }
    return withoutZeros(this.bytes.subarray(0, this.at))
  }
}

/** A stream without zeros at its end, but no more than a few, so that a decoder can tell the end from a missing part. */
export function withoutZeros(bytes: Uint8Array): Uint8Array {
  let end = bytes.length
  while (end > 0 && end > bytes.length - 8 && bytes[end - 1] === 0) end--
  return bytes.slice(0, end)
}
