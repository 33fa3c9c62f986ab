/**
 * The adaptive model of integer weight tensors, in integers throughout; docs/format.md gives it in words and
 * assembly/integers.ts is the same model for WebAssembly, bit for bit.
 *
 * A weight is coded as: is it 0; its sign; its magnitude in unary, from `unaryLimit` on as Exp-Golomb. Its magnitude is
 * expected by a log-linear model, whose features are running means (of the row, the place in the row, the input channel,
 * what came last) and neighbours, and whose weights learn online as if magnitudes were geometrically distributed. Its
 * sign is predicted from neighbours and running means of weights with their signs, by least mean squares. Both make contexts,
 * which are mixed. After DeepCABAC
 * (Wiedemann et al. 2020, arXiv:1907.11900) and PAQ (Mahoney 2005). What is learnt stays from tensor to tensor.
 */
import { DecisionMixer, signDecision, unaryLimit } from './decision-mixer.ts'
import { log2, zeroTable } from './logarithm.ts'
import { adapt, reciprocalTable } from './logistic.ts'
import { MagnitudeShares } from './magnitude-shares.ts'
import type { BinaryCoder } from './range-coder.ts'
import { SignedMeans, signedMeanCounts } from './signed-means.ts'

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

/** What a mean is before anything is known: 0.7. */
const firstMean = 11468
/** Running means of places and columns move by at least this much of 2^14. */
const slowest = 492
/** First weights of the log-linear model, in 2^-16; the order is that of `features`. */
const firstWeights = [41943, 22282, 12452, 7209, 6554, 655, 3277, 0, 0, 0]
const neighbours = 6
/** What the two sums that predict a sign end with: the second is of what max alone has. Each has room in 32 bits. */
const signedInDefault = neighbours + signedMeanCounts.default
const signedInMax = neighbours + signedMeanCounts.max
/** The steps of what learns online are 2^-15 and 2^-11 of an error's product with what it came from. */
const magnitudeSlowness = 15
const signSlowness = 11

export class IntegerModel {
  private readonly mode: Mode
  private readonly mixer: DecisionMixer
  private readonly escape = new Int32Array(32).fill(1 << 31)
  /** Contexts of the current weight, for magnitudes and for the sign. */
  private readonly contexts = new Int32Array(16)
  private readonly signContexts = new Int32Array(16)
  private readonly sets = new Int32Array(5)
  /** Logarithms relative to the mean's; the last two in max. */
  private readonly features: Int32Array
  /** Neighbours relative to the expected magnitude; then signed means. */
  private readonly signed: Int32Array
  /** Learnt weights of both, for tensors without and with taps. */
  private readonly learnt: readonly Int32Array[]
  private readonly learntSigned: readonly Int32Array[]
  private readonly shares = new MagnitudeShares()
  private tensors = 0

  constructor(mode: Mode) {
    this.mode = mode
    const max = mode === 'max'
    this.features = new Int32Array(max ? 10 : 8)
    this.signed = new Int32Array(max ? signedInMax : signedInDefault)
    this.learnt = [0, 1].map(() => Int32Array.from(firstWeights))
    this.learntSigned = [0, 1].map(() => new Int32Array(signedInMax))
    this.mixer = new DecisionMixer(mode === 'fast' ? 1 : mode === 'default' ? 4 : 12, max ? 3 : 2)
  }

