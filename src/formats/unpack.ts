/** A packed file to a model. Damaged input gives an error of one sentence, whatever the damage. */
import type { Model } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import type { Workers } from '../workers.ts'
import { isPacked } from './container.ts'
import { openPacked } from './cop-file.ts'
import { onnxArray, unpackOnnx } from './unpack-onnx.ts'

export { unpackOnnx } from './unpack-onnx.ts'

/** The model in a packed file, exactly as it was packed. */
export function unpackModel(bytes: Uint8Array): Model {
  return readModel(unpackOnnx(bytes))
}

/** The ONNX bytes of a model's file of either kind: packed, or ONNX already. */
export function onnxOf(bytes: Uint8Array): Uint8Array {
  return isPacked(bytes) ? unpackOnnx(bytes) : bytes
}

export interface UnpackOnOptions {
  /** Threads to decode on; this one alone where there are none. */
  readonly workers?: Workers
  /** Told the share of the bytes that have come out, 0 to 1. */
  readonly progress?: (share: number) => void
}

/** The ONNX bytes of the model in a packed file, decoded on several threads where there are some. */
export async function unpackOnnxOn(
  bytes: Uint8Array,
  { workers, progress }: UnpackOnOptions = {},
): Promise<Uint8Array> {
  const { head, fill } = await openPacked(bytes, { workers })
  const out = onnxArray(head.contents)
  let at = 0
  for await (const chunk of fill(head.chunks)) {
    out.set(chunk, at)
    at += chunk.length
    progress?.(at / out.length)
  }
  return out
}
