/**
 * The integer coder for WebAssembly (AssemblyScript, `npm run build:wasm`): the same bits as entropy/integer-model.ts with
 * entropy/range-coder.ts, which say what each step is for. One instance is one stream. Weights of a mixer and features
 * are in vectors of 4, so a set of weights takes 8 or 16 places of which the last are 0.
 */

@external("env", "flush")
declare function flush(at: usize, length: i32): void

const decisions: i32 = 20
const unaryBins: i32 = decisions - 3
const maxContext: i32 = 3276
const stretchLimit: i32 = 3071

// Memory: tables that JavaScript fills, then state.
const squashAt: usize = 1024 // u16[6143]
const stretchAt: usize = squashAt + 12288 // i16[4096]
const reciprocalAt: usize = stretchAt + 8192 // i32[1024]
const fineAt: usize = reciprocalAt + 4096 // u8[512]
const coarseAt: usize = fineAt + 512 // u8[512]
const escapeAt: usize = coarseAt + 512 // i32[32]
const slotsAt: usize = escapeAt + 128 // i32[16]
const signSlotsAt: usize = slotsAt + 64 // i32[16]
const learntAt: usize = signSlotsAt + 64 // i32[2][12]
const learntSignedAt: usize = learntAt + 96 // i32[2][8]
const outputAt: usize = 32768 // u8[65536]
const outputSize: i32 = 65536
const refinedAt: usize = outputAt + 65536 // i32[20][48][64]
const probabilityAt: usize = refinedAt + 245760 // i32[contexts][65536]

let fast: bool = false
let max: bool = false
let contexts: i32 = 0
/** Places of a weight set: 8 or 16. */
let stride: i32 = 8
let weights0: usize = 0
let weights1: usize = 0
let weights2: usize = 0
let heap: usize = 0

let decoding: bool = false
let low: u32 = 0
let range: u32 = 0xffffffff
let value: u32 = 0
let inputAt: usize = 0
let inputEnd: usize = 0
let hasCache: bool = false
let cache: i32 = 0
let pending: i32 = 0
let used: i32 = 0
let tensors: i32 = 0
let set0: i32 = 0
let set1: i32 = 0
let set2: i32 = 0

/** Bytes of memory that a mode needs; values and input may lie from there on. */
export function init(mode: i32, decode: i32): usize {
  fast = mode == 0
  max = mode == 2
  contexts = fast ? 1 : max ? 14 : 6
  stride = max ? 16 : 8
  decoding = decode != 0
  weights0 = probabilityAt + (<usize>contexts << 18)
  weights1 = weights0 + decisions * 16 * stride * 4
  weights2 = weights1 + decisions * 72 * stride * 4
  heap = fast ? weights0 : max ? weights2 + decisions * 256 * stride * 4 : weights2
  const missing = <i32>((heap + 0xffff) >> 16) - memory.size()
  if (missing > 0) memory.grow(missing)
  for (let at = probabilityAt; at < weights0; at += 4) store<i32>(at, 0x80000000)
  for (let i: usize = 0; i < 32; i++) store<i32>(escapeAt + i * 4, 0x80000000)
  if (!fast) {
    const first = 1150000 / contexts
    for (let at = weights0; at < heap; at += 4) {
      store<i32>(at, (<i32>((at - weights0) >> 2) & (stride - 1)) < contexts ? first : 0)
    }
    for (let i = 0; i < decisions * 48 * 64; i++) {
      const x = ((i & 63) - 24) * 128
      store<i32>(refinedAt + (<usize>i << 2), <i32>squash(clamp(x)) << 6)
    }
    for (let kernel: usize = 0; kernel < 2; kernel++) {
      const at = learntAt + kernel * 48
      store<i32>(at, 40632)
      store<i32>(at + 4, 7864)
      store<i32>(at + 8, 5243)
      store<i32>(at + 12, 2949)
      store<i32>(at + 16, 2949)
      store<i32>(at + 20, 1966)
      store<i32>(at + 24, 1966)
      store<i32>(at + 28, 1966)
      store<i32>(at + 32, 0)
    }
  }
  return heap
}

