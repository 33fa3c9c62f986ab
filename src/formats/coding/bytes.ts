/**
 * Any bytes, by a context mixer of their own: for tables, text, whole files, and all that repeats over long distances or that
 * depends on what lies left or above. Bytes of an element come highest first, so that a float's exponent is known before its
 * mantissa. In the middle of what was there before, a whole byte is one decision. Among the raw bits are 32 that say how many
 * bytes the stream has, and the stream.
 */

import { concat } from '../../onnx/wire.ts'
import { dataTypes } from '../../tensor/dtype.ts'
import { Distinct } from '../distinct.ts'
import { BitCounter } from '../entropy/bit-counter.ts'
import { hash } from '../entropy/context-mixer.ts'
import { BinaryDecoder, BinaryEncoder } from '../entropy/range-coder.ts'
import { codePlain, plainForms, plainMemory } from '../plain-text.ts'
import { byElements, byLongKeys, bySigns, codeBytes } from './byte-model.ts'
import {
  type Coding,
  damaged,
  type Earlier,
  type Encoder,
  type TensorData,
  type TensorInfo,
  widthOf,
} from './coding.ts'
import { isPrintable } from './printable.ts'
import { seenChoices } from './seen-choices.ts'
import { bitsBySeen } from './seen-cost.ts'

export const bytes: Coding = {
  name: 'bytes',
  parameterCount: 1,
  hasRaw: true,
  decode(info, { parameters: [parameter] }, raw, earlier) {
    const width = widthOf(info)
    const kind = parameter % perDistance
    const form = textForms[parameter - asText]
    const coder = new BinaryDecoder(raw.bytes(raw.read(32)))
    if (form !== undefined && holdsText(info))
      return asElements(info, codePlain(coder, { form, length: info.size }, plainMemory()))
    if (kind >= asText && parameter !== byLongKeys) throw damaged('a text is of no known form')
    const before = elementsBefore(info, parameter, earlier)
    const data = inPlace(codeBytes(coder, info, { kind, before }), width)
    if (kind === bySigns) turnNegatives(data, width)
    return data
  },
}

/** Behind the kind, in the parameter: how many tensors back in its group the one is whose elements stand before this one's. */
const perDistance = 8
/** That one has at most so many times as many bytes, so that no file takes much longer to decode than its length says. */
const mostBefore = 64

/** The elements that stand before a tensor's, the highest byte first; undefined where there are none. */
function elementsBefore(info: TensorInfo, parameter: number, earlier?: Earlier): Uint8Array | undefined {
  if (parameter < perDistance) return undefined
  const source = earlier?.(Math.floor(parameter / perDistance))
  if (!source || source.length % widthOf(info) > 0 || source.length > mostBefore * info.byteLength)
    throw damaged('a tensor takes data from one that is not there')
  return prepared(source, widthOf(info), parameter % perDistance)
}

/** The first of the kinds of text, whose characters are the elements, and how they are coded. */
const asText = 3
const textForms: readonly number[] = [plainForms.bytes, plainForms.counted, plainForms.utf8, plainForms.signs]

/** Whether a tensor's elements can be characters of a text: whole bytes, or float32, in which networks take them. */
function holdsText({ dtype }: TensorInfo): boolean {
  const { kind, bits } = dataTypes[dtype]
  return dtype === 'float32' || (/int/.test(kind) && bits >= 8)
}

