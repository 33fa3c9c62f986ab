/**
 * Downloads of known files into a cache folder: every file is checked against its SHA-256 before it gets its name, a
 * broken download goes on where it stopped (HTTP Range), and the next address is tried where one fails.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, stat, unlink } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { AbortError } from '../errors.ts'

export interface Download {
  /** Where the file goes, relative to the cache folder. */
  readonly name: string
  /** Tried in order. */
  readonly urls: readonly string[]
  /** Of the whole file, in lower-case hexadecimal. */
  readonly sha256: string
}

export interface DownloadOptions {
  /** Default: `cacheFolder()`. */
  readonly folder?: string
  readonly signal?: AbortSignal
  /** Told how far the file is, as a share of 1. */
  readonly progress?: (done: number, what: string) => void
}

/** `$COPPICE_CACHE`, or `coppice` in the user's cache folder. */
export function cacheFolder(): string {
  const { COPPICE_CACHE, XDG_CACHE_HOME } = process.env
  return COPPICE_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'coppice')
}

/** The path of the file in the cache, downloaded if it is not there. Throws one sentence where no address gave it. */
export async function download(file: Download, options: DownloadOptions = {}): Promise<string> {
  const path = join(options.folder ?? cacheFolder(), file.name)
  if (await stat(path).catch(() => undefined)) {
    if ((await sha256Of(path)) === file.sha256) return path
    await unlink(path)
  }
  await mkdir(dirname(path), { recursive: true })
  const partial = `${path}.part`
  const failures: string[] = []
  // A resumed file that turns out wrong may have begun wrong: the same address gets one more try from the start.
  for (const url of file.urls.flatMap((u) => [u, u])) {
    const resumed = (await stat(partial).catch(() => undefined)) !== undefined
    if (!resumed && failures.at(-1)?.startsWith(`${url}: `)) continue
    try {
      await fetchInto(partial, url, file, options)
    } catch (cause) {
      if (options.signal?.aborted) throw new AbortError(`${file.name}: the download was stopped`, { cause })
      failures.push(`${url}: ${reasonOf(cause)}`)
      continue
    }
    const sha256 = await sha256Of(partial)
    if (sha256 === file.sha256) {
      await rename(partial, path)
      return path
    }
    await unlink(partial)
    failures.push(`${resumed ? 'resumed from ' : ''}${url}: its SHA-256 is ${sha256}; expected ${file.sha256}`)
  }
  throw new Error(`${file.name}: it could not be downloaded (${[...new Set(failures)].join('; ')})`)
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  const inner = cause.cause
  return inner instanceof Error && inner.message ? inner.message : cause.message
}

/** Appends what is missing of the file to `partial`. */
async function fetchInto(partial: string, url: string, file: Download, options: DownloadOptions): Promise<void> {
  const have = (await stat(partial).catch(() => undefined))?.size ?? 0
  const headers = have > 0 ? { range: `bytes=${have}-` } : undefined
  const response = await fetch(url, { ...(headers ? { headers } : {}), signal: options.signal })
  if (response.status === 416) {
    // Nothing is missing (the checksum tells), or the partial file is of something else.
    await response.body?.cancel()
    return
  }
  if (!response.ok || !response.body) throw new Error(`the server answered ${response.status} ${response.statusText}`)
  const resumed = response.status === 206
  const length = Number(response.headers.get('content-length'))
  const total = length > 0 ? length + (resumed ? have : 0) : undefined
  const out = await open(partial, resumed ? 'a' : 'w')
  try {
    let done = resumed ? have : 0
    for await (const chunk of response.body) {
      await out.write(chunk)
      done += chunk.byteLength
      options.progress?.(total ? Math.min(1, done / total) : 0, `downloading ${file.name}`)
    }
    if (total !== undefined && done < total) throw new Error('the connection closed early')
  } finally {
    await out.close()
  }
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array)
  return hash.digest('hex')
}
