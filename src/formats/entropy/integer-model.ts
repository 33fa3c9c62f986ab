/**
 * The adaptive model of integer weight tensors, in integers (and exactly rounded divisions) throughout; docs/format.md
 * gives it in words, and wasm/integers.as.ts is the same model for WebAssembly, bit for bit.
 *
 * A weight is coded as: is it 0; its sign; its magnitude in unary, from `unaryBins` on as Exp-Golomb. Contexts are made of
 * an expected magnitude (running means of the row, of the place in the row and of the input channel, and neighbours: once
 * with fixed weights, once with weights learnt by normalised least mean squares) and of a predicted value (neighbours,
 * learnt the same way). After DeepCABAC (Wiedemann et al. 2020, arXiv:1907.11900) and PAQ (Mahoney 2005).
 * What is learnt stays from tensor to tensor.
 */
import { adapt, DecisionMixer, decisions, maxContext } from './decision-mixer.ts'
import { coarseBin, fineBin } from './magnitude-bins.ts'
import type { BinaryCoder } from './range-coder.ts'

export type Mode = 'fast' | 'default' | 'max'

export interface Layout {
  /** Output channels: the first dimension. */
  readonly rows: number
  /** Input channels: the second. */
  readonly columns: number
  /** Positions of the kernel: the product of the others. */
  readonly taps: number
  /** The last dimension of a kernel. */
  readonly width: number
}

export function layoutOf(shape: readonly number[]): Layout {
  if (shape.length < 2) return { rows: 1, columns: shape[0] ?? 1, taps: 1, width: 1 }
  const taps = shape.slice(2).reduce((a, b) => a * b, 1)
  return { rows: shape[0], columns: shape[1], taps, width: taps > 1 ? shape[shape.length - 1] : 1 }
}

/** Magnitudes below this are coded in unary. */
export const unaryBins = decisions - 3
/** One, in the running means. Magnitudes are capped at 255 in them. */
const one = 1 << 14
/** Weights of the features in the expected magnitude, 2^16 is one; the order is that of `features`. */
const fixedWeights = [40632, 7864, 5243, 2949, 2949, 1966, 1966, 1966, 0]

export class IntegerModel {
  private readonly mode: Mode
  private readonly mixer: DecisionMixer
  private readonly escape = new Int32Array(32).fill(1 << 31)
  /** Slots of the current weight's contexts, for magnitudes and for the sign. */
  private readonly slots = new Int32Array(16)
  private readonly signSlots = new Int32Array(16)
  private readonly sets = new Int32Array(3)
  private readonly signSets = new Int32Array(3)
  /** The expected magnitude's features and the predicted value's, relative to the row's scale. */
  private readonly features = new Int32Array(9)
  private readonly signed = new Int32Array(6)
  /** Learnt weights of both, for tensors without and with taps. */
  private readonly learnt = [Int32Array.from(fixedWeights), Int32Array.from(fixedWeights)]
  private readonly learntSigned = [new Int32Array(6), new Int32Array(6)]
  private tensors = 0

  constructor(mode: Mode) {
    this.mode = mode
    this.mixer =
      mode === 'fast'
        ? new DecisionMixer(1, 1)
        : mode === 'default'
          ? new DecisionMixer(6, 2)
          : new DecisionMixer(14, 3)
  }

