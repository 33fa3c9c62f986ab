/**
 * The rest of the second decoder: integer streams and the tensors made of them, written after "Integer streams" and "Tensor
 * codings" of docs/format.md alone, in its order and with its names. It imports nothing from src.
 */
import { decodeBytes } from './spec-bytes.ts'
import { RangeDecoder, reciprocal, squash, stretch } from './spec-coder.ts'
import { readBySpec, type SpecFile, type SpecTensor } from './spec-decoder.ts'

// ---- what the page names

const clamp = (x: number, low: number, high: number): number => Math.min(high, Math.max(low, x))
const mag = (v: number): number => Math.min(255, Math.abs(v))
const sign3 = (v: number): number => (v === 0 ? 0 : v < 0 ? 1 : 2)
const size5 = (v: number): number => {
  const m = mag(v)
  return m <= 2 ? m : m <= 5 ? 3 : 4
}
const bin28 = (x: number): number => clamp(((x - 2048) * 3) >> 8, 0, 27)
const approach = (x: number, a: number, r: number): number => Math.max(0, x + (Math.imul(((a << 14) - x) >> 5, r) >> 9))

const logOfMantissa = (() => {
  const table = new Int32Array(256)
  for (let n = 0, power = 1; power < 2; n++, power *= 1.0027112750502025)
    for (let i = 0; i < 256; i++) if (power <= 1 + i / 256) table[i] = n
  return table
})()
const log = (x: number): number => {
  if (x === 0) return -256
  const e = 31 - Math.clz32(x)
  return 256 * e + logOfMantissa[(e >= 8 ? x >>> (e - 8) : x << (8 - e)) & 255]
}

const Z: number[] = []
for (let m = 2 ** -14; Z.length < 352; m *= 1.0442737824274138) Z.push(Math.floor(65536 / (1 + m)))

/** Adaptive probabilities with the limit 255. */
class Probabilities {
  readonly p: Int32Array
  private readonly n: Uint8Array
  constructor(size: number, count = 0) {
    this.p = new Int32Array(size).fill(2 ** 21)
    this.n = new Uint8Array(size).fill(count)
  }
  adapt(slot: number, bit: number): void {
    const [p, n] = [this.p[slot], this.n[slot]]
    this.p[slot] = p + (Math.imul(((bit ? 4194303 : 0) - p) >> 5, reciprocal[n]) >> 9)
    if (n < 255) this.n[slot]++
  }
}

// ---- integer streams

/** What is known of a value before it is decoded. */
interface Place {
  readonly kernel: boolean
  readonly k: number
  readonly width: number
  /** Of the column. */
  readonly i: number
  readonly left: number
  readonly left2: number
  readonly up: number
  readonly up2: number
  readonly channel: number
  readonly above: number
  readonly others: number
  readonly r: number
  readonly t: number
  readonly c: number
  readonly n: number
  readonly bin: number
}

/** How fast signed means move. */
function rateOf(n: number, floor: number): number {
  return Math.max(floor, reciprocal[Math.min(n + 4, 1023)])
}

function move(means: Int32Array, at: number, v: number, rate: number): void {
  means[at] += (((v * 2 ** 14 - means[at]) >> 5) * rate) >> 9
}

/** What max keeps of a tensor. */
class MaxState {
  private readonly kernel: boolean
  private readonly columns: number
  private readonly taps: number
  private readonly place: Int32Array
  private inKernel = 0
  private readonly signedRow = new Int32Array(1)
  private readonly signedColumn: Int32Array
  private readonly signedPlace: Int32Array
  private readonly signedHere: Int32Array

  constructor(columns: number, taps: number) {
    this.kernel = taps > 1
    this.columns = columns
    this.taps = taps
    this.place = new Int32Array(taps).fill(11468)
    this.signedColumn = new Int32Array(columns)
    this.signedPlace = new Int32Array(taps)
    this.signedHere = new Int32Array(taps)
  }

  startRow(): void {
    this.signedRow[0] = 0
    this.signedHere.fill(0)
  }

