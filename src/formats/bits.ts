/** Raw bits to bytes and back, the highest bit of a byte first; signed numbers as whole ones. */
import { type BitReader, type BitWriter, damaged } from './coding/coding.ts'
import { grown } from './memory.ts'

export function bitWriter(): BitWriter & { readonly length: number; finish(): Uint8Array } {
  let bytes = new Uint8Array(1024)
  let used = 0
  let pending = 0
  let count = 0
  const put = (byte: number): void => {
    if (used === bytes.length) bytes = grown(bytes)
    bytes[used++] = byte
  }
  return {
    write(value, bits) {
      for (let left = bits; left > 0; ) {
        const take = Math.min(left, 8 - count)
        pending = (pending << take) | ((value >>> (left - take)) & ((1 << take) - 1))
        count += take
        left -= take
        if (count === 8) {
          put(pending)
          pending = count = 0
        }
      }
    },
    /** In bytes, as a part of one where there is less. */
    get length() {
      return used + count / 8
    },
    finish() {
      if (count > 0) put(pending << (8 - count))
      return bytes.slice(0, used)
    },
  }
}

export function bitReader(bytes: Uint8Array): BitReader & { atEnd(): boolean } {
  // A number of bits would not do for shifts: there may be 2^31 of them and more.
  let at = 0
  let offset = 0
  const need = (bits: number): void => {
    if (bits > (bytes.length - at) * 8 - offset) throw damaged('raw bits end too soon')
  }
  const read = (bits: number): number => {
    need(bits)
    let out = 0
    for (let left = bits; left > 0; ) {
      const take = Math.min(left, 8 - offset)
      out = (out << take) | ((bytes[at] >> (8 - offset - take)) & ((1 << take) - 1))
      offset += take
      if (offset === 8) {
        offset = 0
        at++
      }
      left -= take
    }
    return out >>> 0
  }
  return {
    read,
    bytes(count) {
      need(8 * count)
      return new Uint8Array(count).map(() => read(8))
    },
    atEnd: () => at + (offset > 0 ? 1 : 0) === bytes.length,
  }
}

/** Signed numbers as others of 0 and above: 0, -1, 1, -2, ... */
export function fold(v: number): number {
  return v < 0 ? -2 * v - 1 : 2 * v
}

export function unfold(n: number): number {
  return n % 2 === 1 ? -(n + 1) / 2 : n / 2
}
