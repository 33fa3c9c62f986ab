/**
 * ZIP archives, as far as .npz needs them: stored and deflated entries, read by the central directory, CRCs checked.
 * Source: PKWARE APPNOTE 6.3.10. Archives over 4 GiB (ZIP64) are not read.
 */

import { crc32 } from '../checksum.ts'
import { UnsupportedError } from '../errors.ts'
import { deflate, inflate } from './inflate.ts'

export interface ZipEntry {
  readonly name: string
  readonly bytes: Uint8Array
}

interface Listed {
  readonly name: string
  readonly method: number
  readonly crc: number
  readonly packedBytes: number
  readonly byteLength: number
  readonly offset: number
}

const endBytes = 22

/** Every file in the archive, unpacked. Throws one sentence where the archive is damaged. */
export async function readZip(bytes: Uint8Array, subject: string): Promise<ZipEntry[]> {
  const entries: ZipEntry[] = []
  for (const entry of listZip(bytes, subject)) {
    entries.push({ name: entry.name, bytes: await unpackEntry(bytes, entry, subject) })
  }
  return entries
}

function listZip(bytes: Uint8Array, subject: string): Listed[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = findEnd(view)
  if (end < 0) throw new Error(`${subject}: it is not a ZIP archive, or is cut short`)
  const count = view.getUint16(end + 10, true)
  let at = view.getUint32(end + 16, true)
  if (count === 0xffff || at === 0xffffffff) throw new UnsupportedError(`${subject}: ZIP64 archives are not supported`)
  const listed: Listed[] = []
  for (let i = 0; i < count; i++) {
    if (at + 46 > end || view.getUint32(at, true) !== 0x02014b50) throw new Error(`${subject}: its ZIP list is damaged`)
    const nameBytes = view.getUint16(at + 28, true)
    const skip = nameBytes + view.getUint16(at + 30, true) + view.getUint16(at + 32, true)
    const entry = {
      name: new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameBytes)),
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      packedBytes: view.getUint32(at + 20, true),
      byteLength: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
    }
    if (entry.byteLength === 0xffffffff) throw new UnsupportedError(`${subject}: ZIP64 entries are not supported`)
    listed.push(entry)
    at += 46 + skip
  }
  return listed
}

/** Where the end record begins: it is last, but for a comment of up to 65,535 bytes. */
function findEnd(view: DataView): number {
  const last = view.byteLength - endBytes
  for (let at = last; at >= 0 && at > last - 65536; at--) if (view.getUint32(at, true) === 0x06054b50) return at
  return -1
}

async function unpackEntry(bytes: Uint8Array, entry: Listed, archive: string): Promise<Uint8Array> {
  const subject = `${archive}: entry "${entry.name}"`
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const { offset } = entry
  if (offset + 30 > bytes.length || view.getUint32(offset, true) !== 0x04034b50) {
    throw new Error(`${subject} is not where the archive says that it is`)
  }
  const start = offset + 30 + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true)
  if (start + entry.packedBytes > bytes.length) throw new Error(`${subject} is cut short`)
  const packed = bytes.subarray(start, start + entry.packedBytes)
  let data: Uint8Array
  if (entry.method === 0) data = packed
  else if (entry.method === 8) data = await inflate(packed, 'deflate-raw', { maxBytes: entry.byteLength, subject })
  else throw new UnsupportedError(`${subject} is packed by method ${entry.method}; only stored and deflated are read`)
  if (data.length !== entry.byteLength) throw new Error(`${subject} has ${data.length} bytes, not ${entry.byteLength}`)
  if (crc32(data) !== entry.crc) throw new Error(`${subject} is damaged: its checksum does not fit`)
  return data
}

/** An archive of the entries; dates are left at the format's earliest, so that the same entries give the same bytes. */
export async function writeZip(entries: readonly ZipEntry[], packed = false): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  const list: Uint8Array[] = []
  let offset = 0
  for (const { name, bytes } of entries) {
    const nameBytes = new TextEncoder().encode(name)
    const data = packed ? await deflate(bytes, 'deflate-raw') : bytes
    const shared = new DataView(new ArrayBuffer(26))
    shared.setUint16(0, 20, true) // version needed: 2.0
    shared.setUint16(4, packed ? 8 : 0, true)
    shared.setUint16(8, 0x21, true) // 1 January 1980
    shared.setUint32(10, crc32(bytes), true)
    shared.setUint32(14, data.length, true)
    shared.setUint32(18, bytes.length, true)
    shared.setUint16(22, nameBytes.length, true)
    const common = new Uint8Array(shared.buffer)
    const tail = new DataView(new ArrayBuffer(14)) // comment, disk, attributes: none
    tail.setUint32(10, offset, true)
    list.push(Uint8Array.of(0x50, 0x4b, 1, 2, 20, 0), common, new Uint8Array(tail.buffer), nameBytes)
    parts.push(Uint8Array.of(0x50, 0x4b, 3, 4), common, nameBytes, data)
    offset += 30 + nameBytes.length + data.length
  }
  const end = new DataView(new ArrayBuffer(endBytes))
  end.setUint32(0, 0x06054b50, true)
  end.setUint16(8, entries.length, true)
  end.setUint16(10, entries.length, true)
  end.setUint32(12, byteLengthOfAll(list), true)
  end.setUint32(16, offset, true)
  return join([...parts, ...list, new Uint8Array(end.buffer)])
}

function byteLengthOfAll(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, p) => sum + p.length, 0)
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(byteLengthOfAll(parts))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}
