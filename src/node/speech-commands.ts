/** Speech Commands from its archive, which is read piece by piece (it holds 3 GB), or from a folder that it was unpacked into. */
import { createReadStream, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createGunzip } from 'node:zlib'
import type { Splits } from '../data/dataset.ts'
import { speechFiles } from '../data/speech-commands.ts'
import { stopIfAborted } from '../errors.ts'
import { readFileBytes } from './files.ts'
import { tarFiles } from './tar.ts'

export interface SpeechOptions {
  readonly id: string
  readonly seed: number
  readonly progress?: (done: number, what: string) => void
  readonly signal?: AbortSignal
}

/** Files that the second version has, for progress. */
const usualFiles = 105_835

/** Throws one sentence where the archive is damaged or lacks clips. */
export async function speechFromArchive(path: string, { id, seed, progress, signal }: SpeechOptions): Promise<Splits> {
  const files = speechFiles(id, seed)
  const packed = createReadStream(path)
  const pieces = packed.pipe(createGunzip())
  packed.on('error', (cause) => pieces.destroy(cause))
  let count = 0
  try {
    for await (const { path: name, bytes } of tarFiles(pieces, { subject: path })) {
      stopIfAborted(signal, id)
      files.add(name, bytes)
      if (++count % 500 === 0) progress?.(Math.min(1, count / usualFiles), `reading ${id}`)
    }
  } catch (cause) {
    const isBroken = cause instanceof Error && 'code' in cause && String(cause.code).startsWith('Z_')
    throw isBroken ? new Error(`${path}: it is no gzip archive, or is damaged`, { cause }) : cause
  } finally {
    packed.destroy()
    pieces.destroy()
  }
  return files.finish()
}

/** A folder for each word. */
export function speechFromFolder(folder: string, { id, seed, progress, signal }: SpeechOptions): Splits {
  const files = speechFiles(id, seed)
  const names = readdirSync(folder, { withFileTypes: true })
  const folders = names.filter((n) => n.isDirectory())
  for (const { name } of names.filter((n) => n.isFile())) {
    if (name === 'testing_list.txt') files.add(name, readFileBytes(join(folder, name)))
  }
  for (const [i, { name }] of folders.entries()) {
    for (const file of readdirSync(join(folder, name))) {
      stopIfAborted(signal, id)
      if (file.endsWith('.wav')) files.add(`${name}/${file}`, readFileBytes(join(folder, name, file)))
    }
    progress?.((i + 1) / folders.length, `reading ${id}`)
  }
  return files.finish()
}
