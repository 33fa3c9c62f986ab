/** The page (web/), built, served and used as a person would use it, for tests. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import type { Dataset } from '../src/data/dataset.ts'
import { type Served, servePage } from '../src/node/serve-page.ts'
import { launch } from './_chromium.ts'

export const root = join(import.meta.dirname, '..')

/** Builds the page into a folder. */
export function buildPage(folder: string): void {
  execFileSync(join(root, 'node_modules/.bin/vite'), ['build', 'web', '--outDir', folder, '--logLevel', 'error'], {
    cwd: root,
    // The tests' own would make a build for development.
    env: { ...process.env, NODE_ENV: 'production' },
  })
}

/** A built page as this machine serves it, and a browser. */
export interface InBrowser {
  readonly browser: Browser
  readonly served: Served
  close(): Promise<void>
}

export async function serveInBrowser(folder: string): Promise<InBrowser> {
  const browser = await launch()
  const served = await servePage(folder, 0)
  return {
    browser,
    served,
    async close() {
      await browser.close()
      await served.close()
    },
  }
}

/** The first `count` images of 28 x 28 and their labels, as arrays of an .npz. */
export function imageArrays({ fields, labels, length }: Dataset, name: string, count = length) {
  return {
    [`x_${name}`]: { shape: [count, 28, 28], data: Object.values(fields)[0].data.slice(0, count * 28 * 28) },
    [`y_${name}`]: { shape: [count], data: (labels as Int32Array).slice(0, count) },
  }
}

export interface Visit {
  readonly page: Page
  readonly requested: string[]
  readonly errors: string[]
}

/** A page of its own. Files go in and out by the ways that every browser has. */
export async function visit(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ acceptDownloads: true, ...options })
  await context.addInitScript(() => {
    for (const name of ['showOpenFilePicker', 'showSaveFilePicker', 'showDirectoryPicker'])
      delete (globalThis as Record<string, unknown>)[name]
  })
  const requested: string[] = []
  context.on('request', (request) => requested.push(request.url()))
  const page = await context.newPage()
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(error.message))
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()))
  await page.goto(url)
  return { page, requested, errors }
}

/** Files, or a folder, by the button that asks for them. */
export async function choose(page: Page, button: string, files: string | string[]): Promise<void> {
  const chooser = page.waitForEvent('filechooser')
  await page.getByRole('button', { name: button, exact: true }).click()
  await (await chooser).setFiles(files)
}

export async function open(page: Page, files: string | string[]): Promise<void> {
  await choose(page, 'Choose a model', files)
  await page.getByRole('tab', { name: 'Compress' }).waitFor()
}

/** Drops a file as a pointer would. */
export async function drop(page: Page, zone: string, path: string, name: string): Promise<void> {
  const bytes = readFileSync(path).toString('base64')
  const transfer = await page.evaluateHandle(
    ([text, called]) => {
      const made = new DataTransfer()
      made.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], called))
      return made
    },
    [bytes, name],
  )
  await page.getByLabel(zone, { exact: true }).dispatchEvent('drop', { dataTransfer: transfer })
}

export async function download(page: Page, name: string): Promise<Uint8Array> {
  const saved = page.waitForEvent('download')
  await page.locator(`[data-download="${name}"]`).click()
  return new Uint8Array(readFileSync(await (await saved).path()))
}

/** Of the command line, with the runtime that the page has. */
export function runLikePage(...args: string[]): void {
  execFileSync(process.execPath, ['--conditions=onnxruntime-web', join(root, 'dist/cli/main.js'), ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  })
}
