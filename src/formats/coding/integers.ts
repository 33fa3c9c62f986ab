/** Integer types of up to 64 bits whose values, less their most frequent one, fit 32 bits. Parameter: the offset, 0 or more. */
import { type DataType, dataTypes } from '../../tensor/dtype.ts'
import { type Coding, damaged, estimateBits } from './coding.ts'

export const integers: Coding = {
  name: 'integers',
  parameterCount: 1,
  hasTable: false,
  hasIntegers: true,
  encode({ dtype, size }, data) {
    const values = unpack(dtype, size, data)
    if (!values) return undefined
    const offset = mode(values)
    // Only where it is worth a parameter, and the differences stay within 32 bits.
    const shift = offset > 0 && bounds(values)[0] - offset >= -(2 ** 31) ? offset : 0
    if (shift !== 0) for (let i = 0; i < values.length; i++) values[i] -= shift
    return { coded: { parameters: [shift], integers: values }, bits: estimateBits(values) + 16 }
  },
  decode(info, { parameters, integers }) {
    if (!integers) throw damaged('integers are missing')
    const shift = parameters[0]
    if (shift > 2 ** 31 - 1) throw damaged(`an integer offset of ${shift}`)
    return pack(info.dtype, info.byteLength, integers, shift)
  },
}

function bounds(values: Int32Array): [number, number] {
  let low = values[0]
  let high = values[0]
  for (const v of values) {
    if (v < low) low = v
    if (v > high) high = v
  }
  return [low, high]
}

/** The most frequent value; of values that range over more than 2^20, the first. */
function mode(values: Int32Array): number {
  const [low, high] = bounds(values)
  if (!(high - low < 1 << 20)) return values[0] ?? 0
  const counts = new Int32Array(high - low + 1)
  for (const v of values) counts[v - low]++
  let best = 0
  for (let i = 1; i < counts.length; i++) if (counts[i] > counts[best]) best = i
  return best + low
}

/** The elements as 32-bit integers, or undefined where they do not fit or padding bits are set. */
function unpack(dtype: DataType, size: number, data: Uint8Array): Int32Array | undefined {
  const { bits, kind } = dataTypes[dtype]
  // Elements of 6 bits lie across bytes.
  if (kind === 'float' || kind === 'complex' || kind === 'string' || bits === 6) return undefined
  const out = new Int32Array(size)
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  if (bits === 64) {
    for (let i = 0; i < size; i++) {
      const low = view.getInt32(8 * i, true)
      const high = view.getInt32(8 * i + 4, true)
      if (high !== low >> 31) return undefined
      out[i] = low
    }
  } else if (bits === 32) for (let i = 0; i < size; i++) out[i] = view.getInt32(4 * i, true)
  else if (bits === 16) {
    for (let i = 0; i < size; i++) out[i] = kind === 'int' ? view.getInt16(2 * i, true) : view.getUint16(2 * i, true)
  } else if (kind === 'tiny-float' && bits === 8) {
    for (let i = 0; i < size; i++) out[i] = data[i] & 128 ? -(data[i] & 127) || -128 : data[i]
  } else if (bits === 8) for (let i = 0; i < size; i++) out[i] = kind === 'int' ? (data[i] << 24) >> 24 : data[i]
  else {
    const perByte = 8 / bits
    const used = (size * bits) % 8
    if (used > 0 && data[data.length - 1] >> used !== 0) return undefined
    const top = 32 - bits
    for (let i = 0; i < size; i++) {
      const code = (data[Math.floor(i / perByte)] >> ((i % perByte) * bits)) & ((1 << bits) - 1)
      out[i] = kind === 'int' ? (code << top) >> top : code
    }
  }
  return out
}

function pack(dtype: DataType, byteLength: number, values: Int32Array, shift: number): Uint8Array {
  const { bits, kind } = dataTypes[dtype]
  if (bits > 64 || bits === 6) throw damaged(`integers of type ${dtype}`)
  const data = new Uint8Array(byteLength)
  const view = new DataView(data.buffer)
  const size = values.length
  if (bits === 64) {
    for (let i = 0; i < size; i++) {
      const v = (values[i] + shift) | 0
      view.setInt32(8 * i, v, true)
      view.setInt32(8 * i + 4, v >> 31, true)
    }
  } else if (bits === 32) for (let i = 0; i < size; i++) view.setInt32(4 * i, values[i] + shift, true)
  else if (bits === 16) for (let i = 0; i < size; i++) view.setInt16(2 * i, values[i] + shift, true)
  else if (kind === 'tiny-float' && bits === 8) {
    for (let i = 0; i < size; i++) {
      const v = (values[i] + shift) | 0
      data[i] = v < 0 ? 128 | (-v & 127) : v
    }
  } else if (bits === 8) for (let i = 0; i < size; i++) data[i] = values[i] + shift
  else {
    const perByte = 8 / bits
    for (let i = 0; i < size; i++) {
      data[Math.floor(i / perByte)] |= ((values[i] + shift) & ((1 << bits) - 1)) << ((i % perByte) * bits)
    }
  }
  return data
}
