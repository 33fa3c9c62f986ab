/**
 * float32 and float64 tensors on a uniform grid, as quantisation and dequantisation make them, or decimals: an integer times a
 * step, or by a divisor, rounded once. One step a tensor, one for each index of any dimension, or one a block of elements.
 * Rounding makes -0 as easily as 0: where there is one, each zero has its sign among the raw bits.
 * Parameters: flags; how many elements in a row share a step, 0 for all. The table holds the steps.
 */
import {
  type BitReader,
  type Coded,
  type Coding,
  damaged,
  type Encoder,
  estimateBits,
  type TensorInfo,
} from './coding.ts'
import { findSteps } from './grid-steps.ts'

export const gridFlags = { signs: 1, double: 2, divide: 4 } as const

export const grid: Coding = {
  name: 'grid',
  parameterCount: 2,
  hasTable: true,
  hasIntegers: true,
  hasRaw: true,
  decode({ dtype, size }: TensorInfo, { parameters, table, integers }: Coded, raw: BitReader) {
    const [flags, run] = parameters
    if (dtype !== 'float32' && dtype !== 'float64') throw damaged('a grid of elements that are no float32 or float64')
    const width = flags & gridFlags.double ? 8 : 4
    if (flags > 7 || !integers || !table || table.length === 0 || table.length % width !== 0)
      throw damaged('a grid without its steps')
    const bytes = new Uint8Array(table).buffer
    const steps = width === 8 ? new Float64Array(bytes) : new Float32Array(bytes)
    if (steps.length > 1 && run === 0) throw damaged('a grid of steps for no elements')
    const out = dtype === 'float64' ? new Float64Array(size) : new Float32Array(size)
    for (let i = 0; i < size; i++) {
      const q = integers[i]
      const step = steps[run > 0 ? Math.floor(i / run) % steps.length : 0]
      if (q === 0) out[i] = flags & gridFlags.signs && raw.read(1) ? -0 : 0
      else out[i] = flags & gridFlags.divide ? q / step : q * step
    }
    return new Uint8Array(out.buffer)
  },
}

export const gridEncoder: Encoder = {
  coding: grid,
  encode({ dtype, dims, size }, data) {
    if ((dtype !== 'float32' && dtype !== 'float64') || size < 8) return undefined
    const bytes = new Uint8Array(data).buffer
    const values = dtype === 'float64' ? new Float64Array(bytes) : new Float32Array(bytes)
    const found = findSteps(values, dims)
    if (!found) return undefined
    const { steps, run, divide, integers } = found
    const signs = values.some((v) => Object.is(v, -0))
    const double = !steps.every((s) => Math.fround(s) === s)
    const table = new Uint8Array((double ? Float64Array.from(steps) : Float32Array.from(steps)).buffer)
    const zeros = signs ? integers.reduce((n, q) => n + (q === 0 ? 1 : 0), 0) : 0
    const flags = (signs ? gridFlags.signs : 0) + (double ? gridFlags.double : 0) + (divide ? gridFlags.divide : 0)
    return {
      coded: { parameters: [flags, run], table, integers },
      bits: estimateBits(integers) + table.length * 7 + zeros,
    }
  },
  writeRaw(info, data, { parameters, integers }, out) {
    if (!(parameters[0] & gridFlags.signs)) return
    const width = info.dtype === 'float64' ? 8 : 4
    integers?.forEach((q, i) => {
      if (q === 0) out.write(data[width * (i + 1) - 1] >> 7, 1)
    })
  },
}