  /** The ninth and tenth of f. */
  features(k: number, recent: number, base: number): number[] {
    if (k === 0) this.inKernel = recent
    const logs = [this.place[k], this.inKernel].map((x) => clamp(log(x + 64) - base, -1536, 1536))
    return this.kernel ? logs : [0, 0]
  }

  signedMeans(p: number): number[] {
    const { taps, signedRow, signedColumn, signedPlace, signedHere } = this
    const [i, k] = [Math.floor(p / taps), p % taps]
    return [signedRow[0], signedColumn[i], signedPlace[k], signedHere[k]]
  }

  learn(row: number, p: number, value: number): void {
    const { columns, taps } = this
    const [i, k] = [Math.floor(p / taps), p % taps]
    const a = mag(value)
    const v = a * Math.sign(value)
    move(this.signedRow, 0, v, rateOf(p, 0))
    move(this.signedColumn, i, v, rateOf(row * taps + k, 492))
    move(this.signedPlace, k, v, rateOf(row * columns + i, 164))
    move(this.signedHere, k, v, rateOf(i, 492))
    this.place[k] = approach(this.place[k], a, reciprocal[Math.min(row * columns + i, 1023)])
    this.inKernel = approach(this.inKernel, a, reciprocal[Math.min(k + 1, 1023)])
  }
}

/** Max's last step of a prediction. */
class Refinement {
  private readonly table = new Probabilities(17 * 64 * 33, 6)
  private used = 0
  constructor() {
    const { p } = this.table
    for (let at = 0; at < p.length; at++) p[at] = 64 * squash(128 * ((at % 33) - 16))
  }
  predict(decision: number, selector: number, x: number): number {
    const y = clamp(x, -2047, 2047) + 2048
    const at = (decision * 64 + selector) * 33 + (y >> 7)
    const w = y & 127
    const { p } = this.table
    this.used = w >= 64 ? at + 1 : at
    return ((p[at] >>> 6) * (128 - w) + (p[at + 1] >>> 6) * w) >>> 7
  }
  adapt(bit: number): void {
    this.table.adapt(this.used, bit)
  }
}

interface Share {
  readonly s: number[]
  n: number
}

export class IntegerStream {
  private readonly coder: RangeDecoder
  private readonly mode: number
  private readonly E = [0, 1].map(() => [41943, 22282, 12452, 7209, 6554, 655, 3277, 0, 0, 0])
  private readonly S = [0, 1].map(() => new Array<number>(12).fill(0))
  private number = 0
  private readonly unary = new Probabilities(31)
  // Fast.
  private readonly nonzero = new Probabilities(45 * 9)
  private readonly shares: readonly Share[] = Array.from({ length: 45 }, (_, bin) => firstShare(bin))
  // Default and max.
  private readonly contextCount: number
  private readonly mixerCount: number
  private readonly magnitudeTables: readonly Probabilities[]
  private readonly signTables: readonly Probabilities[]
  private readonly weights: readonly Int32Array[]
  private readonly slots = new Int32Array(12)
  private readonly s = new Int32Array(12)
  private readonly sets = new Int32Array(3)
  private readonly given = new Int32Array(3)
  private readonly refinements: readonly Refinement[]

  /** `mode` is the group's: 0 fast, 1 default, 2 max. */
  constructor(bytes: Uint8Array, mode: number) {
    this.coder = new RangeDecoder(bytes)
    this.mode = mode
    this.contextCount = [0, 4, 12][mode]
    this.mixerCount = [0, 2, 3][mode]
    this.refinements = mode === 2 ? [new Refinement(), new Refinement()] : []
    const { contextCount } = this
    const tables = (): Probabilities[] => Array.from({ length: contextCount }, () => new Probabilities(4096 * 16))
    this.magnitudeTables = tables()
    this.signTables = tables()
    this.weights = Array.from({ length: this.mixerCount }, () =>
      new Int32Array(256 * 17 * contextCount).fill(Math.floor(66000 / contextCount)),
    )
  }

