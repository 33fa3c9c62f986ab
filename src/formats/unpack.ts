/** A packed file to a model. Damaged input gives an error of one sentence, whatever the damage. */
import type { Model } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import { unpackOnnx } from './unpack-onnx.ts'

export { unpackOnnx } from './unpack-onnx.ts'

/** The model in a packed file, exactly as it was packed. */
export function unpackModel(bytes: Uint8Array): Model {
  return readModel(unpackOnnx(bytes))
}
