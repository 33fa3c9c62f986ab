/**
 * float32 tensors on a uniform grid, w = fround(q * step), as uniform quantisation and dequantisation make them: one step
 * a tensor, or one for each index of the first dimension. The table holds the steps, float32. Rounding makes -0 as easily
 * as 0: where there is one (parameter 1), each zero has its sign among the raw bits.
 */
import { type Coding, damaged, estimateBits } from './coding.ts'

/** Integers beyond this are as costly as floats. */
const maxInteger = 1 << 20
const maxDistinct = 1 << 16

export const grid: Coding = {
  name: 'grid',
  parameterCount: 1,
  hasTable: true,
  hasIntegers: true,
  encode({ dtype, dims, size }, data) {
    if (dtype !== 'float32' || size < 8) return undefined
    const values = new Float32Array(new Uint8Array(data).buffer)
    const whole = findStep(values, true)
    if (whole !== undefined) return coded(values, Float32Array.of(whole))
    const rows = dims.length > 1 ? dims[0] : 0
    const length = size / rows
    if (rows < 2 || length < 8) return undefined
    const steps = new Float32Array(rows)
    for (let r = 0; r < rows; r++) {
      const step = findStep(values.subarray(r * length, (r + 1) * length), true)
      if (step === undefined) return undefined
      steps[r] = step
    }
    return coded(values, steps)
  },
  writeRaw(_info, data, { parameters, integers }, out) {
    if (parameters[0] === 0) return
    integers?.forEach((q, i) => {
      if (q === 0) out.write(data[4 * i + 3] >> 7, 1)
    })
  },
  decode({ dtype, byteLength, size, dims }, { parameters, table, integers }, raw) {
    const steps = table && table.length % 4 === 0 ? new Float32Array(new Uint8Array(table).buffer) : undefined
    const rows = steps?.length ?? 0
    if (dtype !== 'float32') throw damaged('a grid of elements that are not float32')
    if (!integers || !steps || (rows !== 1 && rows !== dims[0])) throw damaged('a grid without its steps')
    const out = new Float32Array(byteLength / 4)
    const length = size / rows
    for (let i = 0; i < size; i++) {
      const q = integers[i]
      const negativeZero = q === 0 && parameters[0] !== 0 && raw.read(1) === 1
      out[i] = negativeZero ? -0 : q * steps[Math.floor(i / length)]
    }
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
  const signs = values.some((v) => Object.is(v, -0)) ? 1 : 0
  const zeros = signs && integers.reduce((n, q) => n + (q === 0 ? 1 : 0), 0)
  const bits = estimateBits(integers) + table.length * 7 + zeros
  return { coded: { parameters: [signs], table, integers }, bits }
}

/** The float32 step of which every value is a float32-rounded whole multiple, or undefined. All zeros: 0. A -0 is no multiple unless allowed. */
export function findStep(values: Float32Array, allowNegativeZero = false): number | undefined {
  const magnitudes = new Set<number>()
  for (const v of values) {
    if (v === 0 ? !allowNegativeZero && Object.is(v, -0) : !Number.isFinite(v)) return undefined
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
  // The float32s from the middle of the interval outwards: the first that gives every value is as good as any.
  word.setFloat32(0, (low + high) / 2)
  const middle = word.getInt32(0)
  for (let i = 0; i < 64; i++) {
    word.setInt32(0, middle + (i % 2 ? (i + 1) / 2 : -i / 2))
    const step = word.getFloat32(0)
    if (i > 2 && (step < low * 0.999999 || step > high * 1.000001)) break
    if (step > 0 && sorted.every((v) => Math.fround(Math.round(v / step) * step) === v)) return step
  }
  return undefined
}

const word = new DataView(new ArrayBuffer(4))

/** The distance of a positive float32 to the next. */
function ulp(v: number): number {
  return Math.max(2 ** -149, 2 ** (Math.floor(Math.log2(v)) - 22)) // one bit generous: Math.log2 may be off at powers of 2
}
