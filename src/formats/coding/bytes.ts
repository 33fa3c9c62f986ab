/**
 * Any bytes, by a context mixer of their own: for tables, text, whole files, and all that repeats over long distances or that
 * depends on what lies left or above. Bytes of an element come highest first, so that a float's exponent is known before its
 * mantissa. In the middle of what was there before, a whole byte is one decision. Among the raw bits are 32 that say how many
 * bytes the stream has, and the stream.
 */
import { dataTypes } from '../../tensor/dtype.ts'
import { ContextMixer, hash } from '../entropy/context-mixer.ts'
import { BinaryCoder } from '../entropy/range-coder.ts'
import { type Coding, damaged, type Encoder, type TensorInfo } from './coding.ts'

/** Bytes that a match must have in common before it counts, and from which on a byte is one decision. */
const leastMatch = 5
const longMatch = 16
const mostMatched = 32
const positionBits = 16
/** What sets of weights are for: a length of a match in a column; long matches. */
const longSet = 1000

export const bytes: Coding = {
  name: 'bytes',
  parameterCount: 0,
  hasTable: false,
  hasIntegers: false,
  hasRaw: true,
  decode(info, _coded, raw) {
    const length = raw.read(32)
    // Of damaged input, only what is there is read.
    const stream: number[] = []
    for (let i = 0; i < length; i++) stream.push(raw.read(8))
    const coder = new BinaryCoder(Uint8Array.from(stream))
    return inPlace(codeBytes(coder, info), widthOf(info))
  },
}

function widthOf({ dtype }: TensorInfo): number {
  return Math.max(1, dataTypes[dtype].bits >> 3)
}

/** Turns each element's bytes around, in the array itself. (Callers copy by `new`: `slice` of a Buffer is no copy.) */
function inPlace(data: Uint8Array, width: number): Uint8Array {
  if (width > 1) for (let at = 0; at < data.length; at += width) data.subarray(at, at + width).reverse()
  return data
}

/** Codes the bytes of a tensor, each element's highest first: those of `source`, or, where there is none, those that come out. */
function codeBytes(coder: BinaryCoder, info: TensorInfo, source?: Uint8Array): Uint8Array {
  const { dims, byteLength } = info
  const width = widthOf(info)
  const row = Math.max(1, (dims[dims.length - 1] ?? 1) * width)
  const out = source ?? new Uint8Array(byteLength)
  const mixer = new ContextMixer(coder, { slotBits: Math.max(12, Math.min(18, 34 - Math.clz32(byteLength))) })
  const positions = new Int32Array(1 << positionBits)
  const contexts = new Array<number>(10)
  let match = 0
  let matched = 0
  for (let i = 0; i < byteLength; i++) {
    if ((i & 0xff) === 0 && coder.overrun > 12) throw damaged('bytes that end too soon')
    const column = i % width
    const h1 = i > 0 ? out[i - 1] : 0
    const h2 = i > 1 ? out[i - 2] : 0
    const h3 = i > 2 ? out[i - 3] : 0
    const h4 = i > 3 ? out[i - 4] : 0
    const before = i >= width ? out[i - width] : 0
    const before2 = i >= 2 * width ? out[i - 2 * width] : 0
    const above = i >= row ? out[i - row] : 0
    const corner = i >= row + width ? out[i - row - width] : 0
    const expected = match > 0 ? out[match] : 0
    let byte = -1
    if (matched >= longMatch) {
      const near = hash(column, Math.min(matched, mostMatched))
      const as = [near, hash(near, expected), hash(11, expected | (h1 << 8))]
      if (mixer.bit(source && source[i] === expected ? 1 : 0, as, 1, longSet)) byte = expected
    }
    if (byte < 0) {
      contexts[0] = hash(column, h1)
      contexts[1] = hash(16 + column, h1 | (h2 << 8))
      contexts[2] = hash(32 + column, h1 | (h2 << 8) | (h3 << 16))
      contexts[3] = hash(48 + column, h1 | (h2 << 8) | (h3 << 16) | (h4 << 24))
      contexts[4] = hash(64 + column, before | (before2 << 8))
      contexts[5] = hash(80 + column, before | (h1 << 8))
      contexts[6] = hash(96 + column, above | (h1 << 8))
      contexts[7] = hash(112 + column, above | (before << 8) | (corner << 16))
      contexts[8] = hash(128 + column, matched > 0 ? expected | (Math.min(matched, 15) << 8) : -1)
      contexts[9] = 144 + column
      byte = mixer.symbol(source ? source[i] : 0, 8, contexts, 16 * column + Math.min(matched, 15))
    }
    out[i] = byte
    if (matched > 0 && byte === expected) {
      match++
      matched++
    } else match = matched = 0
    if (i < leastMatch) continue
    const key = hash(byte | (h1 << 8) | (h2 << 16) | (h3 << 24), h4) & ((1 << positionBits) - 1)
    if (matched === 0) {
      match = positions[key]
      while (match > matched && matched < mostMatched && out[match - 1 - matched] === out[i - matched]) matched++
      if (matched < leastMatch) match = matched = 0
    }
    positions[key] = i + 1
  }
  return out
}

/** Bytes in a row that are coded for an estimate, and how many such rows. */
const sampleLength = 1 << 13
/** Tensors that are shorter are coded whole for an estimate. */
const shortLength = 1 << 15

export const bytesEncoder: Encoder = {
  coding: bytes,
  encode(info, data) {
    const { byteLength } = info
    if (byteLength < 32) return undefined
    return { coded: { parameters: [] }, bits: estimate(info, data) }
  },
  writeRaw(info, data, _coded, out) {
    const coder = new BinaryCoder()
    codeBytes(coder, info, inPlace(new Uint8Array(data), widthOf(info)))
    const stream = coder.finish()
    out.write(stream.length, 32)
    for (const byte of stream) out.write(byte, 8)
  },
}

function estimate(info: TensorInfo, data: Uint8Array): number {
  const { byteLength } = info
  if (byteLength <= shortLength) return 64 + bitsOf(info, data)
  let bits = 0
  const width = widthOf(info)
  const at = Math.floor(byteLength / 2 / width) * width
  for (const from of [0, at]) bits += bitsOf(info, data.subarray(from, from + sampleLength))
  return 64 + (bits * byteLength) / (2 * sampleLength)
}

function bitsOf(info: TensorInfo, data: Uint8Array): number {
  const coder = new BinaryCoder()
  codeBytes(coder, { ...info, byteLength: data.length }, inPlace(new Uint8Array(data), widthOf(info)))
  return 8 * coder.finish().length
}
