/** Files on disk: whole reads, atomic writes, and ONNX models with their external data. */
import { closeSync, existsSync, fstatSync, lstatSync, openSync, readSync, realpathSync, unlinkSync } from 'node:fs'
import { type FileHandle, open, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, sep, win32 } from 'node:path'
import { UnsupportedError } from '../errors.ts'
import { isPacked } from '../formats/container.ts'
import { unpackOnnx } from '../formats/unpack.ts'
import { tensorsOf } from '../graph/walk.ts'
import type { Model } from '../model.ts'
import { type ExternalSource, readModel } from '../onnx/read.ts'
import { writeModelChunks } from '../onnx/write.ts'
import { byteLengthOf, sizeOf } from '../tensor/dtype.ts'

/** What one read or write call moves at most: Node's own limit is 2 GiB - 1. */
const chunkBytes = 2 ** 30

/** The file's bytes. Each failure is one sentence that begins with the path. */
export function readFileBytes(path: string): Uint8Array {
  return withFile(path, (file, size) => readRange(path, file, { at: 0, length: size }))
}

/** Some of a file's bytes: `length` from `at` on, or fewer where it ends. */
export function readFileRange(path: string, at: number, length: number): Uint8Array {
  return withFile(path, (file, size) => readRange(path, file, { at, length: Math.max(0, Math.min(length, size - at)) }))
}

/** The length of a file. */
export function fileLength(path: string): number {
  return withFile(path, (_, size) => size)
}

function withFile<T>(path: string, use: (file: number, size: number) => T): T {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (cause) {
    throw fileError(path, cause)
  }
  try {
    const info = fstatSync(file)
    if (info.isDirectory()) throw new Error(`${path}: it is a folder; expected a file`)
    if (!info.isFile()) throw new Error(`${path}: it is not a regular file`)
    return use(file, info.size)
  } finally {
    closeSync(file)
  }
}

function readRange(path: string, file: number, { at, length }: { at: number; length: number }): Uint8Array {
  const bytes = roomFor(path, length)
  for (let done = 0; done < length; ) {
    const count = readSync(file, bytes, done, Math.min(chunkBytes, length - done), at + done)
    if (count === 0) throw new Error(`${path}: it became shorter while it was read`)
    done += count
  }
  return bytes
}

function roomFor(path: string, length: number): Uint8Array {
  try {
    return new Uint8Array(length)
  } catch (cause) {
    throw new Error(`${path}: there is not enough memory for ${length} bytes of it`, { cause })
  }
}

/** A system error as one sentence. */
export function fileError(path: string, cause: unknown, to: 'read' | 'write' = 'read'): Error {
  const code = (cause as NodeJS.ErrnoException).code
  const known: Record<string, string> = {
    ENOENT: 'there is no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder; expected a file',
    ENOTDIR: 'a part of its path is not a folder',
    ENOSPC: 'the disk is full',
    ENAMETOOLONG: 'the name is too long',
    ELOOP: 'it is a link that leads to itself',
    EMFILE: 'too many files are open',
    EIO: 'the disk could not read or write it',
    ...(to === 'write' ? writeErrors(path) : {}),
  }
  const text = known[code ?? ''] ?? (cause instanceof Error ? cause.message : String(cause))
  return new Error(`${path || '""'}: ${text}`, { cause })
}

/** What is written is made beside its name first, so that these are about the folder. */
function writeErrors(path: string): Record<string, string> {
  const folder = dirname(path)
  const closed = `the folder ${folder} cannot be written to`
  return {
    ENOENT: existsSync(folder) ? closed : `there is no folder ${folder}`,
    EACCES: closed,
    EPERM: closed,
    EROFS: `${closed}: its disk is read-only`,
    ENAMETOOLONG: 'the name is too long to write',
  }
}

/** Temporary files that a crash or Ctrl-C must not leave behind. */
const temporaries = new Set<string>()
let counter = 0

function removeTemporaries(): void {
  for (const path of temporaries) {
    try {
      unlinkSync(path)
    } catch {
      // It was renamed or removed meanwhile.
    }
  }
  temporaries.clear()
}