  /** The next tensor's integers. */
  tensor(dims: readonly number[]): Int32Array {
    const product = (list: readonly number[]): number => list.reduce((a, b) => a * b, 1)
    const values = new Int32Array(product(dims))
    if (values.length === 0) return values
    const rows = dims.length > 1 ? dims[0] : 1
    const columns = dims.length > 1 ? dims[1] : values.length
    const taps = product(dims.slice(2))
    const kernel = taps > 1
    const width = kernel ? dims[dims.length - 1] : 1
    const length = columns * taps
    const E = this.E[Number(kernel)]
    const S = this.S[Number(kernel)]

    const tap = new Int32Array(length).fill(11468)
    const column = new Int32Array(columns).fill(11468)
    const signedTap = new Int32Array(this.mode > 0 ? length : 0)
    const signedRecent = new Int32Array(1)
    const more = this.mode === 2 ? new MaxState(columns, taps) : undefined
    let mean = 11468
    let count = 2
    let rowMean = 11468
    for (let row = 0; row < rows; row++) {
      const base = log(mean + 64)
      const least = ((mean * 5) >> 4) + 64
      const rate = Math.max(492, reciprocal[Math.min(row, 1023)])
      rowMean = (rowMean + mean) >> 1
      let recent = rowMean
      more?.startRow()
      for (let p = 0; p < length; p++) {
        const at = row * length + p
        const i = Math.floor(p / taps)
        const k = p % taps

        const left = p >= 1 ? values[at - 1] : 0
        const left2 = p >= 2 ? values[at - 2] : 0
        const up = row >= 1 ? values[at - length] : 0
        const up2 = row >= 2 ? values[at - 2 * length] : 0
        const channel = kernel && p >= taps ? values[at - taps] : 0
        const above = kernel && k >= width ? values[at - width] : 0
        const others = kernel ? mag(channel) + mag(above) : mag(left2) + mag(up2)

        const r = log(rowMean + 64)
        const t = log(tap[p] + 64)
        const c = log(column[i] + 64)
        const n = log(recent + 64)
        const l = log((mag(left) << 14) + least)
        const u = log((mag(up) << 14) + least)
        const f: number[] = []
        let d = 0
        if (this.mode > 0) {
          for (const x of [r, t, c, n, l, u, log((others << 13) + least)]) f.push(clamp(x - base, -1536, 1536))
          f.push(128)
          if (more) f.push(...more.features(k, recent, base))
          for (let j = 0; j < f.length; j++) d += f[j] * E[j]
          d >>= 16
        } else if (kernel) d = (40 * r + 30 * t + 11 * c + 9 * l + 5 * n - 95 * base) >> 6
        else d = (42 * r + 13 * (t + c) + 4 * (l + u) + 10 * n - 86 * base) >> 6
        const expected = clamp(base + d, 1536, 5631)
        const inverse = Z[expected >> 4]
        const bin = Math.max(0, ((expected - 1792) * 3) >> 8)

        let value: number
        if (this.mode === 0) value = this.fast(bin, left, up)
        else {
          const share = (v: number): number => Math.sign(v) * Math.min(4096, (mag(v) * inverse) >> 6)
          const shares = (x: number): number => clamp(((x >> 8) * inverse) >> 12, -1024, 1024) << 2
          const g = [
            ...[left, left2, up, up2, channel, above].map(share),
            ...[signedTap[p], signedRecent[0]].map(shares),
          ]
          let predicted = 0
          for (let j = 0; j < 8; j++) predicted += g[j] * S[j]
          predicted >>= 16
          if (more) {
            g.push(...more.signedMeans(p).map(shares))
            let sum = 0
            for (let j = 8; j < 12; j++) sum += g[j] * S[j]
            predicted += sum >> 16
          }
          const place = { kernel, k, width, i, left, left2, up, up2, channel, above, others, r, t, c, n, bin }
          value = this.mixed(place, predicted)
          const surprise = Math.min(2 ** 18, (mag(value) + 1) * inverse) - 65536
          for (let j = 0; j < f.length; j++)
            E[j] = clamp(E[j] + ((surprise * f[j] + 2 ** 14) >> 15), -(2 ** 17), 2 ** 17)
          const error = share(value) - predicted
          for (let j = 0; j < g.length; j++) S[j] = clamp(S[j] + ((error * g[j] + 2 ** 10) >> 11), -(2 ** 16), 2 ** 16)
          const v = mag(value) * Math.sign(value)
          move(signedTap, p, v, rateOf(row, 492))
          move(signedRecent, 0, v, 1536)
        }
        values[at] = value

        const a = mag(value)
        recent += (((a << 14) - recent) * 3) >> 5
        rowMean = approach(rowMean, a, reciprocal[Math.min(p + 5, 1023)])
        tap[p] = approach(tap[p], a, rate)
        column[i] = approach(column[i], a, rate)
        more?.learn(row, p, value)
      }
      const added = Math.min(length, 3000)
      mean = Math.floor((mean * count + rowMean * added) / (count + added))
      count = Math.min(3000, count + added)
    }
    this.number = (this.number + 1) % 256
    return values
  }

