/**
 * Real models in the page, in a real Chromium: dropped, compressed, downloaded. The bytes are those that Node makes by the
 * recipe that the page writes down, with the same runtime (docs/page.md says what another one changes).
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeNpz } from '../src/data/npy.ts'
import { packModel } from '../src/formats/pack.ts'
import { loadData } from '../src/node/data.ts'
import { readModel } from '../src/onnx/read.ts'
import { modelsFolder, needsModels } from '../src/testing/real-models.ts'
import { missing } from './_chromium.ts'
import {
  buildPage,
  choose,
  download,
  drop,
  type InBrowser,
  imageArrays,
  runLikePage,
  serveInBrowser,
  visit,
} from './_page.ts'

const { COPPICE_CIFAR10: cifar, COPPICE_DATA: data } = process.env
const folder = mkdtempSync(join(tmpdir(), 'coppice-page-'))

describe.skipIf(missing || !modelsFolder)(`real models in the page${missing}${needsModels}`, () => {
  let opened: InBrowser
  beforeAll(async () => {
    buildPage(join(folder, 'page'))
    opened = await serveInBrowser(join(folder, 'page'))
  }, 300_000)
  afterAll(async () => {
    await opened?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  interface Wanted {
    /** What a person does before they press the button. */
    readonly prepare?: (page: Page) => Promise<void>
    /** Flags of the command line for the same data. */
    readonly flags?: readonly string[]
    /** How much smaller the packed file is than the model, at least. */
    readonly ratio: number
  }

  /** Drops the model, compresses it, and compares what is downloaded with what Node makes of the recipe. */
  async function compressed(name: string, { prepare, flags = [], ratio }: Wanted): Promise<void> {
    const { page, errors } = await visit(opened.browser, opened.served.url)
    const model = join(modelsFolder ?? '', `${name}.onnx`)
    await drop(page, 'Drop a model here', model, `${name}.onnx`)
    await page.getByRole('tab', { name: 'Compress' }).waitFor()
    await prepare?.(page)
    await page.getByRole('button', { name: 'Compress', exact: true }).click()
    await page.getByRole('heading', { name: 'The result' }).waitFor({ timeout: 1_500_000 })
    const small = await download(page, `${name}.small.onnx`)
    const packed = await download(page, `${name}.cop`)
    const recipe = join(folder, `${name}.recipe.json`)
    writeFileSync(recipe, await download(page, `${name}.recipe.json`))
    expect(errors).toEqual([])
    await page.context().close()

    expect(packed.length).toBeLessThan(readFileSync(model).length / ratio)
    const again = join(folder, `${name}.again.onnx`)
    runLikePage('run', recipe, model, ...flags, '-o', again)
    const bytes = readFileSync(again)
    expect(Buffer.compare(bytes, small)).toBe(0)
    expect(Buffer.compare(packed, packModel(readModel(bytes)))).toBe(0)
  }

  it.skipIf(!data)('mnist-8, with an .npz (needs COPPICE_DATA)', { timeout: 1_800_000 }, async () => {
    const { train, test } = await loadData(`mnist:${data}/mnist`, { seed: 0 })
    const npz = join(folder, 'mnist.npz')
    writeFileSync(npz, await writeNpz({ ...imageArrays(train, 'train', 600), ...imageArrays(test, 'test', 300) }))
    await compressed('mnist-8', {
      ratio: 5,
      flags: ['--data', `npz:${npz}`],
      prepare: async (page) => {
        await choose(page, 'Choose files', npz)
        await page.getByText('600 samples to work with, 300 to judge on, 10 classes').waitFor()
        await page.getByText('How the data is read').click()
        await page.locator('#reading-inputRange').selectOption('0..255')
        await page.getByRole('button', { name: 'Read it so' }).click()
        await page.getByText('600 samples to work with').waitFor()
      },
    })
  })

  it.skipIf(!cifar)('resnet20, with a folder of pictures (needs COPPICE_CIFAR10)', { timeout: 1_800_000 }, async () => {
    const { default: sharp } = await import('sharp')
    const pictures = join(folder, 'cifar')
    const { train, test } = await loadData(`cifar10:${cifar}`, { seed: 0 })
    for (const [name, set, count] of [
      ['train', train, 400],
      ['test', test, 300],
    ] as const) {
      const { data: pixels } = Object.values(set.fields)[0]
      for (let i = 0; i < count; i++) {
        const into = join(pictures, name, String((set.labels as Int32Array)[i]))
        mkdirSync(into, { recursive: true })
        const planes = pixels.slice(i * 3072, (i + 1) * 3072) as Uint8Array
        const rgb = Uint8Array.from({ length: 3072 }, (_, at) => planes[(at % 3) * 1024 + Math.floor(at / 3)])
        await sharp(rgb, { raw: { width: 32, height: 32, channels: 3 } })
          .png()
          .toFile(join(into, `${i}.png`))
      }
    }
    await compressed('cifar10-resnet20', {
      ratio: 8,
      flags: ['--data', `images:${pictures}`],
      prepare: async (page) => {
        await choose(page, 'Choose a folder', pictures)
        await page.getByText('400 samples to work with, 300 to judge on, 10 classes').waitFor()
        await page.getByText('How the data is read').click()
        await page.locator('#reading-mean').fill('.485,.456,.406')
        await page.locator('#reading-std').fill('.229,.224,.225')
        await page.getByRole('button', { name: 'Read it so' }).click()
        await page.getByText('400 samples to work with').waitFor()
      },
    })
  })

  it('silero_vad, without data', { timeout: 1_800_000 }, async () => {
    await compressed('silero_vad', { ratio: 1.4 })
  })
})
