/** Where a packed file's bytes come from: memory, a stream, a server, or whatever reads ranges. */
import { concat } from '../onnx/wire.ts'
import { grown } from './memory.ts'

export interface ByteSource {
  /** The bytes from `at` on: `length` of them, or fewer where the file ends. They need not stay as they are beyond the next call. */
  read(at: number, length: number): Promise<Uint8Array>
  /** The file's length in bytes, if it is known before the end was read. */
  readonly byteLength?: number
}

/** A source whose bytes stay as they are. */
export interface OpenSource extends ByteSource {
  /** Ends what still comes. */
  close(): Promise<void>
}

/** Something like the platform's fetch. */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>

/** What is asked for first: enough for the contents of small networks. */
export const firstBytes = 1 << 16

export async function openSource(
  from: string | URL | Uint8Array | ReadableStream<Uint8Array> | ByteSource,
  fetch: Fetch = globalThis.fetch,
): Promise<OpenSource> {
  const close = async () => {}
  if (from instanceof Uint8Array)
    return { byteLength: from.length, read: async (at, length) => from.subarray(at, at + length), close }
  if (typeof from === 'string' || from instanceof URL) return httpSource(String(from), fetch)
  return from instanceof ReadableStream ? streamSource(from, 'the stream') : inTurn(from, close)
}

/** Reads one thing after another, and copies each before the next is read. */
function inTurn(source: ByteSource, close: () => Promise<void>): OpenSource {
  let last: Promise<unknown> = Promise.resolve()
  return {
    get byteLength() {
      return source.byteLength
    },
    read(at, length) {
      // Not `slice`: of a Buffer that is no copy.
      const bytes = last.then(async () => new Uint8Array(await source.read(at, length)))
      last = bytes.catch(() => undefined)
      return bytes
    },
    close,
  }
}

/** A file on a server: by ranges where the answers are what was asked for, else whole, kept as far as it has come. */
async function httpSource(url: string, fetch: Fetch): Promise<OpenSource> {
  const ask = (from: number, to: number) =>
    reading(url, () => fetch(url, { headers: { range: `bytes=${from}-${to - 1}` } }))
  /** The whole file from an answer; where that is a part that is of no use, from another. */
  const all = async (answer: Response): Promise<OpenSource> => {
    if (answer.status !== 206) return streamSource(bodyOf(answer, url), url, true)
    await cancel(answer.body)
    return streamSource(await fetchBody(url, fetch), url, true)
  }
  const first = await ask(0, firstBytes)
  const beginning = await partOf(first, url, 0)
  if (!beginning) return all(first)
  const tag = first.headers.get('etag')
  const { total } = beginning
  let whole: Promise<OpenSource> | undefined
  return {
    byteLength: total,
    async read(at, length) {
      const to = Math.min(at + length, total)
      const parts = [beginning.bytes.subarray(at, Math.max(at, to))]
      // A server may answer with less than it was asked for.
      for (let from = at + parts[0].length; from < to && !whole; ) {
        const answer = await ask(from, to)
        const part = await partOf(answer, url, from)
        if (part && (part.total !== total || answer.headers.get('etag') !== tag))
          throw new Error(
            `cop: ${url} answered with a part of another file; expected bytes ${at} to ${to} of the one that was opened`,
          )
        if (part) parts.push(part.bytes.subarray(0, to - from))
        else if (whole) await cancel(answer.body)
        else
          whole = all(answer).catch((error) => {
            whole = undefined
            throw error
          })
        from += part?.bytes.length ?? 0
      }
      return whole ? (await whole).read(at, length) : concat(parts.filter((p) => p.length > 0))
    },
    close: async () => (await whole)?.close(),
  }
}

/** The bytes of an answer to a question for those from `from` on, and the file's; undefined where it is no such answer. */
async function partOf(
  answer: Response,
  url: string,
  from: number,
): Promise<{ bytes: Uint8Array; total: number } | undefined> {
  // Where a server of another origin keeps this header from us, ranges are of no use.
  const [, start, total] = /(\d+)-\d+\/(\d+)$/.exec(answer.headers.get('content-range') ?? '') ?? []
  if (answer.status !== 206 || Number(start) !== from) return undefined
  const bytes = new Uint8Array(await reading(url, () => answer.arrayBuffer()))
  return bytes.length > 0 && from + bytes.length <= Number(total) ? { bytes, total: Number(total) } : undefined
}

/** A file on a server, whole, as it comes. Throws where it does not, or the answer is not 200 to 299. */
export async function fetchBody(url: string, fetch: Fetch): Promise<ReadableStream<Uint8Array>> {
  return bodyOf(await reading(url, () => fetch(url)), url)
}

function bodyOf(answer: Response, url: string): ReadableStream<Uint8Array> {
  if (answer.ok && answer.body) return answer.body
  cancel(answer.body)
  throw new Error(`cop: ${url} answered with status ${answer.status}; expected a packed model`)
}

/** Failures of networks and streams come in all forms. */
async function reading<T>(what: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : cause
    throw new Error(`cop: ${what} could not be read (${why}); expected a packed model`, { cause })
  }
}

/** Tells whoever sends that no more is wanted; one who is done or has failed does not mind. */
async function cancel(body: { cancel(): Promise<void> } | null): Promise<void> {
  await body?.cancel().catch(() => undefined)
}

/** A stream as a source: what lies before the last read is forgotten unless it is to be kept. */
function streamSource(stream: ReadableStream<Uint8Array>, what: string, keep = false): OpenSource {
  const reader = stream.getReader()
  /** The bytes from `start` on that have come, in the first `used` of `buffer`. */
  let buffer = new Uint8Array(firstBytes)
  let start = 0
  let used = 0
  let ended = false
  let closed = false
  const source: OpenSource = {
    async read(at, length) {
      if (at < start)
        throw new Error('cop: the stream has passed this part of the file; expected tensors to be read in order')
      if (!keep) drop(at)
      while (!ended && start + used < at + length) {
        if (closed) throw new Error(`cop: ${what} was closed; expected it open for as long as it is read`)
        const { done, value } = await reading(what, () => reader.read())
        if (done) ended = !closed
        else append(value)
        if (!keep) drop(at)
      }
      return buffer.subarray(Math.min(at - start, used), Math.min(at + length - start, used))
    },
    async close() {
      closed = true
      await cancel(reader)
    },
  }
  // What is kept never moves within a buffer, and nobody else writes there.
  return keep ? source : inTurn(source, source.close)
  function drop(until: number): void {
    const count = Math.min(until - start, used)
    if (count === 0) return
    buffer.copyWithin(0, count, used)
    start += count
    used -= count
  }
  function append(bytes: Uint8Array): void {
    if (used + bytes.length > buffer.length) buffer = grown(buffer, Math.max(2 * buffer.length, used + bytes.length))
    buffer.set(bytes, used)
    used += bytes.length
  }
}
