/**
 * Question: how much memory does the page take to pack and to unpack a model of 250 MB? A chain of Gemms of random floats is
 * chosen on the page in a real Chromium, packed or unpacked, and downloaded. The peak of resident memory as Linux counts it, of
 * the process that shows the page and does its work, and of the browser's own, which keeps files on their way to the disk.
 * Run: npm run build:web && npx tsx bench/page-memory.mts; writes bench/results/page-memory.json.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { model, node, valueInfo } from '../src/graph/build.ts'
import { saveModel } from '../src/node/files.ts'
import { pageFolder, servePage } from '../src/node/serve-page.ts'
import { tensorOfFloats } from '../src/tensor/dtype.ts'
import { random } from '../src/tensor/random.ts'
import { launch } from '../test/_chromium.ts'
import { open, visit } from '../test/_page.ts'
import { processesOf, textOf } from './_chromium-processes.mts'

const layers = 15
const side = 2048

/** Weights as training leaves them: normal, of the spread that keeps values as they are. */
function net() {
  const rng = random(1)
  const names = Array.from({ length: layers }, (_, i) => `w${i}`)
  const weights = names.map((name) =>
    tensorOfFloats(
      name,
      'float32',
      [side, side],
      Float32Array.from({ length: side * side }, () => rng.normal() / Math.sqrt(side)),
    ),
  )
  return model({
    nodes: names.map((w, i) => node('MatMul', [i === 0 ? 'x' : `y${i - 1}`, w], [`y${i}`])),
    initializers: new Map(weights.map((t) => [t.name, t])),
    inputs: [valueInfo('x', 'float32', [1, side])],
    outputs: [valueInfo(`y${layers - 1}`, 'float32', [1, side])],
  })
}

interface Peaks {
  readonly page: number
  readonly browser: number
}

const kinds = ['page', 'browser'] as const

/**
 * The most that any process of each kind has taken since it began, in MiB. Chromium sets Linux's own record (VmHWM) back now
 * and then, so it is looked at often.
 */
function watchPeaks(): { now(): Peaks; end(): void } {
  const peaks = { page: 0, browser: 0 }
  const look = (): void => {
    for (const kind of kinds)
      for (const pid of processesOf(kind)) {
        const kib = Number(/VmHWM:\s*(\d+)/.exec(textOf(`/proc/${pid}/status`))?.[1] ?? 0)
        peaks[kind] = Math.max(peaks[kind], Math.round(kib / 1024))
      }
  }
  const timer = setInterval(look, 100)
  return {
    now() {
      look()
      return { ...peaks }
    },
    end: () => clearInterval(timer),
  }
}

const folder = mkdtempSync(join(tmpdir(), 'coppice-'))
const built = pageFolder()
if (!built) throw new Error('the page is not built; npm run build:web builds it')
const served = await servePage(built, 0)

/** Does one thing on a page of its own, and keeps the file. */
async function measured(from: string, button: 'Pack' | 'Unpack', to: string) {
  const browser = await launch()
  const peaks = watchPeaks()
  try {
    const { page } = await visit(browser, served.url)
    page.setDefaultTimeout(1_200_000)
    const opened = peaks.now()
    const begun = performance.now()
    await open(page, from)
    const shown = peaks.now()
    await page.getByRole('tab', { name: 'Pack' }).click()
    await page.getByRole('button', { name: button, exact: true }).click()
    const made = page.locator('[data-download]')
    await made.waitFor()
    const seconds = Math.round((performance.now() - begun) / 1000)
    const worked = peaks.now()
    const saved = page.waitForEvent('download')
    await made.click()
    copyFileSync(await (await saved).path(), to)
    return { opened, shown, worked, saved: peaks.now(), seconds }
  } finally {
    peaks.end()
    await browser.close()
  }
}

try {
  const [onnx, cop, again] = ['net.onnx', 'net.cop', 'again.onnx'].map((name) => join(folder, name))
  await saveModel(onnx, net())
  const packed = await measured(onnx, 'Pack', cop)
  console.error('pack', packed)
  const unpacked = await measured(cop, 'Unpack', again)
  console.error('unpack', unpacked)
  if (!readFileSync(onnx).equals(readFileSync(again))) throw new Error('what was unpacked is not what was packed')
  const megabytes = (path: string): number => Math.round(statSync(path).size / 1e5) / 10
  const result = {
    command: 'npx tsx bench/page-memory.mts',
    onnxMB: megabytes(onnx),
    packedMB: megabytes(cop),
    peakMiB: { pack: packed, unpack: unpacked },
  }
  writeFileSync(new URL('./results/page-memory.json', import.meta.url), `${JSON.stringify(result, null, 2)}\n`)
} finally {
  await served.close()
  rmSync(folder, { recursive: true })
}
