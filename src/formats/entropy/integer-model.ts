/**
 * The adaptive model of integer weight tensors: context mixing over binary decisions, integers throughout.
 *
 * A weight is coded as: is it 0; its sign; then its magnitude in unary, past `unaryBins` as Exp-Golomb. Each decision is
 * predicted from several contexts (an expected magnitude from running means of the row, of the position in the row and
 * of the input channel, and from neighbours), whose adaptive probabilities are mixed in the logistic domain by weights
 * that learn online. After DeepCABAC (Wiedemann et al. 2020, arXiv:1907.11900) and PAQ (Mahoney 2005).
 * State is kept across the tensors of a stream.
 */
import { reciprocalTable, squashTable, stretchLimit, stretchTable } from './logistic.ts'
import type { BinaryCoder } from './range-coder.ts'

/** Decisions a context tells apart: zero, sign, and the unary steps of the magnitude. */
const decisions = 24
const unaryBins = decisions - 3
const energyBins = 40
const slots = 1 << 15
/** Fixed-point one of the running means; magnitudes are capped at 255 in them. */
const one = 1 << 14

/** `energyTable[16 * exponent + mantissa]`: the bin of a fixed-point expected magnitude. */
const energyTable = makeEnergyTable()

function makeEnergyTable(): Uint8Array {
  // Bins are 2/7 of an octave wide: thresholds 2^(2i/7) by repeated multiplication, which rounds the same everywhere.
  const table = new Uint8Array(32 * 16)
  const ratio = 1.2190136542044754 // 2^(2/7)
  for (let e = 0; e < 32; e++) {
    for (let m = 0; m < 16; m++) {
      const value = (2 ** e * (16 + m)) / 16
      let bin = 0
      for (let edge = one / 128; edge <= value && bin < energyBins - 1; edge *= ratio) bin++
      table[e * 16 + m] = bin
    }
  }
  return table
}

function energyBin(x: number): number {
  const e = 31 - Math.clz32(x | 16)
  return energyTable[(e << 4) | ((x >>> (e - 4)) & 15)]
}

const sign = (v: number): number => (v === 0 ? 0 : v < 0 ? 1 : 2)
const size5 = (v: number): number => {
  const a = v < 0 ? -v : v
  return a < 3 ? a : a < 6 ? 3 : 4
}

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
  if (shape.length === 0) return { rows: 1, columns: 1, taps: 1, width: 1 }
  if (shape.length === 1) return { rows: 1, columns: shape[0], taps: 1, width: 1 }
  const taps = shape.slice(2).reduce((a, b) => a * b, 1)
  return { rows: shape[0], columns: shape[1], taps, width: taps > 1 ? shape[shape.length - 1] : 1 }
}

export type Mode = 'fast' | 'default' | 'max'

export class IntegerModel {
  private readonly contexts: number
  private readonly probability: Int32Array
  private readonly weights: Int32Array
  private readonly escape = new Int32Array(64).fill(1 << 31)
  /** The current slot of each context for decision 0, and the stretched predictions. */
  private readonly slot = new Int32Array(8)
  private readonly signSlot = new Int32Array(8)
  private readonly stretched = new Int32Array(8)
  private tensors = 0
  private meanSum = Math.floor(0.7 * one)
  private meanCount = 1.5
  private previousRow = -1
  private readonly mode: Mode

  constructor(mode: Mode) {
    this.mode = mode
    this.contexts = mode === 'fast' ? 1 : 6
    this.probability = new Int32Array(this.contexts * slots).fill(1 << 31)
    this.weights = new Int32Array(decisions * 16 * this.contexts).fill(
      mode === 'fast' ? 65536 : Math.floor(72000 / this.contexts),
    )
  }

