/** A page of our own files in a real Chromium, for tests. */
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, normalize } from 'node:path'
import { Readable } from 'node:stream'
import { type Browser, chromium, type Page } from 'playwright-core'
import type { Served } from '../src/node/serve-page.ts'

const browser = process.env.COPPICE_CHROMIUM ?? '/usr/bin/chromium'
/** Empty where there is a Chromium; else what to say of a test that is skipped. */
export const missing = existsSync(browser) ? '' : ' (skipped: no Chromium; COPPICE_CHROMIUM names one)'

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
const types: Record<string, string> = {
  js: 'text/javascript',
  mjs: 'text/javascript',
  wasm: 'application/wasm',
  svg: 'image/svg+xml',
  cop: 'application/octet-stream',
  css: 'text/css',
  json: 'application/json',
}

/** A file's bytes, or its pieces as they are to come. */
type Body = Uint8Array | (() => AsyncIterable<Uint8Array>)

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: browser, args: flags })
}

export interface Site {
  /** Folders by the path that they are served under, such as `/`. */
  readonly folders: Readonly<Record<string, string>>
  readonly files?: ReadonlyMap<string, Body>
  /** Of the page's head. */
  readonly head?: string
  /** Of every answer. */
  readonly headers?: Readonly<Record<string, string>>
}

/** Serves a site; a path without a file is answered with an empty page. */
export async function serveSite({ folders, files, head = '', headers }: Site): Promise<Served> {
  const find = (path: string): Body | undefined => {
    const given = files?.get(path)
    if (given) return given
    const root = Object.keys(folders).find((r) => path.startsWith(r) && path.length > r.length)
    const file = root === undefined ? '' : join(folders[root], path.slice(root.length))
    return existsSync(file) ? readFileSync(file) : undefined
  }
  const server = createServer((request, response) => {
    const path = normalize(request.url ?? '/')
    const body = find(path)
    const type = (body && types[path.slice(path.lastIndexOf('.') + 1)]) ?? 'text/html'
    response.writeHead(200, { 'content-type': type, ...headers })
    if (typeof body === 'function') Readable.from(body()).pipe(response)
    else response.end(body ?? `<!doctype html><title>coppice</title>${head}`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

/** Opens the page, hands it to `work`, and closes everything. */
export async function withPage<T>(site: Site, work: (page: Page) => Promise<T>): Promise<T> {
  const served = await serveSite(site)
  const instance = await launch()
  try {
    const page = await instance.newPage()
    await page.goto(served.url)
    return await work(page)
  } finally {
    await instance.close()
    await served.close()
  }
}