  /** Codes the integers of a tensor: reads `values` when encoding and fills them when decoding. */
  code(coder: BinaryCoder, values: Int32Array, layout: Layout): void {
    const { rows, columns, taps, width } = layout
    if (values.length === 0) return
    const rowLength = columns * taps
    const tensor = this.tensors++ & 255
    const kernel = taps > 1 ? 1 : 0
    const { features, signed, contexts, signContexts, sets } = this
    const fast = this.mode === 'fast'
    const max = this.mode === 'max'
    const learnt = this.learnt[kernel]
    const learntSigned = this.learntSigned[kernel]
    const tapMeans = new Int32Array(rowLength).fill(firstMean)
    const columnMeans = new Int32Array(columns).fill(firstMean)
    const placeMeans = new Int32Array(taps).fill(firstMean)
    const signedMeans = fast ? undefined : new SignedMeans(layout, signed.length - neighbours)
    let mean = firstMean
    let meanCount = 2
    let rowMean = firstMean
    for (let row = 0; row < rows; row++) {
      const meanLog = log2(mean + 64)
      const floor = ((mean * 5) >> 4) + 64
      const rate = Math.max(slowest, reciprocalTable[Math.min(row, 1023)])
      rowMean = (rowMean + mean) >> 1
      let recent = rowMean
      let kernelMean = recent
      signedMeans?.startRow()
      let i = 0
      let k = 0
      for (let p = 0; p < rowLength; p++) {
        // Within rows too: one may be of 2^30 weights, in a file of a few bytes.
        if ((p & 0xffff) === 0) checkInput(coder)
        // 1. What is known around this weight: neighbours in the row, the rows above, the channel before, the kernel.
        const at = row * rowLength + p
        const left = p > 0 ? values[at - 1] : 0
        const left2 = p > 1 ? values[at - 2] : 0
        const up = row > 0 ? values[at - rowLength] : 0
        const up2 = row > 1 ? values[at - 2 * rowLength] : 0
        const channel = kernel && i > 0 ? values[at - taps] : 0
        const above = kernel && k >= width ? values[at - width] : 0
        const tap = tapMeans[p]
        const column = columnMeans[i]

        // 2. Its expected magnitude: running means and neighbours, as logarithms relative to the tensor's mean, weighted.
        const rowLog = log2(rowMean + 64)
        const tapLog = log2(tap + 64)
        const columnLog = log2(column + 64)
        const recentLog = log2(recent + 64)
        const leftLog = log2((magnitude(left) << 14) + floor)
        const upLog = log2((magnitude(up) << 14) + floor)
        let sum = 0
        if (fast) {
          sum = kernel
            ? rowLog * 40 + tapLog * 30 + columnLog * 11 + leftLog * 9 + recentLog * 5 - meanLog * 95
            : rowLog * 42 + (tapLog + columnLog) * 13 + (leftLog + upLog) * 4 + recentLog * 10 - meanLog * 86
          sum >>= 6
        } else {
          const others = kernel ? magnitude(channel) + magnitude(above) : magnitude(left2) + magnitude(up2)
          features[0] = relative(rowLog, meanLog)
          features[1] = relative(tapLog, meanLog)
          features[2] = relative(columnLog, meanLog)
          features[3] = relative(recentLog, meanLog)
          features[4] = relative(leftLog, meanLog)
          features[5] = relative(upLog, meanLog)
          features[6] = relative(log2((others << 13) + floor), meanLog)
          features[7] = 128
          if (max) {
            if (k === 0) kernelMean = recent
            features[8] = kernel ? relative(log2(placeMeans[k] + 64), meanLog) : 0
            features[9] = kernel ? relative(log2(kernelMean + 64), meanLog) : 0
          }
          for (let j = 0; j < features.length; j++) sum += Math.imul(features[j], learnt[j])
          sum >>= 16
        }
        // The expectation as what contexts are made of: a bin of a third of an octave, and its inverse.
        const expected = Math.max(1536, Math.min(5631, meanLog + sum))
        const inverse = zeroTable[expected >> 4]
        const bin = Math.max(0, ((expected - 1792) * 3) >> 8)

        let result: number
        if (fast) {
          const zero = (bin * 3 + Math.min(2, magnitude(left))) * 3 + Math.min(2, magnitude(up))
          result = this.codeFast(coder, values[at], zero, bin)
        } else {
          // 3. Its expected sign: neighbours as shares of the expected magnitude, weighted.
          const coarse = bin >> 1
          const place = Math.min(k, 24)
          signed[0] = share(left, inverse)
          signed[1] = share(left2, inverse)
          signed[2] = share(up, inverse)
          signed[3] = share(up2, inverse)
          signed[4] = share(channel, inverse)
          signed[5] = share(above, inverse)
          signedMeans?.write(signed, neighbours, row, i, k, inverse)
          let predicted = dot(signed, learntSigned, 0, signedInDefault) >> 16
          if (max) predicted += dot(signed, learntSigned, signedInDefault, signedInMax) >> 16
          const certainty = Math.min(6, (Math.abs(predicted) + 64) >> 7)
          const side = predicted < 0 ? 6 - certainty : 6 + certainty
          // 4. Contexts of the decisions: is it 0, how large, which sign; and which sets of mixing weights they use.
          const columnBin = coarseBin(columnLog)
          contexts[0] = bin
          contexts[1] = (size5(left) * 5 + size5(up)) * 24 + coarse
          contexts[2] = kernel
            ? (place * 5 + size5(above)) * 24 + coarse
            : 3000 + (size5(left2) * 5 + size5(up2)) * 24 + coarse
          contexts[3] = coarseBin(rowLog) * 28 + columnBin
          signContexts[0] = kernel
            ? 81 + (k % width ? sign3(left) : 0) * 27 + sign3(above) * 9 + sign3(channel) * 3 + sign3(up)
            : sign3(left) * 9 + sign3(left2) * 3 + sign3(up)
          signContexts[1] = side
          signContexts[2] = tensor * 13 + side
          signContexts[3] = (sign3(above) * 5 + size5(above)) * 24 + coarse
          sets[0] = bin >> 2
          sets[1] = kernel ? 1 + place : 0
          if (max) {
            const others = kernel ? magnitude(channel) + magnitude(above) : magnitude(left2) + magnitude(up2)
            const tapBin = coarseBin(tapLog)
            const near = coarseBin(log2((magnitude(left) * 3 + magnitude(up) * 3 + others * 2) << 10))
            const aboveOr = kernel ? above : left2
            const channelOr = kernel ? channel : up2
            contexts[4] = (size5(aboveOr) * 5 + size5(channelOr)) * 24 + coarse
            contexts[5] = ((size5(left) * 5 + size5(left2)) * 5 + size5(up)) * 12 + (coarse >> 1)
            contexts[6] = certainty * 48 + bin
            contexts[7] = columnBin * 28 + tapBin
            contexts[8] = coarseBin(recentLog) * 48 + bin
            contexts[9] = kernel ? place * 48 + bin : 1200 + Math.min(i, 2047)
            contexts[10] = near * 28 + columnBin
            contexts[11] = (tensor & 63) * 48 + bin
            signContexts[4] = sign3(up) * 9 + sign3(up2) * 3 + sign3(left)
            signContexts[5] = (sign3(up) * 5 + size5(up)) * 24 + coarse
            signContexts[6] = (sign3(channel) * 5 + size5(channel)) * 24 + coarse
            signContexts[7] = place * 3 + sign3(above)
            signContexts[8] = (sign3(left) * 9 + sign3(up) * 3 + sign3(channel)) * 13 + side
            signContexts[9] = place * 13 + side
            signContexts[10] = side * 48 + bin
            signContexts[11] = (sign3(left) * 5 + size5(left)) * 24 + coarse
            sets[2] = tensor
            sets[3] = bin
            sets[4] = side
          }
          // 5. Code it; then the weights of steps 2 and 3 learn from how far they were off.
          result = this.codeMixed(coder, values[at])
          const surprise = Math.min(4 << 16, Math.imul(magnitude(result) + 1, inverse)) - 65536
          for (let j = 0; j < features.length; j++) {
            learnt[j] = learn(learnt[j], surprise, features[j], magnitudeSlowness, 131072)
          }
          const error = share(result, inverse) - predicted
          for (let j = 0; j < signed.length; j++) {
            learntSigned[j] = learn(learntSigned[j], error, signed[j], signSlowness, 65536)
          }
        }
        values[at] = result

        // 6. The running means take it in.
        const a = magnitude(result)
        recent += (((a << 14) - recent) * 3) >> 5
        rowMean = approach(rowMean, a, reciprocalTable[Math.min(p + 5, 1023)])
        tapMeans[p] = approach(tap, a, rate)
        columnMeans[i] = approach(column, a, rate)
        signedMeans?.learn(result < 0 ? -a : a)
        if (max) {
          placeMeans[k] = approach(placeMeans[k], a, reciprocalTable[Math.min(row * columns + i, 1023)])
          kernelMean = approach(kernelMean, a, reciprocalTable[Math.min(k + 1, 1023)])
        }
        if (++k === taps) {
          k = 0
          i++
        }
      }
      const count = Math.min(rowLength, 3000)
      mean = Math.floor((mean * meanCount + rowMean * count) / (meanCount + count))
      meanCount = Math.min(3000, meanCount + count)
    }
    checkInput(coder)
  }

