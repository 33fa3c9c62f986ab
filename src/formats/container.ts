/**
 * The layout of a packed file: magic and version, checksum, table of contents, head, groups. See docs/format.md.
 * The head holds the graph and how each tensor is coded; a group holds the integers and raw bits of some tensors and can
 * be decoded on its own.
 */

import { crc32 } from '../checksum.ts'
import { concat } from '../onnx/wire.ts'
import { damaged } from './coding/coding.ts'
import type { Mode } from './entropy/integer-coder.ts'

/** "cop" and the version. */
export const magic = Uint8Array.of(0x63, 0x6f, 0x70, 0x08)
export const modes: readonly Mode[] = ['fast', 'default', 'max']

export interface Group {
  /** Of its integers; the file's unless said. */
  readonly mode?: Mode
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

/** Bytes of ONNX that a file may stand for. */
export const maxBytes = 2 ** 40

/** Bytes of graph that a byte of the head may stand for. */
export const maxGraphExpansion = 4096

/** Bytes of graph that a file may hold: they become objects, which take many times as much. */
export const maxGraphBytes = 2 ** 26

/** Items that a graph of so many bytes may have: one a byte and more, for escaped letters and the like. */
export function maxItemsIn(graphByteLength: number): number {
  return 4 * graphByteLength + 1024
}

/** Elements after which a group ends. */
export const groupSize = 1 << 20

export function writeContainer(container: Container): Uint8Array {
  const { groups } = container
  return concat([
    ...writeBeginning({ ...container, groups: groups.map(sizesOf) }),
    ...groups.flatMap((g) => [g.integers, g.raw]),
  ])
}

/** What the table of contents says of a group. */
export function sizesOf({ mode, integers, raw }: Group): GroupSizes {
  return { mode, integersLength: integers.length, rawLength: raw.length, check: crc32(raw, crc32(integers)) }
}

/** In the byte of the file's mode: each group says its own. */
const ownModes = 4

/** A file but for its groups. */
export function writeBeginning({ mode, byteLength, graphByteLength, head, groups }: Beginning): Uint8Array[] {
  const own = groups.some((g) => (g.mode ?? mode) !== mode)
  const toc: number[] = [modes.indexOf(mode) + (own ? ownModes : 0)]
  for (const n of [byteLength, graphByteLength, head.length, groups.length]) putVarint(toc, n)
  for (const group of groups) {
    if (own) toc.push(modes.indexOf(group.mode ?? mode))
    putVarint(toc, group.integersLength)
    putVarint(toc, group.rawLength)
    for (let shift = 0; shift < 32; shift += 8) toc.push((group.check >>> shift) & 255)
  }
  const table = Uint8Array.from(toc)
  const check = crc32(head, crc32(table))
  return [magic, Uint8Array.of(check, check >>> 8, check >>> 16, check >>> 24), table, head]
}

export interface GroupSizes {
  /** The file's unless said. */
  readonly mode?: Mode
  readonly integersLength: number
  readonly rawLength: number
  /** CRC-32 of both parts together. */
  readonly check: number
}

export interface Beginning extends Omit<Container, 'groups'> {
  readonly groups: readonly GroupSizes[]
}

/** Where a group lies: `at` in the file, then the bytes of its two parts, side by side. */
export interface GroupPlace extends GroupSizes {
  readonly mode: Mode
  readonly at: number
}

/** All of a file but its groups. */
export interface Contents extends Omit<Container, 'groups'> {
  readonly groups: readonly GroupPlace[]
  /** Bytes of the file. */
  readonly end: number
}

/** The bytes end before what they should hold; where they are a file's beginning, more of them may help. */
export class CutShort extends Error {
  constructor() {
    super('cop: the file ends too soon; it was cut short or is damaged')
  }
}

/** Whether a file begins as packed ones of any version do: "cop". */
export function isPacked(bytes: Uint8Array): boolean {
  return magic.subarray(0, 3).every((b, i) => bytes[i] === b)
}

/** Reads and checks everything but the groups, from a file or its beginning. The result shares memory with `bytes`. */
export function readContents(bytes: Uint8Array): Contents {
  for (let i = 0; i < magic.length; i++) {
    if (i >= bytes.length && i > 0) throw new CutShort()
    if (bytes[i] === magic[i]) continue
    throw new Error(
      i < 3
        ? 'cop: not a packed model; expected a file that begins with "cop"'
        : `cop: the file is of version ${bytes[i]}; expected ${magic[i]}; unpack it with the coppice that packed it`,
    )
  }
  const reader = { bytes, at: 8 }
  const modeByte = byte(reader)
  const own = modeByte >= ownModes
  const mode = modes[modeByte - (own ? ownModes : 0)]
  if (!mode) throw damaged('its coder mode is not known')
  const byteLength = varint(reader)
  const graphByteLength = varint(reader)
  const headLength = varint(reader)
  const count = varint(reader)
  if (count * 6 > bytes.length) throw new CutShort()
  const lengths: Omit<GroupPlace, 'at'>[] = []
  for (let i = 0; i < count; i++) {
    const groupMode = own ? modes[byte(reader)] : mode
    if (!groupMode) throw damaged('its coder mode is not known')
    lengths.push({
      mode: groupMode,
      integersLength: varint(reader),
      rawLength: varint(reader),
      check: u32(reader),
    })
  }
  let end = reader.at + headLength
  if (end > bytes.length) throw new CutShort()
  if (crc32(bytes.subarray(8, end)) !== u32({ bytes, at: 4 })) {
    throw damaged('the checksum of the head does not fit')
  }
  const head = bytes.subarray(reader.at, end)
  const groups = lengths.map((group) => {
    const at = end
    end += group.integersLength + group.rawLength
    return { at, ...group }
  })
  return { mode, byteLength, graphByteLength, head, groups, end }
}

/** Throws where a file has another length than its contents say. */
export function checkEnd({ end }: Contents, fileLength: number): void {
  if (end > fileLength) throw new CutShort()
  if (end < fileLength) throw damaged(`${fileLength - end} bytes follow the end of the packed model`)
}

/** A group's two parts. Throws where its bytes are not those that were written. */
export function readGroup(contents: Contents, index: number, bytes: Uint8Array): Group & { readonly mode: Mode } {
  const { mode, integersLength, rawLength, check } = contents.groups[index]
  if (bytes.length < integersLength + rawLength) throw new CutShort()
  if (crc32(bytes) !== check) {
    throw damaged(`the checksum of group ${index} does not fit`)
  }
  return { mode, integers: bytes.subarray(0, integersLength), raw: bytes.subarray(integersLength) }
}

/** Bytes, and how far they are read. */
interface Reader {
  readonly bytes: Uint8Array
  at: number
}

function byte(reader: Reader): number {
  if (reader.at >= reader.bytes.length) throw new CutShort()
  return reader.bytes[reader.at++]
}

function u32(reader: Reader): number {
  return (byte(reader) | (byte(reader) << 8) | (byte(reader) << 16) | (byte(reader) << 24)) >>> 0
}

/** LEB128, up to 2^49. */
export function varint(reader: Reader): number {
  let value = 0
  for (let scale = 1; scale < 2 ** 49; scale *= 128) {
    const b = byte(reader)
    value += (b & 127) * scale
    if (b < 128) return value
  }
  throw damaged('a length takes more than 7 bytes')
}

function putVarint(out: number[], value: number): void {
  for (; value >= 128; value = Math.floor(value / 128)) out.push((value % 128) | 128)
  out.push(value)
}
