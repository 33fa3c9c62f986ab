/** The bytes that checkpoints are kept in: magic, header length, a JSON header, the body, CRC-32 of all before it. */
import { crc32 } from '../checksum.ts'

/** `kind` is the magic without its line end: six letters and the format's version, a digit. The parts of the body follow one another. */
export function seal(kind: string, header: unknown, parts: readonly Uint8Array[]): Uint8Array {
  const magic = new TextEncoder().encode(`${kind}\n`)
  const json = new TextEncoder().encode(JSON.stringify(header))
  const bodyLength = parts.reduce((n, part) => n + part.length, 0)
  const bytes = new Uint8Array(magic.length + 4 + json.length + bodyLength + 4)
  const view = new DataView(bytes.buffer)
  bytes.set(magic)
  view.setUint32(magic.length, json.length, true)
  let offset = magic.length + 4
  for (const part of [json, ...parts]) {
    bytes.set(part, offset)
    offset += part.length
  }
  view.setUint32(offset, crc32(bytes.subarray(0, offset)), true)
  return bytes
}

/**
 * The header, undefined where it is no JSON, and the body, a view. Throws one sentence where the bytes are not whole; `whose`
 * says what was expected.
 */
export function unseal(bytes: Uint8Array, kind: string, whose: string): { header: unknown; body: Uint8Array } {
  const magic = new TextEncoder().encode(`${kind}\n`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = bytes.length - 4
  const found = new TextDecoder().decode(bytes.subarray(0, kind.length))
  if (found !== kind && found.slice(0, -1) === kind.slice(0, -1))
    throw new Error(
      `checkpoint: another version of coppice wrote it ("${found}"; expected "${kind}"): remove it to start anew, or finish the run with that version`,
    )
  if (bytes.length < magic.length + 8 || magic.some((b, i) => bytes[i] !== b))
    throw new Error(`checkpoint: it is not one of ${whose}; expected it to begin with "${kind}"`)
  if (crc32(bytes.subarray(0, end)) !== view.getUint32(end, true))
    throw new Error('checkpoint: its checksum is wrong; it was cut off or changed')
  const from = magic.length + 4
  const to = from + view.getUint32(magic.length, true)
  if (to > end) throw new Error('checkpoint: its header is longer than the file')
  return { header: parsed(new TextDecoder().decode(bytes.subarray(from, to))), body: bytes.subarray(to, end) }
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}
