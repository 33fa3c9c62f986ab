/**
 * Products y = xᵀW on encoded matrices for WebAssembly (AssemblyScript, `npm run build:wasm`). The order of additions is
 * that of the TypeScript paths in src/formats/matrix, so both give the same bits. JavaScript lays the memory out and has
 * checked what is in it.
 */

/** Float32, column by column: 16 sums side by side. */
export function dense(values: usize, x: usize, y: usize, rows: i32, columns: i32): void {
  const whole = rows & ~15
  let w = values
  for (let column = 0; column < columns; column++) {
    let s0 = f32x4.splat(0)
    let s1 = f32x4.splat(0)
    let s2 = f32x4.splat(0)
    let s3 = f32x4.splat(0)
    let at = x
    const end = x + (<usize>whole << 2)
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
function input<T>(x: usize, rowAt: usize): f64 {
  return <f64>load<f32>(x + (<usize>load<T>(rowAt) << 2))
}

@inline
function csc<T>(nz: usize, ri: usize, cb: usize, x: usize, y: usize, columns: i32): void {
  for (let column = 0; column < columns; column++) {
    let even: f64 = 0
    let odd: f64 = 0
    const from = <usize>load<u32>(cb + (<usize>column << 2))
    const to = <usize>load<u32>(cb + (<usize>column << 2), 4)
    let row = ri + from * sizeof<T>()
    let value = nz + (from << 2)
    const end = nz + (to << 2)
    while (value + 4 < end) {
      even += input<T>(x, row) * <f64>load<f32>(value)
      odd += input<T>(x, row + sizeof<T>()) * <f64>load<f32>(value, 4)
      value += 8
      row += 2 * sizeof<T>()
    }
    if (value < end) even += input<T>(x, row) * <f64>load<f32>(value)
    store<f32>(y + (<usize>column << 2), <f32>(even + odd))
  }
}

export function csc8(nz: usize, ri: usize, cb: usize, x: usize, y: usize, columns: i32): void {
  csc<u8>(nz, ri, cb, x, y, columns)
}

export function csc16(nz: usize, ri: usize, cb: usize, x: usize, y: usize, columns: i32): void {
  csc<u16>(nz, ri, cb, x, y, columns)
}

export function csc32(nz: usize, ri: usize, cb: usize, x: usize, y: usize, columns: i32): void {
  csc<u32>(nz, ri, cb, x, y, columns)
}

/** The table entry for the 12 bits of the stream from bit `at` on; words hold their first bit highest. */
@inline
function lookup(table: usize, words: usize, at: u32): u32 {
  const pair = rotl<u64>(load<u64>(words + (<usize>(at >> 5) << 2)), 32)
  return load<u32>(table + (<usize>((pair << (at & 31)) >> 52) << 2))
}

@inline
function first(codebook: usize, entry: u32): f64 {
  return load<f64>(codebook + (<usize>(entry & 255) << 3))
}

@inline
function second(codebook: usize, entry: u32): f64 {
  return load<f64>(codebook + (<usize>((entry >> 8) & 255) << 3))
}

/**
 * sHAC. A table entry: the first symbol (8 bits), the second (8), the bits of both (8), how many they are (1 or 2). Where
 * there is one, the second symbol is a zero of the codebook and the first row of what follows. Four columns go side by
 * side, because each must wait for the length of its last code: as many double steps as the shortest has values for.
 */
@inline
function shac<T>(
  table: usize,
  codebook: usize,
  words: usize,
  starts: usize,
  from: usize,
  rows: usize,
  x: usize,
  y: usize,
  columns: i32,
): void {
  const size = sizeof<T>()
  let column = 0
  for (; column + 4 <= columns; column += 4) {
    const c = <usize>column << 2
    let at0 = load<u32>(starts + c)
    let at1 = load<u32>(starts + c, 4)
    let at2 = load<u32>(starts + c, 8)
    let at3 = load<u32>(starts + c, 12)
    const end0 = rows + <usize>load<u32>(from + c, 4) * size
    const end1 = rows + <usize>load<u32>(from + c, 8) * size
    const end2 = rows + <usize>load<u32>(from + c, 12) * size
    const end3 = rows + <usize>load<u32>(from + c, 16) * size
    let row0 = rows + <usize>load<u32>(from + c) * size
    let row1 = end0
    let row2 = end1
    let row3 = end2
    let sum0: f64 = 0
    let sum1: f64 = 0
    let sum2: f64 = 0
    let sum3: f64 = 0
    while (true) {
      let steps = <i32>(min(min(end0 - row0, end1 - row1), min(end2 - row2, end3 - row3)) / (2 * size))
      if (steps == 0) break
      for (; steps > 0; steps--) {
        const e0 = lookup(table, words, at0)
        const e1 = lookup(table, words, at1)
        const e2 = lookup(table, words, at2)
        const e3 = lookup(table, words, at3)
        sum0 = sum0 + input<T>(x, row0) * first(codebook, e0) + input<T>(x, row0 + size) * second(codebook, e0)
        sum1 = sum1 + input<T>(x, row1) * first(codebook, e1) + input<T>(x, row1 + size) * second(codebook, e1)
        sum2 = sum2 + input<T>(x, row2) * first(codebook, e2) + input<T>(x, row2 + size) * second(codebook, e2)
        sum3 = sum3 + input<T>(x, row3) * first(codebook, e3) + input<T>(x, row3 + size) * second(codebook, e3)
        at0 += (e0 >> 16) & 255
        at1 += (e1 >> 16) & 255
        at2 += (e2 >> 16) & 255
        at3 += (e3 >> 16) & 255
        row0 += <usize>(e0 >> 24) * size
        row1 += <usize>(e1 >> 24) * size
        row2 += <usize>(e2 >> 24) * size
        row3 += <usize>(e3 >> 24) * size
      }
    }
    store<f32>(y + c, <f32>rest<T>(table, codebook, words, at0, row0, end0, x, sum0))
    store<f32>(y + c, <f32>rest<T>(table, codebook, words, at1, row1, end1, x, sum1), 4)
    store<f32>(y + c, <f32>rest<T>(table, codebook, words, at2, row2, end2, x, sum2), 8)
    store<f32>(y + c, <f32>rest<T>(table, codebook, words, at3, row3, end3, x, sum3), 12)
  }
  for (; column < columns; column++) {
    const c = <usize>column << 2
    const row = rows + <usize>load<u32>(from + c) * size
    const end = rows + <usize>load<u32>(from + c, 4) * size
    store<f32>(y + c, <f32>rest<T>(table, codebook, words, load<u32>(starts + c), row, end, x, 0))
  }
}

/** One column from where it stands to its end. */
@inline
function rest<T>(
  table: usize,
  codebook: usize,
  words: usize,
  at: u32,
  row: usize,
  end: usize,
  x: usize,
  sum: f64,
): f64 {
  while (row + sizeof<T>() < end) {
    const e = lookup(table, words, at)
    sum = sum + input<T>(x, row) * first(codebook, e) + input<T>(x, row + sizeof<T>()) * second(codebook, e)
    at += (e >> 16) & 255
    row += <usize>(e >> 24) * sizeof<T>()
  }
  if (row < end) sum += input<T>(x, row) * first(codebook, lookup(table, words, at))
  return sum
}

export function shac8(
  table: usize,
  codebook: usize,
  words: usize,
  starts: usize,
  from: usize,
  rows: usize,
  x: usize,
  y: usize,
  columns: i32,
): void {
  shac<u8>(table, codebook, words, starts, from, rows, x, y, columns)
}

export function shac16(
  table: usize,
  codebook: usize,
  words: usize,
  starts: usize,
  from: usize,
  rows: usize,
  x: usize,
  y: usize,
  columns: i32,
): void {
  shac<u16>(table, codebook, words, starts, from, rows, x, y, columns)
}

export function shac32(
  table: usize,
  codebook: usize,
  words: usize,
  starts: usize,
  from: usize,
  rows: usize,
  x: usize,
  y: usize,
  columns: i32,
): void {
  shac<u32>(table, codebook, words, starts, from, rows, x, y, columns)
}

/**
 * HAC. A table entry: the zeros before the symbol (8 bits), the symbol (8; where only zeros fit, a zero of the codebook),
 * the bits of all (8), and the rows that they take (8), at most 12. Four columns go side by side, as in sHAC: as many
 * steps as cannot run past the end of a column. The 12 values after x are 0.
 */
export function hac(
  table: usize,
  codebook: usize,
  words: usize,
  starts: usize,
  x: usize,
  y: usize,
  rows: i32,
  columns: i32,
): void {
  let column = 0
  for (; column + 4 <= columns; column += 4) {
    const c = <usize>column << 2
    let at0 = load<u32>(starts + c)
    let at1 = load<u32>(starts + c, 4)
    let at2 = load<u32>(starts + c, 8)
    let at3 = load<u32>(starts + c, 12)
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
        const e0 = lookup(table, words, at0)
        const e1 = lookup(table, words, at1)
        const e2 = lookup(table, words, at2)
        const e3 = lookup(table, words, at3)
        sum0 += after(x, row0, e0) * second(codebook, e0)
        sum1 += after(x, row1, e1) * second(codebook, e1)
        sum2 += after(x, row2, e2) * second(codebook, e2)
        sum3 += after(x, row3, e3) * second(codebook, e3)
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
    store<f32>(y + c, <f32>restOfHac(table, codebook, words, at0, row0, rows, x, sum0))
    store<f32>(y + c, <f32>restOfHac(table, codebook, words, at1, row1, rows, x, sum1), 4)
    store<f32>(y + c, <f32>restOfHac(table, codebook, words, at2, row2, rows, x, sum2), 8)
    store<f32>(y + c, <f32>restOfHac(table, codebook, words, at3, row3, rows, x, sum3), 12)
  }
  for (; column < columns; column++) {
    const c = <usize>column << 2
    store<f32>(y + c, <f32>restOfHac(table, codebook, words, load<u32>(starts + c), 0, rows, x, 0))
  }
}

/** The input that the symbol of an entry meets. */
@inline
function after(x: usize, row: i32, entry: u32): f64 {
  return <f64>load<f32>(x + (<usize>(row + (entry & 255)) << 2))
}

/** One column from where it stands to its end; codes past it are the next column's. */
function restOfHac(
  table: usize,
  codebook: usize,
  words: usize,
  at: u32,
  row: i32,
  rows: i32,
  x: usize,
  sum: f64,
): f64 {
  while (row < rows) {
    const e = lookup(table, words, at)
    if (row + <i32>(e & 255) < rows) sum += after(x, row, e) * second(codebook, e)
    at += (e >> 16) & 255
    row += <i32>(e >> 24)
  }
  return sum
}
