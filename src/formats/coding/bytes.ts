/**
 * Any bytes, by a context mixer of their own: for tables, text, whole files, and all that repeats over long distances or that
 * depends on what lies left or above. Bytes of an element come highest first, so that a float's exponent is known before its
 * mantissa. In the middle of what was there before, a whole byte is one decision. Among the raw bits are 32 that say how many
 * bytes the stream has, and the stream.
 */
import { dataTypes } from '../../tensor/dtype.ts'
import { Distinct } from '../distinct.ts'
import { type BitCoder, ContextMixer, hash } from '../entropy/context-mixer.ts'
import { BinaryCoder } from '../entropy/range-coder.ts'
import { type Coding, damaged, type Encoder, type TensorInfo } from './coding.ts'
import { seenChoices } from './seen-choices.ts'
import { bitsBySeen } from './seen-cost.ts'
import { type Choices, type Seen, seenElements } from './seen-elements.ts'
import { TextPlace } from './text-place.ts'

/** Bytes that a match must have in common before it counts, and from which on a byte is one decision. */
const leastMatch = 5
const longMatch = 16
const mostMatched = 32
/** What sets of weights are for: a length of a match in a column; long matches. */
const longSet = 256
const sets = 262
/** Data of a tensor is more of one kind than a head. */
const limit = 1023

export const bytes: Coding = {
  name: 'bytes',
  parameterCount: 1,
  hasRaw: true,
  decode(info, { parameters }, raw) {
    const width = widthOf(info)
    const kind = parameters[0]
    if (kind > asText || (kind === byElements && width < 2) || (kind > 0 && width > 8))
      throw damaged('bytes are of no known kind')
    const coder = new BinaryCoder(raw.bytes(raw.read(32)))
    if (kind === asText) {
      const out = new Uint8Array(info.byteLength)
      codeText(coder, info.size).forEach((byte, i) => {
        out[i * width] = byte
      })
      return out
    }
    const data = inPlace(codeBytes(coder, info, { kind }), width)
    if (kind === bySigns) turnNegatives(data, width)
    return data
  },
}

/**
 * Kinds besides 0: it is told of elements that they were there before; the same, of integers as a sign and a magnitude; text, of
 * each element the lowest byte, where the others are 0.
 */
const byElements = 1
const bySigns = 2
const asText = 3

/** Codes so many bytes of a text: those of `source`, or, where there is none, those that come out. */
export function codeText(
  coder: BitCoder & { readonly overrun?: number },
  length: number,
  source?: Uint8Array,
): Uint8Array {
  const info = { dtype: 'uint8', dims: [length], size: length, byteLength: length } as const
  return codeBytes(coder, info, { kind: 0, source, text: new TextPlace() })
}

function widthOf({ dtype }: TensorInfo): number {
  return Math.max(1, dataTypes[dtype].bits >> 3)
}

/** Turns each element's bytes around, in the array itself. (Callers copy by `new`: `slice` of a Buffer is no copy.) */
function inPlace(data: Uint8Array, width: number): Uint8Array {
  if (width > 1) for (let at = 0; at < data.length; at += width) data.subarray(at, at + width).reverse()
  return data
}

/**
 * Negative integers become a sign, their highest bit, and a magnitude, in the array itself; done again, integers. The sign alone is
 * the lowest.
 */
function turnNegatives(data: Uint8Array, width: number): void {
  for (let at = 0; at < data.length; at += width) {
    const top = at + width - 1
    if (data[top] < 128) continue
    data[top] -= 128
    negate(data, at, width)
    data[top] |= 128
  }
}

/** Makes an integer of `width` bytes its negative. */
function negate(data: Uint8Array, at: number, width: number): void {
  let carry = 0
  for (const end = at + width; at < end; at++) {
    carry -= data[at]
    data[at] = carry
    carry >>= 8
  }
}

interface BytesOptions {
  readonly kind: number
  /** What an encoder has. */
  readonly source?: Uint8Array
  readonly choicesOf?: (seen: Seen) => Choices
  /** Where the bytes are text. */
  readonly text?: TextPlace
}

