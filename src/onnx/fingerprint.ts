/** Telling models apart: what was begun on one cannot be resumed on another. */
import { crc32 } from '../checksum.ts'
import type { Model } from '../model.ts'
import { writeModelChunks } from './write.ts'

/** The CRC-32 of the model's file: it differs where a weight, a node or a name does. Throws where no file can hold the model. */
export function modelFingerprint(model: Model): number {
  return writeModelChunks(model).model.chunks.reduce((sum, chunk) => crc32(chunk, sum), 0)
}
