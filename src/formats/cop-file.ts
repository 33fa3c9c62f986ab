/**
 * A packed file where it lies: opened by its contents alone, then read a tensor at a time, or as a stream of ONNX bytes.
 * From a server that answers range requests only what is needed is fetched; from any other, the file comes once, in order.
 */
import { type ByteSource, type Fetch, firstBytes, openSource } from './byte-source.ts'
import { type Contents, CutShort, checkEnd, readContents } from './container.ts'
import {
  decodeOne,
  type Head,
  onnxArray,
  type PackedTensor,
  readHead,
  tensorDecoder,
  tensorNamed,
  type UnpackOptions,
} from './unpack-onnx.ts'

export type { ByteSource } from './byte-source.ts'

/** A tensor in the table of contents. */
export interface TensorEntry {
  /** '' for constants without a name. */
  readonly name: string
  /** ONNX's name in lower case: float32, int8, … */
  readonly dtype: string
  readonly dims: readonly number[]
  /** Bytes of data, unpacked. */
  readonly byteLength: number
  /** Where in the file the group lies that must be read for it; undefined where the head, read already, has all. */
  readonly range: { readonly at: number; readonly length: number } | undefined
}

export interface CopFile {
  /** Bytes of the ONNX file that comes out. */
  readonly byteLength: number
  readonly tensors: readonly TensorEntry[]
  /** One tensor's data, as ONNX's raw_data holds it, by its name or its place in `tensors`. */
  tensor(which: string | number): Promise<Uint8Array>
  /** The ONNX file, in order, a tensor at a time. Chunks may share memory with each other: do not change them. */
  chunks(): AsyncGenerator<Uint8Array, void, undefined>
  /** The ONNX file as one array; beside it, no more than a group and a tensor is in memory. */
  onnx(): Promise<Uint8Array>
  /** Ends a download that still goes on: what has not come by now is not read any more. `chunks` and `onnx` do it where they fail. */
  close(): Promise<void>
}

export interface OpenCopOptions extends UnpackOptions {
  /** Something like the platform's fetch, for URLs. */
  readonly fetch?: Fetch
}

/** Opens a packed file by its URL, its bytes, a stream of them, or anything that reads ranges. Throws one sentence. */
export async function openCop(
  from: string | URL | Uint8Array | ReadableStream<Uint8Array> | ByteSource,
  options: OpenCopOptions = {},
): Promise<CopFile> {
  const source = await openSource(from, options.fetch)
  const orClose = async <T>(run: () => Promise<T>): Promise<T> => {
    try {
      return await run()
    } catch (error) {
      await source.close()
      throw error
    }
  }
  const head = await orClose(async () => {
    const read = readHead(await readBeginning(source), options)
    if (source.byteLength !== undefined) checkEnd(read.contents, source.byteLength)
    return read
  })
  const { contents } = head
  const load = ({ group }: PackedTensor): Promise<Uint8Array> | Uint8Array => {
    if (group === undefined) return new Uint8Array(0)
    const { at, length } = rangeOf(contents, group)
    return source.read(at, length)
  }
  async function* chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    const decode = tensorDecoder(head)
    let group: number | undefined
    for (const chunk of head.chunks) {
      if (chunk instanceof Uint8Array) yield chunk
      else {
        yield await orClose(async () => {
          const bytes = chunk.group === group ? new Uint8Array(0) : await load(chunk)
          group = chunk.group ?? group
          return decode(chunk, () => bytes)
        })
      }
    }
    await orClose(async () => {
      if ((await source.read(contents.end, 1)).length > 0) checkEnd(contents, contents.end + 1)
    })
  }
  return {
    byteLength: contents.byteLength,
    tensors: head.tensors.map((t) => entryOf(head, t)),
    chunks,
    async tensor(which) {
      const tensor = typeof which === 'string' ? tensorNamed(head, which) : head.tensors[which]
      if (!tensor) throw new Error(`cop: there is no tensor ${which}; expected 0 to ${head.tensors.length - 1}`)
      const bytes = await load(tensor.source ?? tensor)
      return decodeOne(head, tensor, () => bytes)
    },
    onnx: () =>
      orClose(async () => {
        const out = onnxArray(contents)
        let at = 0
        for await (const chunk of chunks()) {
          out.set(chunk, at)
          at += chunk.length
        }
        return out
      }),
    close: source.close,
  }
}

function entryOf({ contents }: Head, tensor: PackedTensor): TensorEntry {
  const { group } = tensor.source ?? tensor
  const { name, byteLength, info } = tensor
  return {
    name,
    dtype: info.dtype,
    dims: info.dims,
    byteLength,
    range: group === undefined ? undefined : rangeOf(contents, group),
  }
}

function rangeOf({ groups }: Contents, index: number): { at: number; length: number } {
  const { at, integersLength, rawLength } = groups[index]
  return { at, length: integersLength + rawLength }
}

/** Reads as much of the file's beginning as holds all but its groups. */
async function readBeginning(source: ByteSource): Promise<Contents> {
  for (let length = firstBytes; ; length *= 4) {
    const bytes = await source.read(0, length)
    try {
      return readContents(bytes)
    } catch (error) {
      if (!(error instanceof CutShort) || bytes.length < length) throw error
    }
  }
}
