/** `coppice pack` and `coppice unpack`: the same model in fewer bytes, and back. */
import { availableParallelism } from 'node:os'
import { measureSizes } from '../../evaluate/size.ts'
import { compressors } from '../../node/compress.ts'
import { fileLength, readFileBytes } from '../../node/files.ts'
import { openPackedFile, packToFile } from '../../node/packed-file.ts'
import { withPool } from '../../node/pool.ts'
import { concat } from '../../onnx/wire.ts'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { count, sizeDifference } from '../../report/format.ts'
import { compareSizesOption, defineCommand, outputOption } from '../command.ts'
import { openInput } from '../inputs.ts'
import type { Io } from '../io.ts'
import { checkOutputs } from '../outputs.ts'

const packThreads = {
  threads: {
    type: 'number',
    optional: true,
    min: 1,
    max: 1024,
    integer: true,
    help: 'threads to work on (default: one per core); the bytes are the same',
  },
} as const satisfies OptionTable

const packOptions = {
  ...outputOption('the packed file (.cop)', '.cop'),
  mode: {
    type: 'choice',
    of: ['fast', 'default', 'max'],
    default: 'default',
    value: 'mode',
    help: 'how hard the packer tries: fast, default or max',
  },
  ...packThreads,
  ...compareSizesOption,
} as const satisfies OptionTable

const unpackOptions = {
  ...outputOption('the model (.onnx); beyond 2 GiB its weights lie beside it (.onnx.data)', '.onnx'),
  ...packThreads,
} as const satisfies OptionTable

export const packCommand = defineCommand({
  arguments: '<model>',
  options: packOptions,
  run: ([path], given, { io }) => runPack(path, given, io),
})

export const unpackCommand = defineCommand({
  arguments: '<file>',
  options: unpackOptions,
  run: ([path], given, { io }) => runUnpack(path, given, io),
})

export async function runPack(path: string, flags: OptionsOf<typeof packOptions>, io: Io): Promise<void> {
  const { threads = availableParallelism() } = flags
  io.progress(0, 'packing')
  const { model, files } = openInput(path, { outputs: [flags.output] })
  const bytes = [...files.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
  const packedBytes = await withPool({ bytes, threads }, (workers) =>
    packToFile(flags.output, model, {
      mode: flags.mode,
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

export async function runUnpack(path: string, flags: OptionsOf<typeof unpackOptions>, io: Io): Promise<void> {
  const { threads = availableParallelism() } = flags
  checkOutputs([path], [flags.output])
  io.progress(0, 'unpacking')
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