  private codeMixed(coder: BinaryCoder, value: number): number {
    const { mixer, contexts, sets } = this
    const a = value < 0 ? -value : value
    if (!mixer.code(coder, contexts, 0, sets, a !== 0 ? 1 : 0)) return 0
    const negative = mixer.code(coder, this.signContexts, signDecision, sets, value < 0 ? 1 : 0)
    let m = 1
    while (m < unaryLimit && mixer.code(coder, contexts, m, sets, a > m ? 1 : 0)) m++
    if (m === unaryLimit) m = this.codeEscape(coder, a)
    return (negative ? -m : m) | 0
  }

  private codeFast(coder: BinaryCoder, value: number, zero: number, bin: number): number {
    const a = value < 0 ? -value : value
    if (!codeOne(coder, this.mixer.probability, zero, a !== 0 ? 1 : 0)) return 0
    const code = this.shares.code(coder, bin, value)
    // The last symbol stands for all magnitudes from 15 on.
    const m = code < 0 ? -code : code
    if (m < 15) return code
    const all = this.codeEscape(coder, a + 1) - 1
    return (code < 0 ? -all : all) | 0
  }

  /** A magnitude of at least `unaryLimit`, as Exp-Golomb: how many bits in adaptive unary, then the bits. */
  private codeEscape(coder: BinaryCoder, a: number): number {
    const rest = (a - unaryLimit + 1) >>> 0
    const length = 31 - Math.clz32(rest)
    let n = 0
    while (n < 31 && codeOne(coder, this.escape, n, n < length ? 1 : 0)) n++
    return (((1 << n) | coder.codeRaw(rest, n)) >>> 0) + unaryLimit - 1
  }
}