/** Codes the bytes of a tensor, each element's highest first: those of `source`, or, where there is none, those that come out. */
function codeBytes(
  coder: BitCoder & { readonly overrun?: number },
  info: TensorInfo,
  { kind, source, choicesOf, text }: BytesOptions,
): Uint8Array {
  const { dims, byteLength } = info
  const width = widthOf(info)
  const row = Math.max(1, (dims[dims.length - 1] ?? 1) * width)
  const out = source ?? new Uint8Array(byteLength)
  // Tables are no larger than what is to be decoded makes use of.
  const bits = 32 - Math.clz32(byteLength)
  const mixer = new ContextMixer(coder, { slotBits: Math.max(10, Math.min(20, bits + 2)), sets, limit })
  const positions = new Int32Array(1 << Math.min(16, bits))
  const isSigned = kind === bySigns || dataTypes[info.dtype].kind === 'float'
  const elements = kind > 0 ? seenElements(out, info, { isSigned, choicesOf }) : undefined
  // What came last after each byte: a row's mantissas come again, under other exponents.
  const after = new Uint8Array(width << 8)
  let match = 0
  let matched = 0
  for (let i = 0; i < byteLength; i++) {
    if ((i & 0xff) === 0 && (coder.overrun ?? 0) > 12) throw damaged('raw bits end too soon')
    const column = i % width
    if (elements && column === 0) {
      if (i > 0) elements.add(i / width - 1)
      const like = elements.code(i / width, mixer)
      if (like === undefined) {
        i += width - 1
        continue
      }
      match = like * width
      matched = like < 0 ? 0 : 1
    }
    const back = (distance: number): number => (i >= distance ? out[i - distance] : 0)
    const [h1, h2, h3, h4] = [back(1), back(2), back(3), back(4)]
    const before = back(width)
    const above = back(row)
    const expected = match > 0 ? out[match] : 0
    let byte = -1
    if (matched >= longMatch) {
      const near = hash(column, Math.min(matched, mostMatched))
      const as = [near, hash(near, expected), hash(11, expected | (h1 << 8))]
      if (mixer.bit(source && source[i] === expected ? 1 : 0, as, 1, longSet)) byte = expected
    }
    if (byte < 0) {
      const four = h1 | (h2 << 8) | (h3 << 16) | (h4 << 24)
      // Of text, four of the contexts are others.
      const side = text?.contexts(h1, four, back(5))
      const contexts = [
        hash(column, h1),
        hash(16 + column, h1 | (h2 << 8)),
        hash(32 + column, h1 | (h2 << 8) | (h3 << 16)),
        hash(48 + column, four),
        side?.[0] ?? hash(64 + column, before | (back(2 * width) << 8)),
        side?.[1] ?? hash(80 + column, before | (h1 << 8)),
        side?.[2] ?? hash(96 + column, above | (h1 << 8)),
        side?.[3] ?? hash(112 + column, above | (before << 8) | (back(row + width) << 16)),
        hash(128 + column, match > 0 ? expected | (Math.min(matched, 15) << 8) : -1),
        hash(144 + column, after[(column << 8) | h1]),
      ]
      byte = mixer.symbol(source ? source[i] : 0, 8, contexts, 16 * column + Math.min(matched, 15))
    }
    out[i] = byte
    text?.note(byte)
    after[(column << 8) | h1] = byte
    matched = match > 0 && byte === expected ? matched + 1 : matched >> 2
    if (match > 0) match++
    if (i < leastMatch || elements) continue
    const key = hash(byte | (h1 << 8) | (h2 << 16) | (h3 << 24), h4) & (positions.length - 1)
    if (matched === 0) {
      const found = positions[key]
      while (found > matched && matched < mostMatched && out[found - 1 - matched] === out[i - matched]) matched++
      if (matched < leastMatch) matched = 0
      else match = found
    }
    positions[key] = i + 1
  }
  return out
}

/** Bytes in a row that are coded for an estimate, and how many such rows. */
const sampleLength = 1 << 13
/** Tensors that are shorter are coded whole for an estimate. */
export const shortLength = 1 << 15

export const bytesEncoder: Encoder = {
  coding: bytes,
  encode(info, data, most = Number.POSITIVE_INFINITY) {
    if (info.byteLength < 32) return undefined
    const width = widthOf(info)
    const plain = estimate(info, data)
    const isShort = dataTypes[info.dtype].kind === 'int' && info.size <= mostSigned
    const bySign = isShort && hasNegative(data, width) && (width > 1 || hasFewMagnitudes(data))
    const kind = bySign ? bySigns : byElements
    const seen = bitsBySeen(info, data, {
      isSigned: kind === bySigns || dataTypes[info.dtype].kind === 'float',
      highestFirst: () => prepared(data, width, kind),
      bitsAsBytes,
      most: Math.min(most, plain),
    })
    const text = info.size <= mostText ? textOf(info, data) : undefined
    if (text) {
      const asWritten = 64 + bitsAsText(text)
      // Of short ones the estimate has coded it all.
      const asBytes = info.byteLength <= shortLength ? plain : 64 + bitsAsBytes(info, data)
      if (asWritten < Math.min(asBytes, 64 + (seen ?? Number.POSITIVE_INFINITY)))
        return { coded: { parameters: [asText] }, bits: asWritten }
    }
    const wins = seen !== undefined && 64 + seen < plain
    return { coded: { parameters: [wins ? kind : 0] }, bits: wins ? 64 + seen : plain }
  },
  writeRaw(info, data, { parameters: [kind] }, out) {
    const coder = new BinaryCoder()
    if (kind === asText) codeText(coder, info.size, lowBytes(data, widthOf(info)))
    else codeBytes(coder, info, { kind, source: prepared(data, widthOf(info), kind), choicesOf: seenChoices })
    const stream = coder.finish()
    out.write(stream.length, 32)
    for (const byte of stream) out.write(byte, 8)
  },
}

