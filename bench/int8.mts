/**
 * int8: what it costs and gains. Accuracy on whole test sets and latency of the float model, our int8 and the int8 that
 * ONNX Runtime's own quantiser and NNCF make of the same calibration inputs, in one interleaved run; and how long each takes to make.
 *
 *   COPPICE_MODELS=… COPPICE_DATA=… COPPICE_CIFAR10=… [COPPICE_PYTHON=…] npx tsx bench/int8.mts [ID…]
 *
 * Without COPPICE_PYTHON (a Python with onnx, onnxruntime and nncf) the peers are left out. Writes bench/results/int8.json, where
 * processors with VNNI and without it have results of their own.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeNpz } from '../src/data/npy.ts'
import { type Latency, measureLatency } from '../src/evaluate/latency.ts'
import { writeModel } from '../src/onnx/write.ts'
import { int8 } from '../src/quantize/int8.ts'
import { openSession } from '../src/runtime/session.ts'
import { accuracyOf, type Case, calibrationOf, caseIds, feedsOf, loadCase, ownCaseIds } from './_cases.mts'

const calibrationSamples = 512
const threads = 1
const precision = 0.005
const resultFile = new URL('./results/int8.json', import.meta.url)

interface Row {
  readonly bytes: number
  readonly accuracy: number
  /** Kws only: accuracy on the half that calibrated. */
  readonly calibrationHalfAccuracy?: number
  readonly latencyMs?: Latency['latencyMs']
  readonly speedUp?: Latency['speedUp']
  /** What making it took. */
  readonly seconds?: number
}

interface Peers {
  readonly models: Record<string, { readonly onnx: Uint8Array; readonly seconds: number }>
  readonly versions: Record<string, string>
  /** What the peer could not do, with its own last line. */
  readonly failures: readonly string[]
}

async function peerModels(c: Case): Promise<Peers> {
  const python = process.env.COPPICE_PYTHON
  if (!python) return { models: {}, versions: {}, failures: [] }
  const folder = mkdtempSync(join(tmpdir(), 'coppice-'))
  const [float, calibration, out] = ['float.onnx', 'calibration.npz', 'out.onnx'].map((f) => join(folder, f))
  const models: Peers['models'] = {}
  const versions: Record<string, string> = {}
  const failures: string[] = []
  const quantize = (name: string, script: string, ...more: string[]): boolean => {
    const path = new URL(`./peers/${script}`, import.meta.url).pathname
    const run = spawnSync(python, [path, float, calibration, ...more, out], { encoding: 'utf8' })
    if (run.status !== 0) failures.push(`${name}: ${run.stderr.trim().split('\n').at(-1)}`)
    else {
      const { version, seconds } = JSON.parse(run.stdout.trim().split('\n').at(-1) as string)
      versions[name.split(' ')[0]] = version
      models[name] = { onnx: readFileSync(out), seconds }
    }
    return run.status === 0
  }
  try {
    writeFileSync(float, writeModel(c.model))
    writeFileSync(calibration, await calibrationFile(c))
    // ONNX Runtime's Entropy is left out: with its default of 128 bins for 128 levels it has one range to choose from.
    for (const method of ['MinMax', 'Percentile']) {
      const name = `onnxruntime.quantization ${method}`
      if (!quantize(name, 'ort_quantize.py', method, 'per-channel'))
        quantize(`${name} per-tensor`, 'ort_quantize.py', method, 'per-tensor')
    }
    quantize('NNCF', 'nncf_quantize.py')
    return { models, versions, failures }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

async function calibrationFile(c: Case): Promise<Uint8Array> {
  const arrays: Record<string, { shape: number[]; data: Float32Array }> = {}
  for (const feeds of calibrationOf(c, calibrationSamples)()) {
    for (const [name, { dims, data }] of Object.entries(feeds)) {
      const before = arrays[name] ?? { shape: [0, ...dims.slice(1)], data: new Float32Array(0) }
      const joined = new Float32Array(before.data.length + data.length)
      joined.set(before.data)
      joined.set(data as Float32Array, before.data.length)
      arrays[name] = { shape: [before.shape[0] + dims[0], ...dims.slice(1)], data: joined }
    }
  }
  return writeNpz(arrays)
}

async function bench(id: string): Promise<Record<string, unknown>> {
  const c = await loadCase(id)
  const warnings: string[] = []
  const start = performance.now()
  const ours = await int8(
    c.model,
    {},
    { data: { calibration: calibrationOf(c, calibrationSamples) }, warn: (w) => warnings.push(w) },
  )
  const seconds = (performance.now() - start) / 1000
  const peers = await peerModels(c)
  const models: Record<string, { onnx: Uint8Array; seconds?: number }> = {
    float: { onnx: writeModel(c.model) },
    coppice: { onnx: writeModel(ours), seconds },
    ...peers.models,
  }
  const rows: Record<string, Row> = {}
  for (const [name, { onnx: bytes, seconds }] of Object.entries(models)) {
    rows[name] = {
      bytes: bytes.length,
      ...(seconds === undefined ? {} : { seconds }),
      accuracy: await accuracyOf(bytes, c, c.test),
      ...(c.note ? { calibrationHalfAccuracy: await accuracyOf(bytes, c, c.train) } : {}),
    }
    console.error(id, name, rows[name].accuracy)
  }
  const [one] = feedsOf(c, c.test, 1)
  const contenders = []
  for (const [name, { onnx: bytes }] of Object.entries(models)) {
    contenders.push({ name, open: () => openSession(bytes, { threads, name }), feeds: one })
  }
  for (const { name, latencyMs, speedUp } of await measureLatency(contenders, { precision, maxMs: 60_000 })) {
    rows[name] = { ...rows[name], latencyMs, speedUp }
    console.error(id, name, latencyMs.median.toFixed(3), 'ms, speed-up', speedUp.median.toFixed(2))
  }
  const calibration = `${Math.min(calibrationSamples, c.train.length)} training samples, seed 1`
  return {
    testSamples: c.test.length,
    calibration,
    ...(c.note ? { note: c.note } : {}),
    warnings,
    peers: peers.versions,
    peerFailures: peers.failures,
    rows,
  }
}

const ids = process.argv.slice(2)
const old = existsSync(resultFile) ? JSON.parse(readFileSync(resultFile, 'utf8')) : {}
const { version } = JSON.parse(
  readFileSync(new URL('../node_modules/onnxruntime-node/package.json', import.meta.url), 'utf8'),
)
const machine = `${cpus()[0].model}, ${cpus().length} cores, onnxruntime-node ${version}, Node ${process.version}`
const settings = { threads, batch: 1, precision, calibrationSamples }
const kind = /vnni/.test(readFileSync('/proc/cpuinfo', 'utf8')) ? 'with VNNI' : 'without VNNI'
const results: Record<string, unknown> = ids.length > 0 ? { ...old.processors?.[kind]?.results } : {}
for (const id of ids.length > 0 ? ids : [...caseIds, ...ownCaseIds]) {
  results[id] = await bench(id)
  const processors = { ...old.processors, [kind]: { machine, results } }
  writeFileSync(resultFile, `${JSON.stringify({ command: 'npx tsx bench/int8.mts', settings, processors }, null, 2)}\n`)
}