function checkInput(coder: BinaryCoder): void {
  if (coder.overrun > 12) throw new Error('integers: the data ends too soon; it is damaged')
}

function codeOne(coder: BinaryCoder, table: Int32Array, at: number, bit: number): number {
  bit = coder.code(bit, Math.max(24, Math.min(65512, table[at] >>> 16)))
  adapt(table, at, bit)
  return bit
}

/** A running mean, moved towards a magnitude by `rate` of 2^14; not below 0, where rounding would take it. */
function approach(mean: number, a: number, rate: number): number {
  return Math.max(0, mean + (Math.imul(((a << 14) - mean) >> 5, rate) >> 9))
}

/** Of the numbers from `from` to `to`. */
function dot(x: Int32Array, w: Int32Array, from: number, to: number): number {
  let sum = 0
  for (let j = from; j < to; j++) sum += Math.imul(x[j], w[j])
  return sum
}

/** A weight of a sum, moved by 2^-slowness of the product of the sum's error and what the weight was of. */
function learn(weight: number, error: number, x: number, slowness: number, limit: number): number {
  const moved = weight + ((Math.imul(error, x) + (1 << (slowness - 1))) >> slowness)
  return Math.max(-limit, Math.min(limit, moved))
}

function relative(log: number, meanLog: number): number {
  return Math.max(-1536, Math.min(1536, log - meanLog))
}

function coarseBin(log: number): number {
  return Math.max(0, Math.min(27, ((log - 2048) * 3) >> 8))
}

/** A value as a share of the expected magnitude (and 1), in 2^-10, within ±4. */
function share(v: number, inverse: number): number {
  const scaled = Math.min(4096, (magnitude(v) * inverse) >> 6)
  return v < 0 ? -scaled : scaled
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
