/**
 * The integer coder for WebAssembly (AssemblyScript, `npm run build:wasm`): the same bits as entropy/integer-model.ts and
 * what that uses, which say what each step is for. One instance is one stream. Each loop over weights has all that decoding
 * takes in one place, so that the coder's state stays in registers; that is why the file is long and why the range
 * decoder's steps stand in it several times: a function cannot change a caller's locals.
 */

@external("env", "flush")
declare function flush(at: usize, length: i32): void

const unaryLimit: i32 = 16
const signDecision: i32 = 16
const decisions: i32 = 17
const tableSize: i32 = 4096
const stretchLimit: i32 = 3071
const firstMean: i32 = 11468
const slowest: i32 = 492
const slowestTap: i32 = 164
// Refinements: how many contexts a decision has, how many probabilities per context.
const refinedContexts: i32 = 64
const cells: i32 = 33

// Memory: tables that JavaScript fills, then state.
const squashAt: usize = 1024 // u16[6143]
const stretchAt: usize = squashAt + 12288 // i16[4096]
const reciprocalAt: usize = stretchAt + 8192 // i32[1024]
const log2At: usize = reciprocalAt + 4096 // u8[256]
const zeroAt: usize = log2At + 256 // i32[352]
const escapeAt: usize = zeroAt + 1408 // i32[32]
const learntAt: usize = escapeAt + 128 // i32[2][12]
const learntSignedAt: usize = learntAt + 96 // i32[2][12]
const slotsAt: usize = learntSignedAt + 96 // u32[16]: addresses of the current contexts, of magnitudes
const signSlotsAt: usize = slotsAt + 64 // and of the sign
const stretchedAt: usize = signSlotsAt + 64 // i32[16]
const lanesAt: usize = 28672 // i16[48][16]: the shares of magnitudes, in fast
const lanesCountAt: usize = lanesAt + 1536 // i32[48]
const ratesAt: usize = lanesCountAt + 192 // i16[245]: how fast shares move, by the number of symbols that came before
const outputAt: usize = 32768 // u8[65536]
const outputSize: i32 = 65536
const probabilityAt: usize = outputAt + 65536 // i32[contexts][tableSize][16], i32[contexts][tableSize]
const clamped: usize = 2050 // from a probability of fast to its 16 bits as the range coder takes them, at hand when they are needed

let fast: bool = false
let max: bool = false
let signProbabilityAt: usize = 0
/** Where the slots of magnitudes end: 4 bytes per context. */
let slotsEnd: usize = 0
let weights0: usize = 0
let weights1: usize = 0
let weights2: usize = 0
/** Two refinements: by what is expected of the weight, and by the tensor. */
let refinedAt: usize = 0
const refinedBytes: usize = (decisions * refinedContexts * cells) << 2

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

/** Bytes of memory that a mode needs; values and input may lie from there on. */
export function init(mode: i32, decode: i32): usize {
  fast = mode == 0
  max = mode == 2
  decoding = decode != 0
  const contexts: usize = fast ? 1 : max ? 12 : 4
  slotsEnd = slotsAt + (contexts << 2)
  signProbabilityAt = probabilityAt + contexts * (tableSize << 6)
  weights0 = signProbabilityAt + contexts * (tableSize << 2)
  weights1 = weights0 + decisions * 16 * (<i32>contexts << 2)
  weights2 = weights1 + decisions * 32 * (<i32>contexts << 2)
  if (fast) initShares()
  refinedAt = max ? weights2 + decisions * 256 * (<i32>contexts << 2) : weights2
  const heap = fast ? weights0 : max ? refinedAt + 2 * refinedBytes : weights2
  const missing = <i32>((heap + 0xffff) >> 16) - memory.size()
  if (missing > 0) memory.grow(missing)
  for (let at = probabilityAt; at < weights0; at += 4) store<i32>(at, 0x80000000)
  for (let at = weights0; at < refinedAt && !fast; at += 4) store<i32>(at, 66000 / <i32>contexts)
  for (let at = refinedAt; max && at < heap; ) {
    for (let cell = 0; cell < cells; cell++, at += 4) store<i32>(at, (squash((cell - 16) * 128) << 16) | 6)
  }
  for (let i: usize = 0; i < 32; i++) store<i32>(escapeAt + i * 4, 0x80000000)
  for (let at = learntAt; at < learntSignedAt; at += 48) {
    v128.store(at, i32x4(41943, 22282, 12452, 7209))
    v128.store(at + 16, i32x4(6554, 655, 3277, 0))
  }
  return heap
}

