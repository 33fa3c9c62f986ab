/**
 * The checkpoint of a run that trains several times, in checksummed bytes: how far it is, the models that it goes on with, as ONNX,
 * and the own checkpoint of the training that it was in.
 */
import { seal, unseal } from './checkpoint-bytes.ts'

export interface RunState<Progress> {
  /** Tells runs apart: a state only resumes the run it is of. */
  readonly fingerprint: string
  /** Plain JSON. */
  readonly progress: Progress
  readonly models: readonly Uint8Array[]
  readonly training?: Uint8Array
}

/** A kind of such runs. */
export interface RunKind<Progress> {
  /** What its files begin with, as `seal` has it. */
  readonly magic: string
  /** What a file is of, in messages, such as `a search`. */
  readonly whose: string
  /** Whether what a file says of its progress can be of this kind, with so many models. */
  readonly fits: (progress: unknown, models: number) => progress is Progress
}

export function sealRun<Progress>(
  { magic }: RunKind<Progress>,
  { fingerprint, progress, models, training }: RunState<Progress>,
): Uint8Array {
  const header = { fingerprint, progress, models: models.map((m) => m.length) }
  return seal(magic, header, training ? [...models, training] : models)
}

/** Throws one sentence where the bytes are not a whole state of this kind. */
export function unsealRun<Progress>({ magic, whose, fits }: RunKind<Progress>, bytes: Uint8Array): RunState<Progress> {
  const { header, body } = unseal(bytes, magic, whose)
  const { fingerprint, progress, models: lengths } = (header ?? {}) as Record<string, unknown>
  if (typeof fingerprint !== 'string' || !isLengths(lengths, body.length) || !fits(progress, lengths.length))
    throw new Error('checkpoint: its header is damaged; expected fingerprint, progress and the lengths of models')
  let at = 0
  const models = lengths.map((length) => {
    at += length
    return body.slice(at - length, at)
  })
  return { fingerprint, progress, models, ...(at < body.length ? { training: body.slice(at) } : {}) }
}

/** Lengths of parts that lie in so many bytes. */
function isLengths(found: unknown, bytes: number): found is readonly number[] {
  if (!Array.isArray(found) || !found.every((length) => Number.isSafeInteger(length) && length > 0)) return false
  return found.reduce((sum: number, length: number) => sum + length, 0) <= bytes
}