/** Numbers of one byte as the elements of a tensor. */
function asElements(info: TensorInfo, text: Uint8Array): Uint8Array {
  if (info.dtype === 'float32') return new Uint8Array(new Float32Array(text).buffer)
  const width = widthOf(info)
  if (width === 1) return text
  const out = new Uint8Array(info.byteLength)
  for (let i = 0; i < text.length; i++) out[i * width] = text[i]
  return out
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

/** Bytes in a row that are coded for an estimate, and how many such rows. */
const sampleLength = 1 << 12
/** Tensors that are shorter are coded whole for an estimate. */
export const shortLength = 1 << 15
/** Up to here they are coded whole where the estimate is beaten, which takes a second. */
const mostWhole = 1 << 19

export const bytesEncoder: Encoder = {
  coding: bytes,
  encode(info, data, most = Number.POSITIVE_INFINITY) {
    if (info.byteLength < 32) return undefined
    const width = widthOf(info)
    const plain = estimate(info, data)
    const isShort = /int|bool/.test(dataTypes[info.dtype].kind) && info.size <= mostSigned
    // Most bytes come again, which says nothing: but a few values may follow a rule.
    const isMeant = width > 1 || (isShort && hasFewMagnitudes(data))
    const bySign = isShort && isMeant && dataTypes[info.dtype].kind === 'int' && hasNegative(data, width)
    const kind = bySign ? bySigns : byElements
    const given = {
      isSigned: isSigned(info, kind),
      highestFirst: () => prepared(data, width, kind),
      bitsAsBytes,
      most: Math.min(most, plain),
    }
    const seen = isMeant ? bitsBySeen(info, data, given) : undefined
    const text = info.size <= mostText ? textOf(info, data) : undefined
    if (text) {
      const asWritten = textForms.map((form) => 64 + bitsAsText(text, form))
      const least = Math.min(...asWritten)
      // Of short ones the estimate has coded it all.
      const asBytes = info.byteLength <= shortLength ? plain : 64 + bitsAsBytes(info, data)
      if (least < Math.min(asBytes, 64 + (seen ?? Number.POSITIVE_INFINITY)))
        return { coded: { parameters: [asText + asWritten.indexOf(least)] }, bits: least }
    }
    const long =
      info.byteLength <= mostLong && hasFewElements(data, width) ? 64 + bitsAsBytes(info, data, byLongKeys) : plain
    if (long < Math.min(plain, 64 + (seen ?? Number.POSITIVE_INFINITY)))
      return { coded: { parameters: [byLongKeys] }, bits: long }
    if (seen === undefined || 64 + seen >= plain) return { coded: { parameters: [0] }, bits: plain }
    // The samples of a longer one may have missed what it repeats at a distance.
    const isSampled = 64 + seen < most && info.byteLength > shortLength && info.byteLength <= mostWhole
    const whole = isSampled ? 64 + bitsAsBytes(info, data) : plain
    return 64 + seen < whole
      ? { coded: { parameters: [kind] }, bits: 64 + seen }
      : { coded: { parameters: [0] }, bits: whole }
  },
  writeRaw({ info, data }, { parameters: [parameter] }, out, earlier) {
    const coder = new BinaryEncoder()
    const kind = parameter % perDistance
    const form = textForms[kind - asText]
    if (form !== undefined)
      codePlain(coder, { form, length: info.size, bytes: charactersOf(info, data) }, plainMemory())
    else {
      const before = elementsBefore(info, parameter, earlier)
      const source = prepared(data, widthOf(info), kind)
      codeBytes(coder, info, { kind, before, source, choicesOf: seenChoices })
    }
    const stream = coder.finish()
    out.write(stream.length, 32)
    for (const byte of stream) out.write(byte, 8)
  },
}

interface EarlierTensor {
  /** The data of that one, which is of the same type. */
  readonly source: Uint8Array
  /** How many tensors back in the group. */
  readonly distance: number
  /** The kind of the tensor alone. */
  readonly kind: number
  /** Bits that it must take less than. */
  readonly most: number
}

/** The parameter and the bits of a tensor that repeats elements of an earlier one; undefined where it cannot. */
export function behindEarlier(
  { info, data }: TensorData,
  { source, distance, kind: alone, most }: EarlierTensor,
): { readonly parameter: number; readonly bits: number } | undefined {
  const width = widthOf(info)
  const kind = alone === bySigns ? bySigns : byElements
  if (source.length > mostBefore * info.byteLength) return undefined
  const bits = bitsBySeen(info, data, {
    isSigned: isSigned(info, kind),
    start: source.length / width,
    highestFirst: () => concat([prepared(source, width, kind), prepared(data, width, kind)]),
    bitsAsBytes,
    most,
  })
  return bits === undefined ? undefined : { parameter: kind + perDistance * distance, bits: 64 + bits }
}

/** Whether elements are a sign and a magnitude, for this kind. */
function isSigned({ dtype }: TensorInfo, kind: number): boolean {
  return kind === bySigns || dataTypes[dtype].kind === 'float'
}

/** More integers are not looked at by sign and magnitude, which takes a microsecond for each: magnitudes of weights all repeat. */
const mostSigned = 1 << 20
const fewMagnitudes = 4

/** Whether 8-bit integers have no more magnitudes than that. Of weights, the first few tell. */
function hasFewMagnitudes(data: Uint8Array): boolean {
  const seen = new Set<number>()
  for (const byte of data) if (seen.add(Math.min(byte, 256 - byte)).size > fewMagnitudes) return false
  return true
}

/** Bytes of a tensor of few elements up to which matches by more bytes are tried: a quarter of a second. */
const mostLong = 1 << 18
const fewElements = 16

/** Whether a tensor has no more different elements than that: masks, signs, weights of few levels. */
function hasFewElements(data: Uint8Array, width: number): boolean {
  const seen = new Distinct()
  for (let at = 0; at < data.length; at += width) {
    let key = 0
    for (let b = 0; b < width; b++) key = hash(key, data[at + b])
    seen.add(key >>> 0)
    if (seen.size > fewElements) return false
  }
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

/** The text whose characters the elements of a tensor are, if they are. Of nearly all others, the first few tell. */
function textOf(info: TensorInfo, data: Uint8Array): Uint8Array | undefined {
  if (!holdsText(info) || !exactCharacters(info, data, 16)) return undefined
  const text = exactCharacters(info, data, info.size)
  return text && isPrintable(text) ? text : undefined
}

/** The first elements as characters, so many at most, if they are that exactly. */
function exactCharacters(info: TensorInfo, data: Uint8Array, most: number): Uint8Array | undefined {
  const size = Math.min(most, info.size)
  const part = { ...info, size, byteLength: size * widthOf(info) }
  const text = charactersOf(part, data.subarray(0, part.byteLength))
  return asElements(part, text).every((byte, i) => byte === data[i]) ? text : undefined
}

/** The inverse of `asElements`, where there is one. */
function charactersOf(info: TensorInfo, data: Uint8Array): Uint8Array {
  if (info.dtype === 'float32') return Uint8Array.from(new Float32Array(new Uint8Array(data).buffer))
  const width = widthOf(info)
  return Uint8Array.from({ length: info.size }, (_, i) => data[i * width])
}

function bitsAsText(text: Uint8Array, form: number): number {
  const counter = new BitCounter()
  codePlain(counter, { form, length: text.length, bytes: text }, plainMemory())
  return counter.bits
}

/** Whether the bits that an encoder tells of are those of the whole tensor, not of samples. */
export function isCounted(kind: number): boolean {
  return kind === byElements || kind >= asText
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
export function bitsAsBytes(info: TensorInfo, data: Uint8Array, kind = 0): number {
  const coder = new BinaryEncoder()
  codeBytes(coder, { ...info, byteLength: data.length }, { kind, source: inPlace(new Uint8Array(data), widthOf(info)) })
  return 8 * coder.finish().length
}
