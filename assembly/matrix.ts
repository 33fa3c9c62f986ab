/**
 * Products y = xᵀW on encoded matrices for WebAssembly (AssemblyScript, `npm run build:wasm`). The order of additions is
 * that of the TypeScript paths in src/formats/matrix, so both give the same bits. JavaScript lays the memory out and has
 * checked what is in it.
 */

/** Where a decoding table and x lie: known here, so that addresses need no additions. */
const tableAt: usize = 4096 // u8[65536]
const xAt: usize = tableAt + 65536

/** Float32, column by column: 16 sums side by side. */
export function dense(values: usize, y: usize, rows: i32, columns: i32): void {
  const whole = rows & ~15
  let w = values
  for (let column = 0; column < columns; column++) {
    let s0 = f32x4.splat(0)
    let s1 = f32x4.splat(0)
    let s2 = f32x4.splat(0)
    let s3 = f32x4.splat(0)
    let at = xAt
    const end = xAt + (<usize>whole << 2)
    while (at < end) {
      s0 = f32x4.add(s0, f32x4.mul(v128.load(at), v128.load(w)))
      s1 = f32x4.add(s1, f32x4.mul(v128.load(at, 16), v128.load(w, 16)))
      s2 = f32x4.add(s2, f32x4.mul(v128.load(at, 32), v128.load(w, 32)))
      s3 = f32x4.add(s3, f32x4.mul(v128.load(at, 48), v128.load(w, 48)))
      at += 64
      w += 64
    }
    const s = f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3))
    let sum =
      f32x4.extract_lane(s, 0) + f32x4.extract_lane(s, 1) + (f32x4.extract_lane(s, 2) + f32x4.extract_lane(s, 3))
    for (let row = whole; row < rows; row++, at += 4, w += 4) sum += load<f32>(at) * load<f32>(w)
    store<f32>(y + (<usize>column << 2), sum)
  }
}

@inline
function input<T>(rowAt: usize): f64 {
  return <f64>load<f32>(<usize>load<T>(rowAt) << 2, xAt)
}

@inline
function csc<T>(nz: usize, ri: usize, cb: usize, y: usize, columns: i32): void {
  for (let column = 0; column < columns; column++) {
    let even: f64 = 0
    let odd: f64 = 0
    const from = <usize>load<u32>(cb + (<usize>column << 2))
    const to = <usize>load<u32>(cb + (<usize>column << 2), 4)
    let row = ri + from * sizeof<T>()
    let value = nz + (from << 2)
    const end = nz + (to << 2)
    while (value + 4 < end) {
      even += input<T>(row) * <f64>load<f32>(value)
      odd += input<T>(row + sizeof<T>()) * <f64>load<f32>(value, 4)
      value += 8
      row += 2 * sizeof<T>()
    }
    if (value < end) even += input<T>(row) * <f64>load<f32>(value)
    store<f32>(y + (<usize>column << 2), <f32>(even + odd))
  }
}

export function csc8(nz: usize, ri: usize, cb: usize, y: usize, columns: i32): void {
  csc<u8>(nz, ri, cb, y, columns)
}

export function csc16(nz: usize, ri: usize, cb: usize, y: usize, columns: i32): void {
  csc<u16>(nz, ri, cb, y, columns)
}

export function csc32(nz: usize, ri: usize, cb: usize, y: usize, columns: i32): void {
  csc<u32>(nz, ri, cb, y, columns)
}

// Streams hold the first bit of a byte lowest, behind 32 bits of zeros.

/**
 * The stream from the bit on that is below in `column`; 57 bits or more are good. Of a bit 4 before a code, what `mask` leaves
 * is 16 times a place in the table.
 */
@inline
function codesAt(words: usize, column: u64): u64 {
  return load<u64>(words + <usize>(<u32>column >> 3)) >> (column & 7)
}