  /** A bit by one adaptive probability. */
  private bit(table: Probabilities, slot: number): number {
    const bit = this.coder.bit(clamp(table.p[slot] >>> 6, 24, 65512))
    table.adapt(slot, bit)
    return bit
  }

  /** Exp-Golomb, from 1. */
  private rest(): number {
    let length = 0
    while (length < 31 && this.bit(this.unary, length)) length++
    let out = 1
    for (; length > 0; length--) out = 2 * out + this.coder.bit(32768)
    return out
  }

  private fast(bin: number, left: number, up: number): number {
    const { coder } = this
    if (!this.bit(this.nonzero, (3 * bin + Math.min(2, mag(left))) * 3 + Math.min(2, mag(up)))) return 0
    const share = this.shares[bin]
    const { s } = share
    const unit = Math.floor(coder.range / 2 ** 15)
    const place = Math.min(32766, Math.floor(coder.code / unit))
    const m = s.findIndex((x) => x <= place)
    const low = unit * s[m]
    const size = unit * s[m - 1] - low
    const half = Math.floor(size / 2)
    coder.code -= low
    const negative = coder.code >= half
    if (negative) coder.code -= half
    coder.range = negative ? size - half : half
    coder.fill()
    const q = Math.floor(32768 / (share.n + 12))
    for (const [j, x] of s.entries()) {
      const target = j < m ? 32767 - 8 * j : 8 * (15 - j)
      s[j] = x + (((target - x) * q + 2 ** 14) >> 15)
    }
    share.n = Math.min(244, share.n + 1)
    const magnitude = m === 15 ? 14 + this.rest() : m
    return (negative ? -magnitude : magnitude) | 0
  }

  private mixed(place: Place, predicted: number): number {
    const { contextCount } = this
    const certainty = Math.min(6, (Math.abs(predicted) + 64) >> 7)
    const side = predicted < 0 ? 6 - certainty : 6 + certainty
    const magnitudes = magnitudeContexts(place, certainty, this.number).slice(0, contextCount)
    if (!this.decide(0, magnitudes, this.magnitudeTables, place, side)) return 0
    const signs = signContexts(place, side, this.number).slice(0, contextCount)
    const negative = this.decide(16, signs, this.signTables, place, side)
    let m = 1
    while (m <= 15 && this.decide(m, magnitudes, this.magnitudeTables, place, side)) m++
    if (m === 16) m = 15 + this.rest()
    return (negative ? -m : m) | 0
  }