/** More integers are not looked at by sign and magnitude, which takes a microsecond for each: magnitudes of weights all repeat. */
const mostSigned = 1 << 17
const fewMagnitudes = 4

/** Whether 8-bit integers have no more magnitudes than that. Of weights, the first few tell. */
function hasFewMagnitudes(data: Uint8Array): boolean {
  const seen = new Set<number>()
  for (const byte of data) if (seen.add(Math.min(byte, 256 - byte)).size > fewMagnitudes) return false
  return true
}

function hasNegative(data: Uint8Array, width: number): boolean {
  for (let at = width - 1; at < data.length; at += width) if (data[at] >= 128) return true
  return false
}

/** The bytes as they are coded, each element's highest first. */
function prepared(data: Uint8Array, width: number, kind: number): Uint8Array {
  const out = new Uint8Array(data)
  if (kind === bySigns) turnNegatives(out, width)
  return inPlace(out, width)
}

function estimate(info: TensorInfo, data: Uint8Array): number {
  const { byteLength } = info
  if (byteLength <= shortLength) return 64 + bitsAsBytes(info, data)
  let bits = 0
  const width = widthOf(info)
  const at = Math.floor(byteLength / 2 / width) * width
  for (const from of [0, at]) bits += bitsAsBytes(info, data.subarray(from, from + sampleLength))
  const share = repeatedShare(data, width)
  return 64 + (1 - share) * ((bits * byteLength) / (2 * sampleLength)) + share * byteLength * 0.1
}

/** Elements of a text up to which it is coded to see, which takes a second. */
const mostText = 1 << 19
/** The share of bytes of a text that letters, digits, signs and spaces are, at least. */
const leastPrintable = 0.9

/** The text whose characters the elements of a tensor are, if they are. */
function textOf(info: TensorInfo, data: Uint8Array): Uint8Array | undefined {
  const width = widthOf(info)
  const { kind, bits } = dataTypes[info.dtype]
  if ((kind !== 'int' && kind !== 'uint') || bits < 8) return undefined
  for (let i = 0; i < data.length; i++) if (i % width > 0 && data[i] !== 0) return undefined
  const text = lowBytes(data, width)
  const printable = text.reduce(
    (n, c) => n + ((c >= 32 && c < 127) || c >= 160 || c === 9 || c === 10 || c === 13 ? 1 : 0),
    0,
  )
  return printable >= leastPrintable * text.length ? text : undefined
}

function lowBytes(data: Uint8Array, width: number): Uint8Array {
  return Uint8Array.from({ length: data.length / width }, (_, i) => data[i * width])
}

function bitsAsText(text: Uint8Array): number {
  const coder = new BinaryCoder()
  codeText(coder, text.length, text)
  return 8 * coder.finish().length
}

/** Bytes of a window that is looked for again, and 1 in how many windows is. */
const windowLength = 32
const oneIn = 16

/** The share of elements where a longer run of bytes begins that was there before, further away than samples show. */
function repeatedShare(data: Uint8Array, width: number): number {
  const seen = new Distinct()
  let looked = 0
  let repeated = 0
  for (let at = 0; at + windowLength <= data.length; at += width) {
    // The window's first bytes say whether it is looked at, so that the same is at every place where it comes.
    const first = hash(data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (data[at + 3] << 24), data[at + 5])
    if ((first >>> 8) % oneIn !== 0) continue
    let key = first
    for (let i = 4; i < windowLength; i++) key = hash(key, data[at + i])
    const { size } = seen
    looked++
    if (seen.add(key >>> 0) < size) repeated++
  }
  return looked === 0 ? 0 : repeated / looked
}

/** Bits of a tensor coded as bytes. */
export function bitsAsBytes(info: TensorInfo, data: Uint8Array): number {
  const coder = new BinaryCoder()
  codeBytes(
    coder,
    { ...info, byteLength: data.length },
    { kind: 0, source: inPlace(new Uint8Array(data), widthOf(info)) },
  )
  return 8 * coder.finish().length
}
