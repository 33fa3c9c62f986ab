/**
 * A byte- and number-oriented context mixer for the small, highly structured part of a file: graph, names, shapes.
 *
 * Each bit is predicted from up to `maxContexts` hashed contexts, whose adaptive probabilities are mixed in the logistic
 * domain, each by a weight for how much its context has seen; what comes of it is corrected by what came of such predictions
 * before (Mahoney, PAQ). The caller says what the contexts are; their order matters, and the first is one that comes often.
 * Like BinaryCoder, one object codes in both directions: values go in when encoding, come out in both cases.
 */
import { adapt, squashTable, stretchLimit, stretchTable } from './logistic.ts'
import type { BinaryCoder } from './range-coder.ts'

export const maxContexts = 10
/** Slots of a context's table, unless another number is asked for: 2^16. */
const defaultSlotBits = 16
/** Sets of weights, unless fewer are asked for. */
const defaultSets = 1024
/** Weights stay within ±4, so that their products with stretched probabilities fit 32 bits together. */
const weightLimit = 1 << 18
/** Bits that the first context counts at most. */
const firstLimit = 1023
/** Bits after which a set of weights learns as slowly as it ever will. */
const steady = 1 << 14

/** How much a context has seen, of which its weight depends: 0 or 1 bits, 2 or 3, up to 31, or more. */
const confidences = 4
const confidenceOf = (count: number): number => (count < 2 ? 0 : count < 4 ? 1 : count < 32 ? 2 : 3)
/** Tables that correct predictions, and their intervals: 33 probabilities, at equal distances when stretched. */
const corrections = 1024
const intervals = 32
const perCorrection = intervals + 1
/** Mixed predictions lie within ±half when stretched: 128 steps per interval. */
const half = 2048

/** What tables begin with, made once: mixers of small tensors are many. */
const uncorrected = Int32Array.from({ length: corrections * perCorrection }, (_, i) => {
  return (squashTable[(i % perCorrection) * 128 - half + stretchLimit] << 16) | 1
})

export interface MixerMemory {
  readonly probability: Int32Array
  readonly weights: Int32Array
  readonly corrected: Int32Array
  /** How many bits each set of weights has coded, up to `steady`. */
  readonly uses: Int32Array
}

/** What bits are coded by; or counted, to tell what they would take. */
export type BitCoder = Pick<BinaryCoder, 'decoding' | 'code' | 'codeRaw'>

export class ContextMixer {
  readonly coder: BitCoder
  private readonly memory: MixerMemory
  private readonly slot = new Int32Array(maxContexts)
  private readonly stretched = new Int32Array(maxContexts)
  private readonly weightAt = new Int32Array(maxContexts)

  private readonly slotBits: number
  private readonly limit: number
  private readonly correctsSets: boolean

  /**
   * Starts from what another mixer has learnt, where that is given; it must have as many slots. `limit` counts bits of a context
   * other than the first. Predictions of each set are corrected apart, or those of all sets together.
   */
  constructor(
    coder: BitCoder,
    {
      learnt,
      slotBits = defaultSlotBits,
      sets = defaultSets,
      limit = 60,
      correctsSets = true,
    }: {
      readonly learnt?: MixerMemory
      readonly slotBits?: number
      readonly sets?: number
      readonly limit?: number
      readonly correctsSets?: boolean
    } = {},
  ) {
    this.coder = coder
    this.slotBits = slotBits
    this.limit = limit
    this.correctsSets = correctsSets
    this.memory = structuredClone(learnt) ?? {
      probability: new Int32Array(maxContexts << slotBits).fill(1 << 31),
      weights: new Int32Array(sets * maxContexts * confidences).fill(18000),
      corrected: uncorrected.slice(),
      uses: new Int32Array(sets),
    }
  }

  /** What was learnt so far: not a copy. */
  get learnt(): MixerMemory {
    return this.memory
  }

  get decoding(): boolean {
    return this.coder.decoding
  }

