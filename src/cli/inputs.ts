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
  if (isPacked(bytes)) {
    checkOutputs([path, ...(files.inputs ?? [])], files.outputs)
    const onnx = unpackFile(path, bytes)
    return { model: readModel(onnx), onnx }
  }
  const opened = openInput(path, files, bytes)
  return { model: opened.model, onnx: opened.files.size === 1 ? bytes : writeModel(opened.model) }
}

/** A model to look at, from either kind of file; `packedBytes` is the size of a packed one. */
export function openToRead(path: string): { model: Model; packedBytes?: number } {
  const bytes = readFileBytes(path)
  if (isPacked(bytes)) return { model: readModel(unpackFile(path, bytes)), packedBytes: bytes.length }
  return { model: openWithFiles(path, bytes).model }
}

/** Unpacks, with the file's name before what is wrong. */
export function unpackFile(path: string, bytes: Uint8Array): Uint8Array {
  try {
    return unpackOnnx(bytes)
  } catch (cause) {
    throw new Error(`${path}: ${(cause as Error).message}`, { cause })
  }
}

/** Whether a packed file's bytes begin it: "cop". */
function isPacked(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && bytes[0] === 0x63 && bytes[1] === 0x6f && bytes[2] === 0x70
}
