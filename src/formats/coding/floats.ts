/**
 * Any floats: exponents as integers (0 for +0, else ±(largest - exponent + 1), so that zeros, signs and scales are
 * modelled as weights are), mantissas as raw bits. Parameters: the largest exponent, and how many low mantissa bits are
 * zero in all (float16 values stored as float32), `signedZeros` added where each 0 has a raw bit that says whether it is -0:
 * a weight below zero that was multiplied by a mask, as frameworks prune, is one.
 */
import { type DataType, dataTypes } from '../../tensor/dtype.ts'
import {
  type BitReader,
  type BitWriter,
  type Coding,
  damaged,
  type Encoder,
  estimateBits,
  type TensorInfo,
} from './coding.ts'

/** Bits of mantissas. */
const mantissas: Partial<Record<DataType, number>> = { float32: 23, float16: 10, bfloat16: 7, float64: 52 }

/** In the second parameter. */
const signedZeros = 64

export const floats: Coding = {
  name: 'floats',
  parameterCount: 2,
  hasIntegers: true,
  hasRaw: true,
  decode: decodeFloats,
}

export const floatsEncoder: Encoder = {
  coding: floats,
  encode(info, data) {
    const mantissa = mantissas[info.dtype]
    if (!mantissa) return undefined
    const parts = reader(mantissa, dataTypes[info.dtype].bits, data)
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
    const zeros = Math.min(mantissa, low !== 0 ? trailing(low) : high !== 0 ? 32 + trailing(high) : 64)
    // As a number of its own, a -0 takes a mantissa and breaks up the zeros.
    const signs = negative * (mantissa - zeros + 4) > positive + negative
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
      bits: estimateBits(integers) + kept * (mantissa - zeros) + (signs ? positive + negative : 0),
    }
  },
  writeRaw(info, data, { parameters, integers }, out) {
    const mantissa = mantissas[info.dtype] as number
    const parts = reader(mantissa, dataTypes[info.dtype].bits, data)
    const { zeros, signs } = lowBitsOf(parameters[1])
    for (let i = 0; i < info.size; i++) {
      parts.at(i)
      if ((integers as Int32Array)[i] !== 0) putMantissa(out, mantissa, zeros, parts)
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
  { dtype, byteLength, size }: TensorInfo,
  { parameters, integers }: { parameters: readonly number[]; integers?: Int32Array },
  raw: BitReader,
) {
  const { bits } = dataTypes[dtype]
  const mantissa = mantissas[dtype]
  const largest = parameters[0]
  const { zeros, signs } = lowBitsOf(parameters[1])
  if (!mantissa || !integers || largest >= 2 ** (bits - 1 - mantissa) || zeros > mantissa)
    throw damaged('floats do not fit their type')
  const data = new Uint8Array(byteLength)
  const view = new DataView(data.buffer)
  // Of a mantissa of more than 32 bits, the bits from here on are in the high word.
  const split = Math.max(32, zeros)
  for (let i = 0; i < size; i++) {
    const v = integers[i]
    if (v === 0) {
      if (signs && raw.read(1)) data[((i + 1) * bits) / 8 - 1] = 0x80
      continue
    }
    const exponent = largest + 1 - Math.abs(v)
    if (exponent < 0) throw damaged(`a float cannot have an exponent of ${exponent}`)
    const high = mantissa > split ? raw.read(mantissa - split) << (split - 32) : 0
    const low = zeros < 32 ? raw.read(Math.min(mantissa, 32) - zeros) << zeros : 0
    // Shifts count modulo 32, so these are of the word that has sign and exponent.
    const top = ((v < 0 ? 1 : 0) << (bits - 1)) | (exponent << mantissa) | (bits === 64 ? high : low)
    if (bits === 16) view.setUint16(2 * i, top, true)
    else if (bits === 32) view.setUint32(4 * i, top, true)
    else {
      view.setUint32(8 * i, low, true)
      view.setUint32(8 * i + 4, top, true)
    }
  }
  return data
}

/** Takes floats apart, one at a time, without making objects. */
function reader(mantissa: number, bits: number, data: Uint8Array) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const parts = {
    sign: 0,
    exponent: 0,
    high: 0,
    low: 0,
    /** +0 or -0. */
    isZero: (): boolean => parts.exponent === 0 && parts.low === 0 && parts.high === 0,
    at(i: number): void {
      if (bits === 64) {
        const top = view.getUint32(8 * i + 4, true)
        parts.low = view.getInt32(8 * i, true)
        parts.high = top & 0xfffff
        parts.exponent = (top >>> 20) & 2047
        parts.sign = top >>> 31
        return
      }
      const word = bits === 32 ? view.getUint32(4 * i, true) : view.getUint16(2 * i, true)
      parts.low = word & ((1 << mantissa) - 1)
      parts.exponent = (word >>> mantissa) & (2 ** (bits - 1 - mantissa) - 1)
      parts.sign = word >>> (bits - 1)
    },
  }
  return parts
}