  /** Codes the integers of a tensor: reads `values` when encoding and fills them when decoding. */
  code(coder: BinaryCoder, values: Int32Array, layout: Layout): void {
    const { rows, columns, taps, width } = layout
    if (values.length === 0) return
    const rowLength = columns * taps
    const tensor = this.tensors++ & 255
    const kernel = taps > 1 ? 1 : 0
    const { features, signed, slots, signSlots, sets, signSets } = this
    const fast = this.mode === 'fast'
    const max = this.mode === 'max'
    const learnt = this.learnt[kernel]
    const learntSigned = this.learntSigned[kernel]
    const tapMean = new Int32Array(rowLength).fill(-1)
    const columnMean = new Int32Array(columns).fill(-1)
    let meanSum = 11468
    let meanCount = 1.5
    let previousRow = -1
    for (let row = 0; row < rows; row++) {
      if (coder.overrun > 12) throw new Error('integers: the data ends too soon; it is damaged')
      const mean = Math.max(64, Math.floor(meanSum / meanCount))
      // Features are held relative to the mean, which gets 10 bits: x / 2^up * 2^down, capped at 64 times the mean.
      const bits = 32 - Math.clz32(mean)
      const up = Math.max(0, bits - 10)
      const down = Math.max(0, 10 - bits)
      const cap = Math.min(mean << 6, 255 * one)
      const inverse = Math.floor((1 << 22) / ((mean >> up) << down))
      const prior = previousRow >= 0 ? (previousRow + mean) >> 1 : mean
      let rowMean = prior
      let rowSum = 0
      let recent = prior
      let i = 0
      let k = 0
      for (let p = 0; p < rowLength; p++) {
        const at = row * rowLength + p
        const left = p > 0 ? values[at - 1] : 0
        const left2 = p > 1 ? values[at - 2] : 0
        const up1 = row > 0 ? values[at - rowLength] : 0
        const up2 = row > 1 ? values[at - 2 * rowLength] : 0
        const channel = i > 0 ? values[at - taps] : 0
        const above = kernel && k >= width ? values[at - width] : 0
        const tap = tapMean[p] < 0 ? mean : tapMean[p]
        const column = columnMean[i] < 0 ? mean : columnMean[i]

        const ratio = Math.imul((Math.min((tap + column) >> 1, cap) >> up) << down, inverse) >> 12
        const rowPart = (Math.min(rowMean, cap) >> up) << down
        features[0] = Math.min(65535, Math.imul(rowPart, ratio >> 2) >> 8)
        features[1] = (Math.min(recent, cap) >> up) << down
        features[2] = (Math.min(tap, cap) >> up) << down
        features[3] = (Math.min(magnitude(left) << 14, cap) >> up) << down
        features[4] = (Math.min(magnitude(up1) << 14, cap) >> up) << down
        features[5] = (Math.min(magnitude(left2) << 14, cap) >> up) << down
        features[6] = (Math.min(magnitude(up2) << 14, cap) >> up) << down
        features[7] = kernel ? (Math.min(magnitude(channel) << 14, cap) >> up) << down : rowPart
        features[8] = (mean >> up) << down
        let fixed = 0
        for (let j = 0; j < 8; j++) fixed += Math.imul(features[j], fixedWeights[j] >> 3)
        const expected = Math.max(1, fixed >> 13)
        const bin = fineBin((expected >> down) << up)
        const coarse = bin >> 1

        const value = values[at]
        let guess = 0
        let predicted = 0
        if (fast) slots[0] = bin * decisions
        else {
          guess = 0
          for (let j = 0; j < 9; j++) guess += Math.imul(features[j], learnt[j] >> 3)
          guess = Math.max(1, Math.min(65535, guess >> 13))
          signed[0] = relative(left, cap, up, down)
          signed[1] = relative(left2, cap, up, down)
          signed[2] = relative(up1, cap, up, down)
          signed[3] = relative(up2, cap, up, down)
          signed[4] = kernel ? relative(channel, cap, up, down) : 0
          signed[5] = relative(above, cap, up, down)
          for (let j = 0; j < 6; j++) predicted += Math.imul(signed[j], learntSigned[j] >> 3)
          predicted = Math.max(-65535, Math.min(65535, predicted >> 13))
          const guessBin = fineBin((guess >> down) << up)
          const lean = leaning(predicted, expected)
          const side = predicted < 0 ? 6 - lean : 6 + lean
          slots[0] = bin * decisions
          slots[1] = (size5(left) * 5 + size5(up1) + 25 * coarse) * decisions
          slots[2] =
            (kernel
              ? (Math.min(k, 24) * 5 + size5(above)) * 16 + Math.min(15, bin >> 1)
              : 2000 + (size5(left2) * 5 + size5(up2)) * 24 + coarse) * decisions
          slots[3] = (coarseBin(rowMean) * 28 + coarseBin(column)) * decisions
          slots[4] = guessBin * decisions
          slots[5] = (lean * 48 + bin) * decisions
          sets[0] = Math.min(15, Math.floor(bin / 3))
          sets[1] = kernel ? 1 + Math.min(k, 24) : 26 + Math.min(guessBin, 40)
          signSlots[0] =
            (kernel
              ? 81 + (k % width ? sign3(left) : 0) * 27 + sign3(above) * 9 + sign3(channel) * 3 + sign3(up1)
              : sign3(left) * 9 + sign3(left2) * 3 + sign3(up1)) * decisions
          signSlots[1] = (sign3(up1) * 9 + sign3(up2) * 3 + sign3(left)) * decisions
          signSlots[2] = (Math.min(k, 24) * 3 + sign3(above)) * decisions
          signSlots[3] = (sign3(above) * 5 + size5(above) + 15 * coarse) * decisions
          signSlots[4] = side * decisions
          signSlots[5] = (sign3(up1) * 5 + size5(up1) + 15 * coarse) * decisions
          signSets[1] = sets[1]
          if (max) {
            slots[6] = (tensor * 6 + Math.min(5, Math.floor(bin / 6))) * decisions
            slots[7] = (coarseBin(recent) * 28 + coarseBin(tap)) * decisions
            slots[8] =
              (coarseBin((features[0] >> down) << up) * 28 + coarseBin((magnitude(left) + magnitude(up1)) << 13)) *
              decisions
            slots[9] = (((size5(left) * 5 + size5(left2)) * 5 + size5(up1)) * 12 + (coarse >> 1)) * decisions
            slots[10] = (kernel ? Math.min(k, 24) * 48 + bin : 1200 + Math.min(i, 2047)) * decisions
            slots[11] = (coarseBin(tap) * 28 + coarseBin(column)) * decisions
            slots[12] = (guessBin * 28 + coarseBin(recent)) * decisions
            slots[13] = ((tensor * 48 + bin) % maxContext) * decisions
            sets[2] = signSets[2] = tensor
            signSlots[6] = tensor * 6 * decisions
            signSlots[7] = (sign3(channel) * 5 + size5(channel) + 15 * coarse) * decisions
            signSlots[8] = ((tensor & 127) * 13 + side) * decisions
            signSlots[9] = ((sign3(left) * 9 + sign3(up1) * 3 + sign3(channel)) * 13 + side) * decisions
            signSlots[10] = (Math.min(k, 24) * 13 + side) * decisions
            signSlots[11] = (sign3(left) * 27 + sign3(left2) * 9 + sign3(up1) * 3 + sign3(up2)) * decisions
            signSlots[12] = (side * 48 + bin) * decisions
            signSlots[13] = (sign3(left) * 5 + size5(left) + 15 * coarse) * decisions
          }
        }
        if (fast) {
          signSlots[0] =
            (kernel
              ? 81 + sign3(above) * 9 + sign3(channel) * 3 + sign3(up1)
              : sign3(left) * 9 + sign3(left2) * 3 + sign3(up1)) * decisions
        }
        const result = fast ? this.codeFast(coder, value) : this.codeMixed(coder, value, bin)
        values[at] = result

        const a = magnitude(result)
        const scaled = (Math.min(a << 14, cap) >> up) << down
        if (!fast) {
          learn(learnt, features, 9, scaled - guess, guess, 1, 12)
          learn(learntSigned, signed, 6, (result < 0 ? -scaled : scaled) - predicted, expected, 2, 14)
        }
        rowSum += a
        rowMean = Math.floor((rowSum * one + prior * 6) / (p + 7))
        recent += (((a << 14) - recent) * 3) >> 5
        tapMean[p] =
          tapMean[p] < 0
            ? Math.floor((3 * mean + (a << 15)) / 5)
            : tapMean[p] + (Math.imul((a << 14) - tapMean[p], 13) >> 7)
        columnMean[i] =
          columnMean[i] < 0
            ? Math.floor((10 * mean + 3 * (a << 14)) / 13)
            : columnMean[i] + (Math.imul((a << 14) - columnMean[i], kernel ? 4 : 10) >> 7)
        meanSum += a << 14
        meanCount++
        if (meanCount > 3000) {
          meanSum /= 2
          meanCount /= 2
        }
        if (++k === taps) {
          k = 0
          i++
        }
      }
      previousRow = rowMean
    }
  }