  private decide(
    decision: number,
    contexts: readonly number[],
    tables: readonly Probabilities[],
    { bin, kernel, k }: Place,
    side: number,
  ): number {
    const { mixerCount, weights, slots, s, sets, given } = this
    const count = contexts.length
    for (let j = 0; j < count; j++) {
      slots[j] = contexts[j] * 16 + (decision & 15)
      s[j] = stretch[tables[j].p[slots[j]] >>> 10]
    }
    const selectors = [bin >> 2, kernel ? 1 + Math.min(k, 24) : 0, this.number]
    let x = 0
    for (let m = 0; m < mixerCount; m++) {
      sets[m] = (selectors[m] * 17 + decision) * count
      let sum = 0
      for (let j = 0; j < count; j++) sum += (weights[m][sets[m] + j] * s[j]) >> 4
      const own = clamp(sum >> 12, -3071, 3071)
      given[m] = squash(own)
      x += own
    }
    x = mixerCount === 2 ? x >> 1 : (x * 21845) >> 16
    let chance = squash(x)
    if (this.refinements.length > 0) {
      const selectors = [decision === 16 ? side : bin, this.number % 64]
      const refined = this.refinements.map((table, n) => table.predict(decision, selectors[n], x))
      chance = Math.max(1, (2 * chance + refined[0] + refined[1]) >> 2)
    }
    const bit = this.coder.bit(chance)
    for (const table of this.refinements) table.adapt(bit)
    const shift = mixerCount === 3 ? 16 : 15
    for (let m = 0; m < mixerCount; m++) {
      const error = 65536 * bit - given[m]
      for (let j = 0; j < count; j++) {
        const at = sets[m] + j
        weights[m][at] = clamp(weights[m][at] + ((error * s[j] + 2 ** (shift - 1)) >> shift), -(2 ** 17), 2 ** 17)
      }
    }
    for (let j = 0; j < count; j++) tables[j].adapt(slots[j], bit)
    return bit
  }
}

function firstShare(bin: number): Share {
  const e = Math.min(351, (1792 + Math.floor((256 * bin + 128) / 3)) >> 4)
  const s = [32767]
  for (let m = 0; m < 14; m++)
    s.push(clamp(Math.floor((s[m] * (65536 - Z[e])) / 65536), 8 * (14 - m), 32767 - 8 * (m + 1)))
  return { s: [...s, 0], n: 0 }
}

function magnitudeContexts(place: Place, certainty: number, tensor: number): number[] {
  const { kernel, k, i, left, left2, up, up2, channel, above, others, r, t, c, n, bin } = place
  const coarse = bin >> 1
  const tapPlace = Math.min(k, 24)
  const [A, C] = kernel ? [above, channel] : [left2, up2]
  return [
    bin,
    (5 * size5(left) + size5(up)) * 24 + coarse,
    kernel ? (5 * tapPlace + size5(above)) * 24 + coarse : 3000 + (5 * size5(left2) + size5(up2)) * 24 + coarse,
    28 * bin28(r) + bin28(c),
    (5 * size5(A) + size5(C)) * 24 + coarse,
    (25 * size5(left) + 5 * size5(left2) + size5(up)) * 12 + (coarse >> 1),
    48 * certainty + bin,
    28 * bin28(c) + bin28(t),
    48 * bin28(n) + bin,
    kernel ? 48 * tapPlace + bin : 1200 + Math.min(i, 2047),
    28 * bin28(log((3 * mag(left) + 3 * mag(up) + 2 * others) << 10)) + bin28(c),
    48 * (tensor % 64) + bin,
  ]
}

function signContexts(place: Place, side: number, tensor: number): number[] {
  const { kernel, k, width, left, left2, up, up2, channel, above, bin } = place
  const coarse = bin >> 1
  const tapPlace = Math.min(k, 24)
  const signed = (v: number): number => (5 * sign3(v) + size5(v)) * 24 + coarse
  const inRow = k % width === 0 ? 0 : sign3(left)
  return [
    kernel
      ? 81 + 27 * inRow + 9 * sign3(above) + 3 * sign3(channel) + sign3(up)
      : 9 * sign3(left) + 3 * sign3(left2) + sign3(up),
    side,
    13 * tensor + side,
    signed(above),
    9 * sign3(up) + 3 * sign3(up2) + sign3(left),
    signed(up),
    signed(channel),
    3 * tapPlace + sign3(above),
    (9 * sign3(left) + 3 * sign3(up) + sign3(channel)) * 13 + side,
    13 * tapPlace + side,
    48 * side + bin,
    signed(left),
  ]
}

// ---- tensor codings