function initShares(): void {
  for (let bin = 0; bin < 48; bin++) {
    const expected = min32(351, (1792 + ((bin << 8) + 128) / 3) >> 4)
    const more = 65536 - load<i32>(zeroAt + (<usize>expected << 2))
    let share = 32767
    for (let j = 0; j < 16; j++) {
      store<i16>(lanesAt + (<usize>(bin * 16 + j) << 1), <i16>share)
      share = j == 14 ? 0 : max32(8 * (14 - j), min32(32767 - 8 * (j + 1), (share * more) >> 16))
    }
  }
  memory.fill(lanesCountAt, 0, 192)
  for (let n = 0; n < 245; n++) store<i16>(ratesAt + (<usize>n << 1), <i16>(32768 / (n + 12)))
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

/** Two bytes, the first one higher; zeros beyond the input. */
@inline
function pair(at: usize): u32 {
  if (at + 1 < inputEnd) return ((<u32>load<u8>(at)) << 8) | <u32>load<u8>(at, 1)
  return at < inputEnd ? (<u32>load<u8>(at)) << 8 : 0
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

/** As in the loop below; for what is rare. */
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
  if (bit) encode(0, bound)
  else encode(bound, range - bound)
  return bit
}

/** Narrows the encoder's range to `size` from `from` on. */
function encode(from: u32, size: u32): void {
  const moved = low + from
  if (moved < low) carry()
  low = moved
  range = size
  while (range < 0x1000000) {
    put(<i32>(low >>> 24))
    low <<= 8
    range <<= 8
  }
}

/** The first multiple of 2^shift that is not below `low`. */
function multiple(shift: u64): u64 {
  return ((<u64>low + ((<u64>1 << shift) - 1)) >> shift) << shift
}

/** Bytes of an encoder that are not flushed yet. */
export function waiting(): i32 {
  return used + pending + (hasCache ? 1 : 0)
}

/** Ends an encoder's stream; JavaScript drops up to 8 trailing zeros. */
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

/** Moves a probability; the new one, of 22 bits. */
@inline
function adapt(at: usize, bit: i32): i32 {
  const state = load<u32>(at)
  const n = <i32>(state & 1023)
  const p = <i32>(state >>> 10)
  const moved = p + ((((bit ? 4194303 : 0) - p) >> 5) * load<i32>(reciprocalAt + (<usize>n << 2)) >> 9)
  store<i32>(at, (moved << 10) | (n < 255 ? n + 1 : n))
  return moved
}

@inline
function codeOne(at: usize, bit: i32): i32 {
  bit = code(bit, max32(24, min32(65512, <i32>(load<u32>(at) >>> 16))))
  adapt(at, bit)
  return bit
}

@inline
function total(v: v128): i32 {
  return (
    i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + (i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3))
  )
}

@inline
function quad(a: i32, b: i32, c: i32, d: i32): v128 {
  return i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(a), 1, b), 2, c), 3, d)
}

@inline
function within(v: v128, limit: i32): v128 {
  return i32x4.max_s(i32x4.splat(-limit), i32x4.min_s(i32x4.splat(limit), v))
}

/** Moves 4 weights at `at` by (step x) / 2^shift. */
@inline
function learn(at: usize, step: v128, x: v128, shift: i32, limit: i32): void {
  const moved = i32x4.shr_s(i32x4.add(i32x4.mul(step, x), i32x4.splat(1 << (shift - 1))), shift)
  v128.store(at, within(i32x4.add(v128.load(at), moved), limit))
}

@inline
function stretchOf(slot: usize, offset: usize): i32 {
  return <i32>load<i16>(stretchAt + (<usize>(load<u32>(<usize>load<u32>(slot) + offset) >>> 20) << 1))
}

@inline
function log2(x: i32): i32 {
  const zeros = <i32>clz(x)
  return ((31 - zeros) << 8) | <i32>load<u8>(log2At - 256 + ((<u32>x << zeros) >>> 23))
}

@inline
function approach(mean: i32, a: i32, rate: i32): i32 {
  return max32(0, mean + (((((a << 14) - mean) >> 5) * rate) >> 9))
}

@inline
function reciprocal(n: i32): i32 {
  return load<i32>(reciprocalAt + (<usize>min32(n, 1023) << 2))
}

@inline
function coarseBin(log: i32): i32 {
  return max32(0, min32(27, ((log - 2048) * 3) >> 8))
}

@inline
function share(v: i32, inverse: i32): i32 {
  const scaled = min32(4096, (magnitude(v) * inverse) >> 6)
  return v < 0 ? -scaled : scaled
}

