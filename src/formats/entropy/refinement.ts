/**
 * The last step of a prediction: what stretched predictions like this one came to in some context (secondary symbol
 * estimation, Mahoney's PAQ). 33 adaptive probabilities per context, 128 apart; the two around a prediction are
 * weighted by how near they are, and the nearer one learns.
 */
import { adapt, squashTable, stretchLimit } from './logistic.ts'

const cells = 33
/** How often a probability counts as seen at first, so that the first bits do not throw it far off. */
const firstCount = 6

export class Refinement {
  private readonly probability: Int32Array
  private nearest = 0

  constructor(contexts: number) {
    this.probability = new Int32Array(contexts * cells)
    for (let i = 0; i < this.probability.length; i++)
      this.probability[i] = (squashTable[((i % cells) - 16) * 128 + stretchLimit] << 16) | firstCount
  }

  /** The probability, of 65536, for a stretched `x` within ±stretchLimit. */
  predict(context: number, x: number): number {
    const y = Math.max(-2047, Math.min(2047, x)) + 2048
    const at = context * cells + (y >> 7)
    const part = y & 127
    this.nearest = at + (part >> 6)
    return ((this.probability[at] >>> 16) * (128 - part) + (this.probability[at + 1] >>> 16) * part) >>> 7
  }

  learn(bit: number): void {
    adapt(this.probability, this.nearest, bit)
  }
}