class RawBits {
  private readonly bytes: Uint8Array
  private at = 0
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
  /** A stream that is preceded by its length. */
  stream(): RangeDecoder {
    return new RangeDecoder(Uint8Array.from({ length: this.bits(32) }, () => this.bits(8)))
  }
  /** At most 52 bits, the highest first. */
  bits(count: number): number {
    let out = 0
    for (; count > 0; count--, this.at++) {
      if (this.at >= 8 * this.bytes.length) throw new Error('raw bits end too soon')
      out = 2 * out + ((this.bytes[this.at >> 3] >> (7 - (this.at & 7))) & 1)
    }
    return out
  }
  end(): void {
    if (Math.ceil(this.at / 8) !== this.bytes.length) throw new Error('raw bits to spare')
  }
}

type Decode = (tensor: SpecTensor, integers: Int32Array, raw: RawBits, view: DataView) => void

const decodeIntegers: Decode = ({ dtype, bits }, integers, _raw, view) => {
  for (const [i, v] of integers.entries()) {
    if (bits === 64) view.setBigInt64(8 * i, BigInt(v), true)
    else if (bits === 32) view.setInt32(4 * i, v, true)
    else if (bits === 16) view.setInt16(2 * i, v, true)
    else if (bits === 8) view.setInt8(i, dtype.startsWith('float8') && v < 0 ? 0x80 | (-v & 127) : v)
    else if (bits < 8) {
      const at = (i * bits) >> 3
      const low = v & (2 ** bits - 1)
      view.setUint8(at, view.getUint8(at) | (low << ((i * bits) & 7)))
    } else throw new Error(`integers of type ${dtype}`)
  }
}

const halfBits = (x: number): number => {
  const [sign, size] = [x < 0 || Object.is(x, -0) ? 0x8000 : 0, Math.abs(Math.fround(x))]
  // Units of the last place: 2^-24 below the normal range. Ties go to the even number of units.
  const exponent = Math.max(-14, Math.min(15, Math.floor(Math.log2(size))))
  const units = size / 2 ** (exponent - 10)
  const down = Math.floor(units)
  const whole = units - down === 0.5 ? down + (down & 1) : Math.round(units)
  return sign | Math.min(0x7c00, whole + (exponent + 14) * 1024)
}

const decodeGrid: Decode = ({ dtype, bits, parameters: [first, run], table }, integers, raw, view) => {
  const flags = first % 32
  const L = Math.floor(first / 32)
  const R = dtype === 'float64' ? (v: number) => v : Math.fround
  const bytes = (table as Uint8Array).slice().buffer
  const numbers = flags & 2 ? new Float64Array(bytes) : new Float32Array(bytes)
  const count = flags & 8 ? numbers.length / 2 : numbers.length
  const corrections = new Map<string, number>()
  for (const [i, integer] of integers.entries()) {
    const which = run === 0 ? 0 : Math.floor(i / run) % count
    const s = numbers[which]
    const z = flags & 8 ? numbers[count + which] : 0
    let x = (integer - z) * s
    if (flags & 4) x = R(integer * s) / (L === 0 ? 1 : L) + z
    else if (L > 0) x = R(integer / L) * s
    const value = x === 0 && flags & 1 && raw.bits(1) === 1 ? -0 : x
    if (bits === 64) view.setFloat64(8 * i, value, true)
    else if (bits === 32) view.setFloat32(4 * i, value, true)
    else if (dtype === 'float16') view.setUint16(2 * i, halfBits(value), true)
    else {
      const word = new Uint32Array(Float32Array.of(value).buffer)[0]
      const [above, rest] = [Math.floor(word / 65536), word % 65536]
      view.setUint16(2 * i, rest > 32768 || (rest === 32768 && above % 2 === 1) ? above + 1 : above, true)
    }
    if (!(flags & 16)) continue
    const key = `${which} ${flags & 8 ? integer : Math.abs(integer)}`
    if (!corrections.has(key)) {
      let zeros = 0
      while (raw.bits(1) === 0) zeros++
      const code = 2 ** zeros + raw.bits(zeros) - 1
      corrections.set(key, code % 2 === 1 ? -(code + 1) / 2 : code / 2)
    }
    const by = corrections.get(key) as number
    if (bits === 64) view.setBigInt64(8 * i, view.getBigInt64(8 * i, true) + BigInt(by), true)
    else if (bits === 32) view.setInt32(4 * i, view.getInt32(4 * i, true) + by, true)
    else view.setInt16(2 * i, view.getInt16(2 * i, true) + by, true)
  }
}

