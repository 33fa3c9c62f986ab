/** `coppice pack` and `coppice unpack`: the same model in fewer bytes, and back. */
import { availableParallelism } from 'node:os'
import { measureSizes } from '../../evaluate/size.ts'
import type { Mode } from '../../formats/entropy/integer-coder.ts'
import { compressors } from '../../node/compress.ts'
import { fileLength, readFileBytes } from '../../node/files.ts'
import { openPackedFile, packToFile } from '../../node/packed-file.ts'
import { withPool } from '../../node/pool.ts'
import { concat } from '../../onnx/wire.ts'
import { count, sizeDifference } from '../../report/format.ts'
import { openInput } from '../inputs.ts'
import { type Io, numberOption } from '../io.ts'
import { checkOutputs } from '../outputs.ts'

interface ThreadsFlag {
  readonly threads?: string
}

export interface PackFlags extends ThreadsFlag {
  readonly output: string
  readonly mode: string
  readonly compareSizes?: boolean
}

export async function runPack(path: string, flags: PackFlags, io: Io): Promise<void> {
  if (!['fast', 'default', 'max'].includes(flags.mode))
    throw new Error(`--mode: "${flags.mode}"; expected fast, default or max`)
  const threads = threadsOf(flags)
  const { model, files } = openInput(path, { outputs: [flags.output] })
  const bytes = [...files.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
  const packedBytes = await withPool({ bytes, threads }, (workers) =>
    packToFile(flags.output, model, {
      mode: flags.mode as Mode,
      workers,
      progress: (done) => io.progress(done, 'packing'),
    }),
  )
  const compared = flags.compareSizes
    ? await measureSizes(concat([...files.keys()].map(readFileBytes)), compressors)
    : undefined
  const { gzipBytes = 0, brotliBytes = 0 } = compared ?? {}
  const others = compared ? `; gzip 9 makes it ${count(gzipBytes)}, brotli 11 ${count(brotliBytes)}` : ''
  io.finish()
  io.result(
    `${flags.output}: ${count(packedBytes)} bytes, ${bytes === packedBytes ? 'as large as' : `${sizeDifference(bytes, packedBytes).join(' ')} than`} ${path}${files.size > 1 ? ' with its external data' : ''} (${count(bytes)}${others})`,
    {
      model: path,
      output: flags.output,
      bytes,
      packedBytes,
      ...(compared ? { gzipBytes, brotliBytes } : {}),
      mode: flags.mode,
    },
  )
}

export async function runUnpack(path: string, flags: ThreadsFlag & { output: string }, io: Io): Promise<void> {
  const threads = threadsOf(flags)
  checkOutputs([path], [flags.output])
  const packedBytes = fileLength(path)
  const { files, bytes } = await withPool({ bytes: packedBytes, threads }, async (workers) => {
    const packed = await openPackedFile(path, { workers })
    const outputs = packed.outputs(flags.output)
    checkOutputs([path], outputs)
    await packed.unpack(flags.output, { progress: (done) => io.progress(done, 'unpacking') })
    return { files: outputs, bytes: packed.byteLength }
  })
  io.finish()
  const beside = files.length > 1 ? `, its weights in ${files[1]}` : ''
  io.result(`${flags.output}: ${count(bytes)} bytes${beside}`, {
    packed: path,
    output: flags.output,
    ...(files.length > 1 ? { data: files[1] } : {}),
    packedBytes,
    bytes,
  })
}

/** Threads to work on: one per core unless said. The bytes are the same. */
function threadsOf({ threads }: ThreadsFlag): number {
  return threads === undefined
    ? availableParallelism()
    : numberOption(threads, '--threads', { min: 1, max: 1024, integer: true })
}
