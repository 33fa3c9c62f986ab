/**
 * float32 tensors on a uniform grid, w = fround(q * step), as uniform quantisation and dequantisation make them: one step
 * a tensor, or one for each index of the first dimension. The table holds the steps, float32.
 */
import { type Coding, damaged, estimateBits } from './coding.ts'

/** Integers beyond this are as costly as floats. */
const maxInteger = 1 << 20
const maxDistinct = 1 << 16

export const grid: Coding = {
  name: 'grid',
  parameterCount: 0,
  hasTable: true,
  hasIntegers: true,
  encode({ dtype, dims, size }, data) {
    if (dtype !== 'float32' || size < 8) return undefined
    const values = new Float32Array(new Uint8Array(data).buffer)
    const whole = findStep(values)
    if (whole !== undefined) return coded(values, Float32Array.of(whole))
    const rows = dims.length > 1 ? dims[0] : 0
    const length = size / rows
    if (rows < 2 || length < 8) return undefined
    const steps = new Float32Array(rows)
    for (let r = 0; r < rows; r++) {
      const step = findStep(values.subarray(r * length, (r + 1) * length))
      if (step === undefined) return undefined
      steps[r] = step
    }
    return coded(values, steps)
  },
  decode({ byteLength, size, dims }, { table, integers }) {
    const steps = table && table.length % 4 === 0 ? new Float32Array(new Uint8Array(table).buffer) : undefined
    const rows = steps?.length ?? 0
    if (!integers || !steps || (rows !== 1 && rows !== dims[0])) throw damaged('a grid without its steps')
    const out = new Float32Array(byteLength / 4)
    const length = size / rows
    for (let i = 0; i < size; i++) out[i] = integers[i] * steps[Math.floor(i / length)]
    return new Uint8Array(out.buffer)
  },
}

function coded(values: Float32Array, steps: Float32Array) {
  const integers = new Int32Array(values.length)
  const length = values.length / steps.length
  for (let i = 0; i < values.length; i++) {
    const step = steps[Math.floor(i / length)]
    integers[i] = step === 0 ? 0 : Math.round(values[i] / step)
  }
  const table = new Uint8Array(steps.buffer)
  return { coded: { parameters: [], table, integers }, bits: estimateBits(integers) + table.length * 7 }
}

/** The float32 step of which every value is a float32-rounded whole multiple, or undefined. All zeros: 0. */
export function findStep(values: Float32Array): number | undefined {
  const magnitudes = new Set<number>()
  for (const v of values) {
    if (v === 0 ? Object.is(v, -0) : !Number.isFinite(v)) return undefined
    magnitudes.add(Math.abs(v))
    if (magnitudes.size > maxDistinct || magnitudes.size > 64 + values.length / 2) return undefined
  }
  magnitudes.delete(0)
  if (magnitudes.size === 0) return 0
  const sorted = Float64Array.from(magnitudes).sort()
  // The smallest value or the smallest gap is a small multiple of the step; large values then make it exact.
  let gap = sorted[0]
  for (let i = 1; i < sorted.length; i++) gap = Math.min(gap, sorted[i] - sorted[i - 1])
  const bases = gap > sorted[0] * 2 ** -12 ? [gap, sorted[0]] : [sorted[0]]
  for (const base of bases) {
    for (let k = 1; k <= 8; k++) {
      const step = refine(sorted, base / k)
      if (step !== undefined) return step
    }
  }
  return undefined
}

/** The float32 nearest the middle of all steps that agree with the values, from a guess within a few per cent; smallest values first. */
function refine(sorted: Float64Array, guess: number): number | undefined {
  let low = guess * 0.9
  let high = guess * 1.1
  for (const v of sorted) {
    const q = Math.round(v / ((low + high) / 2))
    if (q < 1 || q > maxInteger) return undefined
    const half = ulp(v) / 2
    low = Math.max(low, (v - half) / q)
    high = Math.min(high, (v + half) / q)
    if (low > high) return undefined
  }
  for (const step of [Math.fround((low + high) / 2), Math.fround(low), Math.fround(high)]) {
    if (step > 0 && sorted.every((v) => Math.fround(Math.round(v / step) * step) === v)) return step
  }
  return undefined
}

/** The distance of a positive float32 to the next. */
function ulp(v: number): number {
  return Math.max(2 ** -149, 2 ** (Math.floor(Math.log2(v)) - 22)) // one bit generous: Math.log2 may be off at powers of 2
}
