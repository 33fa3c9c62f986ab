/**
 * Binary range coder: bits and their probabilities to bytes, and back.
 *
 * A 32-bit range split by 16-bit probabilities (Martin 1979; renormalised by bytes as in LZMA, without its leading
 * zero byte). Integer arithmetic only, so that every machine makes the same bytes. Past the end of its input the decoder
 * reads zeros, and the encoder leaves trailing zeros out.
 *
 * Encoder and decoder have one form: a model calls `code(bit, p)` and uses the bit that it returns, so that what it does when
 * encoding and when decoding cannot drift apart.
 */
import { grown } from '../memory.ts'

/** What models code bits by. Values go in when encoding, come out in both cases. */
export interface BinaryCoder {
  readonly decoding: boolean
  /** Codes one bit; `p` is the probability of a 1, in 1..65535 of 65536. Returns the bit. */
  code(bit: number, p: number): number
  /**
   * Codes a value other than 0: its magnitude m, at most 15, in the part of the range between `shares[at + m]` and
   * `shares[at + m - 1]` of 32768, and its sign as the half of that part, positive below. Returns the value.
   */
  codeSigned(value: number, shares: Int16Array, at: number): number
  /** Codes the low `count` (0..32) bits of a number as they are, the highest first. */
  codeRaw(value: number, count: number): number
  /** Bytes that a decoder has asked for beyond the end of its input: more than 12 mean that the input is damaged. */
  readonly overrun: number
  /** Bytes that an encoder has written. */
  readonly length?: number
  /** Ends an encoder's stream. */
  finish?(): Uint8Array
}

export class BinaryDecoder implements BinaryCoder {
  readonly decoding = true
  private range = 0xffffffff
  private value = 0
  private at = 0
  private readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    for (let i = 0; i < 4; i++) this.shift()
  }

  get overrun(): number {
    return Math.max(0, this.at - this.bytes.length)
  }

  code(_: number, p: number): number {
    const bound = Math.imul(this.range >>> 16, p) >>> 0
    const isOne = this.value < bound
    if (isOne) this.narrow(0, bound)
    else this.narrow(bound, (this.range - bound) >>> 0)
    return isOne ? 1 : 0
  }

  codeSigned(_: number, shares: Int16Array, at: number): number {
    const unit = this.range >>> 15
    const place = Math.min(32766, Math.floor(this.value / unit))
    let m = 1
    while (shares[at + m] > place) m++
    const low = unit * shares[at + m]
    const size = unit * shares[at + m - 1] - low
    const half = size >>> 1
    const isNegative = this.value - low >= half
    if (isNegative) this.narrow(low + half, size - half)
    else this.narrow(low, half)
    return isNegative ? -m : m
  }

  codeRaw(_: number, count: number): number {
    let out = 0
    for (let i = 0; i < count; i++) out = (out << 1) | this.code(0, 32768)
    return out >>> 0
  }

  private narrow(start: number, size: number): void {
    this.value = (this.value - start) >>> 0
    this.range = size
    while (this.range < 0x1000000) {
      this.shift()
      this.range = (this.range << 8) >>> 0
    }
  }

  private shift(): void {
    const byte = this.at < this.bytes.length ? this.bytes[this.at] : 0
    this.at++
    this.value = ((this.value << 8) | byte) >>> 0
  }
}

export class BinaryEncoder implements BinaryCoder {
  readonly decoding = false
  readonly overrun = 0
  private low = 0
  private range = 0xffffffff
  private at = 0
  private bytes = new Uint8Array(1024)

  get length(): number {
    return this.at
  }

  code(bit: number, p: number): number {
    const bound = Math.imul(this.range >>> 16, p) >>> 0
    if (bit) this.narrow(0, bound)
    else this.narrow(bound, (this.range - bound) >>> 0)
    return bit
  }

  codeSigned(value: number, shares: Int16Array, at: number): number {
    const unit = this.range >>> 15
    const m = Math.min(15, Math.abs(value))
    const low = unit * shares[at + m]
    const size = unit * shares[at + m - 1] - low
    const half = size >>> 1
    if (value < 0) this.narrow(low + half, size - half)
    else this.narrow(low, half)
    return value < 0 ? -m : m
  }

  codeRaw(value: number, count: number): number {
    for (let i = count - 1; i >= 0; i--) this.code((value >>> i) & 1, 32768)
    return value
  }

  /** Ends the stream: the fewest bytes that name a number within the final range. */
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

  private narrow(start: number, size: number): void {
    const low = (this.low + start) >>> 0
    if (low < this.low) this.carry()
    this.low = low
    this.range = size
    while (this.range < 0x1000000) {
      this.put(this.low >>> 24)
      this.low = (this.low << 8) >>> 0
      this.range = (this.range << 8) >>> 0
    }
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
}

/** A stream without zeros at its end, but no more than a few, so that a decoder can tell the end from a missing part. */
export function withoutZeros(bytes: Uint8Array): Uint8Array {
  let end = bytes.length
  while (end > 0 && end > bytes.length - 8 && bytes[end - 1] === 0) end--
  return bytes.slice(0, end)
}
