/**
 * Predicts and codes one binary decision under several contexts: each context's adaptive probability, stretched, is
 * weighted by two or three sets of weights that learn online (Mahoney, "Adaptive weighing of context models", 2005).
 * With three sets the outcome is refined. Fixed point throughout.
 */
import { adapt, squashTable, stretchLimit, stretchTable } from './logistic.ts'
import type { BinaryCoder } from './range-coder.ts'
import { Refinement } from './refinement.ts'

/** Decisions of a weight: 0, is it not 0; m from 1 to 15, is its magnitude above m; and the sign. */
export const unaryLimit = 16
export const signDecision = 16
const decisions = 17
/** Contexts a table holds; one of magnitudes has 16 decisions. */
export const tableSize = 4096
/** How many weight sets the first, second and third mixer choose from, a decision. */
export const mixerSets = [16, 32, 256] as const
/** Contexts of a refinement, a decision. */
const refinedContexts = 64
/** Weights stay within ±2, so that their products fit 32 bits. */
const weightLimit = 2 << 16

export class DecisionMixer {
  /** 22 bits of probability, 10 bits of count: a table a context, of magnitudes and of signs. */
  readonly probability: Int32Array
  readonly signProbability: Int32Array
  private readonly count: number
  private readonly mixers: number
  /** 2^16 is one. */
  private readonly weights: readonly Int32Array[]
  private readonly slot = new Int32Array(16)
  private readonly stretched = new Int32Array(16)
  private readonly errors = new Int32Array(3)
  private readonly bases = new Int32Array(3)
  /** By the expected magnitude or the predicted sign, and by the tensor. */
  private readonly refinements: readonly Refinement[]

  constructor(count: number, mixers: number) {
    this.count = count
    this.mixers = mixers
    this.probability = new Int32Array(count * tableSize * unaryLimit).fill(1 << 31)
    this.signProbability = new Int32Array(count * tableSize).fill(1 << 31)
    const first = Math.floor(66000 / count)
    this.refinements = mixers === 3 ? [1, 2].map(() => new Refinement(decisions * refinedContexts)) : []
    this.weights = mixerSets.slice(0, mixers).map((n) => new Int32Array(decisions * n * count).fill(first))
  }

  /** `sets` picks a weight set for each mixer, and then what magnitudes and what signs are refined by. */
  code(coder: BinaryCoder, contexts: Int32Array, decision: number, sets: Int32Array, bit: number): number {
    const { slot, stretched, errors, bases, count, mixers } = this
    const sign = decision === signDecision
    const table = sign ? this.signProbability : this.probability
    for (let j = 0; j < count; j++) {
      slot[j] = sign ? j * tableSize + contexts[j] : ((j * tableSize + contexts[j]) << 4) + decision
      stretched[j] = stretchTable[table[slot[j]] >>> 20]
    }
    let sum = 0
    for (let m = 0; m < mixers; m++) {
      const w = this.weights[m]
      const base = (decision * mixerSets[m] + sets[m]) * count
      let dot = 0
      for (let j = 0; j < count; j++) dot += Math.imul(w[base + j], stretched[j]) >> 4
      const x = Math.max(-stretchLimit, Math.min(stretchLimit, dot >> 12))
      errors[m] = squashTable[x + stretchLimit]
      bases[m] = base
      sum += x
    }
    const [byWeight, byTensor] = this.refinements
    if (byWeight) {
      const x = Math.imul(sum, 21845) >> 16
      const context = decision * refinedContexts
      const refined = byWeight.predict(context + sets[sign ? 4 : 3], x) + byTensor.predict(context + (sets[2] & 63), x)
      bit = coder.code(bit, Math.max(1, (2 * squashTable[x + stretchLimit] + refined) >> 2))
      byWeight.learn(bit)
      byTensor.learn(bit)
    } else bit = coder.code(bit, squashTable[(sum >> 1) + stretchLimit])
    const slowness = byWeight ? 16 : 15
    for (let m = 0; m < mixers; m++) {
      const w = this.weights[m]
      const error = (bit << 16) - errors[m]
      for (let j = 0; j < count; j++) {
        const moved = w[bases[m] + j] + ((Math.imul(error, stretched[j]) + (1 << (slowness - 1))) >> slowness)
        w[bases[m] + j] = Math.max(-weightLimit, Math.min(weightLimit, moved))
      }
    }
    for (let j = 0; j < count; j++) adapt(table, slot[j], bit)
    return bit
  }
}