  private codeMixed(coder: BinaryCoder, value: number, bin: number): number {
    const { mixer, slots, sets } = this
    const a = value < 0 ? -value : value
    if (!mixer.code(coder, slots, 0, sets, bin, a !== 0 ? 1 : 0)) return 0
    const negative = mixer.code(coder, this.signSlots, 1, this.signSets, 0, value < 0 ? 1 : 0)
    let m = 1
    while (m < unaryBins && mixer.code(coder, slots, m + 1, sets, bin, a > m ? 1 : 0)) m++
    if (m === unaryBins) m = this.codeEscape(coder, a)
    return (negative ? -m : m) | 0
  }

  private codeFast(coder: BinaryCoder, value: number): number {
    const table = this.mixer.probability
    const at = this.slots[0]
    const a = value < 0 ? -value : value
    if (!codeOne(coder, table, at, a !== 0 ? 1 : 0, 500)) return 0
    const negative = codeOne(coder, table, this.signSlots[0] + 1, value < 0 ? 1 : 0, 500)
    let m = 1
    while (m < unaryBins && codeOne(coder, table, at + m + 1, a > m ? 1 : 0, 500)) m++
    if (m === unaryBins) m = this.codeEscape(coder, a)
    return (negative ? -m : m) | 0
  }

  /** A magnitude of at least `unaryBins`, as Exp-Golomb: how many bits in adaptive unary, then the bits. */
  private codeEscape(coder: BinaryCoder, a: number): number {
    const rest = (a - unaryBins + 1) >>> 0
    const length = 31 - Math.clz32(rest)
    let n = 0
    while (n < 31 && codeOne(coder, this.escape, n, n < length ? 1 : 0, 60)) n++
    return (((1 << n) | coder.codeRaw(rest, n)) >>> 0) + unaryBins - 1
  }
}