/** `sum` and the products of an entry's two values with the inputs of the rows that a column stands at. */
@inline
function plusProducts<T>(sum: f64, entry: usize, column: u64): f64 {
  const row = <usize>(column >> 32)
  const one = v128.load_zero<f32>(<usize>load<T>(row) << 2, xAt)
  const two = v128.load_lane<f32>(<usize>load<T>(row, sizeof<T>()) << 2, one, 1, xAt)
  const p = f64x2.mul(f64x2.promote_low_f32x4(two), f64x2.promote_low_f32x4(v128.load64_zero(entry, tableAt)))
  return sum + f64x2.extract_lane(p, 0) + f64x2.extract_lane(p, 1)
}

/** How far an entry takes a column: the bits of its codes below, the bytes of their row numbers above. */
@inline
function stepOf(entry: usize): u64 {
  return load<u64>(entry, tableAt + 8)
}

@inline
function begin<T>(rows: usize, from: usize, starts: usize): u64 {
  return (<u64>(rows + <usize>load<u32>(from) * sizeof<T>()) << 32) | (<u64>load<u32>(starts) + 28)
}

/** The bytes of row numbers from where a column stands to its end. */
@inline
function left(end: usize, column: u64): u32 {
  return <u32>end - <u32>(column >> 32)
}

/**
 * sHAC. A table entry (16 bytes), for the bits that `mask` leaves: two values, the bits of both, the bytes of their row
 * numbers. Where only one fits, the second value is 0 and its row the first of what follows. Where a column stands is one
 * number: the address of its row number above, its bit, less 4, below. Four columns go side by side, because each must wait
 * for the length of its last code: as many steps, of two entries each, as the shortest has values for.
 */
@inline
function shac<T>(
  mask: u64,
  words: usize,
  starts: usize,
  from: usize,
  rows: usize,
  y: usize,
  columns: i32,
): void {
  const size: u32 = sizeof<T>()
  const last = columns & ~3
  let column = 0
  for (; column < last; column += 4, starts += 16, from += 16, y += 16) {
    // Four columns at a time, each with a place in the stream of its own, so that no load waits for another.
    const end0 = rows + load<u32>(from, 4) * size
    const end1 = rows + load<u32>(from, 8) * size
    const end2 = rows + load<u32>(from, 12) * size
    const end3 = rows + load<u32>(from, 16) * size
    let at0 = begin<T>(rows, from, starts)
    let at1 = begin<T>(rows, from + 4, starts + 4)
    let at2 = begin<T>(rows, from + 8, starts + 8)
    let at3 = begin<T>(rows, from + 12, starts + 12)
    let sum0: f64 = 0
    let sum1: f64 = 0
    let sum2: f64 = 0
    let sum3: f64 = 0
    while (true) {
      // As long as none of the four has fewer than four values left, no end need be looked for.
      let steps = min(min(left(end0, at0), left(end1, at1)), min(left(end2, at2), left(end3, at3))) / (4 * size)
      if (steps == 0) break
      for (; steps > 0; steps--) {
        let codes: u64
        let e: usize
        let step: u64
        // Two look-ups in the table per load of bits; each gives one or two values.
        codes = codesAt(words, at0)
        e = <usize>(codes & mask)
        step = stepOf(e)
        sum0 = plusProducts<T>(sum0, e, at0)
        at0 += step
        e = <usize>((codes >> step) & mask)
        sum0 = plusProducts<T>(sum0, e, at0)
        at0 += stepOf(e)

        codes = codesAt(words, at1)
        e = <usize>(codes & mask)
        step = stepOf(e)
        sum1 = plusProducts<T>(sum1, e, at1)
        at1 += step
        e = <usize>((codes >> step) & mask)
        sum1 = plusProducts<T>(sum1, e, at1)
        at1 += stepOf(e)

        codes = codesAt(words, at2)
        e = <usize>(codes & mask)
        step = stepOf(e)
        sum2 = plusProducts<T>(sum2, e, at2)
        at2 += step
        e = <usize>((codes >> step) & mask)
        sum2 = plusProducts<T>(sum2, e, at2)
        at2 += stepOf(e)

        codes = codesAt(words, at3)
        e = <usize>(codes & mask)
        step = stepOf(e)
        sum3 = plusProducts<T>(sum3, e, at3)
        at3 += step
        e = <usize>((codes >> step) & mask)
        sum3 = plusProducts<T>(sum3, e, at3)
        at3 += stepOf(e)
      }
    }
    // What is left of each column, a value at a time.
    store<f32>(y, rest<T>(mask, words, at0, end0, sum0))
    store<f32>(y, rest<T>(mask, words, at1, end1, sum1), 4)
    store<f32>(y, rest<T>(mask, words, at2, end2, sum2), 8)
    store<f32>(y, rest<T>(mask, words, at3, end3, sum3), 12)
  }
  for (; column < columns; column++, starts += 4, from += 4, y += 4) {
    const end = rows + load<u32>(from, 4) * size
    store<f32>(y, rest<T>(mask, words, begin<T>(rows, from, starts), end, 0))
  }
}