const decodeCodebook: Decode = ({ bits, parameters: [centre], table = new Uint8Array() }, integers, _raw, view) => {
  const width = bits / 8
  for (const [i, integer] of integers.entries()) {
    const from = (integer + centre) * width
    if (!(from >= 0 && from < table.length)) throw new Error('a value that is not there')
    for (let b = 0; b < width; b++) view.setUint8(i * width + b, table[from + b])
  }
}

const mantissas: Readonly<Record<string, number>> = { float16: 10, bfloat16: 7, float32: 23, float64: 52 }

const decodeFloats: Decode = ({ dtype, bits, parameters: [largest, second] }, integers, raw, view) => {
  const width = mantissas[dtype]
  const fields = 2 ** (bits - 1 - width)
  const zeroBits = second < 64 ? second : second - 64
  if (!(largest < fields && zeroBits <= width)) throw new Error('an exponent or zero bits beyond the type')
  for (const [i, integer] of integers.entries()) {
    if (integer === 0) {
      if (second >= 64 && raw.bits(1) === 1) view.setUint8(((i + 1) * bits) / 8 - 1, 0x80)
      continue
    }
    const exponent = largest + 1 - Math.abs(integer)
    if (exponent < 0) throw new Error('an exponent below 0')
    const mantissa = raw.bits(width - zeroBits) * 2 ** zeroBits
    const signAndExponent = (integer < 0 ? fields : 0) + exponent
    if (bits === 64) view.setBigUint64(8 * i, (BigInt(signAndExponent) << 52n) | BigInt(mantissa), true)
    else if (bits === 32) view.setUint32(4 * i, signAndExponent * 2 ** width + mantissa, true)
    else view.setUint16(2 * i, signAndExponent * 2 ** width + mantissa, true)
  }
}

/** Of the codings with integers. */
const decoders: Readonly<Record<string, Decode>> = {
  integers: decodeIntegers,
  grid: decodeGrid,
  codebook: decodeCodebook,
  floats: decodeFloats,
}

function decodeTensor(
  tensor: SpecTensor,
  stream: IntegerStream,
  raw: RawBits,
  earlier: readonly Uint8Array[],
): Uint8Array {
  const data = new Uint8Array(tensor.byteLength)
  if (tensor.coding === 'raw') return data.map(() => raw.bits(8))
  if (tensor.coding === 'bytes') return decodeBytes({ ...tensor, earlier }, raw.stream())
  if (tensor.coding === 'runs') {
    const width = tensor.bits / 8
    const left = runsOf(tensor).reduce((n, run) => n - run.length, tensor.byteLength / width)
    return decodeBytes({ ...tensor, dims: [left], byteLength: left * width }, raw.stream())
  }
  const integers = stream.tensor(tensor.dims)
  const { lowBits, predictor, offset } = tensor.form
  if (lowBits > 0) for (const [i, v] of integers.entries()) integers[i] = (v << lowBits) | raw.bits(lowBits)
  const d = Math.ceil(predictor / 2)
  const before = (i: number): number => integers[i] ?? 0
  for (const [i, v] of integers.entries()) {
    const plane = predictor % 2 === 0
    const expected = predictor === 0 ? 0 : before(i - d) + (plane ? before(i - 1) - before(i - d - 1) : 0)
    integers[i] = v + offset + expected
  }
  if (tensor.coding === 'beside') {
    const half = ['float16', 'bfloat16'].includes(tensor.dtype)
    if (!half && tensor.dtype !== 'float32') throw new Error('differences of a type that has none')
    decodeIntegers({ ...tensor, dtype: half ? 'int16' : 'int32' }, integers, raw, new DataView(data.buffer))
  } else decoders[tensor.coding](tensor, integers, raw, new DataView(data.buffer))
  return data
}

// ---- the file

