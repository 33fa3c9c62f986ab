/**
 * Question: how much slower than Node is the page? cifar10-resnet56 is compressed without data, in the page in a real Chromium,
 * in one worker on one thread, and by the command line on one thread. From the start of the work to its result; seconds of processor time too, which other work on
 * the machine changes less, and of which the ratio is told.
 *
 * Beside it, ONNX Runtime alone: the same model, 64 inputs a call, in WebAssembly and in native code in turn, both on one thread in
 * this process. What compressing spends in the model cannot come nearer to Node than that.
 *
 * Needs COPPICE_MODELS, a folder with the model.
 * Run: npm run build && npm run build:web && npx tsx bench/page-speed.mts; writes bench/results/page-speed.json.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import * as native from 'onnxruntime-node'
import * as wasm from 'onnxruntime-web/wasm'
import { pageFolder } from '../src/node/serve-page.ts'
import { launch, serveSite } from '../test/_chromium.ts'
import { open, root, visit } from '../test/_page.ts'
import { processesOf, textOf } from './_chromium-processes.mts'

const id = 'cifar10-resnet56'
const model = join(process.env.COPPICE_MODELS ?? '', `${id}.onnx`)
const folder = mkdtempSync(join(tmpdir(), 'coppice-'))
const built = pageFolder()
if (!built) throw new Error('the page is not built; npm run build:web builds it')

interface Took {
  readonly seconds: number
  readonly cpuSeconds: number
}

/** Fields of a process's line of /proc, from the state on, which is field 3; times are in hundredths of a second. */
const statOf = (pid: string): string[] =>
  textOf(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, '')
    .split(' ')
const cpuOf = (pid: string): number => (Number(statOf(pid)[11]) + Number(statOf(pid)[12])) / 100
/** Of all that show pages: which of them has this one is not known before it works. */
const cpuOfPages = (): number => processesOf('page').reduce((sum, pid) => sum + cpuOf(pid), 0)
const cpuOfChildren = (): number => (Number(statOf('self')[13]) + Number(statOf('self')[14])) / 100

async function inPage(at: string): Promise<Took> {
  // Without the headers that give it threads.
  const served = await serveSite({ folders: { '/': at } })
  const browser = await launch()
  try {
    const { page } = await visit(browser, `${served.url}index.html`)
    await open(page, model)
    const [start, cpu] = [performance.now(), cpuOfPages()]
    await page.getByRole('button', { name: 'Compress', exact: true }).click()
    await page.getByRole('heading', { name: 'The result' }).waitFor({ timeout: 1_800_000 })
    return { seconds: (performance.now() - start) / 1000, cpuSeconds: cpuOfPages() - cpu }
  } finally {
    await browser.close()
    await served.close()
  }
}

function inNode(): Took {
  const [start, cpu] = [performance.now(), cpuOfChildren()]
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      ...[join(root, 'dist/cli/main.js'), 'compress', model, '--threads', '1'],
      ...['-o', join(folder, 'out.onnx'), '--pack', join(folder, 'out.cop'), '--report', join(folder, 'out.html')],
    ],
    { encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`compress ended with ${status}: ${stderr}`)
  return { seconds: (performance.now() - start) / 1000, cpuSeconds: cpuOfChildren() - cpu }
}

/** Milliseconds of a call of the model alone, medians of 15 in turn. */
async function modelAlone(): Promise<{ readonly wasmMs: number; readonly nativeMs: number }> {
  const bytes = readFileSync(model)
  const dims = [64, 3, 32, 32]
  const data = new Float32Array(64 * 3 * 32 * 32).map((_, i) => Math.sin(i))
  wasm.env.wasm.numThreads = 1
  const inWasm = await wasm.InferenceSession.create(bytes)
  const inNative = await native.InferenceSession.create(bytes, { intraOpNumThreads: 1 })
  const [input] = inNative.inputNames
  const calls = {
    wasmMs: () => inWasm.run({ [input]: new wasm.Tensor('float32', data, dims) }),
    nativeMs: () => inNative.run({ [input]: new native.Tensor('float32', data, dims) }),
  }
  const times = { wasmMs: [] as number[], nativeMs: [] as number[] }
  for (let i = -1; i < 15; i++)
    for (const way of ['wasmMs', 'nativeMs'] as const) {
      const start = performance.now()
      await calls[way]()
      // The first call prepares.
      if (i >= 0) times[way].push(performance.now() - start)
    }
  const median = (of: readonly number[]): number => Number(of.toSorted((a, b) => a - b)[of.length >> 1].toFixed(1))
  return { wasmMs: median(times.wasmMs), nativeMs: median(times.nativeMs) }
}

try {
  const alone = await modelAlone()
  console.error('the model alone', alone)
  const ways = {
    page: () => inPage(built),
    node: async () => inNode(),
  }
  const took: Record<string, Took> = {}
  for (const [way, run] of Object.entries(ways)) {
    const { seconds, cpuSeconds } = await run()
    took[way] = { seconds: Number(seconds.toFixed(1)), cpuSeconds: Number(cpuSeconds.toFixed(1)) }
    console.error(way, took[way])
  }
  const result = {
    command: 'npm run build && npm run build:web && npx tsx bench/page-speed.mts',
    machine: `${cpus()[0].model.trim()}, ${cpus().length} cores, Node ${process.version}`,
    model: id,
    took,
    timesNode: Number((took.page.cpuSeconds / took.node.cpuSeconds).toFixed(2)),
    modelAlone: { ...alone, timesNative: Number((alone.wasmMs / alone.nativeMs).toFixed(2)) },
  }
  writeFileSync(new URL('./results/page-speed.json', import.meta.url), `${JSON.stringify(result, null, 2)}\n`)
  console.error(result)
} finally {
  rmSync(folder, { recursive: true })
}
