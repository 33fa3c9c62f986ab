/** The examples run: the page of examples/onnxruntime-web reads a drawn digit in a real Chromium; transformers.js's hook unpacks. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../src/data/batcher.ts'
import { dataHandle } from '../src/data/handle.ts'
import { guessPreprocess } from '../src/data/preprocess.ts'
import { evaluateAccuracy } from '../src/evaluate/accuracy.ts'
import { packModel } from '../src/formats/pack.ts'
import { inspectModel } from '../src/inspect.ts'
import { loadData } from '../src/node/data.ts'
import { openModel } from '../src/node/files.ts'
import { writeModel } from '../src/onnx/write.ts'
import { parseRecipe, runSteps } from '../src/recipe.ts'
import { openSession } from '../src/runtime/session.ts'
import { missing, withPage } from './_chromium.ts'

const root = join(import.meta.dirname, '..')
const folder = '/examples/onnxruntime-web/'

describe.skipIf(missing)(`examples/onnxruntime-web${missing}`, () => {
  it('fetches a packed network and reads a digit that is drawn', async () => {
    const packed = packModel(openModel(join(root, 'models/digits-lenet5.onnx')))
    // The server answers a path without a file with an empty page, so the page itself is given by name.
    const files = new Map([
      [`${folder}digits.cop`, packed],
      [`${folder}index.html`, readFileSync(join(root, folder, 'index.html'))],
    ])
    const folders = {
      '/dist/': join(root, 'dist'),
      '/node_modules/onnxruntime-web/dist/': join(root, 'node_modules/onnxruntime-web/dist'),
    }
    await withPage({ folders, files }, async (page) => {
      await page.goto(new URL(`${folder}index.html`, page.url()).href)
      await page.waitForFunction(`document.querySelector('#status').textContent.includes('opened in')`)
      const box = await page.locator('canvas').boundingBox()
      if (!box) throw new Error('the page shows no canvas')
      const draw = async (points: readonly (readonly [number, number])[]): Promise<string> => {
        await page.locator('button').click()
        const at = ([x, y]: readonly [number, number]) => [box.x + x * box.width, box.y + y * box.height] as const
        await page.mouse.move(...at(points[0]))
        await page.mouse.down()
        for (const point of points.slice(1)) await page.mouse.move(...at(point), { steps: 8 })
        await page.mouse.up()
        await page.waitForFunction(`document.querySelector('output').textContent !== ''`)
        return page.locator('output').innerText()
      }
      expect(
        await draw([
          [0.5, 0.2],
          [0.5, 0.8],
        ]),
      ).toBe('1')
      expect(
        await draw([
          [0.25, 0.2],
          [0.72, 0.2],
          [0.4, 0.82],
        ]),
      ).toBe('7')
    })
  })
})

describe('examples/transformers-js', () => {
  // As a name that is looked up at run time: the example imports the built package by its public name.
  const hook = new URL('../examples/transformers-js/cop-fetch.mjs', import.meta.url).href
  const model = openModel(join(root, 'models/digits-lenet5.onnx'))
  const onnx = writeModel(model)
  const packed = new Uint8Array(packModel(model, { mode: 'fast' }))
  const asked: string[] = []
  const server = async (url: string | URL): Promise<Response> => {
    asked.push(String(url))
    if (String(url).endsWith('/a/onnx/model.cop?v=1')) return new Response(packed)
    if (/\/[bd]\/onnx\/model.onnx$/.test(String(url))) return new Response('plain')
    // As hosts of single-page applications do.
    if (String(url).includes('/d/'))
      return new Response('<!doctype html>', { headers: { 'content-type': 'text/html' } })
    return new Response('{}', { status: String(url).endsWith('.json') ? 200 : 404 })
  }

  it('gives the ONNX file of a packed one, its length first, and leaves all else as it is', async () => {
    const { copFetch } = await import(hook)
    const fetch = copFetch(server) as typeof globalThis.fetch
    const answer = await fetch('http://host/a/onnx/model.onnx?v=1')
    expect(answer.headers.get('content-length')).toBe(String(onnx.length))
    expect(Buffer.compare(new Uint8Array(await answer.arrayBuffer()), onnx)).toBe(0)
    const head = await fetch('http://host/a/onnx/model.onnx?v=1', { method: 'HEAD' })
    expect([head.headers.get('content-length'), await head.text()]).toEqual([String(onnx.length), ''])
    expect(await (await fetch('http://host/b/onnx/model.onnx')).text()).toBe('plain')
    expect(await (await fetch('http://host/a/config.json')).text()).toBe('{}')
    expect(asked.slice(-3)).toEqual([
      'http://host/b/onnx/model.cop',
      'http://host/b/onnx/model.onnx',
      'http://host/a/config.json',
    ])
    expect((await fetch('http://host/c/onnx/model.onnx')).status).toBe(404)
    expect(await (await fetch('http://host/d/onnx/model.onnx')).text()).toBe('plain')
  })

  it('takes no more of a packed file than it gives, and none of a damaged one', async () => {
    const { copFetch } = await import(hook)
    // Pieces that come without an end after the file's first half: somebody must say stop.
    let cancelled = 0
    const endless = (start: Uint8Array<ArrayBuffer>): Response => {
      let first = true
      return new Response(
        new ReadableStream({
          pull(controller) {
            controller.enqueue(first ? start : new Uint8Array(1000))
            first = false
          },
          cancel: () => void cancelled++,
        }),
      )
    }
    const fetch = copFetch(async () => endless(packed.slice(0, packed.length >> 1))) as typeof globalThis.fetch
    const head = await fetch('http://host/a/onnx/model.onnx', { method: 'HEAD' })
    expect([head.headers.get('content-length'), cancelled]).toEqual([String(onnx.length), 1])
    const answer = await fetch('http://host/a/onnx/model.onnx')
    await answer.body?.cancel()
    expect(cancelled).toBe(2)
    await expect((await fetch('http://host/a/onnx/model.onnx')).arrayBuffer()).rejects.toThrow(/^cop: .*damaged$/)
    expect(cancelled).toBe(3)
  })
})

describe('examples/recipes', () => {
  it.each([
    ['filter-then-tucker', 0.6],
    ['thin', 0.55],
    ['tiny', 0.65],
  ])('%s makes a network smaller that still reads digits', async (name, most) => {
    const file = join(root, `examples/recipes/${name}.json`)
    const { steps, seed } = parseRecipe(readFileSync(file, 'utf8'), file)
    const model = openModel(join(root, 'models/digits-lenet5.onnx'))
    const { train, test } = await loadData('digits:1500', { seed })
    const inputs = requiredInputs(model)
    const batcher = batcherFor(inputs, test, guessPreprocess(inputs, test), model.graph.outputs)
    const small = await runSteps(model, steps, { seed, data: dataHandle({ train, batcher }, { seed }) })
    expect(inspectModel(small).totals.macs).toBeLessThan(most * (inspectModel(model).totals.macs ?? 0))
    const session = await openSession(small)
    const { top1 } = await evaluateAccuracy(session, batcher, test)
    await session.release()
    expect(top1).toBeGreaterThan(0.8)
  })
})
