/**
 * Any floats: exponents as integers (0 for +0, else ±(largest - exponent + 1), so that zeros, signs and scales are
 * modelled as weights are), mantissas as raw bits. Parameters: the largest exponent, and how many low mantissa bits are
 * zero in all (float16 values stored as float32), `signedZeros` added where each 0 has a raw bit that says whether it is -0:
 * a weight below zero that was multiplied by a mask, as frameworks prune, is one.
 */
import type { DataType } from '../../tensor/dtype.ts'
import {
  type BitReader,
  type BitWriter,
  type Coding,
  damaged,
  type Encoder,
  estimateBits,
  type TensorInfo,
} from './coding.ts'

interface FloatFormat {
  readonly width: number
  readonly mantissa: number
  readonly exponents: number
}

const formats: Partial<Record<DataType, FloatFormat>> = {
  float32: { width: 4, mantissa: 23, exponents: 256 },
  float16: { width: 2, mantissa: 10, exponents: 32 },
  bfloat16: { width: 2, mantissa: 7, exponents: 256 },
  float64: { width: 8, mantissa: 52, exponents: 2048 },
}

/** In the second parameter. */
const signedZeros = 64

export const floats: Coding = {
  name: 'floats',
  parameterCount: 2,
  hasTable: false,
  hasIntegers: true,
  hasRaw: true,
  decode: decodeFloats,
}

export const floatsEncoder: Encoder = {
  coding: floats,
  encode(info, data) {
    const format = formats[info.dtype]
    if (!format) return undefined
    const parts = reader(format, data)
    let largest = 0
    let low = 0
    let high = 0
    let positive = 0
    let negative = 0
    for (let i = 0; i < info.size; i++) {
      parts.at(i)
      if (parts.isZero()) {
        if (parts.sign) negative++
        else positive++
      }
      if (parts.exponent > largest) largest = parts.exponent
      low |= parts.low
      high |= parts.high
    }
    const zeros = Math.min(format.mantissa, low !== 0 ? trailing(low) : high !== 0 ? 32 + trailing(high) : 64)
    // As a number of its own, a -0 takes a mantissa and breaks up the zeros.
    const signs = negative * (format.mantissa - zeros + 4) > positive + negative
    const integers = new Int32Array(info.size)
    let kept = 0
    for (let i = 0; i < info.size; i++) {
      parts.at(i)
      if (parts.isZero() && (signs || !parts.sign)) continue
      const m = largest - parts.exponent + 1
      integers[i] = parts.sign ? -m : m
      kept++
    }
    return {
      coded: { parameters: [largest, zeros + (signs ? signedZeros : 0)], integers },
      bits: estimateBits(integers) + kept * (format.mantissa - zeros) + (signs ? positive + negative : 0),
    }
  },
  writeRaw(info, data, { parameters, integers }, out) {
    const format = formats[info.dtype] as FloatFormat
    const parts = reader(format, data)
    const { zeros, signs } = lowBitsOf(parameters[1])
    for (let i = 0; i < info.size; i++) {
      parts.at(i)
      if ((integers as Int32Array)[i] !== 0) putMantissa(out, format.mantissa, zeros, parts)
      else if (signs) out.write(parts.sign, 1)
    }
  },
}

function lowBitsOf(parameter: number): { zeros: number; signs: boolean } {
  const signs = parameter >= signedZeros
  return { zeros: parameter - (signs ? signedZeros : 0), signs }
}

function trailing(x: number): number {
  return 31 - Math.clz32(x & -x)
}

/** Writes a mantissa of `width` bits less its lowest `zeros`: the high word's part, then the low word's. */
function putMantissa(out: BitWriter, width: number, zeros: number, m: { low: number; high: number }): void {
  if (width > 32) out.write(m.high >>> Math.max(0, zeros - 32), width - 32 - Math.max(0, zeros - 32))
  const low = Math.min(width, 32)
  if (zeros < low) out.write(m.low >>> zeros, low - zeros)
}

function decodeFloats(
  info: TensorInfo,
  coded: { parameters: readonly number[]; integers?: Int32Array },
  raw: BitReader,
) {
  const format = formats[info.dtype]
  const { integers } = coded
  const [largest, low] = coded.parameters
  const { zeros, signs } = lowBitsOf(low)
  if (!format || !integers || largest >= format.exponents || zeros > format.mantissa)
    throw damaged('floats do not fit their type')
  const { width, mantissa } = format
  const data = new Uint8Array(info.byteLength)
  const view = new DataView(data.buffer)
  for (let i = 0; i < info.size; i++) {
    const v = integers[i]
    if (v === 0) {
      if (signs && raw.read(1)) data[width * (i + 1) - 1] = 0x80
      continue
    }
    const exponent = largest + 1 - Math.abs(v)
    if (exponent < 0) throw damaged(`a float cannot have an exponent of ${exponent}`)
    let high = 0
    let low = 0
    if (mantissa > 32) {
      const skipped = Math.max(0, zeros - 32)
      high = raw.read(mantissa - 32 - skipped) << skipped
    }
    const lowBits = Math.min(mantissa, 32)
    if (zeros < lowBits) low = raw.read(lowBits - zeros) << zeros
    const sign = v < 0 ? 1 : 0
    if (width === 8) {
      view.setUint32(8 * i, low, true)
      view.setUint32(8 * i + 4, (sign << 31) | (exponent << 20) | high, true)
    } else if (width === 4) view.setUint32(4 * i, (sign << 31) | (exponent << 23) | low, true)
    else view.setUint16(2 * i, (sign << 15) | (exponent << mantissa) | low, true)
  }
  return data
}

/** Takes floats apart, one at a time, without making objects. */
function reader({ width, mantissa, exponents }: FloatFormat, data: Uint8Array) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const parts = {
    sign: 0,
    exponent: 0,
    high: 0,
    low: 0,
    /** +0 or -0. */
    isZero: (): boolean => parts.exponent === 0 && parts.low === 0 && parts.high === 0,
    at(i: number): void {
      if (width === 8) {
        const top = view.getUint32(8 * i + 4, true)
        parts.low = view.getInt32(8 * i, true)
        parts.high = top & 0xfffff
        parts.exponent = (top >>> 20) & 2047
        parts.sign = top >>> 31
        return
      }
      const word = width === 4 ? view.getUint32(4 * i, true) : view.getUint16(2 * i, true)
      parts.low = word & ((1 << mantissa) - 1)
      parts.exponent = (word >>> mantissa) & (exponents - 1)
      parts.sign = word >>> (8 * width - 1)
    },
  }
  return parts
}