/** One column from where it stands to its end. */
@inline
function rest<T>(mask: u64, words: usize, at: u64, end: usize, sum: f64): f32 {
  const size: u32 = sizeof<T>()
  while (left(end, at) > size) {
    const e = <usize>(codesAt(words, at) & mask)
    sum = plusProducts<T>(sum, e, at)
    at += stepOf(e)
  }
  if (left(end, at) > 0) {
    const e = <usize>(codesAt(words, at) & mask)
    sum += input<T>(<usize>(at >> 32)) * <f64>load<f32>(e, tableAt)
  }
  return <f32>sum
}

@inline
function tableMask(bits: i32): u64 {
  return ((1 << bits) - 1) << 4
}

export function shac8(
  tableBits: i32,
  words: usize,
  starts: usize,
  from: usize,
  rows: usize,
  y: usize,
  columns: i32,
): void {
  shac<u8>(tableMask(tableBits), words, starts, from, rows, y, columns)
}

export function shac16(
  tableBits: i32,
  words: usize,
  starts: usize,
  from: usize,
  rows: usize,
  y: usize,
  columns: i32,
): void {
  shac<u16>(tableMask(tableBits), words, starts, from, rows, y, columns)
}

export function shac32(
  tableBits: i32,
  words: usize,
  starts: usize,
  from: usize,
  rows: usize,
  y: usize,
  columns: i32,
): void {
  shac<u32>(tableMask(tableBits), words, starts, from, rows, y, columns)
}

/** HAC's table entry for the 12 bits of the stream from bit `at` on. */
@inline
function lookup(words: usize, at: u32): u32 {
  return load<u32>(<usize>(<u32>(load<u64>(words + <usize>(at >> 3)) >> (at & 7)) & 4095) << 2, tableAt)
}

/** The value of an entry's symbol. */
@inline
function valueOf(codebook: usize, entry: u32): f64 {
  return load<f64>(codebook + (<usize>((entry >> 8) & 255) << 3))
}

/**
 * HAC. A table entry: the zeros before the symbol (8 bits), the symbol (8; where only zeros fit, a zero of the codebook),
 * the bits of all (8), and the rows that they take (8), at most 12. Four columns go side by side, as in sHAC: as many
 * steps as cannot run past the end of a column. The 12 values after x are 0.
 */
