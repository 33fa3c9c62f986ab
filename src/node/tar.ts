/** Tar archives (ustar), as far as data sets need them: plain files by name. Source: POSIX.1-1988, pax(1). */

const block = 512

export interface TarFile {
  /** As the archive has it. */
  readonly path: string
  readonly bytes: Uint8Array
}

/** The plain files of the archive by the last part of their name. Throws one sentence where it is damaged. */
export function readTar(bytes: Uint8Array, subject: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  for (let at = 0; at + block <= bytes.length && bytes[at] !== 0; ) {
    const { path, size, isFile } = readHeader(bytes.subarray(at, at + block), subject)
    if (at + block + size > bytes.length) throw new Error(`${subject}: it is cut short`)
    if (isFile) files.set(path.slice(path.lastIndexOf('/') + 1), bytes.subarray(at + block, at + block + size))
    at += block + padded(size)
  }
  return files
}

/** The plain files of an archive that is read piece by piece, one at a time; none may be larger than `mostBytes`. */
export async function* tarFiles(
  pieces: AsyncIterable<Uint8Array>,
  { subject, mostBytes = 2 ** 28 }: { readonly subject: string; readonly mostBytes?: number },
): AsyncGenerator<TarFile> {
  const source = pieces[Symbol.asyncIterator]()
  let waiting: Uint8Array[] = []
  let length = 0
  /** The next `count` bytes; undefined at the end. */
  const take = async (count: number): Promise<Uint8Array | undefined> => {
    while (length < count) {
      const { value, done } = await source.next()
      if (done) break
      waiting.push(value)
      length += value.length
    }
    if (length < count) return undefined
    const whole = waiting.length === 1 ? waiting[0] : Buffer.concat(waiting)
    waiting = [whole.subarray(count)]
    length = whole.length - count
    return whole.subarray(0, count)
  }
  for (;;) {
    const head = await take(block)
    if (!head || head[0] === 0) return
    const { path, size, isFile } = readHeader(head, subject)
    if (size > mostBytes) throw new Error(`${subject}: ${path} has ${size} bytes; expected at most ${mostBytes}`)
    const body = await take(padded(size))
    if (!body) throw new Error(`${subject}: it is cut short`)
    if (isFile) yield { path, bytes: body.slice(0, size) }
  }
}

const padded = (size: number): number => Math.ceil(size / block) * block

function readHeader(head: Uint8Array, subject: string) {
  const text = (from: number, length: number): string =>
    new TextDecoder('latin1').decode(head.subarray(from, from + length)).replace(/\0.*$/s, '')
  const size = Number.parseInt(text(124, 12), 8)
  const sum = Number.parseInt(text(148, 8), 8)
  let actual = 8 * 32 // the checksum field itself counts as spaces
  for (let i = 0; i < block; i++) if (i < 148 || i >= 156) actual += head[i]
  if (sum !== actual) throw new Error(`${subject}: it is not a tar archive, or is damaged`)
  if (!(size >= 0)) throw new Error(`${subject}: it is cut short`)
  const type = text(156, 1)
  return { path: text(0, 100), size, isFile: type === '0' || type === '' }
}