  /** One decision under `count` contexts; `set` picks the mixing weights. */
  private decide(coder: BinaryCoder, slot: Int32Array, decision: number, set: number, bit: number): number {
    const { probability, stretched, weights } = this
    const n = this.contexts
    const base = (decision * 16 + set) * n
    let dot = 0
    for (let j = 0; j < n; j++) {
      const at = (j << 15) + ((slot[j] + decision) & (slots - 1))
      let state = probability[at]
      if (j > 0 && (state & 1023) === 0) probability[at] = state = probability[slot[0] + decision] & ~1023
      const s = stretchTable[state >>> 20]
      stretched[j] = s
      dot += Math.imul(weights[base + j], s) >> 4
    }
    dot >>= 12
    const x = Math.max(-stretchLimit, Math.min(stretchLimit, dot))
    const p = squashTable[x + stretchLimit]
    bit = coder.code(bit, p)
    const error = (bit << 16) - p
    for (let j = 0; j < n; j++) {
      weights[base + j] += (Math.imul(error, stretched[j]) + 0x8000) >> 16
      const at = (j << 15) + ((slot[j] + decision) & (slots - 1))
      update(probability, at, bit, j === 0 ? 1000 : 255)
    }
    return bit
  }

  private decideOne(coder: BinaryCoder, at: number, bit: number, limit: number): number {
    const state = this.probability[at]
    const p = Math.max(24, Math.min(65512, state >>> 16))
    bit = coder.code(bit, p)
    update(this.probability, at, bit, limit)
    return bit
  }

