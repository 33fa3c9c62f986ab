/** Checkpoints in a file: written beside it and renamed over it, so that a reader never sees half of one. */
import { existsSync } from 'node:fs'
import type { CheckpointStore } from '../train/checkpoint.ts'
import { readFileBytes, writeFileAtomic } from './files.ts'

export function checkpointFile(path: string): CheckpointStore {
  return {
    save: (bytes) => writeFileAtomic(path, bytes),
    load: async () => (existsSync(path) ? readFileBytes(path) : undefined),
  }
}
