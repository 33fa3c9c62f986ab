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
      if (parts.isZero(i)) {
        if (parts.sign(i)) negative++
        else positive++
      }
      largest = Math.max(largest, parts.exponent(i))
      low |= parts.low(i)
      high |= parts.high(i)
    }
    const zeros = Math.min(mantissa, low !== 0 ? trailing(low) : high !== 0 ? 32 + trailing(high) : 64)
    // As a number of its own, a -0 takes a mantissa and breaks up the zeros.
    const signs = negative * (mantissa - zeros + 4) > positive + negative
    const integers = new Int32Array(info.size)
    let kept = 0
    for (let i = 0; i < info.size; i++) {
      const sign = parts.sign(i)
      if (parts.isZero(i) && (signs || !sign)) continue
      const m = largest - parts.exponent(i) + 1
      integers[i] = sign ? -m : m
      kept++
    }
    return {
      coded: { parameters: [largest, zeros + (signs ? signedZeros : 0)], integers },
      bits: estimateBits(integers) + kept * (mantissa - zeros) + (signs ? positive + negative : 0),
    }
  },
  writeRaw({ info, data }, { parameters, integers }, out) {
    const mantissa = mantissas[info.dtype] as number
    const parts = reader(mantissa, dataTypes[info.dtype].bits, data)
    const { zeros, signs } = lowBitsOf(parameters[1])
    for (let i = 0; i < info.size; i++) {
      if ((integers as Int32Array)[i] !== 0)
        putMantissa(out, mantissa, zeros, { high: parts.high(i), low: parts.low(i) })
      else if (signs) out.write(parts.sign(i), 1)
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

/** Takes floats apart. Words of 32 bits with a sign, since those without one are slow to keep. */
function reader(mantissa: number, bits: number, data: Uint8Array) {
  // A copy is aligned, which a part of a file need not be.
  const { buffer } = new Uint8Array(data)
  const words = bits === 16 ? new Uint16Array(buffer) : new Int32Array(buffer)
  const isDouble = bits === 64
  /** Bits of the mantissa in the word that has sign and exponent. */
  const inTop = isDouble ? mantissa - 32 : mantissa
  const mask = (1 << inTop) - 1
  const most = 2 ** (bits - 1 - mantissa) - 1
  const signAt = Math.min(bits, 32) - 1
  const top = (i: number): number => words[isDouble ? 2 * i + 1 : i]
  const exponent = (i: number): number => (top(i) >>> inTop) & most
  const high = (i: number): number => (isDouble ? top(i) & mask : 0)
  const low = (i: number): number => (isDouble ? words[2 * i] : top(i) & mask)
  return {
    exponent,
    high,
    low,
    sign: (i: number): number => (top(i) >>> signAt) & 1,
    /** +0 or -0. */
    isZero: (i: number): boolean => exponent(i) === 0 && low(i) === 0 && high(i) === 0,
  }
}
