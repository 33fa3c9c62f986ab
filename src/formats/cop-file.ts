/**
 * A packed file where it lies: opened by its contents alone, then read a tensor at a time, or as a stream of ONNX bytes.
 * From a server that answers range requests only what is needed is fetched; from any other, the file comes once, in order.
 */
import { type Contents, CutShort, checkEnd, readContents } from './container.ts'
import {
  decodeOne,
  type Head,
  type PackedTensor,
  readHead,
  tensorDecoder,
  tensorNamed,
  type UnpackOptions,
} from './unpack-onnx.ts'

/** Where a file's bytes come from. */
export interface ByteSource {
  /** The bytes from `at` on: `length` of them, or fewer where the file ends. They need not stay as they are beyond the next call. */
  read(at: number, length: number): Promise<Uint8Array>
  /** The file's length in bytes, if it is known before the end was read. */
  readonly byteLength?: number
}

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
}

export interface OpenCopOptions extends UnpackOptions {
  /** Something like the platform's fetch, for URLs. */
  readonly fetch?: (url: string, init?: RequestInit) => Promise<Response>
}

/** What is asked for first: enough for the contents of small networks. */
const firstBytes = 1 << 16

/** Opens a packed file by its URL, its bytes, a stream of them, or anything that reads ranges. Throws one sentence. */
export async function openCop(
  from: string | URL | Uint8Array | ReadableStream<Uint8Array> | ByteSource,
  options: OpenCopOptions = {},
): Promise<CopFile> {
  const source = await sourceOf(from, options)
  const head = readHead(await readBeginning(source), options)
  const { contents } = head
  if (source.byteLength !== undefined) checkEnd(contents, source.byteLength)
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
        const bytes = chunk.group === group ? new Uint8Array(0) : await load(chunk)
        group = chunk.group ?? group
        yield decode(chunk, () => bytes)
      }
    }
    if ((await source.read(contents.end, 1)).length > 0) checkEnd(contents, contents.end + 1)
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
    async onnx() {
      const out = new Uint8Array(contents.byteLength)
      let at = 0
      for await (const chunk of chunks()) {
        out.set(chunk, at)
        at += chunk.length
      }
      return out
    },
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
      return readContents(bytes.slice())
    } catch (error) {
      if (!(error instanceof CutShort) || bytes.length < length) throw error
    }
  }
}

async function sourceOf(from: Parameters<typeof openCop>[0], { fetch }: OpenCopOptions): Promise<ByteSource> {
  if (from instanceof Uint8Array)
    return { byteLength: from.length, read: async (at, length) => from.subarray(at, at + length) }
  if (typeof from === 'string' || from instanceof URL) return httpSource(String(from), fetch ?? globalThis.fetch)
  return from instanceof ReadableStream ? streamSource(from, false) : from
}

/** A file on a server: by ranges where the first answer is one, else whole, kept as far as it has come. */
async function httpSource(url: string, fetch: NonNullable<OpenCopOptions['fetch']>): Promise<ByteSource> {
  const ask = (from: number, to: number) => fetch(url, { headers: { range: `bytes=${from}-${to - 1}` } })
  const first = await ask(0, firstBytes)
  const total = Number(/\/(\d+)$/.exec(first.headers.get('content-range') ?? '')?.[1] ?? Number.NaN)
  if (first.status !== 206) return streamSource(bodyOf(first, url), true)
  // Where a server of another origin keeps the length from us, ranges are of no use.
  if (Number.isNaN(total)) {
    await first.body?.cancel()
    return streamSource(bodyOf(await fetch(url), url), true)
  }
  const beginning = new Uint8Array(await first.arrayBuffer())
  const tag = first.headers.get('etag')
  return {
    byteLength: total,
    async read(at, length) {
      const to = Math.min(at + length, total)
      if (to <= beginning.length || to <= at) return beginning.subarray(at, Math.max(at, to))
      const answer = await ask(at, to)
      const bytes = new Uint8Array(await answer.arrayBuffer())
      if (answer.status !== 206 || bytes.length !== to - at || answer.headers.get('etag') !== tag)
        throw new Error(
          `cop: ${url} answered ${answer.status} with ${bytes.length} bytes; expected bytes ${at} to ${to} of the file opened`,
        )
      return bytes
    },
  }
}

/** The body of an answer. Throws where it is not 200 to 299. */
export function bodyOf(answer: Response, url: string): ReadableStream<Uint8Array> {
  if (!answer.ok || !answer.body) throw new Error(`cop: ${url} answered ${answer.status}; expected a packed model`)
  return answer.body
}

/** A stream as a source: what lies before the last read is forgotten unless it is to be kept. */
function streamSource(stream: ReadableStream<Uint8Array>, keep: boolean): ByteSource {
  const reader = stream.getReader()
  /** The bytes from `start` on that have come, in the first `used` of `buffer`. */
  let buffer = new Uint8Array(firstBytes)
  let start = 0
  let used = 0
  let ended = false
  return {
    async read(at, length) {
      if (at < start)
        throw new Error('cop: the stream has passed this part of the file; expected one that is read in order')
      if (!keep) drop(at)
      while (!ended && start + used < at + length) {
        const { done, value } = await reader.read()
        if (done) ended = true
        else append(value)
        if (!keep) drop(at)
      }
      return buffer.subarray(Math.min(at - start, used), Math.min(at + length - start, used))
    },
  }
  function drop(until: number): void {
    const count = Math.min(until - start, used)
    if (count === 0) return
    buffer.copyWithin(0, count, used)
    start += count
    used -= count
  }
  function append(bytes: Uint8Array): void {
    if (used + bytes.length > buffer.length) {
      const grown = new Uint8Array(Math.max(2 * buffer.length, used + bytes.length))
      grown.set(buffer.subarray(0, used))
      buffer = grown
    }
    buffer.set(bytes, used)
    used += bytes.length
  }
}
