/**
 * How the page looks, and how it is used without a pointer or without sight: contrast, names, focus and widths of each view, at
 * two widths, light and dark. With COPPICE_SCREENSHOTS=DIR, pictures of all of them are left there.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { drawDigits } from '../src/data/digits.ts'
import { writeNpz } from '../src/data/npy.ts'
import { missing } from './_chromium.ts'
import { contrast, faintTexts, namelessControls, sizes, unseenFocus } from './_look.ts'
import { buildPage, choose, type InBrowser, imageArrays, open, root, serveInBrowser, visit } from './_page.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-page-'))
const onnx = join(root, 'models/digits-lenet5.onnx')
const npz = join(folder, 'digits.npz')
const pictures = process.env.COPPICE_SCREENSHOTS

describe('the style sheet', () => {
  const sheet = readFileSync(join(root, 'web/src/style.css'), 'utf8')
  const schemes = [...sheet.matchAll(/:root \{([^}]*)\}/g)].map(
    ([, body]) => new Map([...body.matchAll(/--([\w-]+): #(\w+);/g)].map(([, name, hex]) => [name, rgb(hex)])),
  )
  const used = (property: string): string[] => [
    ...new Set(
      [...sheet.matchAll(new RegExp(`[\\s;{]${property}: [^;]*;`, 'g'))].flatMap(([text]) =>
        [...text.matchAll(/var\(--([\w-]+)\)/g)].map(([, name]) => name),
      ),
    ),
  ]
  function rgb(hex: string): number[] {
    const long = hex.length === 3 ? [...hex].map((c) => c + c).join('') : hex
    return [0, 2, 4].map((at) => Number.parseInt(long.slice(at, at + 2), 16))
  }
  /** Grounds that are for one colour alone. */
  const strong = new Map([
    ['leaf', 'on-leaf'],
    ['leaf-over', 'on-leaf'],
    ['ink', 'ground'],
  ])
  const inks = used('color').filter((name) => name !== 'on-leaf' && name !== 'ground')
  const grounds = used('background').filter((name) => !strong.has(name) && name !== 'share')

  it.each(['light', 'dark'])('every colour of text stands out from every ground, %s', (scheme) => {
    const colours = schemes[scheme === 'light' ? 0 : 1]
    const of = (name: string): number[] => {
      const found = colours.get(name)
      if (!found) throw new Error(`the style sheet uses --${name} and does not give it`)
      return found
    }
    const pairs = [
      ...inks.flatMap((ink) => grounds.map((ground) => [ink, ground] as const)),
      ...[...strong].map(([ground, ink]) => [ink, ground] as const),
    ]
    expect(inks.length * grounds.length).toBeGreaterThan(11)
    const faint = pairs.filter(([ink, ground]) => contrast(of(ink), of(ground)) < 4.5)
    expect(faint).toEqual([])
    // Edges of fields and buttons, and the outline of what has the focus.
    for (const edge of ['edge', 'leaf'])
      for (const ground of grounds) expect(contrast(of(edge), of(ground)), `${edge} on ${ground}`).toBeGreaterThan(3)
  })
})

describe.skipIf(missing)(`each view in Chromium${missing}`, () => {
  let opened: InBrowser
  beforeAll(async () => {
    buildPage(join(folder, 'page'))
    const arrays = { ...imageArrays(drawDigits(200, 3), 'train'), ...imageArrays(drawDigits(100, 4), 'test') }
    writeFileSync(npz, await writeNpz(arrays))
    if (pictures) mkdirSync(pictures, { recursive: true })
    opened = await serveInBrowser(join(folder, 'page'))
  }, 300_000)
  afterAll(async () => {
    await opened?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  /** All that is looked at, light and dark, narrow and wide. */
  async function look(page: Page, view: string): Promise<void> {
    await page.evaluate(() => {
      for (const details of document.querySelectorAll('details')) details.open = true
    })
    for (const width of [390, 1280]) {
      await page.setViewportSize({ width, height: 844 })
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
        const where = `${view}, ${width} px, ${colorScheme}`
        expect(await faintTexts(page), where).toEqual([])
        if (pictures)
          await page.screenshot({ path: join(pictures, `${view}-${width}-${colorScheme}.png`), fullPage: true })
      }
      await expect
        .poll(() => sizes(page), { message: `${view}, ${width} px`, timeout: 5000 })
        .toEqual({ small: [], tooWide: 0 })
    }
    await page.setViewportSize({ width: 320, height: 640 })
    // Curves are drawn anew once the page has its new width, which a busy machine takes a moment for.
    await expect.poll(async () => (await sizes(page)).tooWide, { message: `${view}, 320 px`, timeout: 5000 }).toBe(0)
    const { nameless, controls } = await namelessControls(page)
    expect(nameless, view).toEqual([])
    expect(controls, view).toBeGreaterThan(0)
    const { unseen, stops } = await unseenFocus(page)
    expect(unseen, view).toEqual([])
    expect(stops, view).toBeGreaterThan(0)
  }

  it('is clear, labelled, and used by keys alone', { timeout: 600_000 }, async () => {
    const { page, errors } = await visit(opened.browser, opened.served.url)
    await look(page, 'start')
    const damaged = join(folder, 'damaged.onnx')
    writeFileSync(damaged, readFileSync(onnx).subarray(0, 5000))
    await choose(page, 'Choose a model', damaged)
    await page.locator('[role=alert] p').waitFor()
    await look(page, 'failure')
    await open(page, onnx)
    await choose(page, 'Choose files', npz)
    await page.getByText('200 samples to work with').waitFor()
    await look(page, 'compress')
    await page.getByRole('button', { name: 'Compress', exact: true }).click()
    await page.getByRole('heading', { name: 'Your pictures, before and after' }).waitFor({ timeout: 200_000 })
    await look(page, 'compressed')
    for (const [tab, button] of [
      ['Pack', 'Pack'],
      ['Methods', 'Apply'],
      ['Scan', 'Scan'],
    ]) {
      await page.getByRole('tab', { name: tab }).click()
      if (tab === 'Methods') {
        await page.locator('#method').selectOption('magnitude')
        await page.locator('#method-sparsity').fill('2')
        await page.getByText('expected a number within').waitFor()
        await look(page, 'methods-wrong')
        await page.locator('#method-sparsity').fill('0.7')
      }
      await page.getByRole('button', { name: button, exact: true }).click()
      await page.locator('.panel [data-download]').first().waitFor({ timeout: 200_000 })
      await look(page, tab.toLowerCase())
    }
    await page.getByRole('tab', { name: 'Recipe' }).click()
    await choose(page, 'Choose a recipe', join(root, 'examples/recipes/thin.json'))
    await page.getByRole('button', { name: 'Run', exact: true }).waitFor()
    await look(page, 'recipe')
    // While it works: training, with its curves.
    await page.getByRole('tab', { name: 'Methods' }).click()
    await page.locator('#method').selectOption('finetune')
    await page.locator('#method-epochs').fill('100000')
    await page.getByRole('button', { name: 'Apply' }).click()
    await page.getByRole('button', { name: 'Pause' }).click({ timeout: 200_000 })
    await look(page, 'training')
    await page.getByRole('button', { name: 'Cancel' }).click()
    expect(errors).toEqual([])
    await page.context().close()
  })
})