/** Starts decoding of the bytes at `at`. */
export function setInput(at: usize, length: i32): void {
  inputAt = at
  inputEnd = at + length
  for (let i = 0; i < 4; i++) value = (value << 8) | next()
}

@inline
function squash(x: i32): i32 {
  return <i32>load<u16>(squashAt + (<usize>(x + stretchLimit) << 1))
}

@inline
function clamp(x: i32): i32 {
  return max32(-stretchLimit, min32(stretchLimit, x))
}

@inline
function min32(a: i32, b: i32): i32 {
  return a < b ? a : b
}

@inline
function max32(a: i32, b: i32): i32 {
  return a > b ? a : b
}

@inline
function next(): u32 {
  const byte: u32 = inputAt < inputEnd ? <u32>load<u8>(inputAt) : 0
  inputAt++
  return byte
}

function emit(byte: i32): void {
  store<u8>(outputAt + used, <u8>byte)
  if (++used == outputSize) {
    flush(outputAt, used)
    used = 0
  }
}

function put(byte: i32): void {
  if (byte == 255) {
    pending++
    return
  }
  if (hasCache) emit(cache)
  for (; pending > 0; pending--) emit(255)
  cache = byte
  hasCache = true
}

function carry(): void {
  if (pending > 0) {
    emit(cache + 1)
    for (; pending > 1; pending--) emit(0)
    pending = 0
    cache = 0
  } else cache++
}

@inline
function code(bit: i32, p: i32): i32 {
  const bound = (range >>> 16) * <u32>p
  if (decoding) {
    if (value < bound) {
      range = bound
      bit = 1
    } else {
      value -= bound
      range -= bound
      bit = 0
    }
    while (range < 0x1000000) {
      value = (value << 8) | next()
      range <<= 8
    }
    return bit
  }
  if (bit) range = bound
  else {
    const moved = low + bound
    if (moved < low) carry()
    low = moved
    range -= bound
  }
  while (range < 0x1000000) {
    put(<i32>(low >>> 24))
    low <<= 8
    range <<= 8
  }
  return bit
}

/** The first multiple of 2^shift that is not below `low`. */
function multiple(shift: u64): u64 {
  return ((<u64>low + ((<u64>1 << shift) - 1)) >> shift) << shift
}

/** Ends an encoder's stream; JavaScript drops up to 7 trailing zeros. */
export function finish(): void {
  const last: u64 = <u64>low + <u64>range - 1
  let shift: u64 = 24
  let number = multiple(shift)
  while (number > last) {
    shift -= 8
    number = multiple(shift)
  }
  if (number >> 32) carry()
  for (let rest = <u32>number; rest != 0; rest <<= 8) put(<i32>(rest >>> 24))
  if (hasCache) emit(cache)
  for (; pending > 0; pending--) emit(255)
  flush(outputAt, used)
}

@inline
function adapt(at: usize, bit: i32, limit: i32): void {
  const state = load<u32>(at)
  const n = <i32>(state & 1023)
  const p = <i32>(state >>> 10)
  const moved = p + ((((bit ? 4194303 : 0) - p) >> 5) * load<i32>(reciprocalAt + (<usize>n << 2)) >> 9)
  store<i32>(at, (moved << 10) | (n < limit ? n + 1 : n))
}

@inline
function codeOne(at: usize, bit: i32, limit: i32): i32 {
  bit = code(bit, max32(24, min32(65512, <i32>(load<u32>(at) >>> 16))))
  adapt(at, bit, limit)
  return bit
}

@inline
function stretchOf(slots: usize, j: usize, decision: i32): i32 {
  const at = probabilityAt + (j << 18) + (<usize>(load<i32>(slots + (j << 2)) + decision) << 2)
  const state = load<u32>(at)
  return state & 1023 ? <i32>load<i16>(stretchAt + (<usize>(state >>> 20) << 1)) : 0
}

