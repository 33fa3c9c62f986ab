/**
 * A packed file where it lies: opened by its contents alone, then read a tensor at a time, or as a stream of ONNX bytes.
 * From a server that answers range requests only what is needed is fetched; from any other, the file comes once, in order.
 */
import { inOrder, type Workers } from '../workers.ts'
import { type ByteSource, type Fetch, firstBytes, openSource } from './byte-source.ts'
import { type Contents, CutShort, checkEnd, readContents } from './container.ts'
import { decodeGroup } from './group-decoder.ts'
import {
  decodeOne,
  groupToDecode,
  type Head,
  onnxArray,
  type PackedPart,
  type PackedTensor,
  partDecoder,
  readHead,
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
  /** Where in the file the groups lie that must be read for it; undefined where the head, read already, has all. */
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
  /** Threads to decode groups on; this one alone where there are none. */
  readonly workers?: Workers
}

/** Opens a packed file by its URL, its bytes, a stream of them, or anything that reads ranges. Throws one sentence. */
export async function openCop(
  from: string | URL | Uint8Array | ReadableStream<Uint8Array> | ByteSource,
  options: OpenCopOptions = {},
): Promise<CopFile> {
  return copFile(await openPacked(from, options))
}

/** A packed file whose head is read. */
export interface OpenPacked {
  readonly head: Head
  /** Chunks with the data of parts in their place. The parts must be all of the head's, in their order. */
  fill(chunks: readonly (Uint8Array | PackedPart)[]): AsyncGenerator<Uint8Array, void, undefined>
  /** One tensor's data. */
  tensor(tensor: PackedTensor): Promise<Uint8Array>
  close(): Promise<void>
}

export async function openPacked(
  from: string | URL | Uint8Array | ReadableStream<Uint8Array> | ByteSource,
  options: OpenCopOptions = {},
): Promise<OpenPacked> {
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
  const load = (group: number): Promise<Uint8Array> => {
    const { at, integersLength, rawLength } = contents.groups[group]
    return source.read(at, integersLength + rawLength)
  }
  return {
    head,
    async *fill(chunks) {
      const dataOf = partDecoder(head)
      const inputs = contents.groups.map((_, i) => async () => groupToDecode(head, i, await load(i)))
      const groups = inOrder(options.workers, decodeGroup, inputs)
      let current: readonly Uint8Array[] = []
      let at: number | undefined
      for (const chunk of chunks) {
        if (chunk instanceof Uint8Array) yield chunk
        else {
          yield await orClose(async () => {
            if (chunk.group !== undefined && chunk.group !== at) {
              at = chunk.group
              // What is no longer needed is released before the next is made.
              current = []
              current = (await groups.next()).value as Uint8Array[]
            }
            return dataOf(chunk, () => current)
          })
        }
      }
      await orClose(async () => {
        if ((await source.read(contents.end, 1)).length > 0) checkEnd(contents, contents.end + 1)
      })
    },
    async tensor(tensor) {
      const bytes = new Map<number, Uint8Array>()
      for (const group of groupsOf(tensor)) bytes.set(group, await load(group))
      return decodeOne(head, tensor, (group) => bytes.get(group) as Uint8Array)
    },
    close: source.close,
  }
}

function copFile({ head, fill, tensor, close }: OpenPacked): CopFile {
  const { contents, tensors } = head
  return {
    byteLength: contents.byteLength,
    tensors: tensors.map((t) => entryOf(head, t)),
    chunks: () => fill(head.chunks),
    async tensor(which) {
      const wanted = typeof which === 'string' ? tensorNamed(head, which) : tensors[which]
      if (!wanted) throw new Error(`cop: there is no tensor ${which}; expected 0 to ${tensors.length - 1}`)
      return tensor(wanted)
    },
    async onnx() {
      try {
        const out = onnxArray(contents)
        let at = 0
        for await (const chunk of fill(head.chunks)) {
          out.set(chunk, at)
          at += chunk.length
        }
        return out
      } catch (error) {
        await close()
        throw error
      }
    },
    close,
  }
}

/** The groups that hold a tensor's parts. */
function groupsOf({ parts }: PackedTensor): Set<number> {
  return new Set(parts.flatMap((part) => [part, ...part.sources].flatMap(({ group }) => group ?? [])))
}

function entryOf({ contents }: Head, tensor: PackedTensor): TensorEntry {
  const { name, byteLength, info } = tensor
  const places = Array.from(groupsOf(tensor), (group) => contents.groups[group])
  const at = Math.min(...places.map((p) => p.at))
  const end = Math.max(...places.map((p) => p.at + p.integersLength + p.rawLength))
  return {
    name,
    dtype: info.dtype,
    dims: info.dims,
    byteLength,
    range: places.length === 0 ? undefined : { at, length: end - at },
  }
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
