/** Packing to a file and unpacking from one, of any size: tensors are read, coded and written when their turn comes. */
import { statfs } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { maxBytes } from '../formats/container.ts'
import { type OpenPacked, openPacked } from '../formats/cop-file.ts'
import { type PackOnOptions, packModelInto } from '../formats/pack.ts'
import type { PackedPart, PackedTensor } from '../formats/unpack-onnx.ts'
import { withParts } from '../formats/unpack-onnx.ts'
import type { Model } from '../model.ts'
import { externalFile } from '../onnx/external.ts'
import { ModelProto } from '../onnx/schema.ts'
import { tensorsWithData } from '../onnx/tensor-protos.ts'
import { concat, encode } from '../onnx/wire.ts'
import type { Workers } from '../workers.ts'
import { fileLength, readFileRange, withSpillFile, writeFileAtomic } from './files.ts'

/** The share of the time of packing after which the file is put together, where weights are floats. */
const coded = 0.95

/** Packs a model to a file. Returns its length in bytes. */
export function packToFile(path: string, model: Model, options: PackOnOptions = {}): Promise<number> {
  const { progress } = options
  return withSpillFile(path, async (spill) => {
    const packing = { ...options, progress: (share: number) => progress?.(coded * share) }
    const beginning = await packModelInto(model, packing, spill)
    async function* chunks(): AsyncGenerator<Uint8Array> {
      yield* beginning
      let written = 0
      for await (const chunk of spill.chunks()) {
        yield chunk
        written += chunk.length
        progress?.(coded + (1 - coded) * (written / spill.byteLength))
      }
    }
    await writeFileAtomic(path, chunks())
    progress?.(1)
    return fileLength(path)
  })
}

export interface UnpackFileOptions {
  readonly progress?: (share: number) => void
}

/** A packed file on a disk. */
export interface PackedOnDisk {
  /** Bytes of the ONNX file that comes out, or of the two. */
  readonly byteLength: number
  /** The files that unpacking to `output` makes: beyond protobuf's 2 GiB one more, with the weights. */
  outputs(output: string): string[]
  unpack(output: string, options?: UnpackFileOptions): Promise<void>
}

export interface OpenFileOptions {
  readonly workers?: Workers
  /** From so many bytes on the weights go to a file of their own; default protobuf's limit, 2 GiB. */
  readonly externalFromBytes?: number
}

/** Opens a packed file. Each failure is one sentence that begins with its path. */
export async function openPackedFile(
  path: string,
  { workers, externalFromBytes = 2 ** 31 }: OpenFileOptions = {},
): Promise<PackedOnDisk> {
  const named = async <T>(run: () => Promise<T>): Promise<T> => {
    try {
      return await run()
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause)
      throw message.startsWith('cop: ') ? new Error(`${path}: ${message}`, { cause }) : cause
    }
  }
  const source = {
    byteLength: fileLength(path),
    read: async (at: number, length: number) => readFileRange(path, at, length),
  }
  const packed = await named(() => openPacked(source, { maxBytes, workers }))
  const { byteLength } = packed.head.contents
  const isLarge = byteLength >= externalFromBytes
  return {
    byteLength,
    outputs: (output) => (isLarge ? [output, `${output}.data`] : [output]),
    unpack: (output, { progress } = {}) =>
      named(async () => {
        await checkRoom(output, byteLength)
        let done = 0
        const counted = (chunk: Uint8Array): Uint8Array => {
          done += chunk.length
          progress?.(done / byteLength)
          return chunk
        }
        if (isLarge) return unpackExternal(packed, output, counted)
        await writeFileAtomic(output, each(packed.fill(packed.head.chunks), counted))
      }),
  }
}

async function checkRoom(path: string, byteLength: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path))
  if (bavail * bsize < byteLength)
    throw new Error(`${path}: it would take ${byteLength} bytes; the disk has room for ${bavail * bsize}`)
}

async function* each<T>(values: AsyncIterable<T>, change: (value: T) => T): AsyncGenerator<T> {
  for await (const value of values) yield change(value)
}

/** Smaller tensors stay in the model: runtimes read shapes and the like while they load it. */
const leastExternal = 1024

/** Writes `output` and, with the data of large tensors, a file beside it. */
async function unpackExternal(
  { head, fill }: OpenPacked,
  output: string,
  counted: (chunk: Uint8Array) => Uint8Array,
): Promise<void> {
  const location = `${basename(output)}.data`
  const file = externalFile<PackedTensor>(location)
  const inModel = new Map<PackedPart, Uint8Array>()
  const order: (Uint8Array | PackedPart)[] = []
  for (const proto of tensorsWithData(ModelProto, head.message)) {
    const tensor = proto.rawData as PackedTensor
    if (tensor.byteLength < leastExternal) {
      for (const part of tensor.parts) inModel.set(part, new Uint8Array(0))
      order.push(...tensor.parts)
      continue
    }
    const from = file.written.chunks.length
    Object.assign(proto, file.place(tensor))
    delete proto.rawData
    order.push(...withParts(file.written.chunks.slice(from)))
  }
  async function* data(): AsyncGenerator<Uint8Array> {
    let i = 0
    for await (const chunk of fill(order)) {
      const wanted = order[i++]
      if (!(wanted instanceof Uint8Array) && inModel.has(wanted)) inModel.set(wanted, chunk)
      else yield counted(chunk)
    }
  }
  await writeFileAtomic(join(dirname(output), location), data())
  const { chunks } = encode<PackedTensor>(ModelProto, head.message)
  const model = withParts(chunks).map((c) => (c instanceof Uint8Array ? c : (inModel.get(c) as Uint8Array)))
  await writeFileAtomic(output, [counted(concat(model))])
}
