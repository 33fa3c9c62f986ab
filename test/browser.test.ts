/** The decoder alone (`coppice/runtime`) in a real Chromium: a packed file is fetched and decoded to the same bytes as in Node. */

import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, normalize } from 'node:path'
import { chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { packModel } from '../src/formats/pack.ts'
import { openModel } from '../src/node/files.ts'
import { writeModel } from '../src/onnx/write.ts'
import { exampleModel } from '../src/testing/test-method.ts'

const browser = process.env.COPPICE_CHROMIUM ?? '/usr/bin/chromium'
const reason = existsSync(browser) ? '' : ' (skipped: no Chromium; COPPICE_CHROMIUM names one)'
const dist = join(import.meta.dirname, '../dist')
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

const models = { example: exampleModel(), digits: openModel(join(import.meta.dirname, '../models/digits-lenet5.onnx')) }
const packed = new Map<string, Uint8Array>()
for (const [name, model] of Object.entries(models)) {
  for (const mode of ['fast', 'default', 'max'] as const) packed.set(`/${name}-${mode}.cop`, packModel(model, { mode }))
}

describe.skipIf(reason)(`in Chromium${reason}`, () => {
  let server: Server
  let origin: string
  beforeAll(async () => {
    server = createServer((request, response) => {
      const path = normalize(request.url ?? '/')
      const file = join(dist, path)
      const body =
        packed.get(path) ??
        (path.endsWith('.js') && existsSync(file)
          ? readFileSync(file)
          : Buffer.from('<!doctype html><title>coppice</title>'))
      const type = path.endsWith('.js')
        ? 'text/javascript'
        : path.endsWith('.cop')
          ? 'application/octet-stream'
          : 'text/html'
      response.writeHead(200, { 'content-type': type })
      response.end(body)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => new Promise((resolve) => server.close(resolve)))

  it('decodes every mode to the bytes that Node wrote', async () => {
    const instance = await chromium.launch({ executablePath: browser, args: flags })
    try {
      const page = await instance.newPage()
      await page.goto(origin)
      for (const path of packed.keys()) {
        // As text, so that the test runner does not rewrite the import. The bytes come back as base64.
        const onnx: string = await page.evaluate(`(async () => {
          const { loadCop } = await import('/runtime-only.js')
          let text = ''
          for (const byte of await loadCop('${path}')) text += String.fromCharCode(byte)
          return btoa(text)
        })()`)
        const name = path.slice(1).split('-')[0] as keyof typeof models
        const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
        expect(sha(Buffer.from(onnx, 'base64')), path).toBe(sha(writeModel(models[name])))
      }
    } finally {
      await instance.close()
    }
  })
})
