/** Rows of a sweep in a folder: each in a file named by its key, and beside it the model that came out, packed. */
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseRow } from '../../sweep/row.ts'
import type { RowStore } from '../../sweep/sweep.ts'
import { checkpointFile } from '../checkpoint-file.ts'
import { fileError, readFileBytes, writeFileAtomic } from '../files.ts'

/** `rows/KEY.json`, `models/KEY.cop` and, while a row is made, `checkpoints/KEY`. A row is there once it is whole. */
export function rowFolder(folder: string): RowStore {
  const place = (kind: string, name: string): string => join(makeFolder(join(folder, kind)), name)
  return {
    load(key) {
      const path = join(folder, 'rows', `${key}.json`)
      return existsSync(path) ? parseRow(new TextDecoder().decode(readFileBytes(path)), path, key) : undefined
    },
    async save({ row, packed }) {
      // The model first: where there is a row, there is its model.
      if (packed) await writeFileAtomic(place('models', `${row.key}.cop`), packed)
      const text = `${JSON.stringify(row, null, 2)}\n`
      await writeFileAtomic(place('rows', `${row.key}.json`), new TextEncoder().encode(text))
      const checkpoints = join(folder, 'checkpoints')
      rmSync(join(checkpoints, row.key), { force: true })
      if (existsSync(checkpoints) && readdirSync(checkpoints).length === 0) rmdirSync(checkpoints)
    },
    checkpoint: (key) => ({
      load: () => checkpointFile(join(folder, 'checkpoints', key)).load(),
      save: (bytes) => checkpointFile(place('checkpoints', key)).save(bytes),
    }),
  }
}

/** Makes the folder where it is missing, and gives its path. Throws one sentence where that cannot be done. */
export function makeFolder(path: string): string {
  try {
    mkdirSync(path, { recursive: true })
  } catch (cause) {
    throw fileError(path, cause, 'write')
  }
  return path
}
