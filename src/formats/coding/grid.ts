/**
 * Floats on a uniform grid, as quantisation and dequantisation make them, standardised integers, or decimals: (integer - zero) times a
 * step, rounded to the type; or in two roundings (grid-forms.ts). One step per tensor, one for each index of any dimension, or one
 * per block of elements. Where values went through other roundings (a scale folded into another, arithmetic in float16), each
 * distinct product has a correction among the raw bits, in units of the last place.
 * Rounding makes -0 as easily as 0: where there is one, each zero has its sign among the raw bits.
 * Parameters: flags, and 32 times the levels of a form; how many elements in a row share a step, 0 for all. The table holds the
 * steps, and then as many zeros where the grid does not go through 0, or as many minima.
 */
import { type DataType, floatToBfloat, floatToHalf } from '../../tensor/dtype.ts'
import { fold, unfold } from '../bits.ts'
import {
  type BitReader,
  type BitWriter,
  type Coded,
  type Coding,
  damaged,
  type Encoder,
  estimateBits,
  type TensorInfo,
} from './coding.ts'
import { findSteps } from './grid-steps.ts'

/** Flags: zeros have signs; steps are float64; the product is rounded first; steps have zeros, or minima; products have corrections. */
const signsFlag = 1
const doubleFlag = 2
const productFlag = 4
const secondFlag = 8
const correctedFlag = 16
const levelsUnit = 32

const fewIntegers = 256

/** Puts a number into element i, rounded to the type. */
const writers: Partial<Record<DataType, (view: DataView, i: number, x: number) => void>> = {
  float16: (view, i, x) => view.setUint16(2 * i, floatToHalf(x), true),
  bfloat16: (view, i, x) => view.setUint16(2 * i, floatToBfloat(x), true),
  float32: (view, i, x) => view.setFloat32(4 * i, x, true),
  float64: (view, i, x) => view.setFloat64(8 * i, x, true),
}

export const grid: Coding = {
  name: 'grid',
  parameterCount: 2,
  hasTable: true,
  hasIntegers: true,
  hasRaw: true,
  decode(info: TensorInfo, coded: Coded, raw: BitReader) {
    return place(info, coded, { sign: () => raw.read(1), correction: () => readCorrection(raw) })
  },
}

/** The elements; signs of zeros and corrections, of each product when it comes first, are asked for in their order. */
function place(
  { dtype, size, byteLength }: TensorInfo,
  { parameters: [first, run], table, integers }: Coded,
  ask: { sign: (i: number) => number; correction: (i: number, rounded: Uint8Array) => number },
): Uint8Array {
  const write = writers[dtype]
  const flags = first % levelsUnit
  const levels = Math.floor(first / levelsUnit)
  const bytes = new Uint8Array(table ?? []).buffer
  const Numbers = flags & doubleFlag ? Float64Array : Float32Array
  const count = bytes.byteLength / Numbers.BYTES_PER_ELEMENT / (flags & secondFlag ? 2 : 1)
  if (!write || !integers || !(count > 0) || count % 1 !== 0 || (count > 1 && run === 0))
    throw damaged('a grid has no fitting steps')
  const numbers = new Numbers(bytes)
  const width = byteLength / size
  const out = new Uint8Array(byteLength)
  const view = new DataView(out.buffer)
  const corrections = new Map<number, number>()
  // Of doubles, nothing was single before.
  const rounded = dtype === 'float64' ? (x: number) => x : Math.fround
  for (let i = 0; i < size; i++) {
    const at = run > 0 ? Math.floor(i / run) % count : 0
    const q = integers[i]
    const step = numbers[at]
    const second = flags & secondFlag ? numbers[count + at] : 0
    const x =
      flags & productFlag
        ? rounded(q * step) / (levels || 1) + second
        : (levels ? rounded(q / levels) : q - second) * step
    write(view, i, flags & signsFlag && x === 0 && ask.sign(i) ? -0 : x)
    if (!(flags & correctedFlag)) continue
    // Rounding knows no signs.
    const key = at * 2 ** 32 + (flags & secondFlag ? q : Math.abs(q))
    let correction = corrections.get(key)
    if (correction === undefined) corrections.set(key, (correction = ask.correction(i, out)))
    shift(out, i, width, correction)
  }
  return out
}

