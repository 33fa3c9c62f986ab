/**
 * What a run needs to go on as if it had never stopped, as bytes: magic, header length, a JSON header, the arrays,
 * CRC-32 of all before it. Arrays are in the model's own order of elements, whatever the engine that made them.
 */
import { crc32 } from '../formats/checksum.ts'

export interface Checkpoint {
  /** Tells runs apart: a checkpoint only resumes the run it is of. */
  readonly fingerprint: string
  /** Steps done. */
  readonly step: number
  /** Plain JSON: sums of the epoch so far, history, the best validation result. */
  readonly progress: unknown
  readonly arrays: ReadonlyMap<string, Float32Array>
}

/** Where checkpoints are kept. `save` must replace the last one whole or not at all. */
export interface CheckpointStore {
  save(bytes: Uint8Array): Promise<void>
  /** The last that was saved, undefined where there is none. */
  load(): Promise<Uint8Array | undefined>
}

const magic = new TextEncoder().encode('COPTRN1\n')

export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  const arrays = [...checkpoint.arrays].map(([name, values]) => ({ name, length: values.length }))
  const { fingerprint, step, progress } = checkpoint
  const header = new TextEncoder().encode(JSON.stringify({ fingerprint, step, progress, arrays }))
  const dataLength = arrays.reduce((n, a) => n + a.length * 4, 0)
  const bytes = new Uint8Array(magic.length + 4 + header.length + dataLength + 4)
  const view = new DataView(bytes.buffer)
  bytes.set(magic)
  view.setUint32(magic.length, header.length, true)
  bytes.set(header, magic.length + 4)
  let offset = magic.length + 4 + header.length
  for (const values of checkpoint.arrays.values()) {
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), offset)
    offset += values.byteLength
  }
  view.setUint32(offset, crc32(bytes.subarray(0, offset)), true)
  return bytes
}

interface Header {
  readonly fingerprint: string
  readonly step: number
  readonly progress: unknown
  readonly arrays: readonly { readonly name: string; readonly length: number }[]
}

/** Throws one sentence where the bytes are not a whole checkpoint. */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = bytes.length - 4
  if (bytes.length < magic.length + 8 || magic.some((b, i) => bytes[i] !== b))
    throw new Error('checkpoint: it is not one of ours; expected it to begin with "COPTRN1"')
  if (crc32(bytes.subarray(0, end)) !== view.getUint32(end, true))
    throw new Error('checkpoint: its checksum is wrong; it was cut off or changed')
  const headerLength = view.getUint32(magic.length, true)
  let offset = magic.length + 4 + headerLength
  if (offset > end) throw new Error('checkpoint: its header is longer than the file')
  const header = headerOf(new TextDecoder().decode(bytes.subarray(magic.length + 4, offset)))
  const arrays = new Map<string, Float32Array>()
  for (const { name, length } of header.arrays) {
    if (offset + length * 4 > end) throw new Error(`checkpoint: array "${name}" is longer than the file`)
    arrays.set(name, new Float32Array(bytes.slice(offset, offset + length * 4).buffer))
    offset += length * 4
  }
  return { fingerprint: header.fingerprint, step: header.step, progress: header.progress, arrays }
}

function headerOf(json: string): Header {
  let header: Header | null = null
  try {
    header = JSON.parse(json)
  } catch {
    // Told below.
  }
  const isHeader =
    typeof header?.fingerprint === 'string' &&
    Number.isSafeInteger(header.step) &&
    Array.isArray(header.arrays) &&
    header.arrays.every((a) => typeof a?.name === 'string' && Number.isSafeInteger(a.length) && a.length >= 0)
  if (!header || !isHeader) throw new Error('checkpoint: its header is damaged; expected fingerprint, step and arrays')
  return header
}
