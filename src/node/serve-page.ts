/** The page of coppice (web/, built into dist/page) on this computer alone, with the headers that let it use threads. */
import { createReadStream, existsSync, statSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where the page lies: beside this file's folder in the package, in dist/ from source. */
export function pageFolder(): string | undefined {
  const places = ['../page/', '../../dist/page/'].map((place) => fileURLToPath(new URL(place, import.meta.url)))
  return places.find((place) => existsSync(join(place, 'index.html')))
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
}

const headers = {
  // Where it is known, this alone is enough, in a frame of another page too.
  'Document-Isolation-Policy': 'isolate-and-require-corp',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  // Another version of the package has the same address.
  'Cache-Control': 'no-cache',
}

export interface Served {
  readonly url: string
  close(): Promise<void>
}

/** Serves the folder on 127.0.0.1; at port 0, any that is free. Throws one sentence where the port is taken. */
export async function servePage(folder: string, port: number): Promise<Served> {
  const root = normalize(folder.endsWith(sep) ? folder : folder + sep)
  const server = createServer((request, response) => {
    const path = pathOf(request.url ?? '/')
    const file = path === undefined ? '' : normalize(join(root, path.endsWith('/') ? `${path}index.html` : path))
    const isThere = file.startsWith(root) && statSync(file, { throwIfNoEntry: false })?.isFile()
    if (!isThere || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(isThere ? 405 : 404, { 'Content-Type': 'text/plain' })
      response.end(isThere ? 'expected GET' : 'there is no such file')
      return
    }
    response.writeHead(200, {
      ...headers,
      'Content-Type': types[extname(file)] ?? 'application/octet-stream',
      'Content-Length': statSync(file).size,
    })
    if (request.method === 'HEAD') response.end()
    else createReadStream(file).pipe(response)
  })
  await listening(server, port)
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

function pathOf(url: string): string | undefined {
  try {
    return decodeURIComponent(new URL(url, 'http://localhost').pathname)
  } catch {
    return undefined
  }
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === 'EADDRINUSE' ? 'it is taken; expected another, such as 0 for any that is free' : cause.message
      reject(new Error(`port ${port}: ${why}`, { cause }))
    })
    server.listen(port, '127.0.0.1', resolve)
  })
}