/** On a deadly signal: clean up, then die by it. Where the program handles the signal itself, its exit cleans up. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return
  removeTemporaries()
  process.off(signal, onSignal)
  process.kill(process.pid, signal)
}

const signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

function guard(path: string): void {
  if (temporaries.size === 0) {
    process.on('exit', removeTemporaries)
    for (const signal of signals) process.on(signal, onSignal)
  }
  temporaries.add(path)
}

function unguard(path: string): void {
  temporaries.delete(path)
  if (temporaries.size > 0) return
  process.off('exit', removeTemporaries)
  for (const signal of signals) process.off(signal, onSignal)
}

/**
 * Writes a file so that `path` holds either what it held before or all of the new bytes: into a temporary file beside
 * it, flushed to the disk, then renamed. The temporary file is removed on failure, exit and Ctrl-C.
 */
export async function writeFileAtomic(
  path: string,
  chunks: Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const before = await stat(path).catch(() => undefined)
  if (before?.isDirectory()) throw new Error(`${path}: it is a folder; expected a file to write`)
  if (before && !before.isFile()) throw new Error(`${path}: it is not a regular file, so it is not replaced`)
  const temporary = join(dirname(path), `.${basename(path)}.tmp-${process.pid}-${++counter}`)
  guard(temporary)
  let file: FileHandle | undefined
  try {
    file = await open(temporary, 'wx')
    for await (const chunk of chunks instanceof Uint8Array ? [chunks] : chunks) await writeAll(file, chunk)
    await file.sync()
    await file.close()
    file = undefined
    await rename(temporary, path)
    unguard(temporary)
    await syncFolder(dirname(path))
  } catch (cause) {
    await file?.close().catch(() => undefined)
    await unlink(temporary).catch(() => undefined)
    unguard(temporary)
    throw (cause as NodeJS.ErrnoException).code ? fileError(path, cause, 'write') : cause
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.byteLength; ) {
    const { bytesWritten } = await file.write(chunk, at, Math.min(chunkBytes, chunk.byteLength - at))
    at += bytesWritten
  }
}

/** A temporary file beside `path` for bytes that wait to be written to it. It is removed when `use` ends, on exit and Ctrl-C. */
export async function withSpillFile<T>(path: string, use: (spill: SpillFile) => Promise<T>): Promise<T> {
  const temporary = join(dirname(path), `.${basename(path)}.tmp-${process.pid}-${++counter}`)
  guard(temporary)
  let file: FileHandle | undefined
  try {
    file = await open(temporary, 'wx+')
    const handle = file
    let written = 0
    let start = 0
    return await use({
      async add(chunks) {
        for (const chunk of chunks) {
          await writeAll(handle, chunk)
          written += chunk.length
        }
      },
      clear() {
        start = written
      },
      get byteLength() {
        return written - start
      },
      async *chunks() {
        const buffer = new Uint8Array(1 << 24)
        for (let at = start; ; ) {
          const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
          if (bytesRead === 0) return
          at += bytesRead
          yield buffer.subarray(0, bytesRead)
        }
      },
    })
  } catch (cause) {
    throw (cause as NodeJS.ErrnoException).code ? fileError(path, cause, 'write') : cause
  } finally {
    await file?.close().catch(() => undefined)
    await unlink(temporary).catch(() => undefined)
    unguard(temporary)
  }
}

export interface SpillFile {
  /** Appends. */
  add(chunks: readonly Uint8Array[]): Promise<void>
  /** Forgets what is there. */
  clear(): void
  readonly byteLength: number
  /** All of it, from its beginning. A chunk is of use until the next. */
  chunks(): AsyncGenerator<Uint8Array, void, undefined>
}

/** Makes the rename itself durable, where the system can flush a folder. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined)
  await folder?.sync().catch(() => undefined)
  await folder?.close()
}

/** Opens a model: ONNX, with external data files from its own folder and nowhere else, or a packed file. */
export function openModel(path: string): Model {
  const bytes = readFileBytes(path)
  return isPacked(bytes) ? readModel(unpackFile(path, bytes)) : openWithFiles(path, bytes).model
}

