/** The models that commands read, none of whose files they may write over. */
import { isPacked } from '../formats/container.ts'
import { type Model, opsetOf } from '../model.ts'
import { type Opened, openWithFiles, readFileBytes, unpackFile } from '../node/files.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { densified } from '../simplify/densify.ts'
import { raisedIfTooOld } from '../simplify/upgrade.ts'
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

export interface OpenedAny {
  readonly model: Model
  /** The model's bytes, as one file. */
  readonly onnx: Uint8Array
  /** The operator set that the file has, where it was raised to be worked with; `onnx` is then not the file's bytes. */
  readonly raisedFrom?: number
  /** Bytes of the ONNX file, with its external data. */
  readonly fileBytes: number
}

/**
 * A model to work with and all of its bytes, from an .onnx (with its external data) or a packed file. Operator sets that neither ONNX
 * Runtime nor the methods know are raised; throws where that cannot be done.
 */
export function openAny(path: string, files: Files = { outputs: [] }): OpenedAny {
  const bytes = readFileBytes(path)
  if (isPacked(bytes)) {
    checkOutputs([path, ...(files.inputs ?? [])], files.outputs)
    const onnx = unpackFile(path, bytes)
    return raised(path, { model: readModel(onnx), onnx, fileBytes: onnx.byteLength })
  }
  const opened = openInput(path, files, bytes)
  const onnx = opened.files.size === 1 ? bytes : writeModel(opened.model)
  return raised(path, { model: opened.model, onnx, fileBytes: onnx.byteLength })
}

/** A model to train or prune: of an operator set that can be worked with, its weights dense. */
export function openToWork(path: string, files: Files): Model {
  return openWithSize(path, files).model
}

/** The same, and the bytes of its files. */
export function openWithSize(path: string, files: Files): { model: Model; bytes: number } {
  const opened = openInput(path, files)
  return { model: densified(raiseModel(path, opened.model)), bytes: bytesOfFiles(opened) }
}

function bytesOfFiles({ files }: Opened): number {
  return [...files.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
}

/** The model that `--teacher` names, if it is given. */
export function openTeacher({ teacher }: { readonly teacher?: string }, files: Files): Model | undefined {
  return teacher === undefined ? undefined : openToWork(teacher, files)
}

function raised(path: string, opened: OpenedAny): OpenedAny {
  const model = raiseModel(path, opened.model)
  if (model === opened.model) return opened
  return { ...opened, model, onnx: writeModel(model), raisedFrom: opsetOf(opened.model) }
}

function raiseModel(path: string, model: Model): Model {
  try {
    return raisedIfTooOld(model)
  } catch (cause) {
    throw new Error(`${path}: ${(cause as Error).message}`, { cause })
  }
}

/** A model to look at, from either kind of file: `bytes` are those of the .onnx, with its external data; `packedBytes` those of a packed file. */
export function openToRead(path: string): { model: Model; bytes: number; packedBytes?: number } {
  const bytes = readFileBytes(path)
  if (isPacked(bytes)) {
    const onnx = unpackFile(path, bytes)
    return { model: readModel(onnx), bytes: onnx.length, packedBytes: bytes.length }
  }
  const opened = openWithFiles(path, bytes)
  return { model: opened.model, bytes: bytesOfFiles(opened) }
}