/** A tensor's data with its dimensions in another order: the number's digits in base 8. */
function reordered({ data, dims, bits }: SpecTensor, number: number): Uint8Array {
  const bytes = data as Uint8Array
  if (number === 0) return bytes
  const order = dims.map((_, i) => Math.floor(number / 8 ** i) % 8)
  const width = bits / 8
  const out: number[] = []
  const walk = (depth: number, from: number): void => {
    if (depth === order.length) out.push(...bytes.subarray(from * width, (from + 1) * width))
    else {
      const axis = order[depth]
      const stride = dims.slice(axis + 1).reduce((a, b) => a * b, 1)
      for (let i = 0; i < dims[axis]; i++) walk(depth + 1, from + i * stride)
    }
  }
  walk(0, 0)
  return Uint8Array.from(out)
}

interface SpecRun {
  /** Elements since the one before. */
  readonly gap: number
  readonly length: number
  readonly kind: number
  readonly distance: number
  readonly from: number
}

function runsOf({ table = new Uint8Array() }: SpecTensor): SpecRun[] {
  const numbers: number[] = []
  let scale = 1
  let value = 0
  for (const byte of table) {
    value += (byte % 128) * scale
    scale *= 128
    if (byte >= 128) continue
    numbers.push(value)
    value = 0
    scale = 1
  }
  const out: SpecRun[] = []
  let last = 0
  for (let i = 0; i < numbers.length; i += 5) {
    const [gap, length, kind, distance, moved] = numbers.slice(i, i + 5)
    const from = last + (moved % 2 === 1 ? -(moved + 1) / 2 : moved / 2)
    out.push({ gap, length, kind, distance, from })
    last = from + length
  }
  return out
}

/** Elements between runs, in `data`, and those of the runs. */
function withRuns(tensor: SpecTensor, before: (distance: number) => SpecTensor): Uint8Array {
  const width = tensor.bits / 8
  const fresh = [...(tensor.data as Uint8Array)]
  const out: number[] = []
  for (const { gap, length, kind, distance, from } of runsOf(tensor)) {
    out.push(...fresh.splice(0, gap * width))
    const source = before(distance).data as Uint8Array
    for (let i = 0; i < length; i++) {
      const place = (kind & 1 ? from + length - 1 - i : from + i) * width
      const element = [...source.subarray(place, place + width)]
      if (kind & 2) element[width - 1] ^= 128
      const folded = kind >> 2
      const top = element[width - 1] * 256 + (element[width - 2] ?? 0)
      if (folded > 0 && top % 32768 > 0) {
        const sum = top + (folded % 2 === 1 ? -(folded + 1) / 2 : folded / 2)
        element.splice(width - 2, 2, sum & 255, (sum >> 8) & 255)
      }
      out.push(...element)
    }
  }
  return Uint8Array.from([...out, ...fresh])
}

/** Elements of two tensors added as whole numbers that wrap. */
function sumOf({ data, bits }: SpecTensor, other: SpecTensor): Uint8Array {
  const Numbers = bits === 32 ? Uint32Array : Uint16Array
  const [a, b] = [data, other.data].map((bytes) => new Numbers((bytes as Uint8Array).slice().buffer))
  return new Uint8Array(a.map((v, i) => v + b[i]).buffer)
}

/** The whole file: tensors with their data, and the ONNX file. */
export function unpackBySpec(bytes: Uint8Array): { readonly tensors: SpecFile['tensors']; readonly onnx: Uint8Array } {
  const file = readBySpec(bytes)
  for (const { mode, tensors, integers, raw } of file.groups) {
    const stream = new IntegerStream(integers, mode)
    const bits = new RawBits(raw)
    const done: Uint8Array[] = []
    for (const tensor of tensors) {
      tensor.data = decodeTensor(tensor, stream, bits, done)
      done.push(tensor.data)
    }
    bits.end()
  }
  for (const [i, tensor] of file.tensors.entries())
    if (tensor.coding === 'copy') tensor.data = reordered(file.tensors[i - tensor.parameters[0]], tensor.parameters[1])
    else if (tensor.coding === 'beside') tensor.data = sumOf(tensor, file.tensors[i - tensor.parameters[0]])
    else if (tensor.coding === 'runs') tensor.data = withRuns(tensor, (distance) => file.tensors[i - distance])
  return { tensors: file.tensors, onnx: file.onnx() }
}
