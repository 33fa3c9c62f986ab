/** The models that commands read, none of whose files they may write over. */
import { unpackOnnx } from '../formats/unpack.ts'
import type { Model } from '../model.ts'
import { type Opened, openWithFiles, readFileBytes } from '../node/files.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { checkOutputs } from './outputs.ts'

/** What a command will write, and what it reads besides the model. */
export interface Files {
  readonly outputs: readonly (string | undefined)[]
  readonly inputs?: readonly string[]
}

/** Opens an ONNX model. Throws where an output would replace it, a file with its external data, or another input. */
export function openInput(path: string, { outputs, inputs = [] }: Files, bytes?: Uint8Array): Opened {
  checkOutputs([path, ...inputs], outputs)
  const opened = openWithFiles(path, bytes)
  checkOutputs([...opened.files.keys(), ...inputs], outputs)
  return opened
}

/** A model and all of its bytes, from an .onnx (with its external data) or a packed file. */
export function openAny(path: string, files: Files = { outputs: [] }): { model: Model; onnx: Uint8Array } {
  const bytes = readFileBytes(path)
  if (bytes.length >= 4 && bytes[0] === 0x63 && bytes[1] === 0x6f && bytes[2] === 0x70) {
    checkOutputs([path, ...(files.inputs ?? [])], files.outputs)
    const onnx = unpackOnnx(bytes)
    return { model: readModel(onnx), onnx }
  }
  const opened = openInput(path, files, bytes)
  return { model: opened.model, onnx: opened.files.size === 1 ? bytes : writeModel(opened.model) }
}
