/** Integer types of up to 64 bits whose values fit 32 bits. */
import { type DataType, dataTypes } from '../../tensor/dtype.ts'
import { type Coding, damaged, type Encoder, estimateBits } from './coding.ts'

export const integers: Coding = {
  name: 'integers',

  hasIntegers: true,
  decode({ dtype, byteLength }, { integers }) {
    return pack(dtype, byteLength, integers as Int32Array)
  },
}

function pack(dtype: DataType, byteLength: number, values: Int32Array): Uint8Array {
  const { bits, kind } = dataTypes[dtype]
  if (bits > 64 || bits === 6) throw damaged(`integers cannot be of type ${dtype}`)
  const data = new Uint8Array(byteLength)
  const size = values.length
  if (kind === 'tiny-float' && bits === 8) {
    for (let i = 0; i < size; i++) data[i] = values[i] < 0 ? 128 | (-values[i] & 127) : values[i]
  } else if (bits >= 8) {
    const width = bits / 8
    // The fifth byte and those after it are the sign's.
    for (let i = 0; i < size; i++)
      for (let b = 0; b < width; b++) data[i * width + b] = values[i] >> Math.min(8 * b, 31)
  } else {
    const perByte = 8 / bits
    for (let i = 0; i < size; i++)
      data[Math.floor(i / perByte)] |= (values[i] & ((1 << bits) - 1)) << ((i % perByte) * bits)
  }
  return data
}

export const integersEncoder: Encoder = {
  coding: integers,
  encode({ dtype, size }, data) {
    const values = unpack(dtype, size, data)
    return values && { coded: { parameters: [], integers: values }, bits: estimateBits(values) }
  },
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
