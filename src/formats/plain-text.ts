/**
 * Long text that is no text: keys, hashes, pictures in base64, compiled code, tables. The contexts of names and sentences only add
 * noise there, so that general compressors do better.
 */
import { codeText } from './coding/byte-model.ts'
import { damaged } from './coding/coding.ts'
import type { BitCoder } from './entropy/context-mixer.ts'

/** How it is coded. */
export const plainForms = {
  /** As it is. */
  raw: 0,
  /** Each byte by how often it came before. */
  counted: 1,
  /** By how often it came before in this place of a character in UTF-8. */
  utf8: 2,
  /** As the data of a tensor of bytes would be, by contexts of text. */
  bytes: 3,
  /** By how often it came before after the same sign or first byte of a character, or after others: base64 within JSON, Cyrillic. */
  signs: 4,
} as const

/** What is learnt from one such text for the next. */
export interface PlainMemory {
  /**
   * Zeros and ones that each decision was: those of a byte's bits, for each place of a character and after each byte; and at
   * `there`, those about which bytes there are.
   */
  readonly counts: Uint16Array[]
  /** Which bytes the last text had: leaves, from 256 on, of the tree of a byte's bits. */
  readonly isThere: Uint8Array
}

export function plainMemory(): PlainMemory {
  return { counts: [], isThere: new Uint8Array(512) }
}

/** Behind the three places of a character that go on; places after bytes are behind it. */
const there = 4

interface PlainText {
  readonly form: number
  readonly length: number
  /** What an encoder has. */
  readonly bytes?: Uint8Array
}

/** Codes a text: encodes its bytes, or decodes them where there are none. */
export function codePlain(
  coder: BitCoder & { readonly overrun?: number },
  { form, length, bytes }: PlainText,
  memory: PlainMemory,
): Uint8Array {
  if (form > plainForms.signs) throw damaged('a text is of no known form')
  if (form === plainForms.bytes) return codeText(coder, length, bytes)
  const out = new Uint8Array(length)
  if (form === plainForms.raw) {
    for (let i = 0; i < length; i++) out[i] = coder.codeRaw(bytes ? bytes[i] : 0, 8)
    return out
  }
  const { counts, isThere } = memory
  const codeBit = (bit: number, place: number, node: number): number => {
    counts[place] ??= new Uint16Array(512)
    const of = counts[place]
    const at = 2 * node
    const likely = of[at + 1] > of[at] ? 1 : 0
    // The rarer bit's share, as if there had been half a zero and half a one more (Krichevsky and Trofimov 1981).
    const p = Math.floor(((2 * of[at + 1 - likely] + 1) * 32768) / (of[at] + of[at + 1] + 1))
    // What the coder rounds off is the likelier bit's.
    const coded = coder.code(bit ^ likely, Math.max(1, p)) ^ likely
    if (++of[at + coded] === 65535) {
      of[at] >>= 1
      of[at + 1] >>= 1
    }
    return coded
  }
  // 1. Which bytes there are, beside which there were, and so which bits of one can be 0 and 1.
  const given = new Uint8Array(256)
  for (const byte of bytes ?? []) given[byte] = 1
  for (let byte = 0, before = 0; byte < 256; byte++)
    isThere[256 + byte] = before = codeBit(given[byte], there, 2 * isThere[256 + byte] + before)
  for (let node = 255; node > 0; node--) isThere[node] = isThere[2 * node] | isThere[2 * node + 1]
  // One alone is not coded, so however many of it are said to follow, they must take no time.
  const last = isThere.lastIndexOf(1)
  if (isThere.indexOf(1, 256) === last) return out.fill(Math.max(0, last - 256))
  // 2. The bytes, the highest bit first. What can be one bit alone is not coded.
  let place = 0
  for (let i = 0; i < length; i++) {
    if ((i & 0xff) === 0 && (coder.overrun ?? 0) > 12) throw damaged('raw bits end too soon')
    const byte = bytes ? bytes[i] : 0
    let node = 1
    for (let shift = 7; shift >= 0; shift--) {
      const isOpen = isThere[2 * node] & isThere[2 * node + 1]
      node = 2 * node + (isOpen ? codeBit((byte >> shift) & 1, place, node) : isThere[2 * node + 1])
    }
    out[i] = node
    if (form === plainForms.utf8) place = out[i] >= 0xc0 ? 1 : out[i] >= 0x80 ? Math.min(3, place + 1) : 0
    // Signs below 45 but "+", which base64 has; and bytes that begin a character of several.
    if (form === plainForms.signs) place = (out[i] < 45 && out[i] !== 43) || out[i] >= 0xc0 ? there + 1 + out[i] : 0
  }
  return out
}
