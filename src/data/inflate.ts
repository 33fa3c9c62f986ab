/**
 * Unpacking gzip and raw deflate with the platform's own DecompressionStream (browsers, Node >= 20.12).
 * The caller names the most bytes that may come out, so that a small hostile file cannot fill the memory.
 */

export type DeflateFormat = 'gzip' | 'deflate-raw'

/** Whether the bytes begin as a gzip file does. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes.length > 2 && bytes[0] === 0x1f && bytes[1] === 0x8b
}

/** The unpacked bytes. Throws one sentence, begun by `subject`, where they are damaged or more than `maxBytes`. */
export async function inflate(
  bytes: Uint8Array,
  format: DeflateFormat,
  { maxBytes, subject }: { readonly maxBytes: number; readonly subject: string },
): Promise<Uint8Array> {
  const reader = streamOf(bytes).pipeThrough(new DecompressionStream(format)).getReader()
  const chunks: Uint8Array[] = []
  let byteLength = 0
  for (;;) {
    let part: ReadableStreamReadResult<Uint8Array>
    try {
      part = await reader.read()
    } catch (cause) {
      throw new Error(`${subject}: its compressed data is damaged or cut short`, { cause })
    }
    if (part.done) break
    byteLength += part.value.byteLength
    if (byteLength > maxBytes) {
      await reader.cancel().catch(() => undefined)
      throw new Error(`${subject}: it unpacks to more than the ${maxBytes} bytes that are allowed`)
    }
    chunks.push(part.value)
  }
  return joinChunks(chunks, byteLength)
}

/** The bytes packed as gzip or raw deflate. */
export async function deflate(bytes: Uint8Array, format: DeflateFormat): Promise<Uint8Array> {
  const reader = streamOf(bytes).pipeThrough(new CompressionStream(format)).getReader()
  const chunks: Uint8Array[] = []
  let byteLength = 0
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    chunks.push(part.value)
    byteLength += part.value.byteLength
  }
  return joinChunks(chunks, byteLength)
}

function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new Blob([bytes as Uint8Array<ArrayBuffer>]).stream() as ReadableStream<Uint8Array<ArrayBuffer>>
}

function joinChunks(chunks: readonly Uint8Array[], byteLength: number): Uint8Array {
  const joined = new Uint8Array(byteLength)
  let offset = 0
  for (const chunk of chunks) {
    joined.set(chunk, offset)
    offset += chunk.byteLength
  }
  return joined
}
