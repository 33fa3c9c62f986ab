/** Little-endian fields one after another, each array at a width of 1, 2 or 4 bytes per element. */

export type Ints = Uint8Array | Uint16Array | Uint32Array
export type Width = 1 | 2 | 4

/** Bytes that every value up to `max` fits in. */
export function widthFor(max: number): Width {
  return max < 256 ? 1 : max < 65536 ? 2 : 4
}

export interface FieldWriter {
  u8(value: number): void
  u32(value: number): void
  /** The array at `width` bytes per element; the width itself is not stored. */
  ints(values: ArrayLike<number>, width: Width): void
  finish(): Uint8Array
}

export function fieldWriter(): FieldWriter {
  const parts: Uint8Array[] = []
  const ints = (values: ArrayLike<number>, width: Width): void => {
    const Type = width === 1 ? Uint8Array : width === 2 ? Uint16Array : Uint32Array
    const array = values instanceof Type ? values : Type.from(values)
    parts.push(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
  }
  return {
    u8: (value) => ints([value], 1),
    u32: (value) => ints([value], 4),
    ints,
    finish() {
      const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
      let at = 0
      for (const part of parts) {
        all.set(part, at)
        at += part.length
      }
      return all
    },
  }
}

export interface FieldReader {
  u8(): number
  u32(): number
  /** A copy of `count` elements; refused, before anything is allocated, where fewer are left. */
  ints(count: number, width: Width): Ints
  /** The same, always as 32-bit numbers. */
  wide(count: number, width: Width): Uint32Array
  /** A width that a byte of the file gives. */
  width(): Width
  /** Throws where bytes are left. */
  end(): void
  /** The error that says what is wrong with the bytes. */
  fail(what: string): Error
}

/** Reads `bytes` from `at` to `end`. `subject` begins every error. */
export function fieldReader(subject: string, bytes: Uint8Array, { at, end }: { at: number; end: number }): FieldReader {
  const fail = (what: string): Error => new Error(`${subject}: ${what}; the matrix is damaged`)
  const take = (byteLength: number): Uint8Array => {
    if (byteLength > end - at) throw fail(`${byteLength} bytes are wanted at byte ${at}, ${end - at} are left`)
    at += byteLength
    // Not `slice`: of a Buffer that is no copy.
    return new Uint8Array(bytes.subarray(at - byteLength, at))
  }
  const ints = (count: number, width: Width): Ints => {
    const { buffer } = take(count * width)
    return width === 1 ? new Uint8Array(buffer) : width === 2 ? new Uint16Array(buffer) : new Uint32Array(buffer)
  }
  return {
    u8: () => ints(1, 1)[0],
    u32: () => ints(1, 4)[0],
    ints,
    wide: (count, width) => (width === 4 ? (ints(count, 4) as Uint32Array) : Uint32Array.from(ints(count, width))),
    width() {
      const width = ints(1, 1)[0]
      if (width !== 1 && width !== 2 && width !== 4) throw fail(`a width of ${width} bytes; expected 1, 2 or 4`)
      return width
    },
    end() {
      if (at !== end) throw fail(`${end - at} bytes are left over`)
    },
    fail,
  }
}
