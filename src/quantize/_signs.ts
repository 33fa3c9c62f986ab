/** Weights as signs and one size for each tensor or channel: binary and ternary. */

export interface Levels {
  readonly levels: Int8Array
  /** What a level stands for: one for all, or one per channel. */
  readonly steps: Float32Array
}

export const signLevels = ['ternary', 'binary'] as const

/** The share of the mean magnitude from which on a weight is not 0 (Li et al. 2016, equation 5). */
const threshold = 0.7

/**
 * Binary: every weight that is not 0 keeps its sign, the step is the mean magnitude (Rastegari et al. 2016, arXiv:1603.05279,
 * equation 6). Ternary: those above 0.7 times the mean magnitude do, and the step is their mean magnitude (Li et al. 2016,
 * arXiv:1605.04711). `channelOf` gives the channel of an element.
 */
export function signsOf(
  weights: Float32Array,
  kind: (typeof signLevels)[number],
  channels = 1,
  channelOf: (index: number) => number = () => 0,
): Levels {
  const [sizes, counts] = [new Float64Array(channels), new Float64Array(channels)]
  for (let i = 0; i < weights.length; i++) {
    sizes[channelOf(i)] += Math.abs(weights[i])
    counts[channelOf(i)]++
  }
  const least = sizes.map((s, c) => (kind === 'ternary' ? (threshold * s) / counts[c] : 0))
  const levels = Int8Array.from(weights, (v, i) => (Math.abs(v) > least[channelOf(i)] ? Math.sign(v) : 0))
  const [kept, count] = [new Float64Array(channels), new Float64Array(channels)]
  for (let i = 0; i < weights.length; i++) {
    kept[channelOf(i)] += Math.abs(weights[i] * levels[i])
    count[channelOf(i)] += Math.abs(levels[i])
  }
  const among = kind === 'ternary' ? count : counts
  return { levels, steps: Float32Array.from(kept, (s, c) => s / (among[c] || 1) || 1) }
}
