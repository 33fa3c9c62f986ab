/**
 * float32 and float64 tensors on a uniform grid, as quantisation and dequantisation make them, or decimals: an integer times a
 * step, or by a divisor, rounded once; float32 also in two roundings (grid-forms.ts). One step per tensor, one for each index of
 * any dimension, or one per block of elements.
 * Rounding makes -0 as easily as 0: where there is one, each zero has its sign among the raw bits.
 * Parameters: flags, and 32 times the levels of a form; how many elements in a row share a step, 0 for all. The table holds the
 * steps, and then as many minima where each product has one added.
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
import type { FormKind } from './grid-forms.ts'
import { findSteps } from './grid-steps.ts'

/** Flags: zeros have signs; steps are float64; integers are by the step; or, where there are levels, the product comes first. */
const signsFlag = 1
const doubleFlag = 2
const divideFlag = 4
const productFlag = 8
const affineFlag = 16
const levelsUnit = 32
const flagOf: Readonly<Record<FormKind, number>> = { quotient: 0, product: productFlag, affine: affineFlag }

export const grid: Coding = {
  name: 'grid',
  parameterCount: 2,
  hasTable: true,
  hasIntegers: true,
  hasRaw: true,
  decode({ dtype, size }: TensorInfo, { parameters, table, integers }: Coded, raw: BitReader) {
    const [first, run] = parameters
    const flags = first % levelsUnit
    const levels = Math.floor(first / levelsUnit)
    const isAffine = flags === affineFlag
    const bytes = new Uint8Array(table ?? []).buffer
    const width = flags & doubleFlag ? 8 : 4
    const isFloat = dtype === 'float32' || dtype === 'float64'
    const numbers = bytes.byteLength / width
    const count = isAffine ? numbers / 2 : numbers
    // Forms in two roundings are float32's, with float32 steps.
    const isKnown = isAffine ? levels === 0 : levels > 0 ? (flags & ~(signsFlag | productFlag)) === 0 : flags < 8
    const isFit = isKnown && (first < 8 || dtype === 'float32')
    if (!integers || !isFloat || !isFit || !(count > 0) || count % 1 !== 0 || (count > 1 && run === 0))
      throw damaged('a grid has no fitting steps')
    const steps = width === 8 ? new Float64Array(bytes) : new Float32Array(bytes)
    const out = dtype === 'float64' ? new Float64Array(size) : new Float32Array(size)
    const { fround } = Math
    for (let i = 0; i < size; i++) {
      const q = integers[i]
      const at = run > 0 ? Math.floor(i / run) % count : 0
      const step = steps[at]
      if (isAffine) out[i] = fround(q * step) + steps[count + at]
      else if (q === 0) out[i] = flags & signsFlag && raw.read(1) ? -0 : 0
      else if (levels > 0) out[i] = flags & productFlag ? fround(q * step) / levels : fround(q / levels) * step
      else out[i] = flags & divideFlag ? q / step : q * step
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
    const { steps, run, divide, form, minima = [], integers } = found
    const signs = values.some((v) => Object.is(v, -0))
    const double = !steps.every((s) => Math.fround(s) === s)
    const numbers = [...steps, ...minima]
    const table = new Uint8Array((double ? Float64Array.from(numbers) : Float32Array.from(numbers)).buffer)
    const zeros = signs ? integers.reduce((n, q) => n + (q === 0 ? 1 : 0), 0) : 0
    const flags = (signs ? signsFlag : 0) + (double ? doubleFlag : 0) + (divide ? divideFlag : 0)
    const formed = form ? flagOf[form.kind] + levelsUnit * form.levels : 0
    return {
      coded: { parameters: [flags + formed, run], table, integers },
      bits: estimateBits(integers) + table.length * 7 + zeros,
    }
  },
  writeRaw(info, data, { parameters, integers }, out) {
    if (!(parameters[0] & signsFlag)) return
    const width = info.dtype === 'float64' ? 8 : 4
    integers?.forEach((q, i) => {
      if (q === 0) out.write(data[width * (i + 1) - 1] >> 7, 1)
    })
  },
}
