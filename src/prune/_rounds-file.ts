/**
 * How far pruning in rounds is, as bytes: magic, header length, a JSON header, the model after the last finished round as
 * ONNX, the training loop's own checkpoint of the round in progress (may be empty), CRC-32 of all before it.
 */
import { crc32 } from '../formats/checksum.ts'
import type { Model } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import type { PruneRound } from './prune-and-train.ts'

export interface RoundsState {
  /** Tells runs apart: a state only resumes the run it is of. */
  readonly fingerprint: string
  readonly finished: readonly PruneRound[]
  readonly model: Model
  readonly training?: Uint8Array
}

const magic = new TextEncoder().encode('COPPRN1\n')

export function encodeRounds({ fingerprint, finished, model, training = new Uint8Array() }: RoundsState): Uint8Array {
  const onnx = writeModel(model)
  const header = new TextEncoder().encode(JSON.stringify({ fingerprint, finished, modelLength: onnx.length }))
  const bytes = new Uint8Array(magic.length + 4 + header.length + onnx.length + training.length + 4)
  const view = new DataView(bytes.buffer)
  let at = 0
  const put = (part: Uint8Array): void => {
    bytes.set(part, at)
    at += part.length
  }
  put(magic)
  view.setUint32(at, header.length, true)
  at += 4
  for (const part of [header, onnx, training]) put(part)
  view.setUint32(at, crc32(bytes.subarray(0, at)), true)
  return bytes
}

/** Throws one sentence where the bytes are not a whole state. */
export function decodeRounds(bytes: Uint8Array): RoundsState {
  const end = bytes.length - 4
  if (end < magic.length + 4 || magic.some((b, i) => bytes[i] !== b))
    throw new Error('checkpoint: it is not one of pruning in rounds; expected it to begin with "COPPRN1"')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (crc32(bytes.subarray(0, end)) !== view.getUint32(end, true))
    throw new Error('checkpoint: its checksum is wrong; it was cut off or changed')
  const from = magic.length + 4
  const to = from + view.getUint32(magic.length, true)
  const { modelLength, ...rest } = JSON.parse(new TextDecoder().decode(bytes.subarray(from, to))) as Pick<
    RoundsState,
    'fingerprint' | 'finished'
  > & { modelLength: number }
  const training = bytes.slice(to + modelLength, end)
  const model = readModel(bytes.slice(to, to + modelLength))
  return { ...rest, model, ...(training.length > 0 ? { training } : {}) }
}