/** Adds to the bits of element i, taken as a whole number. */
function shift(bytes: Uint8Array, i: number, width: number, by: number): void {
  for (let at = i * width; at < (i + 1) * width; at++) {
    by += bytes[at]
    bytes[at] = by
    by >>= 8
  }
}

/** Elias's gamma code of a whole number, its sign lowest. */
function readCorrection(raw: BitReader): number {
  let length = 0
  while (raw.read(1) === 0) if (++length > 24) throw damaged('a correction is too long')
  return unfold((1 << length) + raw.read(length) - 1)
}

const mostCorrected = 2 ** 22
const codeOf = (by: number): number => fold(by) + 1
const correctionBits = (by: number): number => 63 - 2 * Math.clz32(codeOf(by))

function writeCorrection(by: number, out: BitWriter): void {
  const length = 31 - Math.clz32(codeOf(by))
  out.write(0, length)
  out.write(codeOf(by), length + 1)
}

export const gridEncoder: Encoder = {
  coding: grid,
  encode(info, data) {
    const { size } = info
    if (!writers[info.dtype] || size < 8) return undefined
    let best: { coded: Coded; bits: number } | undefined
    for (const { steps, second = [], run, form, integers } of findSteps(info, data)) {
      const numbers = [...steps, ...second]
      const flags =
        (form && form.kind !== 'quotient' ? productFlag : 0) +
        (second.length > 0 ? secondFlag : 0) +
        levelsUnit * (form?.levels ?? 0)
      // Where corrections do the rest, steps in single precision may do.
      const isSingle = numbers.every((s) => Math.fround(s) === s)
      for (const wide of isSingle ? [0] : [doubleFlag, 0]) {
        const table = new Uint8Array((wide ? Float64Array.from(numbers) : Float32Array.from(numbers)).buffer)
        const coded = { parameters: [flags + wide, run], table, integers }
        const found = measure(info, data, coded) ?? measure(info, data, withCorrections(coded))
        if (found && (!best || found.bits < best.bits)) best = found
      }
      // With integers as few as these, several steps gain nothing.
      if (best && integers.every((q) => q < fewIntegers && q > -fewIntegers)) break
    }
    return best
  },
  writeRaw({ info, data }, coded, out) {
    const width = info.byteLength / info.size
    place(info, coded, {
      sign(i) {
        const sign = data[width * (i + 1) - 1] >> 7
        out.write(sign, 1)
        return sign
      },
      correction(i, rounded) {
        const by = difference(data, rounded, i, width)
        writeCorrection(by, out)
        return by
      },
    })
  },
}

/** How far the bits of element i in `data` are from those it has rounded; 0, which does not mend them, if too far. */
function difference(data: Uint8Array, rounded: Uint8Array, i: number, width: number): number {
  const to = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const from = new DataView(rounded.buffer)
  const by =
    width === 2
      ? to.getInt16(2 * i, true) - from.getInt16(2 * i, true)
      : width === 4
        ? to.getInt32(4 * i, true) - from.getInt32(4 * i, true)
        : Number(to.getBigInt64(8 * i, true) - from.getBigInt64(8 * i, true))
  return Math.abs(by) < mostCorrected ? by : 0
}

function withCorrections({ parameters: [flags, run], ...rest }: Coded): Coded {
  return { ...rest, parameters: [flags + correctedFlag, run] }
}

/** The coded form with the flags it needs, and its bits; undefined where it does not give the data. */
function measure(info: TensorInfo, data: Uint8Array, coded: Coded): { coded: Coded; bits: number } | undefined {
  const width = info.byteLength / info.size
  const { parameters, table, integers } = coded
  let [flags] = parameters
  let zeros = 0
  let negative = 0
  let bits = 0
  const out = place(
    info,
    { ...coded, parameters: [flags + signsFlag, parameters[1]] },
    {
      sign(i) {
        zeros++
        const sign = data[width * (i + 1) - 1] >> 7
        negative += sign
        return sign
      },
      correction(i, rounded) {
        const by = difference(data, rounded, i, width)
        bits += correctionBits(by)
        return by
      },
    },
  )
  if (!out.every((b, i) => b === data[i])) return undefined
  if (negative > 0) flags += signsFlag
  const all = bits + (negative > 0 ? zeros : 0)
  const size = estimateBits(integers as Int32Array) + (table as Uint8Array).length * 7
  return { coded: { ...coded, parameters: [flags, parameters[1]] }, bits: size + all }
}