@inline
function four(slots: usize, j: usize, decision: i32): v128 {
  let v = i32x4.splat(stretchOf(slots, j, decision))
  v = i32x4.replace_lane(v, 1, stretchOf(slots, j + 1, decision))
  if (j + 2 < <usize>contexts) {
    v = i32x4.replace_lane(v, 2, stretchOf(slots, j + 2, decision))
    v = i32x4.replace_lane(v, 3, stretchOf(slots, j + 3, decision))
  } else {
    v = i32x4.replace_lane(v, 2, 0)
    v = i32x4.replace_lane(v, 3, 0)
  }
  return v
}

@inline
function products(w: usize, s: v128): v128 {
  return i32x4.shr_s(i32x4.mul(i32x4.shr_s(v128.load(w), 4), s), 4)
}

@inline
function total(v: v128): i32 {
  return (
    i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + (i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3))
  )
}

@inline
function train(w: usize, error: v128, s: v128): void {
  const step = i32x4.shr_s(i32x4.add(i32x4.mul(error, s), i32x4.splat(2048)), 12)
  const moved = i32x4.add(v128.load(w), step)
  v128.store(w, i32x4.max_s(i32x4.splat(-8388608), i32x4.min_s(i32x4.splat(8388608), moved)))
}

/** One decision under 6 contexts and 2 mixers, or 14 and 3. */
function decide(slots: usize, decision: i32, first: i32, bin: i32, bit: i32): i32 {
  const s0 = four(slots, 0, decision)
  const s1 = four(slots, 4, decision)
  let s2 = i32x4.splat(0)
  let s3 = i32x4.splat(0)
  const bytes = <usize>stride << 2
  const w0 = weights0 + <usize>(decision * 16 + first) * bytes
  const w1 = weights1 + <usize>(decision * 72 + set1) * bytes
  const w2 = weights2 + <usize>(decision * 256 + set2) * bytes
  let d0 = i32x4.add(products(w0, s0), products(w0 + 16, s1))
  let d1 = i32x4.add(products(w1, s0), products(w1 + 16, s1))
  let p2 = 0
  let x: i32
  if (max) {
    s2 = four(slots, 8, decision)
    s3 = four(slots, 12, decision)
    d0 = i32x4.add(d0, i32x4.add(products(w0 + 32, s2), products(w0 + 48, s3)))
    d1 = i32x4.add(d1, i32x4.add(products(w1 + 32, s2), products(w1 + 48, s3)))
    const d2 = i32x4.add(
      i32x4.add(products(w2, s0), products(w2 + 16, s1)),
      i32x4.add(products(w2 + 32, s2), products(w2 + 48, s3)),
    )
    x = clamp(total(d2) >> 12)
    p2 = squash(x)
  } else x = 0
  const x0 = clamp(total(d0) >> 12)
  const x1 = clamp(total(d1) >> 12)
  x += x0 + x1
  x = max ? (x * 21845) >> 16 : x >> 1
  const p = squash(x)
  const at = x + 3072
  const cell = refinedAt + (<usize>((decision * 48 + bin) * 64 + (at >> 7)) << 2)
  const part = at & 127
  const q = (load<i32>(cell) * (128 - part) + load<i32>(cell + 4) * part) >> 13
  bit = code(bit, max32(1, min32(65535, (p + q) >> 1)))

  const near = part < 64 ? cell : cell + 4
  store<i32>(near, load<i32>(near) + (((bit ? 4194303 : 0) - load<i32>(near)) >> 7))
  const e0 = i32x4.splat((bit << 16) - squash(x0))
  const e1 = i32x4.splat((bit << 16) - squash(x1))
  train(w0, e0, s0)
  train(w0 + 16, e0, s1)
  train(w1, e1, s0)
  train(w1 + 16, e1, s1)
  if (max) {
    const e2 = i32x4.splat((bit << 16) - p2)
    train(w0 + 32, e0, s2)
    train(w0 + 48, e0, s3)
    train(w1 + 32, e1, s2)
    train(w1 + 48, e1, s3)
    train(w2, e2, s0)
    train(w2 + 16, e2, s1)
    train(w2 + 32, e2, s2)
    train(w2 + 48, e2, s3)
  }
  adapt(probabilityAt + (<usize>(load<i32>(slots) + decision) << 2), bit, 1000)
  const n = <usize>contexts
  for (let j: usize = 1; j < n; j++) {
    adapt(probabilityAt + (j << 18) + (<usize>(load<i32>(slots + (j << 2)) + decision) << 2), bit, 255)
  }
  return bit
}