@inline
function magnitude(v: i32): i32 {
  const a: u32 = v < 0 ? -v : v
  return a < 255 ? <i32>a : 255
}

/** The shares of four values. */
@inline
function sharesOf(v: v128, inverse: i32): v128 {
  const magnitudes = i32x4.min_u(i32x4.abs(v), i32x4.splat(255))
  const scaled = i32x4.shr_s(i32x4.mul(magnitudes, i32x4.splat(inverse)), 6)
  const negative = i32x4.shr_s(v, 31)
  return i32x4.sub(v128.xor(i32x4.min_s(scaled, i32x4.splat(4096)), negative), negative)
}

/** A mean of signed weights, moved towards one by `rate` of 2^14. */
@inline
function approachSigned(at: usize, v: i32, rate: i32): void {
  const mean = load<i32>(at)
  store<i32>(at, mean + (((((v << 14) - mean) >> 5) * rate) >> 9))
}

/** Four such means as shares of the expected magnitude, times 4, within ±4096. */
@inline
function inShares(means: v128, inverse: i32): v128 {
  const shares = i32x4.shr_s(i32x4.mul(i32x4.shr_s(means, 8), i32x4.splat(inverse)), 12)
  return i32x4.shl(within(shares, 1024), 2)
}

/** Between two neighbouring probabilities of a refinement, of 65536. */
@inline
function between(at: usize, part: i32): i32 {
  return (
    (<i32>(load<u32>(at) >>> 16) * (128 - part) + <i32>(load<u32>(at + 4) >>> 16) * part) >>> 7
  )
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

/** Shares above a symbol's move up, the others down; they keep 8 apart. `count` symbols came before. */
@inline
function moveShares(at: usize, n: i32, count: i32): void {
  const r = v128.load16_splat(ratesAt + (<usize>count << 1))
  const k = i16x8.splat(<i16>n)
  for (let h: usize = 0; h < 2; h++) {
    const lanes = h ? i16x8(8, 9, 10, 11, 12, 13, 14, 15) : i16x8(0, 1, 2, 3, 4, 5, 6, 7)
    const high = i16x8.sub(i16x8.splat(32767), i16x8.shl(lanes, 3))
    const low = i16x8.sub(i16x8.splat(120), i16x8.shl(lanes, 3))
    const target = v128.bitselect(high, low, i16x8.lt_s(lanes, k))
    const d = v128.load(at + (h << 4))
    v128.store(at + (h << 4), i16x8.add(d, i16x8.q15mulr_sat_s(i16x8.sub(target, d), r)))
  }
}

@inline
function setContext(j: usize, context: i32): void {
  store<u32>(slotsAt + (j << 2), <u32>(probabilityAt + ((j * tableSize + context) << 6)))
}

@inline
function setSignContext(j: usize, context: i32): void {
  store<u32>(signSlotsAt + (j << 2), <u32>(signProbabilityAt + ((j * tableSize + context) << 2)))
}

function codeEscape(a: u32): u32 {
  const rest = a - unaryLimit + 1
  const length = 31 - <i32>clz(rest)
  let n = 0
  while (n < 31 && codeOne(escapeAt + (<usize>n << 2), n < length ? 1 : 0)) n++
  let bits: u32 = 0
  for (let i = n - 1; i >= 0; i--) bits = (bits << 1) | code((rest >>> i) & 1, 32768)
  return ((1 << n) | bits) + unaryLimit - 1
}

/**
 * Codes a tensor of values at `values`. At `tapsAt` is scratch: 4 bytes for each place in a row and each column, twice, and for
 * each place in the kernel, three times; fast reads 4 bytes behind what it uses. Returns 0, or 1 where the input ends too
 * soon, which is looked at within rows too: one may be of 2^30 weights, in a file of a few bytes.
 */
export function codeTensor(
  values: usize,
  tapsAt: usize,
  rows: i32,
  columns: i32,
  taps: i32,
  width: i32,
): i32 {
  const rowLength = columns * taps
  const tensor = tensors++ & 255
  const kernel = taps > 1
  const learnt = learntAt + (kernel ? 48 : 0)
  const learntSigned = learntSignedAt + (kernel ? 48 : 0)
  const columnsAt = tapsAt + (<usize>rowLength << 2)
  const signedTapsAt = columnsAt + (<usize>columns << 2)
  const signedColumnsAt = signedTapsAt + (<usize>rowLength << 2)
  const signedPlacesAt = signedColumnsAt + (<usize>columns << 2)
  const signedHereAt = signedPlacesAt + (<usize>taps << 2)
  const placesAt = signedHereAt + (<usize>taps << 2)
  if (!fast) memory.fill(signedTapsAt, 0, (max ? signedHereAt : signedColumnsAt) - signedTapsAt)
  if (max) {
    for (let k: usize = 0; k < <usize>taps; k++) store<i32>(placesAt + (k << 2), firstMean)
  }
  let signedRecent = 0
  for (let i: usize = 0; i < <usize>rowLength; i++) store<i32>(tapsAt + (i << 2), firstMean)
  for (let i: usize = 0; i < <usize>columns; i++) store<i32>(columnsAt + (i << 2), firstMean)
  if (fast) return codeFast(values, tapsAt, rows, columns, taps)
  const rowBytes = <usize>rowLength << 2
  const tapBytes = <usize>taps << 2
  const widthBytes = <usize>width << 2
  const contextBytes = slotsEnd - slotsAt
  let mean = firstMean
  let meanCount = 2
  let rowMean = firstMean
  let at = values
  let range_ = range
  let value_ = value
  let input = inputAt
  for (let row = 0; row < rows; row++) {
    const meanLog = log2(mean + 64)
    const floor = ((mean * 5) >> 4) + 64
    const rate = max32(slowest, reciprocal(row))
    rowMean = (rowMean + mean) >> 1
    let recent = rowMean
    let kernelMean = recent
    let signedRow = 0
    if (max) memory.fill(signedHereAt, 0, tapBytes)
    let i = 0
    let k = 0
    let placeInRow = 0
    for (let p = 0; p < rowLength; p++, at += 4) {
      if (decoding && !(p & 0xffff) && input > inputEnd + 12) return 1
      // 1. What is known around this weight: neighbours in the row, the rows above, the channel before, the kernel.
      const left = p > 0 ? load<i32>(at - 4) : 0
      const up = row > 0 ? load<i32>(at - rowBytes) : 0
      const left2 = p > 1 ? load<i32>(at - 8) : 0
      const up2 = row > 1 ? load<i32>(at - 2 * rowBytes) : 0
      const channel = kernel && i > 0 ? load<i32>(at - tapBytes) : 0
      const above = kernel && k >= width ? load<i32>(at - widthBytes) : 0
      const tapAt = tapsAt + (<usize>p << 2)
      const columnAt = columnsAt + (<usize>i << 2)
      const tap = load<i32>(tapAt)
      const column = load<i32>(columnAt)

      // 2. Its expected magnitude: running means and neighbours, as logarithms relative to the tensor's mean, weighted.
      const columnLog = log2(column + 64)
      const rowLog = log2(rowMean + 64)
      const leftLog = log2((magnitude(left) << 14) + floor)
      const upLog = log2((magnitude(up) << 14) + floor)
      const tapLog = log2(tap + 64)
      const others = kernel ? magnitude(channel) + magnitude(above) : magnitude(left2) + magnitude(up2)
      const logs = i32x4.splat(meanLog)
      const f0 = within(i32x4.sub(quad(rowLog, tapLog, columnLog, log2(recent + 64)), logs), 1536)
      const f1 = i32x4.replace_lane(
        within(i32x4.sub(quad(leftLog, upLog, log2((others << 13) + floor), 0), logs), 1536),
        3,
        128,
      )
      let f2 = i32x4.splat(0)
      let products = i32x4.add(i32x4.mul(f0, v128.load(learnt)), i32x4.mul(f1, v128.load(learnt, 16)))
      if (max) {
        if (k == 0) kernelMean = recent
        if (kernel) {
          const place = log2(load<i32>(placesAt + (<usize>k << 2)) + 64)
          f2 = within(i32x4.sub(quad(place, log2(kernelMean + 64), meanLog, meanLog), logs), 1536)
          products = i32x4.add(products, i32x4.mul(f2, v128.load(learnt, 32)))
        }
      }
      const sum = total(products) >> 16
      // The expectation as what contexts are made of: a bin of a third of an octave, and its inverse.
      const expected = max32(1536, min32(5631, meanLog + sum))
      const inverse = load<i32>(zeroAt + (<usize>(expected >> 4) << 2))
      const bin = max32(0, ((expected - 1792) * 3) >> 8)
      const coarse = bin >> 1
      const place = min32(k, 24)

      let s2 = i32x4.splat(0)
      let w2: usize = 0
      setContext(0, bin)
      setSignContext(
        0,
        kernel
          ? 81 + (placeInRow ? sign3(left) : 0) * 27 + sign3(above) * 9 + sign3(channel) * 3 + sign3(up)
          : sign3(left) * 9 + sign3(left2) * 3 + sign3(up),
      )
      // 3. Its expected sign: neighbours and running means, in max more of them, as shares of the expected magnitude, weighted.
      const s0 = sharesOf(quad(left, left2, up, up2), inverse)
      const signedTapAt = signedTapsAt + (<usize>p << 2)
      const means = inShares(quad(0, 0, load<i32>(signedTapAt), signedRecent), inverse)
      const s1 = v128.or(sharesOf(quad(channel, above, 0, 0), inverse), means)
      let predicted =
        total(
          i32x4.add(i32x4.mul(s0, v128.load(learntSigned)), i32x4.mul(s1, v128.load(learntSigned, 16))),
        ) >> 16
      if (max) {
        s2 = inShares(
          quad(
            signedRow,
            load<i32>(signedColumnsAt + (<usize>i << 2)),
            load<i32>(signedPlacesAt + (<usize>k << 2)),
            load<i32>(signedHereAt + (<usize>k << 2)),
          ),
          inverse,
        )
        predicted += total(i32x4.mul(s2, v128.load(learntSigned, 32))) >> 16
      }
      const sure = min32(6, ((predicted < 0 ? -predicted : predicted) + 64) >> 7)
      const side = predicted < 0 ? 6 - sure : 6 + sure
      // 4. Contexts of the decisions: is it 0, how large, which sign; and which sets of mixing weights they use.
      const columnBin = coarseBin(columnLog)
      setContext(1, (size5(left) * 5 + size5(up)) * 24 + coarse)
      setContext(
        2,
        kernel
          ? (place * 5 + size5(above)) * 24 + coarse
          : 3000 + (size5(left2) * 5 + size5(up2)) * 24 + coarse,
      )
      setContext(3, coarseBin(rowLog) * 28 + columnBin)
      setSignContext(1, side)
      setSignContext(2, tensor * 13 + side)
      setSignContext(3, (sign3(above) * 5 + size5(above)) * 24 + coarse)
      if (max) {
        const leftSize = size5(left)
        const upSize = size5(up)
        const tapBin = coarseBin(tapLog)
        const recentBin = coarseBin(log2(recent + 64))
        const near = coarseBin(log2((magnitude(left) * 3 + magnitude(up) * 3 + others * 2) << 10))
        const aboveOr = kernel ? above : left2
        const channelOr = kernel ? channel : up2
        setContext(4, (size5(aboveOr) * 5 + size5(channelOr)) * 24 + coarse)
        setContext(5, ((leftSize * 5 + size5(left2)) * 5 + upSize) * 12 + (coarse >> 1))
        setContext(6, sure * 48 + bin)
        setContext(7, columnBin * 28 + tapBin)
        setContext(8, recentBin * 48 + bin)
        setContext(9, kernel ? place * 48 + bin : 1200 + min32(i, 2047))
        setContext(10, near * 28 + columnBin)
        setContext(11, (tensor & 63) * 48 + bin)
        setSignContext(4, sign3(up) * 9 + sign3(up2) * 3 + sign3(left))
        setSignContext(5, (sign3(up) * 5 + upSize) * 24 + coarse)
        setSignContext(6, (sign3(channel) * 5 + size5(channel)) * 24 + coarse)
        setSignContext(7, place * 3 + sign3(above))
        setSignContext(8, (sign3(left) * 9 + sign3(up) * 3 + sign3(channel)) * 13 + side)
        setSignContext(9, place * 13 + side)
        setSignContext(10, side * 48 + bin)
        setSignContext(11, (sign3(left) * 5 + leftSize) * 24 + coarse)
        w2 = weights2 + <usize>tensor * contextBytes
      }
      const w0 = weights0 + <usize>(bin >> 2) * contextBytes
      const w1 = weights1 + <usize>(kernel ? 1 + place : 0) * contextBytes

      // 5. Code it by decisions: is it 0, the sign (16), then is it beyond 1, 2, ...
      const v = load<i32>(at)
      const a: u32 = v < 0 ? -v : v
      let decision: i32 = 0
      let slots = slotsAt
      let offset: usize = 0
      let negative = false
      let m: u32 = 0
      while (true) {
        let chance: i32
        let x0 = 0
        let x1 = 0
        let x2 = 0
        let refined0: usize = 0
        let refined1: usize = 0
        // Mix: each context's prediction, stretched, in two or three weighted sums; in max, refine what they come to.
        {
          let d0 = i32x4.splat(0)
          let d1 = i32x4.splat(0)
          let d2 = i32x4.splat(0)
          const m0 = w0 + <usize>(decision * 16) * contextBytes
          const m1 = w1 + <usize>(decision * 32) * contextBytes
          const m2 = w2 + <usize>(decision * 256) * contextBytes
          for (let j: usize = 0; j < contextBytes; j += 16) {
            const s = quad(
              stretchOf(slots + j, offset),
              stretchOf(slots + j + 4, offset),
              stretchOf(slots + j + 8, offset),
              stretchOf(slots + j + 12, offset),
            )
            v128.store(stretchedAt + j, s)
            d0 = i32x4.add(d0, i32x4.shr_s(i32x4.mul(v128.load(m0 + j), s), 4))
            d1 = i32x4.add(d1, i32x4.shr_s(i32x4.mul(v128.load(m1 + j), s), 4))
            if (max) d2 = i32x4.add(d2, i32x4.shr_s(i32x4.mul(v128.load(m2 + j), s), 4))
          }
          x0 = clamp(total(d0) >> 12)
          x1 = clamp(total(d1) >> 12)
          if (max) {
            x2 = clamp(total(d2) >> 12)
            const x = ((x0 + x1 + x2) * 21845) >> 16
            const y = max32(-2047, min32(2047, x)) + 2048
            const part = y & 127
            const context = decision * refinedContexts
            const cell = (y >> 7) << 2
            refined0 =
              refinedAt + ((context + (decision == signDecision ? side : bin)) * cells << 2) + cell
            refined1 = refinedAt + refinedBytes + ((context + (tensor & 63)) * cells << 2) + cell
            chance = max32(1, (2 * squash(x) + between(refined0, part) + between(refined1, part)) >> 2)
            refined0 += part >> 6 << 2
            refined1 += part >> 6 << 2
          } else chance = squash((x0 + x1) >> 1)
        }

        // One step of the range coder (range-coder.ts).
        const bound = (range_ >>> 16) * <u32>chance
        let bit: i32
        if (decoding) {
          if (value_ < bound) {
            range_ = bound
            bit = 1
          } else {
            value_ -= bound
            range_ -= bound
            bit = 0
          }
          while (range_ < 0x1000000) {
            value_ = (value_ << 8) | (input < inputEnd ? <u32>load<u8>(input) : 0)
            input++
            range_ <<= 8
          }
        } else {
          bit = <i32>(decision == signDecision ? v < 0 : a > m)
          encode(bit ? 0 : bound, bit ? bound : range_ - bound)
          range_ = range
        }

        // What predicted learns: the weights of each sum by its error, the contexts by the bit.
        {
          const e0 = i32x4.splat((bit << 16) - squash(x0))
          const e1 = i32x4.splat((bit << 16) - squash(x1))
          const e2 = i32x4.splat((bit << 16) - squash(x2))
          const m0 = w0 + <usize>(decision * 16) * contextBytes
          const m1 = w1 + <usize>(decision * 32) * contextBytes
          const m2 = w2 + <usize>(decision * 256) * contextBytes
          for (let j: usize = 0; j < contextBytes; j += 16) {
            const s = v128.load(stretchedAt + j)
            if (max) {
              learn(m0 + j, e0, s, 16, 131072)
              learn(m1 + j, e1, s, 16, 131072)
              learn(m2 + j, e2, s, 16, 131072)
            } else {
              learn(m0 + j, e0, s, 15, 131072)
              learn(m1 + j, e1, s, 15, 131072)
            }
            adapt(<usize>load<u32>(slots + j) + offset, bit)
            adapt(<usize>load<u32>(slots + j + 4) + offset, bit)
            adapt(<usize>load<u32>(slots + j + 8) + offset, bit)
            adapt(<usize>load<u32>(slots + j + 12) + offset, bit)
          }
        }

        if (max) {
          adapt(refined0, bit)
          adapt(refined1, bit)
        }

        // The next decision: the sign after the first 1, then on, until one is 0 or the limit is reached.
        if (decision == signDecision) {
          negative = bit != 0
          slots = slotsAt
          decision = 1
        } else {
          if (!bit) break
          m++
          if (decision == 0) {
            slots = signSlotsAt
            decision = signDecision
            offset = 0
            continue
          }
          if (++decision == unaryLimit) break
        }
        offset = <usize>decision << 2
      }
      // What is larger still follows as an Elias code.
      if (m == unaryLimit) {
        range = range_
        value = value_
        inputAt = input
        m = codeEscape(a)
        range_ = range
        value_ = value
        input = inputAt
      }
      // Signed, as m is not: compared with 0 it would say nothing.
      const result = <i32>(negative ? -m : m)
      if (decoding) store<i32>(at, result)

      // The weights of steps 2 and 3 learn from how far they were off.
      const b = magnitude(result)
      const surprise = i32x4.splat(min32(4 << 16, (b + 1) * inverse) - 65536)
      learn(learnt, surprise, f0, 15, 131072)
      learn(learnt + 16, surprise, f1, 15, 131072)
      const error = i32x4.splat(share(result, inverse) - predicted)
      learn(learntSigned, error, s0, 11, 65536)
      learn(learntSigned + 16, error, s1, 11, 65536)
      // 6. The running means take it in: those of signs,
      const w = negative ? -b : b
      approachSigned(signedTapAt, w, max32(slowest, reciprocal(row + 4)))
      signedRecent += (((w << 14) - signedRecent) >> 5) * 3
      if (max) {
        if (kernel) learn(learnt + 32, surprise, f2, 15, 131072)
        learn(learntSigned + 32, error, s2, 11, 65536)
        signedRow += ((((w << 14) - signedRow) >> 5) * reciprocal(p + 4)) >> 9
        approachSigned(signedColumnsAt + (<usize>i << 2), w, max32(slowest, reciprocal(row * taps + k + 4)))
        approachSigned(signedPlacesAt + (<usize>k << 2), w, max32(slowestTap, reciprocal(row * columns + i + 4)))
        approachSigned(signedHereAt + (<usize>k << 2), w, max32(slowest, reciprocal(i + 4)))
        const placeAt = placesAt + (<usize>k << 2)
        store<i32>(placeAt, approach(load<i32>(placeAt), b, reciprocal(row * columns + i)))
        kernelMean = approach(kernelMean, b, reciprocal(k + 1))
      }
      // and those of magnitudes.
      recent += (((b << 14) - recent) * 3) >> 5
      rowMean = approach(rowMean, b, reciprocal(p + 5))
      store<i32>(tapAt, approach(tap, b, rate))
      store<i32>(columnAt, approach(column, b, rate))
      if (++placeInRow == width) placeInRow = 0
      if (++k == taps) {
        k = 0
        placeInRow = 0
        i++
      }
    }
    // The tensor's mean counts a row by its length, up to 3000 weights.
    const count = min32(rowLength, 3000)
    mean = <i32>((<u64>mean * meanCount + <u64>rowMean * count) / (meanCount + count))
    meanCount = min32(3000, meanCount + count)
  }
  range = range_
  value = value_
  inputAt = input
  return decoding && inputAt > inputEnd + 12 ? 1 : 0
}

/** The same for fast: a loop of its own, so that its state stays in registers. */
function codeFast(values: usize, tapsAt: usize, rows: i32, columns: i32, taps: i32): i32 {
  const rowLength = columns * taps
  const kernel = taps > 1
  const rowBytes = <usize>rowLength << 2
  const columnsAt = tapsAt + rowBytes
  let mean = firstMean
  let meanCount = 2
  let rowMean = firstMean
  let at = values
  let range_ = range
  // The decoder's value is the upper half of its window; `ahead` bits of the lower half are read already.
  let window = <u64>value << 32
  let ahead = 0
  let input = inputAt
  for (let row = 0; row < rows; row++) {
    const meanLog = log2(mean + 64)
    const floor = ((mean * 5) >> 4) + 64
    const rate = max32(slowest, reciprocal(row))
    rowMean = (rowMean + mean) >> 1
    let recent = rowMean
    let columnAt = columnsAt
    let column = load<i32>(columnAt)
    let left = 0
    let k = 0
    for (let p = 0; p < rowLength; p++, at += 4) {
      if (decoding && !(p & 0xffff) && input - <usize>(ahead >>> 3) > inputEnd + 12) return 1
      // 1. Its expected magnitude: running means and neighbours, as logarithms, by fixed weights.
      const up = row > 0 ? load<i32>(at - rowBytes) : 0
      const tapAt = tapsAt + (<usize>p << 2)
      const tap = load<i32>(tapAt)
      const columnLog = log2(column + 64)
      const rowLog = log2(rowMean + 64)
      const leftLog = log2((left << 14) + floor)
      const tapLog = log2(tap + 64)
      const recentLog = log2(recent + 64)
      let sum: i32
      if (kernel) sum = rowLog * 40 + tapLog * 30 + columnLog * 11 + leftLog * 9 + recentLog * 5 - meanLog * 95
      else {
        const upLog = log2((magnitude(up) << 14) + floor)
        sum = rowLog * 42 + (tapLog + columnLog) * 13 + (leftLog + upLog) * 4 + recentLog * 10 - meanLog * 86
      }
      const expected = min32(5631, meanLog + (sum >> 6))
      const bin = max32(0, ((expected - 1792) * 3) >> 8)

      const v = load<i32>(at)
      const a: u32 = v < 0 ? -v : v
      let negative = false
      let m: u32 = 0
      // 2. Is it 0? One adaptive probability, by the expectation and two neighbours.
      const slot = probabilityAt + (<usize>((bin * 3 + min32(2, left)) * 3 + min32(2, magnitude(up))) << 2)
      const bound = (range_ >>> 16) * <u32>load<u16>(slot, clamped)
      let bit: i32
      if (decoding) {
        if (<u32>(window >>> 32) < bound) {
          range_ = bound
          bit = 1
        } else {
          window -= <u64>bound << 32
          range_ -= bound
          bit = 0
        }
      } else {
        bit = <i32>(a != 0)
        encode(bit ? 0 : bound, bit ? bound : range_ - bound)
        range_ = range
      }
      const moved = adapt(slot, bit)
      store<u16>(slot, <u16>max32(24, min32(65512, moved >> 6)), 2050)
      const shift1 = clz(range_) & 24
      range_ <<= shift1
      window <<= shift1
      ahead -= shift1
      if (ahead < 0) {
        window |= <u64>pair(input) << (16 - ahead)
        ahead += 16
        input += 2
      }
      // 3. If not, its magnitude (1 to 14, or 15 for more) in one step, by shares that add up to the range; then the sign,
      // half and half.
      if (bit) {
        const lanes = lanesAt + (<usize>bin << 5)
        const unit = range_ >>> 15
        let n: i32
        if (decoding) {
          // How many shares begin above the decoder's place: all sixteen are compared at once.
          const place = i16x8.splat(<i16>min32(32766, <u32>(window >>> 32) / unit))
          n = popcnt(
            i8x16.bitmask(
              i8x16.narrow_i16x8_s(
                i16x8.gt_s(v128.load(lanes), place),
                i16x8.gt_s(v128.load(lanes, 16), place),
              ),
            ),
          )
        } else n = a < 15 ? <i32>a : 15
        const lowest = unit * load<u16>(lanes + (<usize>n << 1))
        const size = unit * load<u16>(lanes + (<usize>(n - 1) << 1)) - lowest
        const half = size >>> 1
        if (decoding) {
          window -= <u64>lowest << 32
          negative = <u32>(window >>> 32) >= half
          window -= <u64>(negative ? half : 0) << 32
          range_ = negative ? size - half : half
          const shift2 = clz(range_) & 24
          range_ <<= shift2
          window <<= shift2
          ahead -= shift2
          if (ahead < 0) {
            window |= <u64>pair(input) << (16 - ahead)
            ahead += 16
            input += 2
          }
        } else {
          negative = v < 0
          encode(lowest + (negative ? half : 0), negative ? size - half : half)
          range_ = range
        }
        const countAt = lanesCountAt + (<usize>bin << 2)
        const count = load<i32>(countAt)
        moveShares(lanes, n, count)
        store<i32>(countAt, min32(count + 1, 244))
        m = n == 15 ? unaryLimit : n
      }
      // What is larger still follows as an Elias code, which reads on from whole bytes.
      if (m == unaryLimit) {
        range = range_
        value = <u32>(window >>> 32)
        inputAt = input - <usize>(ahead >>> 3)
        m = codeEscape(a + 1) - 1
        range_ = range
        window = <u64>value << 32
        ahead = 0
        input = inputAt
      }
      // Signed, as m is not: compared with 0 it would say nothing.
      const result = <i32>(negative ? -m : m)
      if (decoding) store<i32>(at, result)

      // 4. The running means take it in.
      const b = magnitude(result)
      recent += (((b << 14) - recent) * 3) >> 5
      rowMean = approach(rowMean, b, reciprocal(p + 5))
      store<i32>(tapAt, approach(tap, b, rate))
      column = approach(column, b, rate)
      left = b
      if (++k == taps) {
        k = 0
        store<i32>(columnAt, column)
        columnAt += 4
        column = load<i32>(columnAt)
      }
    }
    const count = min32(rowLength, 3000)
    mean = <i32>((<u64>mean * meanCount + <u64>rowMean * count) / (meanCount + count))
    meanCount = min32(3000, meanCount + count)
  }
  range = range_
  value = <u32>(window >>> 32)
  inputAt = input - <usize>(ahead >>> 3)
  return decoding && inputAt > inputEnd + 12 ? 1 : 0
}