  /** Codes one bit. `node` tells apart the decisions of one symbol; `set` (0..1023) picks the mixing weights. */
  bit(value: number, contexts: readonly number[], node: number, set: number): number {
    const { slot, stretched, weightAt, slotBits, limit } = this
    const { probability, weights, corrected, uses } = this.memory
    const mask = (1 << slotBits) - 1
    const n = contexts.length
    // 1. What each context says, and the weighted sum of it.
    let dot = 0
    for (let j = 0; j < n; j++) {
      const at = (j << slotBits) | (hash(contexts[j], node) & mask)
      slot[j] = at
      const state = probability[at]
      const count = state & 1023
      stretched[j] = count === 0 ? 0 : stretchTable[state >>> 20]
      weightAt[j] = (set * maxContexts + j) * confidences + confidenceOf(count)
      dot += Math.imul(weights[weightAt[j]], stretched[j]) >> 4
    }
    const x = Math.max(1 - half, Math.min(half - 1, dot >> 12))
    const p = squashTable[x + stretchLimit]
    // 2. Half of the prediction is what came of such ones before: between the two entries of a table that are nearest.
    const table = (this.correctsSets ? hash(set, node) : node) & (corrections - 1)
    const at = table * perCorrection + ((x + half) >> 7)
    const beyond = (x + half) & 127
    const corrects = (corrected[at] >>> 16) * (128 - beyond) + (corrected[at + 1] >>> 16) * beyond
    value = this.coder.code(value, Math.max(1, (128 * p + corrects) >> 8))
    adapt(corrected, at + (beyond >> 6), value)
    // 3. All learn from the bit.
    const error = (value << 16) - p
    // A set learns fast at first, then slowly: text of one kind settles, and few bits are enough for a small graph.
    const coded = uses[set] < steady ? ++uses[set] : steady
    const slowness = 13 + (coded >> 8 ? 1 : 0) + (coded >> 11 ? 1 : 0) + (coded >> 14 ? 1 : 0)
    const rounding = 1 << (slowness - 1)
    for (let j = 0; j < n; j++) {
      const moved = weights[weightAt[j]] + ((Math.imul(error, stretched[j]) + rounding) >> slowness)
      weights[weightAt[j]] = Math.max(-weightLimit, Math.min(weightLimit, moved))
      adapt(probability, slot[j], value, j === 0 ? firstLimit : limit)
    }
    return value
  }

  /** Codes a number of `count` bits, the highest first, as a binary tree. */
  symbol(value: number, count: number, contexts: readonly number[], set: number): number {
    let node = 1
    for (let i = count - 1; i >= 0; i--) node = (node << 1) | this.bit((value >> i) & 1, contexts, node, set)
    return node - (1 << count)
  }

  /** Codes the low `count` (0..32) bits of a number as they are. */
  raw(value: number, count: number): number {
    return this.coder.codeRaw(value, count)
  }

  /** Codes a whole number from 0 to 2^53 - 1: its length in adaptive unary, then its bits. */
  number(value: number, contexts: readonly number[], set: number): number {
    const target = this.decoding ? 0 : bitLength(value + 1) - 1
    let length = 0
    while (length < 53 && this.bit(length < target ? 1 : 0, contexts, length + 1, set)) length++
    let out = 1
    for (let i = length - 1; i >= 0; i--) {
      const bit = Math.floor((value + 1) / 2 ** i) % 2
      // The highest bits are worth a context of their own; the lower ones share one per position.
      out = out * 2 + this.bit(bit, contexts, out < 4096 ? 64 + (length << 12) + out : 32 + i, set)
    }
    return out - 1
  }
}

function bitLength(value: number): number {
  return value < 2 ** 32 ? 32 - Math.clz32(value) : 32 + bitLength(Math.floor(value / 2 ** 32))
}

/** Mixes two 32-bit numbers into one. */
export function hash(a: number, b: number): number {
  let h = Math.imul(a, 0x2c1b3c6d) ^ Math.imul(b + 0x7f4a7c15, 0x297a2d39)
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b)
  return h ^ (h >>> 13)
}
