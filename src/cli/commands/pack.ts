/** `coppice pack` and `coppice unpack`: the same model in fewer bytes, and back. */
import type { Mode } from '../../formats/entropy/integer-coder.ts'
import { packModel } from '../../formats/pack.ts'
import { unpackOnnx } from '../../formats/unpack.ts'
import { brotli11 } from '../../node/compress.ts'
import { openWithBytes, readFileBytes, writeFileAtomic } from '../../node/files.ts'
import { concat } from '../../onnx/wire.ts'
import { count, ratio } from '../../report/format.ts'
import type { Io } from '../io.ts'

export async function runPack(path: string, flags: { output: string; mode: string }, io: Io): Promise<void> {
  if (!['fast', 'default', 'max'].includes(flags.mode))
    throw new Error(`--mode: "${flags.mode}"; expected fast, default or max`)
  if (flags.output === path)
    throw new Error(`${path}: it would be written over; expected another name for the packed file`)
  const { model, files } = openWithBytes(path)
  const packed = packModel(model, { mode: flags.mode as Mode, progress: (done) => io.progress(done, 'packing') })
  await writeFileAtomic(flags.output, packed)
  const original = files.reduce((sum, file) => sum + file.byteLength, 0)
  const brotli = (await brotli11(concat(files))).byteLength
  io.finish()
  io.result(
    `${flags.output}: ${count(packed.byteLength)} bytes, ${ratio(original, packed.byteLength)} smaller than ${path}${files.length > 1 ? ' with its external data' : ''} (${count(original)}; brotli 11 makes it ${count(brotli)})`,
    {
      model: path,
      output: flags.output,
      bytes: original,
      packedBytes: packed.byteLength,
      brotliBytes: brotli,
      mode: flags.mode,
    },
  )
}

export async function runUnpack(path: string, flags: { output: string }, io: Io): Promise<void> {
  if (flags.output === path) throw new Error(`${path}: it would be written over; expected another name for the model`)
  const packed = readFileBytes(path)
  const onnx = unpackFile(path, packed)
  await writeFileAtomic(flags.output, onnx)
  io.finish()
  io.result(`${flags.output}: ${count(onnx.byteLength)} bytes`, {
    packed: path,
    output: flags.output,
    packedBytes: packed.byteLength,
    bytes: onnx.byteLength,
  })
}

/** Unpacks, with the file's name before what is wrong. */
function unpackFile(path: string, bytes: Uint8Array): Uint8Array {
  try {
    return unpackOnnx(bytes)
  } catch (cause) {
    throw new Error(`${path}: ${(cause as Error).message}`, { cause })
  }
}
