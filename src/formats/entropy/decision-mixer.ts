/**
 * Predicts and codes one binary decision under several contexts: each context's adaptive probability, stretched, is
 * weighted by two or three sets of weights that learn online; their mean is refined by an adaptive map (SSE).
 * Mahoney, "Adaptive weighing of context models", 2005; fixed point throughout.
 */
import { reciprocalTable, squashTable, stretchLimit, stretchTable } from './logistic.ts'
import type { BinaryCoder } from './range-coder.ts'

/** Decisions of one symbol: zero, sign, then the unary steps of the magnitude. */
export const decisions = 20
export const slotBits = 16
/** Contexts a table holds: each has a slot for every decision. */
export const maxContext = Math.floor((1 << slotBits) / decisions)
/** How many weight sets the first, second and third mixer choose from, a decision. */
export const mixerSets = [16, 72, 256] as const
const refineSteps = 64

export class DecisionMixer {
  readonly contexts: number
  readonly mixers: number
  /** 22 bits of probability, 10 bits of count; a table of 2^slotBits a context. */
  readonly probability: Int32Array
  /** 2^20 is one. */
  readonly weights: readonly Int32Array[]
  private readonly refined: Int32Array
  private readonly stretched = new Int32Array(16)

  constructor(contexts: number, mixers: number) {
    this.contexts = contexts
    this.mixers = mixers
    this.probability = new Int32Array(contexts << slotBits).fill(1 << 31)
    const first = Math.floor(1150000 / contexts)
    this.weights = mixerSets.slice(0, mixers).map((n) => new Int32Array(decisions * n * contexts).fill(first))
    this.refined = new Int32Array(decisions * 48 * refineSteps)
    for (let i = 0; i < this.refined.length; i++) {
      const x = ((i & 63) - 24) * 128
      this.refined[i] = squashTable[Math.max(-stretchLimit, Math.min(stretchLimit, x)) + stretchLimit] << 6
    }
  }

  /** `slots[j]` is context j times `decisions`; `sets` picks a weight set for each mixer; `bin` (0..47) the map. */
  code(coder: BinaryCoder, slots: Int32Array, decision: number, sets: Int32Array, bin: number, bit: number): number {
    const { probability, stretched, weights, contexts, mixers } = this
    for (let j = 0; j < contexts; j++) {
      const state = probability[(j << slotBits) + slots[j] + decision]
      stretched[j] = state & 1023 ? stretchTable[state >>> 20] : 0
    }
    let sum = 0
    const errors = this.errors
    const bases = this.bases
    for (let m = 0; m < mixers; m++) {
      const w = weights[m]
      const base = (decision * mixerSets[m] + sets[m]) * contexts
      let dot = 0
      for (let j = 0; j < contexts; j++) dot += Math.imul(w[base + j] >> 4, stretched[j]) >> 4
      const x = Math.max(-stretchLimit, Math.min(stretchLimit, dot >> 12))
      errors[m] = squashTable[x + stretchLimit]
      bases[m] = base
      sum += x
    }
    const x = mixers === 2 ? sum >> 1 : Math.imul(sum, 21845) >> 16
    const p = squashTable[x + stretchLimit]
    const refined = this.refined
    const at = x + 3072
    const cell = Math.imul(Math.imul(decision, 48) + bin, refineSteps) + (at >> 7)
    const part = at & 127
    const q = (Math.imul(refined[cell], 128 - part) + Math.imul(refined[cell + 1], part)) >> 13
    bit = coder.code(bit, Math.max(1, Math.min(65535, (p + q) >> 1)))

    const near = part < 64 ? cell : cell + 1
    refined[near] += ((bit ? 4194303 : 0) - refined[near]) >> 7
    for (let m = 0; m < mixers; m++) {
      const w = weights[m]
      const base = bases[m]
      const error = (bit << 16) - errors[m]
      for (let j = 0; j < contexts; j++) {
        const moved = w[base + j] + ((Math.imul(error, stretched[j]) + 2048) >> 12)
        w[base + j] = Math.max(-weightLimit, Math.min(weightLimit, moved))
      }
    }
    for (let j = 0; j < contexts; j++) {
      adapt(probability, (j << slotBits) + slots[j] + decision, bit, j === 0 ? 1000 : 255)
    }
    return bit
  }

  private readonly errors = new Int32Array(3)
  private readonly bases = new Int32Array(3)
}

/** Weights stay within ±8, so that their products fit 32 bits. */
const weightLimit = 8 << 20

/** Moves a probability towards a bit, by 1 / (count + 1.6), the count held at `limit`. */
export function adapt(table: Int32Array, at: number, bit: number, limit: number): void {
  const state = table[at]
  const n = state & 1023
  const p = state >>> 10
  const moved = p + (Math.imul(((bit ? 4194303 : 0) - p) >> 5, reciprocalTable[n]) >> 9)
  table[at] = (moved << 10) | (n < limit ? n + 1 : n)
}
