/** Hashes of what a row is of: SHA-256, of the platform's own. */
import type { Dataset, Field, Splits } from '../data/dataset.ts'
import { bytesOf } from '../tensor/dtype.ts'

/** In 64 hexadecimal digits. */
export async function sha256(content: Uint8Array | string): Promise<string> {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>))
  return Array.from(hash, (b) => b.toString(16).padStart(2, '0')).join('')
}

/** Of all samples, labels and targets of both parts; the names of files are not in it. */
export async function dataHash({ train, test }: Splits): Promise<string> {
  return sha256(JSON.stringify([await digest(train), await digest(test)]))
}

async function digest({ length, fields, labels, targets, classes, classNames }: Dataset): Promise<unknown> {
  const all: [string, Field][] = Object.entries({ ...fields, ...(targets ? { targets } : {}) })
  const hashed = all.map(async ([name, { shape, kind, constant, data, strings }]) => [
    ...[name, shape, kind, constant ?? false],
    await sha256(strings ? JSON.stringify(strings) : bytesOf(data)),
  ])
  return [length, await Promise.all(hashed), labels ? await sha256(bytesOf(labels)) : '', classes, classNames]
}

/** JSON whose keys are in alphabetical order, so that equal values have equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, v) =>
    typeof v === 'object' && v !== null && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  )
}
