/** Tar archives (ustar), as far as data sets need them: plain files by name. Source: POSIX.1-1988, pax(1). */

const block = 512

/** The plain files of the archive by the last part of their name. Throws one sentence where it is damaged. */
export function readTar(bytes: Uint8Array, subject: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  const text = (from: number, length: number): string =>
    new TextDecoder('latin1').decode(bytes.subarray(from, from + length)).replace(/\0.*$/s, '')
  for (let at = 0; at + block <= bytes.length && bytes[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12), 8)
    const sum = Number.parseInt(text(at + 148, 8), 8)
    let actual = 8 * 32 // the checksum field itself counts as spaces
    for (let i = 0; i < block; i++) if (i < 148 || i >= 156) actual += bytes[at + i]
    if (sum !== actual) throw new Error(`${subject}: it is not a tar archive, or is damaged`)
    if (!(size >= 0) || at + block + size > bytes.length) throw new Error(`${subject}: it is cut short`)
    const name = text(at, 100)
    const type = text(at + 156, 1)
    if (type === '0' || type === '')
      files.set(name.slice(name.lastIndexOf('/') + 1), bytes.subarray(at + block, at + block + size))
    at += block + Math.ceil(size / block) * block
  }
  return files
}
