import type { BitCoder } from './context-mixer.ts'

/** Counts the bits that a coder would write. */
export class BitCounter implements BitCoder {
  readonly decoding = false
  bits = 0

  code(bit: number, p: number): number {
    this.bits += 16 - Math.log2(bit ? p : 65536 - p)
    return bit
  }

  codeRaw(value: number, count: number): number {
    this.bits += count
    return value
  }
}
