/**
 * The layout of a packed file: magic and version, checksum, table of contents, head, groups. See docs/format.md.
 * The head holds the graph and how each tensor is coded; a group holds the integers and raw bits of some tensors and can
 * be decoded on its own.
 */
import { crc32 } from './checksum.ts'
import type { Mode } from './entropy/integer-coder.ts'

/** "cop" and the version. */
export const magic = Uint8Array.of(0x63, 0x6f, 0x70, 0x01)
export const modes: readonly Mode[] = ['fast', 'default', 'max']

export interface Group {
  readonly integers: Uint8Array
  readonly raw: Uint8Array
}

export interface Container {
  readonly mode: Mode
  /** Bytes of the ONNX file that comes out. */
  readonly byteLength: number
  /** Of these, bytes that are no tensor's data. */
  readonly graphByteLength: number
  readonly head: Uint8Array
  readonly groups: readonly Group[]
}

/** Bytes of graph that a byte of the head may stand for. */
export const maxGraphExpansion = 4096

/** Elements after which a group ends. */
export const groupSize = 1 << 20

export function writeContainer({ mode, byteLength, graphByteLength, head, groups }: Container): Uint8Array {
  const toc: number[] = [modes.indexOf(mode)]
  for (const n of [byteLength, graphByteLength, head.length, groups.length]) putVarint(toc, n)
  for (const { integers, raw } of groups) {
    putVarint(toc, integers.length)
    putVarint(toc, raw.length)
    const check = crc32(joined([integers, raw]))
    for (let shift = 0; shift < 32; shift += 8) toc.push((check >>> shift) & 255)
  }
  const covered = joined([Uint8Array.from(toc), head])
  const check = crc32(covered)
  const sum = Uint8Array.of(check, check >>> 8, check >>> 16, check >>> 24)
  return joined([magic, sum, covered, ...groups.flatMap((g) => [g.integers, g.raw])])
}

/** Reads and checks everything but the groups' contents. The result shares memory with `bytes`. */
export function readContainer(bytes: Uint8Array): Container & { readonly checks: readonly number[] } {
  if (bytes.length < 4 || bytes[0] !== magic[0] || bytes[1] !== magic[1] || bytes[2] !== magic[2]) {
    throw new Error('cop: not a packed model; expected a file that begins with "cop"')
  }
  if (bytes[3] !== magic[3]) throw new Error(`cop: version ${bytes[3]} of the format; expected ${magic[3]}`)
  const reader = { bytes, at: 8 }
  const mode = modes[byte(reader)]
  if (!mode) throw new Error('cop: an unknown coder mode; the file is damaged')
  const byteLength = varint(reader)
  const graphByteLength = varint(reader)
  const headLength = varint(reader)
  const count = varint(reader)
  if (count * 6 > bytes.length) throw cutShort()
  const lengths: number[] = []
  const checks: number[] = []
  for (let i = 0; i < count; i++) {
    lengths.push(varint(reader), varint(reader))
    checks.push((byte(reader) | (byte(reader) << 8) | (byte(reader) << 16) | (byte(reader) << 24)) >>> 0)
  }
  let end = reader.at + headLength
  if (end > bytes.length) throw cutShort()
  if (crc32(bytes.subarray(8, end)) !== (bytes[4] | (bytes[5] << 8) | (bytes[6] << 16) | (bytes[7] << 24)) >>> 0) {
    throw new Error('cop: the checksum of the head does not fit; the file is damaged')
  }
  const head = bytes.subarray(reader.at, end)
  const groups: Group[] = []
  for (let i = 0; i < count; i++) {
    const middle = end + lengths[2 * i]
    const next = middle + lengths[2 * i + 1]
    if (next > bytes.length) throw cutShort()
    groups.push({ integers: bytes.subarray(end, middle), raw: bytes.subarray(middle, next) })
    end = next
  }
  if (end !== bytes.length) throw new Error(`cop: ${bytes.length - end} bytes too many; the file is damaged`)
  return { mode, byteLength, graphByteLength, head, groups, checks }
}

/** Throws where a group's bytes are not those that were written. */
export function checkGroup(container: ReturnType<typeof readContainer>, index: number): Group {
  const group = container.groups[index]
  if (!group) throw new Error(`cop: group ${index} is missing; the file is damaged`)
  // The two parts lie side by side.
  const { integers, raw } = group
  const both = new Uint8Array(integers.buffer, integers.byteOffset, integers.length + raw.length)
  if (crc32(both) !== container.checks[index]) {
    throw new Error(`cop: the checksum of group ${index} does not fit; the file is damaged`)
  }
  return group
}

function cutShort(): Error {
  return new Error('cop: the file ends too soon; it was cut short or is damaged')
}

function byte(reader: { bytes: Uint8Array; at: number }): number {
  if (reader.at >= reader.bytes.length) throw cutShort()
  return reader.bytes[reader.at++]
}

/** LEB128, up to 2^49. */
function varint(reader: { bytes: Uint8Array; at: number }): number {
  let value = 0
  for (let scale = 1; scale < 2 ** 49; scale *= 128) {
    const b = byte(reader)
    value += (b & 127) * scale
    if (b < 128) return value
  }
  throw new Error('cop: a length of more than 7 bytes; the file is damaged')
}

function putVarint(out: number[], value: number): void {
  for (; value >= 128; value = Math.floor(value / 128)) out.push((value % 128) | 128)
  out.push(value)
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}
