/** Putting the weights of one layer on a grid: work on plain data, which other threads can do (threads/tasks.ts). */
import type { MatrixShape } from '../calibrate/input-moments.ts'
import { type InputFactor, quantizeMatrix } from './_rate-distortion.ts'

export interface WeightsToQuantize {
  /** In the order of the stored tensor. */
  readonly values: Float32Array
  /** How they lie as matrices. */
  readonly shape: MatrixShape
  /** What is known of the inputs of each group, a block of columns at a time. */
  readonly blocks: readonly (readonly { readonly from: number; readonly factor: InputFactor }[])[]
  /** Distance of the levels. */
  readonly step: number
  /** Squared output error that one bit is worth. */
  readonly lambda: number
}

export interface QuantizedWeights {
  readonly values: Float32Array
  /** Sum over outputs of the mean squared error of the layer's output. */
  readonly error: number
  readonly bits: number
}

/** Levels are kept within 16 bits, so that they can be stored as such. */
export const maxLevel = 32767

export function quantizeWeights({ values, shape, blocks, ...plan }: WeightsToQuantize): QuantizedWeights {
  const { rows, columns, transposed } = shape
  const out = new Float32Array(values.length)
  const step = Math.fround(plan.step)
  let error = 0
  let bits = 0
  for (let g = 0; g < shape.groups; g++) {
    const base = g * rows * columns
    const index = (r: number, c: number) => (transposed ? c * rows + r : base + r * columns + c)
    for (const { from, factor } of blocks[g]) {
      const n = factor.diagonal.length
      const matrix = new Float64Array(rows * n)
      for (let r = 0; r < rows; r++) for (let c = 0; c < n; c++) matrix[r * n + c] = values[index(r, from + c)]
      const q = quantizeMatrix(matrix, rows, factor, { step, lambda: plan.lambda, maxLevel })
      error += q.error
      bits += q.bits
      for (let r = 0; r < rows; r++) for (let c = 0; c < n; c++) out[index(r, from + c)] = q.levels[r * n + c] * step
    }
  }
  return { values: out, error, bits }
}