  /** Codes the integers of a tensor: reads `values` when encoding and fills them when decoding. */
  code(coder: BinaryCoder, values: Int32Array, shape: readonly number[]): void {
    if (values.length === 0) return
    const { rows, columns, taps, width } = layoutOf(shape)
    const rowLength = columns * taps
    const fast = this.mode === 'fast'
    const { slot, signSlot } = this
    const tensor = this.tensors++ & 255
    const tapMean = new Int32Array(rowLength).fill(-1)
    const columnMean = new Int32Array(columns).fill(-1)
    for (let o = 0; o < rows; o++) {
      const row = o * rowLength
      const mean = Math.max(64, Math.floor(this.meanSum / this.meanCount))
      const inverse = Math.floor((1 << 24) / mean)
      const prior = this.previousRow >= 0 ? (this.previousRow + mean) >> 1 : mean
      let rowMean = prior
      let rowSum = 0
      let recent = prior
      let i = 0
      let k = 0
      for (let p = 0; p < rowLength; p++) {
        const at = row + p
        const left = p > 0 ? values[at - 1] : 0
        const left2 = p > 1 ? values[at - 2] : 0
        const up = o > 0 ? values[at - rowLength] : 0
        const up2 = o > 1 ? values[at - 2 * rowLength] : 0
        const channel = i > 0 ? values[at - taps] : 0
        const above = taps > 1 && k >= width ? values[at - width] : 0
        const tapRatio = tapMean[p] < 0 ? 1024 : tapMean[p]
        const columnRatio = columnMean[i] < 0 ? 1024 : columnMean[i]
        const ratio = Math.min(16383, (tapRatio + columnRatio) >> 1)
        const main = Math.imul(rowMean >> 6, ratio) >> 4
        const mL = magnitude(left)
        const mU = magnitude(up)
        const mC = taps > 1 ? magnitude(channel) << 14 : rowMean
        const tapScale = Math.imul(Math.min(tapRatio, 16383), mean >> 6) >> 4
        const neighbours = Math.imul(mL + mU, 737) + Math.imul(magnitude(left2) + magnitude(up2), 492)
        const energy =
          (Math.imul(main >> 6, 635) >> 4) +
          (Math.imul(recent >> 6, 123) >> 4) +
          (Math.imul(tapScale >> 6, 82) >> 4) +
          neighbours +
          (Math.imul(mC >> 6, 31) >> 4) +
          8
        const bin = energyBin(energy)
        const coarse = bin >> 1
        const set = fast ? 0 : Math.min(15, Math.floor(bin / 3))
        slot[0] = bin * decisions
        if (!fast) {
          slot[1] = (tensor * 6 + Math.min(5, Math.floor(bin / 6))) * decisions
          slot[2] = (size5(left) * 5 + size5(up) + 25 * coarse) * decisions
          slot[3] =
            (taps > 1
              ? Math.min(k, 24) * 20 + coarse + size5(above) * 512
              : size5(left2) * 20 + coarse + 5 * 512 + size5(up2) * 128) * decisions
          slot[4] = (energyBin(recent) * 40 + energyBin(tapScale)) * decisions
          slot[5] =
            (energyBin(rowMean) * 40 + energyBin(Math.imul(Math.min(columnRatio, 16383), mean >> 6) >> 4)) * decisions
        }
        const value = values[at]
        const a = value < 0 ? -value : value
        let result = 0
        if (
          fast
            ? this.decideOne(coder, slot[0], a !== 0 ? 1 : 0, 500)
            : this.decide(coder, slot, 0, set, a !== 0 ? 1 : 0)
        ) {
          if (fast) {
            signSlot[0] =
              (taps > 1 ? 27 + sign(above) * 9 : 0) * decisions + (sign(channel) * 9 + sign(up) * 3) * decisions
          } else {
            signSlot[0] =
              (taps > 1
                ? 81 + (k % width ? sign(left) : 0) * 27 + sign(above) * 9 + sign(channel) * 3 + sign(up)
                : sign(left) * 9 + sign(left2) * 3 + sign(up)) * decisions
            signSlot[1] = tensor * 6 * decisions
            signSlot[2] = (sign(up) * 9 + sign(up2) * 3 + sign(left)) * decisions
            signSlot[3] = (Math.min(k, 24) * 3 + sign(above)) * decisions
            signSlot[4] = (sign(channel) * 5 + size5(channel) + 15 * coarse) * decisions
            signSlot[5] = (sign(above) * 5 + size5(above) + 15 * coarse) * decisions
          }
          const negative = fast
            ? this.decideOne(coder, signSlot[0] + 1, value < 0 ? 1 : 0, 500)
            : this.decide(coder, signSlot, 1, 0, value < 0 ? 1 : 0)
          let m = 1
          while (m < unaryBins) {
            const more = a > m ? 1 : 0
            if (
              !(fast ? this.decideOne(coder, slot[0] + m + 1, more, 500) : this.decide(coder, slot, m + 1, set, more))
            )
              break
            m++
          }
          if (m === unaryBins) m = this.codeEscape(coder, a)
          result = negative ? -m : m
        }
        values[at] = result
        const A = magnitude(result)
        rowSum += A
        rowMean = Math.floor(((rowSum << 8) + Math.imul(prior >> 6, 6)) / (p + 7)) << 6
        recent += (((A << 14) - recent) * 3) >> 5
        const relative = Math.min(Math.imul(A, inverse), 1 << 20)
        tapMean[p] =
          tapMean[p] < 0 ? Math.floor(((1536 + relative) * 2) / 5) : tapMean[p] + (((relative - tapMean[p]) * 13) >> 7)
        columnMean[i] =
          columnMean[i] < 0
            ? Math.floor((10240 + relative * 3) / 13)
            : columnMean[i] + (((relative - columnMean[i]) * (taps > 1 ? 4 : 10)) >> 7)
        this.meanSum += A << 14
        this.meanCount += 1
        if (this.meanCount > 3000) {
          this.meanSum = Math.floor(this.meanSum / 2)
          this.meanCount /= 2
        }
        if (++k === taps) {
          k = 0
          i++
        }
      }
      this.previousRow = rowMean
    }
  }

  /** A magnitude of at least `unaryBins`, as Exp-Golomb: the number of bits in adaptive unary, then the bits. */
  private codeEscape(coder: BinaryCoder, a: number): number {
    const rest = (a - unaryBins + 1) >>> 0
    const length = 31 - Math.clz32(rest)
    let n = 0
    for (; n < 31; n++) {
      const state = this.escape[n]
      const p = state >>> 16
      const bit = coder.code(n < length ? 1 : 0, Math.max(32, Math.min(65504, p)))
      update(this.escape, n, bit, 60)
      if (!bit) break
    }
    const low = coder.codeRaw(rest, n)
    return ((1 << n) | low) + unaryBins - 1
  }
}

function magnitude(v: number): number {
  return Math.min(v < 0 ? -v : v, 255)
}

/** Moves a probability (22 bits, with a 10-bit count below) towards a bit; the count sets the rate, down to 1 / limit. */
function update(table: Int32Array, at: number, bit: number, limit: number): void {
  const state = table[at]
  const n = state & 1023
  const p = state >>> 10
  const moved = p + (Math.imul(((bit ? 4194303 : 0) - p) >> 5, reciprocalTable[n]) >> 9)
  table[at] = (moved << 10) | (n < limit ? n + 1 : n)
}
