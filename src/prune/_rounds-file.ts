/**
 * The state of pruning in rounds, in checksummed bytes: the model after the last finished round as ONNX, then the training
 * loop's own checkpoint of the round in progress (may be empty).
 */
import type { Model } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { seal, unseal } from '../train/checkpoint-bytes.ts'
import type { PruneRound } from './prune-and-train.ts'

export interface RoundsState {
  /** Tells runs apart: a state only resumes the run it is of. */
  readonly fingerprint: string
  readonly finished: readonly PruneRound[]
  readonly model: Model
  readonly training?: Uint8Array
}

const kind = 'COPPRN2'

export function encodeRounds({ fingerprint, finished, model, training = new Uint8Array() }: RoundsState): Uint8Array {
  const onnx = writeModel(model)
  return seal(kind, { fingerprint, finished, modelLength: onnx.length }, [onnx, training])
}

/** Throws one sentence where the bytes are not a whole state. */
export function decodeRounds(bytes: Uint8Array): RoundsState {
  const { header, body } = unseal(bytes, kind, 'pruning in rounds')
  const { fingerprint, finished, modelLength } = headerOf(header, body.length)
  const training = body.slice(modelLength)
  const model = readModel(body.slice(0, modelLength))
  return { fingerprint, finished, model, ...(training.length > 0 ? { training } : {}) }
}

interface Header extends Pick<RoundsState, 'fingerprint' | 'finished'> {
  readonly modelLength: number
}

function headerOf(found: unknown, bodyLength: number): Header {
  const header = found as Header | null | undefined
  const isRound = (r: PruneRound | null, i: number): boolean =>
    r?.round === i + 1 && Number.isSafeInteger(r.rounds) && Number.isFinite(r.sparsity) && Array.isArray(r.history)
  const isHeader =
    typeof header?.fingerprint === 'string' &&
    Array.isArray(header.finished) &&
    header.finished.every(isRound) &&
    Number.isSafeInteger(header.modelLength) &&
    header.modelLength >= 0 &&
    header.modelLength <= bodyLength
  if (!header || !isHeader)
    throw new Error(
      'checkpoint: its header is damaged; expected fingerprint, finished rounds and the length of a model',
    )
  return header
}
