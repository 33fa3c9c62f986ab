/** How bytes are predicted: by those before, to the left and above, and by what followed the same bytes earlier. */

import { concat } from '../../onnx/wire.ts'
import { dataTypes } from '../../tensor/dtype.ts'
import { type BitCoder, ContextMixer, hash } from '../entropy/context-mixer.ts'
import { damaged, type TensorInfo, widthOf } from './coding.ts'
import { type Choices, type Seen, seenElements } from './seen-elements.ts'
import { TextPlace } from './text-place.ts'

/** Bytes that a match must have in common before it counts, and from which on a byte is one decision. */
const leastMatch = 5
const longMatch = 16
/** Elements by which matches are looked for where there are few different ones: five bytes of such come again everywhere. */
const longKey = 16
const mostMatched = 32
/** What sets of weights are for: a length of a match in a column; long matches. */
const longSet = 256
const sets = 263
/** Data of a tensor is more of one kind than a head, and changes with its place. */
const limit = 127

/** What is told of each element besides: that it was there before; the same, of integers as a sign and a magnitude. */
export const byElements = 1
export const bySigns = 2
/** Matches are looked for by so many elements. */
export const byLongKeys = 7

interface BytesOptions {
  /** 0, or one of those. */
  readonly kind: number
  /** Bytes that stand before the tensor's, whose elements may be repeated; none unless said. */
  readonly before?: Uint8Array
  /** What an encoder has. */
  readonly source?: Uint8Array
  readonly choicesOf?: (seen: Seen) => Choices
  /** Where the bytes are text. */
  readonly text?: TextPlace
}

/** Codes the bytes of a tensor, each element's highest first: those of `source`, or, where there is none, those that come out. */
export function codeBytes(
  coder: BitCoder & { readonly overrun?: number },
  info: TensorInfo,
  { kind, before = new Uint8Array(0), source, choicesOf, text }: BytesOptions,
): Uint8Array {
  const { dims, byteLength } = info
  const width = widthOf(info)
  const row = (dims.at(-1) || 1) * width
  const start = before.length
  const out = concat([before, source ?? new Uint8Array(byteLength)])
  // Tables are no larger than what is to be decoded makes use of.
  const bits = 32 - Math.clz32(byteLength)
  const mixer = new ContextMixer(coder, {
    slotBits: Math.max(10, Math.min(20, bits + 4)),
    sets,
    limit,
    correctsSets: false,
  })
  const positions = new Int32Array(1 << Math.min(16, bits))
  const isSigned = kind === bySigns || dataTypes[info.dtype].kind === 'float'
  const reach = kind === byLongKeys ? longKey * width : 0
  const elements = kind % byLongKeys ? seenElements(out, info, { isSigned, choicesOf }) : undefined
  // What came last after each byte: a row's mantissas come again, under other exponents.
  const after = new Uint8Array(width << 8)
  let match = 0
  let matched = 0
  for (let i = start; i < out.length; i++) {
    if ((i & 0xff) === 0 && (coder.overrun ?? 0) > 12) throw damaged('raw bits end too soon')
    const column = i % width
    if (elements && column === 0) {
      const like = elements(i / width, mixer)
      if (like === undefined) {
        i += width - 1
        continue
      }
      match = like * width
      matched = like < 0 ? 0 : 1
    }
    const back = (distance: number): number => (i >= distance ? out[i - distance] : 0)
    const [h1, h2, h3, h4] = [back(1), back(2), back(3), back(4)]
    const left = back(width)
    const above = back(row)
    const expected = match > 0 ? out[match] : 0
    let byte = -1
    if (matched >= longMatch) {
      const near = hash(column, Math.min(matched, mostMatched))
      const as = [near, hash(near, expected), hash(11, expected | (h1 << 8))]
      if (mixer.bit(out[i] === expected ? 1 : 0, as, 1, longSet)) byte = expected
    }
    if (byte < 0) {
      const four = h1 | (h2 << 8) | (h3 << 16) | (h4 << 24)
      // Of text, six of the contexts are others, one of them none: much of what looks like text is random.
      const side = text?.contexts(h1, four, back(5))
      const contexts = [
        hash(column, h1),
        hash(16 + column, h1 | (h2 << 8)),
        hash(32 + column, h1 | (h2 << 8) | (h3 << 16)),
        hash(48 + column, text ? 0 : four),
        side?.[0] ?? (width > 1 ? hash(64 + column, left | (back(2 * width) << 8)) : hash(64, h2 | (h3 << 8))),
        side?.[1] ?? (width > 1 ? hash(80 + column, left | (h1 << 8)) : hash(80, h3 | (h4 << 8))),
        side?.[2] ?? hash(96 + column, above | (h1 << 8)),
        side?.[3] ?? hash(112 + column, above | (left << 8) | (back(row + width) << 16)),
        hash(128 + column, match > 0 ? expected | (Math.min(matched, 15) << 8) : -1),
        side?.[4] ?? hash(144 + column, after[(column << 8) | h1]),
      ]
      byte = mixer.symbol(out[i], 8, contexts, 16 * column + Math.min(matched, 15))
    }
    out[i] = byte
    text?.note(byte)
    after[(column << 8) | h1] = byte
    // Most bytes of such elements agree with a match that is wrong, which would never end.
    matched = match > 0 && byte === expected ? matched + 1 : reach ? 0 : matched >> 2
    if (match > 0) match++
    if (i < leastMatch || elements) continue
    let key = hash(byte | (h1 << 8) | (h2 << 16) | (h3 << 24), h4)
    for (let d = leastMatch; d < reach; d++) key = hash(key, back(d))
    key &= positions.length - 1
    if (matched === 0) {
      const found = positions[key]
      while (found > matched && matched < mostMatched && out[found - 1 - matched] === out[i - matched]) matched++
      if (matched < leastMatch) matched = 0
      else match = found
    }
    positions[key] = i + 1
  }
  return out.subarray(start)
}

/** Codes so many bytes of a text: those of `source`, or, where there is none, those that come out. */
export function codeText(
  coder: BitCoder & { readonly overrun?: number },
  length: number,
  source?: Uint8Array,
): Uint8Array {
  const info = { dtype: 'uint8', dims: [length], size: length, byteLength: length } as const
  return codeBytes(coder, info, { kind: 0, source, text: new TextPlace() })
}