@inline
function magnitude(v: i32): i32 {
  const a: u32 = v < 0 ? -v : v
  return a < 255 ? <i32>a : 255
}

@inline
function sign3(v: i32): i32 {
  return v == 0 ? 0 : v < 0 ? 1 : 2
}

@inline
function size5(v: i32): i32 {
  const a: u32 = v < 0 ? -v : v
  return a < 3 ? <i32>a : a < 6 ? 3 : 4
}

@inline
function binOf(table: usize, x: i32): i32 {
  const e = 31 - clz(x)
  return <i32>load<u8>(table + (<usize>(e << 4) | ((<u32>x >>> (e - 4)) & 15)))
}

@inline
function fineBin(x: i32): i32 {
  return binOf(fineAt, (x + 8) | 16)
}

@inline
function coarseBin(x: i32): i32 {
  return binOf(coarseAt, (x + 33) | 16)
}

@inline
function setSlot(slots: usize, j: usize, context: i32): void {
  store<i32>(slots + (j << 2), context * decisions)
}

function codeEscape(a: u32): u32 {
  const rest = a - unaryBins + 1
  const length = 31 - <i32>clz(rest)
  let n = 0
  while (n < 31 && codeOne(escapeAt + (<usize>n << 2), n < length ? 1 : 0, 60)) n++
  let bits: u32 = 0
  for (let i = n - 1; i >= 0; i--) bits = (bits << 1) | code((rest >>> i) & 1, 32768)
  return ((1 << n) | bits) + unaryBins - 1
}

function codeMixed(v: i32, bin: i32): i32 {
  const a: u32 = v < 0 ? -v : v
  if (!decide(slotsAt, 0, set0, bin, a != 0 ? 1 : 0)) return 0
  const negative = decide(signSlotsAt, 1, 0, 0, v < 0 ? 1 : 0)
  let m: u32 = 1
  while (m < <u32>unaryBins && decide(slotsAt, m + 1, set0, bin, a > m ? 1 : 0)) m++
  if (m == unaryBins) m = codeEscape(a)
  return negative ? -m : m
}

@inline
function codeFast(v: i32, slot: i32, signSlot: i32): i32 {
  const a: u32 = v < 0 ? -v : v
  const at = probabilityAt + (<usize>slot << 2)
  if (!codeOne(at, a != 0 ? 1 : 0, 500)) return 0
  const negative = codeOne(probabilityAt + (<usize>(signSlot + 1) << 2), v < 0 ? 1 : 0, 500)
  let m: u32 = 1
  while (m < <u32>unaryBins && codeOne(at + (<usize>(m + 1) << 2), a > m ? 1 : 0, 500)) m++
  if (m == unaryBins) m = codeEscape(a)
  return negative ? -m : m
}

/** One step of normalised least mean squares, for 4 weights. */
@inline
function learn4(at: usize, f: v128, step: v128, top: i32, up: i32, down: i32, rate: i32): void {
  const limited = i32x4.max_s(i32x4.splat(-top), i32x4.min_s(i32x4.splat(top), f))
  const g = i32x4.shr_s(i32x4.shl(i32x4.shr_s(limited, up), down), 2)
  const moved = i32x4.add(
    v128.load(at),
    i32x4.shr_s(i32x4.add(i32x4.mul(step, g), i32x4.splat(1 << (rate - 1))), rate),
  )
  v128.store(at, i32x4.max_s(i32x4.splat(-65536), i32x4.min_s(i32x4.splat(131072), moved)))
}

