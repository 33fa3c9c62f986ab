/** The state of training in stages, in checksummed bytes: the model after the last finished stage, and the training of the one in progress. */
import type { Model } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { type RunKind, sealRun, unsealRun } from './run-file.ts'

export interface StagesState {
  /** Tells runs apart: a state only resumes the run it is of. */
  readonly fingerprint: string
  /** What was told of each finished stage, plain JSON. */
  readonly finished: readonly unknown[]
  readonly model: Model
  readonly training?: Uint8Array
}

const kindOf = (most: number): RunKind<readonly unknown[]> => ({
  magic: 'COPPRN3',
  whose: 'training in rounds',
  fits: (finished, models): finished is readonly unknown[] =>
    models === 1 &&
    Array.isArray(finished) &&
    finished.length <= most &&
    finished.every((record) => typeof record === 'object' && record !== null),
})

export function encodeStages({ fingerprint, finished, model, training }: StagesState): Uint8Array {
  const kind = kindOf(finished.length)
  return sealRun(kind, {
    ...{ fingerprint, progress: finished, models: [writeModel(model)] },
    ...(training ? { training } : {}),
  })
}

/** Throws one sentence where the bytes are not a whole state, or it has more than `most` stages. */
export function decodeStages(bytes: Uint8Array, most = Number.POSITIVE_INFINITY): StagesState {
  const { fingerprint, progress, models, training } = unsealRun(kindOf(most), bytes)
  return { fingerprint, finished: progress, model: readModel(models[0]), ...(training ? { training } : {}) }
}
