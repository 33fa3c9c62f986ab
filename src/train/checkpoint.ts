/**
 * What a run needs to resume as if it had never stopped: arrays in checksummed bytes. Arrays are in the model's own
 * order of elements, whatever the engine that made them.
 */
import { seal, unseal } from './checkpoint-bytes.ts'

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

/** Throws where a checkpoint is of another run than this: `run` says of what kind, `parts` what makes one such run differ. */
export function expectSameRun(
  found: string,
  own: string,
  { run, parts = 'model, data or options' }: { readonly run: string; readonly parts?: string },
): void {
  if (found === own) return
  throw new Error(`checkpoint: it is of another ${run} (${parts} differ); expected that of this run, or none`)
}

const kind = 'COPTRN2'

export function encodeCheckpoint({ fingerprint, step, progress, arrays }: Checkpoint): Uint8Array {
  const lengths = [...arrays].map(([name, values]) => ({ name, length: values.length }))
  const parts = [...arrays.values()].map((v) => new Uint8Array(v.buffer, v.byteOffset, v.byteLength))
  return seal(kind, { fingerprint, step, progress, arrays: lengths }, parts)
}

interface Header {
  readonly fingerprint: string
  readonly step: number
  readonly progress: unknown
  readonly arrays: readonly { readonly name: string; readonly length: number }[]
}

/** Throws one sentence where the bytes are not a whole checkpoint. */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  const { header: found, body } = unseal(bytes, kind, 'ours')
  const header = headerOf(found)
  const arrays = new Map<string, Float32Array>()
  let offset = 0
  for (const { name, length } of header.arrays) {
    if (offset + length * 4 > body.length) throw new Error(`checkpoint: array "${name}" is longer than the file`)
    arrays.set(name, new Float32Array(body.slice(offset, offset + length * 4).buffer))
    offset += length * 4
  }
  return { fingerprint: header.fingerprint, step: header.step, progress: header.progress, arrays }
}

function headerOf(found: unknown): Header {
  const header = found as Header | null | undefined
  const isHeader =
    typeof header?.fingerprint === 'string' &&
    Number.isSafeInteger(header.step) &&
    Array.isArray(header.arrays) &&
    header.arrays.every((a) => typeof a?.name === 'string' && Number.isSafeInteger(a.length) && a.length >= 0)
  if (!header || !isHeader) throw new Error('checkpoint: its header is damaged; expected fingerprint, step and arrays')
  return header
}
