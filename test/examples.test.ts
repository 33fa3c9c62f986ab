/** The examples run: the pages read a drawn digit in a real Chromium, and unpack while a file comes; transformers.js's hook unpacks. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../src/data/batcher.ts'
import { dataHandle } from '../src/data/handle.ts'
import { guessPreprocess } from '../src/data/preprocess.ts'
import { evaluateAccuracy } from '../src/evaluate/accuracy.ts'
import { packModel } from '../src/formats/pack.ts'
import { inspectModel } from '../src/inspect/inspect.ts'
import { loadData } from '../src/node/data.ts'
import { openModel } from '../src/node/files.ts'
import { writeModel } from '../src/onnx/write.ts'
import { parseRecipe, runSteps } from '../src/recipe.ts'
import { openSession } from '../src/runtime/session.ts'
import { lenet300 } from '../src/zoo/lenet.ts'
import { missing, withPage } from './_chromium.ts'

const root = join(import.meta.dirname, '..')
const digits = openModel(join(root, 'models/digits-lenet5.onnx'))

/** Pages that load packed networks and read digits that are drawn. */
const pages = {
  'onnxruntime-web': '/examples/onnxruntime-web/digits.cop',
  'transformers-js': '/examples/transformers-js/models/digits/onnx/model.cop',
}

describe.skipIf(missing)(`pages${missing}`, () => {
  /** Opens the page for `work`, which sends the rest of the network where only its first bytes come at once. */
  async function onPage(
    name: keyof typeof pages,
    packed: Uint8Array,
    { first = packed.length }: { readonly first?: number },
    work: (page: Page, sendRest: () => void) => Promise<void>,
  ): Promise<void> {
    let sendRest = (): void => {}
    const released = new Promise<void>((resolve) => {
      sendRest = resolve
    })
    async function* pieces(): AsyncGenerator<Uint8Array> {
      yield packed.subarray(0, first)
      if (first < packed.length) await released
      yield packed.subarray(first)
    }
    const index = `/examples/${name}/index.html`
    const files = new Map([[pages[name], pieces]])
    // The server answers a path without a file with an empty page.
    const folders = {
      '/examples/': join(root, 'examples'),
      '/dist/': join(root, 'dist'),
      '/node_modules/': join(root, 'node_modules'),
    }
    await withPage({ folders, files }, async (page) => {
      const elsewhere: string[] = []
      const own = new URL(page.url()).origin
      page.on('request', (request) => {
        const url = request.url()
        if (!url.startsWith(own) && !url.startsWith('blob:')) elsewhere.push(url)
      })
      await page.goto(new URL(index, page.url()).href)
      await work(page, sendRest)
      expect(elsewhere).toEqual([])
    })
  }

  const opened = (page: Page) =>
    page.waitForFunction(`document.querySelector('#status').textContent.includes('opened in')`)

  it.each(Object.keys(pages) as (keyof typeof pages)[])('%s reads a digit that is drawn', async (name) => {
    await onPage(name, packModel(digits), {}, async (page) => {
      await opened(page)
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
      const one = [
        [0.5, 0.2],
        [0.5, 0.8],
      ] as const
      const seven = [
        [0.25, 0.2],
        [0.72, 0.2],
        [0.4, 0.82],
      ] as const
      expect(await draw(one)).toBe('1')
      expect(await draw(seven)).toBe('7')
    })
  })

  it.each(Object.keys(pages) as (keyof typeof pages)[])(
    '%s unpacks weights while the rest is on its way',
    { timeout: 240_000 },
    async (name) => {
      // Of several groups, the last of which ends the file.
      const packed = packModel(lenet300({ seed: 1, width: 8 }), { mode: 'fast' })
      await onPage(name, packed, { first: Math.round(0.8 * packed.length) }, async (page, sendRest) => {
        const done = () => page.evaluate(() => document.querySelector('progress')?.value ?? 0)
        await expect.poll(done, { timeout: 60_000 }).toBeGreaterThan(0.3)
        await page.waitForTimeout(200)
        expect(await done()).toBeLessThan(0.9)
        sendRest()
        await opened(page)
        expect(await done()).toBe(1)
      })
    },
  )
})

describe('examples/transformers-js', () => {
  // As a name that is looked up at run time: the example imports the built package by its public name.
  const hook = new URL('../examples/transformers-js/cop-fetch.mjs', import.meta.url).href
  const onnx = writeModel(digits)
  const packed = new Uint8Array(packModel(digits, { mode: 'fast' }))
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
    const { train, test } = await loadData('digits:1500', { seed })
    const inputs = requiredInputs(digits)
    const batcher = batcherFor(inputs, test, guessPreprocess(inputs, test), digits.graph.outputs)
    const small = await runSteps(digits, steps, { seed, data: dataHandle({ train, batcher }, { seed }) })
    expect(inspectModel(small).totals.macs).toBeLessThan(most * (inspectModel(digits).totals.macs ?? 0))
    const session = await openSession(small)
    const { top1 } = await evaluateAccuracy(session, batcher, test)
    await session.release()
    expect(top1).toBeGreaterThan(0.8)
  })
})