@inline
function stepOf(error: i32, scale: i32, clip: i32): v128 {
  const e = 31 - <i32>clz(scale)
  const limit = scale << clip
  return i32x4.splat((max32(-limit, min32(limit, error)) >> max32(0, e - 10)) << max32(0, 10 - e))
}

@inline
function quad(a: i32, b: i32, c: i32, d: i32): v128 {
  return i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(a), 1, b), 2, c), 3, d)
}

/** Codes a tensor of values at `values`; `taps` and `columns` are scratch. Returns 0, or 1 where the input ends too soon. */
export function codeTensor(
  values: usize,
  tapsAt: usize,
  columnsAt: usize,
  rows: i32,
  columns: i32,
  taps: i32,
  width: i32,
): i32 {
  const rowLength = columns * taps
  const tensor = tensors++ & 255
  const kernel = taps > 1
  const learnt = learntAt + (kernel ? 48 : 0)
  const learntSigned = learntSignedAt + (kernel ? 32 : 0)
  memory.fill(tapsAt, 255, <usize>rowLength << 2)
  memory.fill(columnsAt, 255, <usize>columns << 2)
  const fixedLow = i32x4(5079, 983, 655, 368)
  const fixedHigh = i32x4(368, 245, 245, 245)
  const rowBytes = <usize>rowLength << 2
  const tapBytes = <usize>taps << 2
  const widthBytes = <usize>width << 2
  let meanSum: f64 = 11468
  let meanCount: f64 = 1.5
  let previousRow = -1
  let at = values
  for (let row = 0; row < rows; row++) {
    if (decoding && inputAt > inputEnd + 12) return 1
    const mean = max32(64, <i32>(meanSum / meanCount))
    const bits = 32 - <i32>clz(mean)
    const up = max32(0, bits - 10)
    const down = max32(0, 10 - bits)
    const cap = min32(mean << 6, 255 << 14)
    const inverse = (1 << 22) / ((mean >> up) << down)
    const prior = previousRow >= 0 ? (previousRow + mean) >> 1 : mean
    let rowMean = prior
    let rowSum = 0
    let recent = prior
    let i = 0
    let k = 0
    for (let p = 0; p < rowLength; p++, at += 4) {
      const left = p > 0 ? load<i32>(at - 4) : 0
      const left2 = p > 1 ? load<i32>(at - 8) : 0
      const up1 = row > 0 ? load<i32>(at - rowBytes) : 0
      const up2 = row > 1 ? load<i32>(at - 2 * rowBytes) : 0
      const channel = i > 0 ? load<i32>(at - tapBytes) : 0
      const above = kernel && k >= width ? load<i32>(at - widthBytes) : 0
      const tapAt = tapsAt + (<usize>p << 2)
      const columnAt = columnsAt + (<usize>i << 2)
      const storedTap = load<i32>(tapAt)
      const storedColumn = load<i32>(columnAt)
      const tap = storedTap < 0 ? mean : storedTap
      const column = storedColumn < 0 ? mean : storedColumn

      const ratio = (((min32((tap + column) >> 1, cap) >> up) << down) * inverse) >> 12
      const rowPart = (min32(rowMean, cap) >> up) << down
      const main = min32(65535, (rowPart * (ratio >> 2)) >> 8)
      const mL = magnitude(left)
      const mU = magnitude(up1)
      const capped = i32x4.splat(cap)
      let f0 = quad(0, recent, tap, mL << 14)
      let f1 = quad(mU << 14, magnitude(left2) << 14, magnitude(up2) << 14, kernel ? magnitude(channel) << 14 : rowMean)
      f0 = i32x4.shl(i32x4.shr_s(i32x4.min_s(f0, capped), up), down)
      f0 = i32x4.replace_lane(f0, 0, main)
      f1 = i32x4.shl(i32x4.shr_s(i32x4.min_s(f1, capped), up), down)
      const fixed = total(i32x4.add(i32x4.mul(f0, fixedLow), i32x4.mul(f1, fixedHigh)))
      const expected = max32(1, fixed >> 13)
      const bin = fineBin((expected >> down) << up)

      const v = load<i32>(at)
      let result: i32
      if (fast) {
        const signSlot = kernel
          ? 81 + sign3(above) * 9 + sign3(channel) * 3 + sign3(up1)
          : sign3(left) * 9 + sign3(left2) * 3 + sign3(up1)
        result = codeFast(v, bin * decisions, signSlot * decisions)
      } else {
        const coarse = bin >> 1
        const f8 = (mean >> up) << down
        const g = i32x4.add(
          i32x4.mul(f0, i32x4.shr_s(v128.load(learnt), 3)),
          i32x4.mul(f1, i32x4.shr_s(v128.load(learnt + 16), 3)),
        )
        let guess = total(g) + f8 * (load<i32>(learnt + 32) >> 3)
        guess = max32(1, min32(65535, guess >> 13))
        const r0 = i32x4.extract_lane(f0, 3)
        const r1 = i32x4.extract_lane(f1, 1)
        const r2 = i32x4.extract_lane(f1, 0)
        const r3 = i32x4.extract_lane(f1, 2)
        const r4 = kernel ? i32x4.extract_lane(f1, 3) : 0
        const r5 = (min32(magnitude(above) << 14, cap) >> up) << down
        const s0 = quad(
          left < 0 ? -r0 : r0,
          left2 < 0 ? -r1 : r1,
          up1 < 0 ? -r2 : r2,
          up2 < 0 ? -r3 : r3,
        )
        const s1 = quad(channel < 0 ? -r4 : r4, above < 0 ? -r5 : r5, 0, 0)
        let predicted = total(
          i32x4.add(
            i32x4.mul(s0, i32x4.shr_s(v128.load(learntSigned), 3)),
            i32x4.mul(s1, i32x4.shr_s(v128.load(learntSigned + 16), 3)),
          ),
        )
        predicted = max32(-65535, min32(65535, predicted >> 13))
        const guessBin = fineBin((guess >> down) << up)
        const x = (predicted < 0 ? -predicted : predicted) << 4
        let lean = 0
        for (let edge = expected; lean < 6 && x >= edge; edge += 2 * expected) lean++
        const side = predicted < 0 ? 6 - lean : 6 + lean
        const kk = min32(k, 24)
        const sL = sign3(left)
        const sU = sign3(up1)
        const sA = sign3(above)
        const sC = sign3(channel)
        setSlot(slotsAt, 0, bin)
        setSlot(slotsAt, 1, size5(left) * 5 + size5(up1) + 25 * coarse)
        setSlot(
          slotsAt,
          2,
          kernel
            ? (kk * 5 + size5(above)) * 16 + min32(15, bin >> 1)
            : 2000 + (size5(left2) * 5 + size5(up2)) * 24 + coarse,
        )
        setSlot(slotsAt, 3, coarseBin(rowMean) * 28 + coarseBin(column))
        setSlot(slotsAt, 4, guessBin)
        setSlot(slotsAt, 5, lean * 48 + bin)
        set0 = min32(15, bin / 3)
        set1 = kernel ? 1 + kk : 26 + min32(guessBin, 40)
        setSlot(
          signSlotsAt,
          0,
          kernel
            ? 81 + (k % width ? sL : 0) * 27 + sA * 9 + sC * 3 + sU
            : sL * 9 + sign3(left2) * 3 + sU,
        )
        setSlot(signSlotsAt, 1, sU * 9 + sign3(up2) * 3 + sL)
        setSlot(signSlotsAt, 2, kk * 3 + sA)
        setSlot(signSlotsAt, 3, sA * 5 + size5(above) + 15 * coarse)
        setSlot(signSlotsAt, 4, side)
        setSlot(signSlotsAt, 5, sU * 5 + size5(up1) + 15 * coarse)
        if (max) {
          setSlot(slotsAt, 6, tensor * 6 + min32(5, bin / 6))
          setSlot(slotsAt, 7, coarseBin(recent) * 28 + coarseBin(tap))
          setSlot(slotsAt, 8, coarseBin((main >> down) << up) * 28 + coarseBin((mL + mU) << 13))
          setSlot(slotsAt, 9, ((size5(left) * 5 + size5(left2)) * 5 + size5(up1)) * 12 + (coarse >> 1))
          setSlot(slotsAt, 10, kernel ? kk * 48 + bin : 1200 + min32(i, 2047))
          setSlot(slotsAt, 11, coarseBin(tap) * 28 + coarseBin(column))
          setSlot(slotsAt, 12, guessBin * 28 + coarseBin(recent))
          setSlot(slotsAt, 13, (tensor * 48 + bin) % maxContext)
          set2 = tensor
          setSlot(signSlotsAt, 6, tensor * 6)
          setSlot(signSlotsAt, 7, sC * 5 + size5(channel) + 15 * coarse)
          setSlot(signSlotsAt, 8, (tensor & 127) * 13 + side)
          setSlot(signSlotsAt, 9, (sL * 9 + sU * 3 + sC) * 13 + side)
          setSlot(signSlotsAt, 10, kk * 13 + side)
          setSlot(signSlotsAt, 11, sL * 27 + sign3(left2) * 9 + sU * 3 + sign3(up2))
          setSlot(signSlotsAt, 12, side * 48 + bin)
          setSlot(signSlotsAt, 13, sL * 5 + size5(left) + 15 * coarse)
        }
        result = codeMixed(v, bin)
        const scaled = (min32(magnitude(result) << 14, cap) >> up) << down
        let e = 31 - <i32>clz(guess)
        let eUp = max32(0, e - 10)
        let eDown = max32(0, 10 - e)
        let step = stepOf(scaled - guess, guess, 1)
        learn4(learnt, f0, step, guess << 2, eUp, eDown, 12)
        learn4(learnt + 16, f1, step, guess << 2, eUp, eDown, 12)
        const f8n = (min32(guess << 2, f8) >> eUp) << eDown
        const moved = load<i32>(learnt + 32) + ((i32x4.extract_lane(step, 0) * (f8n >> 2) + 2048) >> 12)
        store<i32>(learnt + 32, max32(-65536, min32(131072, moved)))
        e = 31 - <i32>clz(expected)
        eUp = max32(0, e - 10)
        eDown = max32(0, 10 - e)
        step = stepOf((result < 0 ? -scaled : scaled) - predicted, expected, 2)
        learn4(learntSigned, s0, step, expected << 2, eUp, eDown, 14)
        learn4(learntSigned + 16, s1, step, expected << 2, eUp, eDown, 14)
      }
      if (decoding) store<i32>(at, result)

      const a = magnitude(result)
      const a14 = a << 14
      rowSum += a
      rowMean = <i32>((<f64>rowSum * 16384 + <f64>(prior * 6)) / <f64>(p + 7))
      recent += ((a14 - recent) * 3) >> 5
      store<i32>(tapAt, storedTap < 0 ? (3 * mean + (a << 15)) / 5 : storedTap + (((a14 - storedTap) * 13) >> 7))
      store<i32>(
        columnAt,
        storedColumn < 0 ? (10 * mean + 3 * a14) / 13 : storedColumn + (((a14 - storedColumn) * (kernel ? 4 : 10)) >> 7),
      )
      meanSum += <f64>a14
      meanCount += 1
      if (meanCount > 3000) {
        meanSum /= 2
        meanCount /= 2
      }
      if (++k == taps) {
        k = 0
        i++
      }
    }
    previousRow = rowMean
  }
  return 0
}