export function hac(codebook: usize, words: usize, starts: usize, y: usize, rows: i32, columns: i32): void {
  let column = 0
  for (; column + 4 <= columns; column += 4) {
    const c = <usize>column << 2
    let at0 = load<u32>(starts + c) + 32
    let at1 = load<u32>(starts + c, 4) + 32
    let at2 = load<u32>(starts + c, 8) + 32
    let at3 = load<u32>(starts + c, 12) + 32
    let row0 = 0
    let row1 = 0
    let row2 = 0
    let row3 = 0
    let sum0: f64 = 0
    let sum1: f64 = 0
    let sum2: f64 = 0
    let sum3: f64 = 0
    while (true) {
      let steps = (rows - max(max(row0, row1), max(row2, row3))) / 12
      if (steps == 0) break
      for (; steps > 0; steps--) {
        const e0 = lookup(words, at0)
        const e1 = lookup(words, at1)
        const e2 = lookup(words, at2)
        const e3 = lookup(words, at3)
        sum0 += after(row0, e0) * valueOf(codebook, e0)
        sum1 += after(row1, e1) * valueOf(codebook, e1)
        sum2 += after(row2, e2) * valueOf(codebook, e2)
        sum3 += after(row3, e3) * valueOf(codebook, e3)
        at0 += (e0 >> 16) & 255
        at1 += (e1 >> 16) & 255
        at2 += (e2 >> 16) & 255
        at3 += (e3 >> 16) & 255
        row0 += <i32>(e0 >> 24)
        row1 += <i32>(e1 >> 24)
        row2 += <i32>(e2 >> 24)
        row3 += <i32>(e3 >> 24)
      }
    }
    store<f32>(y + c, <f32>restOfHac(codebook, words, at0, row0, rows, sum0))
    store<f32>(y + c, <f32>restOfHac(codebook, words, at1, row1, rows, sum1), 4)
    store<f32>(y + c, <f32>restOfHac(codebook, words, at2, row2, rows, sum2), 8)
    store<f32>(y + c, <f32>restOfHac(codebook, words, at3, row3, rows, sum3), 12)
  }
  for (; column < columns; column++) {
    const c = <usize>column << 2
    store<f32>(y + c, <f32>restOfHac(codebook, words, load<u32>(starts + c) + 32, 0, rows, 0))
  }
}

/** The input that the symbol of an entry meets. */
@inline
function after(row: i32, entry: u32): f64 {
  return <f64>load<f32>(<usize>(row + (entry & 255)) << 2, xAt)
}

/** One column from where it stands to its end; codes past it are the next column's. */
function restOfHac(codebook: usize, words: usize, at: u32, row: i32, rows: i32, sum: f64): f64 {
  while (row < rows) {
    const e = lookup(words, at)
    if (row + <i32>(e & 255) < rows) sum += after(row, e) * valueOf(codebook, e)
    at += (e >> 16) & 255
    row += <i32>(e >> 24)
  }
  return sum
}

/** The value of the number, of index map, that is 3 bits up at bit `at`. */
@inline
function numbered(words: usize, at: u32, mask: u64): f64 {
  return load<f64>(<usize>(codesAt(words, at) & mask), tableAt)
}

/** Index map. The table: the value (f64) of each number of `width` bits, which are in the other order. */
export function indexMap(width: i32, words: usize, y: usize, rows: i32, columns: i32): void {
  const mask: u64 = ((1 << width) - 1) << 3
  const bits: u32 = rows * width
  const end = xAt + (<usize>rows << 2)
  const last = columns & ~3
  let start: u32 = 29
  let column = 0
  for (; column < last; column += 4, start += 4 * bits, y += 16) {
    let sum0: f64 = 0
    let sum1: f64 = 0
    let sum2: f64 = 0
    let sum3: f64 = 0
    let at = start
    for (let x = xAt; x < end; x += 4, at += width) {
      const v = <f64>load<f32>(x)
      sum0 += v * numbered(words, at, mask)
      sum1 += v * numbered(words, at + bits, mask)
      sum2 += v * numbered(words, at + 2 * bits, mask)
      sum3 += v * numbered(words, at + 3 * bits, mask)
    }
    store<f32>(y, <f32>sum0)
    store<f32>(y, <f32>sum1, 4)
    store<f32>(y, <f32>sum2, 8)
    store<f32>(y, <f32>sum3, 12)
  }
  for (; column < columns; column++, start += bits, y += 4) {
    let sum: f64 = 0
    let at = start
    for (let x = xAt; x < end; x += 4, at += width) sum += <f64>load<f32>(x) * numbered(words, at, mask)
    store<f32>(y, <f32>sum)
  }
}
