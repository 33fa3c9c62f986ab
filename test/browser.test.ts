/** The decoder alone (`coppice/runtime`) in a real Chromium: a packed file is fetched and decoded to the same bytes as in Node. */

import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { packModel } from '../src/formats/pack.ts'
import { openModel } from '../src/node/files.ts'
import { writeModel } from '../src/onnx/write.ts'
import { exampleModel } from '../src/testing/test-method.ts'
import { missing, withPage } from './_chromium.ts'

const dist = join(import.meta.dirname, '../dist')
const models = { example: exampleModel(), digits: openModel(join(import.meta.dirname, '../models/digits-lenet5.onnx')) }
const packed = new Map<string, Uint8Array>()
for (const [name, model] of Object.entries(models)) {
  for (const mode of ['fast', 'default', 'max'] as const) packed.set(`/${name}-${mode}.cop`, packModel(model, { mode }))
}

describe.skipIf(missing)(`in Chromium${missing}`, () => {
  it('decodes every mode to the bytes that Node wrote', async () => {
    await withPage({ folders: { '/': dist }, files: packed }, async (page) => {
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
    })
  })
})
