/**
 * Adaptive rounding: each weight goes down or up, whichever together disturb the layer's outputs least. The squared error of
 * an output is e·H·e for the errors e of its weights and the second moments H of what they are multiplied with.
 *
 * AdaRound (Nagel et al. 2020, arXiv:2004.10568): the share h of the step up is relaxed to a clipped sigmoid, h = clip(1.2
 * σ(v) - 0.1, 0, 1), and v is found by Adam on e·H·e + λ Σ (1 - |2h - 1|^β), β falling from 20 to 2 after a fifth of the
 * steps. Then weights are turned over, one or two at once, while that helps; and an output keeps plain rounding where that is no worse.
 * What is exactly zero stays zero.
 */
import { adamSteps } from '../tensor/adam.ts'

export interface RoundingProblem {
  /** In steps of their row's grid, rows x columns. */
  readonly weights: Float64Array
  readonly rows: number
  readonly columns: number
  /** columns x columns, symmetric. */
  readonly second: Float64Array
  /** The lowest and the highest level. */
  readonly levels: readonly [number, number]
  /** Default 200. */
  readonly iterations?: number
}

const regularisation = 0.01
const rate = 0.03
const sweeps = 10

/** The levels, rows x columns. */
export function adaptiveRounding(problem: RoundingProblem): Int32Array {
  const { rows, columns } = problem
  const second = normed(problem.second, columns)
  const relaxed = relax({ ...problem, second })
  const result = new Int32Array(rows * columns)
  for (let r = 0; r < rows; r++) {
    const weights = problem.weights.subarray(r * columns, (r + 1) * columns)
    const plain = Int32Array.from(weights, (w) => within(Math.round(w), problem.levels))
    const found = relaxed.slice(r * columns, (r + 1) * columns)
    const row = { weights, second, levels: problem.levels }
    const [a, b] = [turnOver(row, plain), turnOver(row, found)]
    result.set(b.error < a.error ? b.levels : a.levels, r * columns)
  }
  return result
}

const within = (level: number, [low, high]: readonly [number, number]): number => Math.max(low, Math.min(high, level))

/** With a mean diagonal of 1, so that the regularisation weighs alike in all layers; a hundredth of that is added to each. */
function normed(second: Float64Array, columns: number): Float64Array {
  let trace = 0
  for (let i = 0; i < columns; i++) trace += second[i * columns + i]
  const factor = trace > 0 ? columns / trace : 0
  const result = second.map((v) => v * factor)
  for (let i = 0; i < columns; i++) result[i * columns + i] += 0.01
  return result
}

function relax({ weights, rows, columns, second, levels, iterations = 200 }: RoundingProblem): Int32Array {
  const n = rows * columns
  const floor = weights.map(Math.floor)
  // From where the relaxed weights are the weights themselves.
  const v = Float64Array.from(weights, (w, i) => -Math.log(1.2 / (w - floor[i] + 0.1) - 1))
  const step = adamSteps(n)
  const [errors, gradient] = [new Float64Array(n), new Float64Array(n)]
  const shareOf = (value: number): number => Math.max(0, Math.min(1, 1.2 / (1 + Math.exp(-value)) - 0.1))
  for (let t = 1; t <= iterations; t++) {
    for (let i = 0; i < n; i++) errors[i] = floor[i] + shareOf(v[i]) - weights[i]
    multiply(errors, second, { rows, columns, into: gradient })
    const over = Math.max(0, t / iterations - 0.2) / 0.8
    const beta = 20 - 18 * over
    for (let i = 0; i < n; i++) {
      const sigmoid = 1 / (1 + Math.exp(-v[i]))
      const share = 1.2 * sigmoid - 0.1
      const slope = share <= 0 || share >= 1 ? 0 : 1.2 * sigmoid * (1 - sigmoid)
      const apart = 2 * share - 1
      const pull = over > 0 ? -2 * regularisation * beta * Math.abs(apart) ** (beta - 1) * Math.sign(apart) : 0
      gradient[i] = (2 * gradient[i] + pull) * slope
    }
    step(v, gradient, rate)
  }
  return Int32Array.from(floor, (f, i) => within(f + (weights[i] !== 0 && shareOf(v[i]) >= 0.5 ? 1 : 0), levels))
}

/** errors · second */
function multiply(
  errors: Float64Array,
  second: Float64Array,
  { rows, columns, into }: { rows: number; columns: number; into: Float64Array },
): void {
  into.fill(0)
  for (let r = 0; r < rows; r++) {
    const at = r * columns
    for (let i = 0; i < columns; i++) {
      const e = errors[at + i]
      if (e === 0) continue
      const from = i * columns
      for (let j = 0; j < columns; j++) into[at + j] += e * second[from + j]
    }
  }
}

interface Row {
  readonly weights: Float64Array
  readonly second: Float64Array
  readonly levels: readonly [number, number]
}

/** Turns weights over to the other side of their value, one or two at once, while the error falls. */
function turnOver({ weights, second, levels }: Row, start: Int32Array): { levels: Int32Array; error: number } {
  const k = weights.length
  const found = start.slice()
  const errors = Float64Array.from(found, (q, i) => q - weights[i])
  const slopes = new Float64Array(k)
  multiply(errors, second, { rows: 1, columns: k, into: slopes })
  const stepOf = (i: number): number => {
    if (weights[i] === 0) return 0
    const step = errors[i] > 0 ? -1 : 1
    return within(found[i] + step, levels) === found[i] + step ? step : 0
  }
  const changeOf = (i: number, step: number): number => 2 * step * slopes[i] + step * step * second[i * k + i]
  const turn = (i: number, step: number): void => {
    found[i] += step
    errors[i] += step
    for (let j = 0; j < k; j++) slopes[j] += step * second[i * k + j]
  }
  for (let sweep = 0, changed = true; changed && sweep < sweeps; sweep++) {
    changed = false
    for (let i = 0; i < k; i++) {
      const step = stepOf(i)
      if (step === 0) continue
      const alone = changeOf(i, step)
      let best = { with: i, step: 0, change: alone }
      for (let j = 0; j < k; j++) {
        const other = j === i ? 0 : stepOf(j)
        const change = alone + changeOf(j, other) + 2 * step * other * second[i * k + j]
        if (change < best.change) best = { with: j, step: other, change }
      }
      if (best.change >= -1e-12) continue
      turn(i, step)
      if (best.step !== 0) turn(best.with, best.step)
      changed = true
    }
  }
  return { levels: found, error: errors.reduce((sum, e, i) => sum + e * slopes[i], 0) }
}