function codeOne(coder: BinaryCoder, table: Int32Array, at: number, bit: number, limit: number): number {
  bit = coder.code(bit, Math.max(24, Math.min(65512, table[at] >>> 16)))
  adapt(table, at, bit, limit)
  return bit
}

/** One step of normalised least mean squares: `error` and features relative to the power of 2 below `scale`. */
function learn(
  weights: Int32Array,
  features: Int32Array,
  count: number,
  error: number,
  scale: number,
  clip: number,
  rate: number,
): void {
  const e = 31 - Math.clz32(scale)
  const up = Math.max(0, e - 10)
  const down = Math.max(0, 10 - e)
  const limit = scale << clip
  const step = (Math.max(-limit, Math.min(limit, error)) >> up) << down
  const top = scale << 2
  const half = 1 << (rate - 1)
  for (let j = 0; j < count; j++) {
    const f = (Math.max(-top, Math.min(top, features[j])) >> up) << down
    const moved = weights[j] + ((Math.imul(step, f >> 2) + half) >> rate)
    weights[j] = Math.max(-65536, Math.min(131072, moved))
  }
}

/** A neighbour's value relative to the row's scale. */
function relative(v: number, cap: number, up: number, down: number): number {
  const a = (Math.min(magnitude(v) << 14, cap) >> up) << down
  return v < 0 ? -a : a
}

/** How far a predicted value leans from 0, in eighths of the expected magnitude: 0..6. */
function leaning(predicted: number, expected: number): number {
  const x = (predicted < 0 ? -predicted : predicted) << 4
  let lean = 0
  for (let edge = expected; lean < 6 && x >= edge; edge += 2 * expected) lean++
  return lean
}

function magnitude(v: number): number {
  return Math.min(v < 0 ? -v : v, 255)
}

function sign3(v: number): number {
  return v === 0 ? 0 : v < 0 ? 1 : 2
}

function size5(v: number): number {
  const a = v < 0 ? -v : v
  return a < 3 ? a : a < 6 ? 3 : 4
}
