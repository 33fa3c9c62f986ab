/** Putting the weights of one layer on a grid: work on plain data, which other threads can do (threads/tasks.ts). */
import type { MatrixShape } from '../calibrate/input-moments.ts'
import { floatToHalf, halfToFloat } from '../tensor/dtype.ts'
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
  /** Where finer levels are wanted than a grid of 16 bits has: the weights may then be floats. */
  readonly asFloats?: FloatCosts
}

export interface FloatCosts {
  /** Squared output error that one bit is worth, all of it. */
  readonly price: number
  /** Squared output error that float16 makes, where that may be taken. */
  readonly halvesError?: number
}

export interface QuantizedWeights {
  readonly values: Float32Array
  /** Sum over outputs of the mean squared error of the layer's output. */
  readonly error: number
  readonly bits: number
  /** They are as they were. */
  readonly kept?: boolean
}

/** Levels are kept within 16 bits, so that they can be stored as such. */
export const maxLevel = 32767

/** On a grid; or as floats where these cost less, errors and bits together. */
export function quantizeWeights(weights: WeightsToQuantize): QuantizedWeights {
  const onGrid = quantizeToGrid(weights)
  const { values, asFloats } = weights
  if (!asFloats) return onGrid
  const { price, halvesError } = asFloats
  const halves = halvesError === undefined ? [] : [inHalves(values, halvesError)]
  const asTheyWere = { values, error: 0, bits: floatBits(values), kept: true }
  const cost = ({ error, bits }: QuantizedWeights): number => error + price * bits
  return [onGrid, ...halves, asTheyWere].reduce((best, other) => (cost(other) < cost(best) ? other : best))
}

function inHalves(values: Float32Array, error: number): QuantizedWeights {
  const halves = values.map(nearestHalf)
  return { values: halves, error, bits: floatBits(halves) }
}

export function nearestHalf(value: number): number {
  return halfToFloat(floatToHalf(value))
}

/** Bits of a float's sign and exponent, about, once packed: the exponents of weights are much alike. */
const signAndExponent = 4

/** Bits that floats take once packed, about: sign, exponent, and of the fraction what is not 0 in all of them. */
function floatBits(values: Float32Array): number {
  let used = 0
  for (const bits of new Uint32Array(values.buffer, values.byteOffset, values.length)) used |= bits & 0x7fffff
  const fraction = used === 0 ? 0 : 23 - Math.log2(used & -used)
  return values.length * (signAndExponent + fraction)
}

function quantizeToGrid({ values, shape, blocks, ...plan }: WeightsToQuantize): QuantizedWeights {
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
