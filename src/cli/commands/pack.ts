/** `coppice pack` and `coppice unpack`: the same model in fewer bytes, and back. */
import { measureSizes } from '../../evaluate/size.ts'
import type { Mode } from '../../formats/entropy/integer-coder.ts'
import { packModel } from '../../formats/pack.ts'
import { compressors } from '../../node/compress.ts'
import { readFileBytes, writeFileAtomic } from '../../node/files.ts'
import { concat } from '../../onnx/wire.ts'
import { count, ratio } from '../../report/format.ts'
import { openInput, unpackFile } from '../inputs.ts'
import type { Io } from '../io.ts'
import { checkOutputs } from '../outputs.ts'

export interface PackFlags {
  readonly output: string
  readonly mode: string
  readonly compareSizes?: boolean
}

export async function runPack(path: string, flags: PackFlags, io: Io): Promise<void> {
  if (!['fast', 'default', 'max'].includes(flags.mode))
    throw new Error(`--mode: "${flags.mode}"; expected fast, default or max`)
  const { model, files } = openInput(path, { outputs: [flags.output] })
  const packed = packModel(model, { mode: flags.mode as Mode, progress: (done) => io.progress(done, 'packing') })
  await writeFileAtomic(flags.output, packed)
  const bytes = concat([...files.values()])
  const { gzipBytes, brotliBytes } = await measureSizes(bytes, flags.compareSizes ? compressors : {})
  const compared =
    gzipBytes && brotliBytes ? `; gzip 9 makes it ${count(gzipBytes)}, brotli 11 ${count(brotliBytes)}` : ''
  io.finish()
  io.result(
    `${flags.output}: ${count(packed.byteLength)} bytes, ${ratio(bytes.byteLength, packed.byteLength)} smaller than ${path}${files.size > 1 ? ' with its external data' : ''} (${count(bytes.byteLength)}${compared})`,
    {
      model: path,
      output: flags.output,
      bytes: bytes.byteLength,
      packedBytes: packed.byteLength,
      ...(flags.compareSizes ? { gzipBytes, brotliBytes } : {}),
      mode: flags.mode,
    },
  )
}

export async function runUnpack(path: string, flags: { output: string }, io: Io): Promise<void> {
  checkOutputs([path], [flags.output])
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
