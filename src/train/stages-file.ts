/**
 * The state of training in stages, in checksummed bytes: the model after the last finished stage as ONNX, then the training
 * loop's own checkpoint of the stage in progress (may be empty).
 */
import type { Model } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { seal, unseal } from './checkpoint-bytes.ts'

export interface StagesState {
  /** Tells runs apart: a state only resumes the run it is of. */
  readonly fingerprint: string
  /** What was told of each finished stage, plain JSON. */
  readonly finished: readonly unknown[]
  readonly model: Model
  readonly training?: Uint8Array
}

const kind = 'COPPRN2'

export function encodeStages({ fingerprint, finished, model, training = new Uint8Array() }: StagesState): Uint8Array {
  const onnx = writeModel(model)
  return seal(kind, { fingerprint, finished, modelLength: onnx.length }, [onnx, training])
}

/** Throws one sentence where the bytes are not a whole state, or it has more than `most` stages. */
export function decodeStages(bytes: Uint8Array, most = Number.POSITIVE_INFINITY): StagesState {
  const { header, body } = unseal(bytes, kind, 'training in rounds')
  const { fingerprint, finished, modelLength } = headerOf(header, { bodyLength: body.length, most })
  const training = body.slice(modelLength)
  const model = readModel(body.slice(0, modelLength))
  return { fingerprint, finished, model, ...(training.length > 0 ? { training } : {}) }
}

interface Header extends Pick<StagesState, 'fingerprint' | 'finished'> {
  readonly modelLength: number
}

function headerOf(found: unknown, { bodyLength, most }: { bodyLength: number; most: number }): Header {
  const header = found as Header | null | undefined
  const isHeader =
    typeof header?.fingerprint === 'string' &&
    Array.isArray(header.finished) &&
    header.finished.length <= most &&
    header.finished.every((record) => typeof record === 'object' && record !== null) &&
    Number.isSafeInteger(header.modelLength) &&
    header.modelLength >= 0 &&
    header.modelLength <= bodyLength
  if (!header || !isHeader)
    throw new Error(
      'checkpoint: its header is damaged; expected fingerprint, finished rounds and the length of a model',
    )
  return header
}