/** Unpacks, with the file's name before what is wrong. */
export function unpackFile(path: string, bytes: Uint8Array): Uint8Array {
  try {
    return unpackOnnx(bytes)
  } catch (cause) {
    throw new Error(`${path}: ${(cause as Error).message}`, { cause })
  }
}

export interface Opened {
  readonly model: Model
  /** By path, its file and then those with its external data. */
  readonly files: ReadonlyMap<string, { readonly byteLength: number }>
}

/** External data of more bytes than this is read a tensor at a time, when it is needed. */
const eagerBytes = 2 ** 28

/** Opens an ONNX model, whose own bytes may be read already, and names the files that it is made of. */
export function openWithFiles(path: string, bytes: Uint8Array = readFileBytes(path)): Opened {
  if (bytes.length === 0) throw new Error(`${path}: it is empty; expected an ONNX model`)
  const files = new Map<string, Uint8Array | ExternalSource>([[path, bytes]])
  const external = (location: string): Uint8Array | ExternalSource => {
    const place = confine(dirname(path), location)
    const known = files.get(place)
    if (known) return known
    const byteLength = fileLength(place)
    const read = byteLength <= eagerBytes ? readFileBytes(place) : readWhenNeeded(place, byteLength)
    files.set(place, read)
    return read
  }
  try {
    return { model: readModel(bytes, { external }), files }
  } catch (cause) {
    const message = `${path}: ${cause instanceof Error ? cause.message : String(cause)}`
    throw cause instanceof UnsupportedError ? new UnsupportedError(message, { cause }) : new Error(message, { cause })
  }
}

/** A file of which only what was read last is kept: whoever looks at a tensor does so several times. */
function readWhenNeeded(path: string, byteLength: number): ExternalSource {
  let last: { readonly at: number; readonly bytes: Uint8Array } | undefined
  return {
    byteLength,
    read(at, length) {
      if (last?.at === at && last.bytes.length === length) return last.bytes
      last = undefined
      const bytes = readFileRange(path, at, length)
      last = { at, bytes }
      return bytes
    },
  }
}

/** The real path of an external data file; throws where it is outside the folder, by any trick of dots or links. */
function confine(folder: string, location: string): string {
  const parts = location.split(/[/\\]/)
  if (isAbsolute(location) || win32.isAbsolute(location) || parts.includes('..') || /^[a-z]:/i.test(location)) {
    throw new Error(`external data "${location}" is outside the model's folder, so it is not read`)
  }
  const path = join(folder, ...parts)
  let real: string
  let root: string
  try {
    lstatSync(path)
    root = realpathSync(folder)
    real = realpathSync(path)
  } catch (cause) {
    throw fileError(`external data "${location}"`, cause)
  }
  if (!real.startsWith(root.endsWith(sep) ? root : root + sep)) {
    throw new Error(`external data "${location}" is a link out of the model's folder, so it is not read`)
  }
  return real
}

export interface SaveOptions {
  /** From this many bytes of tensors on, they go to a file of their own; default 2 GB, near protobuf's limit. */
  readonly externalFromBytes?: number
  /** What is added to the file's name for that file; default `.data`. */
  readonly dataEnding?: string
}

/** Saves a model, its tensors in `<name>.data` beside it where they are over 2 GB. Returns the files written. */
export async function saveModel(path: string, model: Model, options: SaveOptions = {}): Promise<string[]> {
  const { externalFromBytes = 2e9, dataEnding = '.data' } = options
  let tensorBytes = 0
  for (const { tensor } of tensorsOf(model)) tensorBytes += byteLengthOf(tensor.dtype, sizeOf(tensor.dims))
  if (tensorBytes < externalFromBytes) {
    await writeFileAtomic(path, writeModelChunks(model).model.chunks)
    return [path]
  }
  const location = `${basename(path)}${dataEnding}`
  const written = writeModelChunks(model, { external: { location, minBytes: 1024 } })
  const dataPath = join(dirname(path), location)
  await writeFileAtomic(dataPath, written.external!.chunks)
  await writeFileAtomic(path, written.model.chunks)
  return [path, dataPath]
}
