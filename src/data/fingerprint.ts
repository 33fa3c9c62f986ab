/** Telling data sets apart: what was begun on one cannot be resumed on another. */
import { crc32 } from '../checksum.ts'
import { bytesOf } from '../tensor/dtype.ts'
import type { Dataset } from './dataset.ts'

/** A text that differs where the name, the samples, the labels or the targets do. */
export function dataFingerprint({ id, length, fields, labels, targets }: Dataset): string {
  return JSON.stringify([
    id,
    length,
    Object.entries({ ...fields, ...(targets ? { targets } : {}) }).map(([name, { shape, kind, data, strings }]) => [
      name,
      shape,
      kind,
      crc32(bytesOf(strings ?? data)),
    ]),
    labels ? crc32(bytesOf(labels)) : 0,
  ])
}
