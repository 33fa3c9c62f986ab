/**
 * int8: what it costs and gains. Accuracy on whole test sets and latency of the float model, our int8 and the int8 that
 * ONNX Runtime's own quantiser makes of the same calibration inputs, in one interleaved run.
 *
 *   COPPICE_MODELS=… COPPICE_DATA=… COPPICE_CIFAR10=… [COPPICE_PYTHON=…] npx tsx bench/int8.mts [ID…]
 *
 * Without COPPICE_PYTHON (a Python with onnx and onnxruntime) the peer is left out. Writes bench/results/int8.json.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeNpz } from '../src/data/npy.ts'
import { type Latency, measureLatency } from '../src/evaluate/latency.ts'
import { writeModel } from '../src/onnx/write.ts'
import { int8 } from '../src/quantize/int8.ts'
import { openSession } from '../src/runtime/session.ts'
import { accuracyOf, type Case, calibrationOf, caseIds, feedsOf, loadCase } from './_int8-cases.mts'

const calibrationSamples = 512
const threads = 1
const rounds = 200
const resultFile = new URL('./results/int8.json', import.meta.url)

interface Row {
  readonly bytes: number
  readonly accuracy: number
  /** Kws only: accuracy on the half that calibrated. */
  readonly calibrationHalfAccuracy?: number
  readonly latencyMs?: Latency['latencyMs']
  readonly speedUp?: Latency['speedUp']
}

async function peerModels(c: Case): Promise<{ models: Record<string, Uint8Array>; version?: string }> {
  const python = process.env.COPPICE_PYTHON
  if (!python) return { models: {} }
  const folder = mkdtempSync(join(tmpdir(), 'coppice-'))
  try {
    writeFileSync(join(folder, 'float.onnx'), writeModel(c.model))
    writeFileSync(join(folder, 'calibration.npz'), await calibrationFile(c))
    const models: Record<string, Uint8Array> = {}
    let version = ''
    // Its Entropy is left out: with its default of 128 bins for 128 levels it has one range to choose from.
    for (const method of ['MinMax', 'Percentile']) {
      const script = new URL('./peers/ort_quantize.py', import.meta.url).pathname
      const files = ['float.onnx', 'calibration.npz'].map((f) => join(folder, f))
      const out = join(folder, `${method}.onnx`)
      version = execFileSync(python, [script, ...files, method, out], { encoding: 'utf8', stdio: 'pipe' }).trim()
      models[`onnxruntime.quantization ${method}`] = readFileSync(out)
    }
    return { models, version: version.split('\n').at(-1) }
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
  const ours = await int8(
    c.model,
    {},
    { calibration: calibrationOf(c, calibrationSamples), warn: (w) => warnings.push(w) },
  )
  const peers = await peerModels(c)
  const models: Record<string, Uint8Array> = { float: writeModel(c.model), coppice: writeModel(ours), ...peers.models }
  const rows: Record<string, Row> = {}
  for (const [name, bytes] of Object.entries(models)) {
    rows[name] = {
      bytes: bytes.length,
      accuracy: await accuracyOf(bytes, c, c.test),
      ...(c.note ? { calibrationHalfAccuracy: await accuracyOf(bytes, c, c.train) } : {}),
    }
    console.error(id, name, rows[name].accuracy)
  }
  const [one] = feedsOf(c, c.test, 1)
  const contenders = []
  for (const [name, bytes] of Object.entries(models)) {
    contenders.push({ name, session: await openSession(bytes, { threads, name }), feeds: one })
  }
  for (const { name, latencyMs, speedUp } of await measureLatency(contenders, { rounds, maxMs: 60_000 })) {
    rows[name] = { ...rows[name], latencyMs, speedUp }
    console.error(id, name, latencyMs.median.toFixed(3), 'ms, speed-up', speedUp.median.toFixed(2))
  }
  for (const { session } of contenders) await session.release()
  const calibration = `${Math.min(calibrationSamples, c.train.length)} training samples, seed 1`
  return {
    testSamples: c.test.length,
    calibration,
    ...(c.note ? { note: c.note } : {}),
    warnings,
    peer: peers.version,
    rows,
  }
}

const ids = process.argv.slice(2)
const old = existsSync(resultFile) ? JSON.parse(readFileSync(resultFile, 'utf8')) : {}
const results: Record<string, unknown> = ids.length > 0 ? { ...old.results } : {}
for (const id of ids.length > 0 ? ids : caseIds) results[id] = await bench(id)
const { version } = JSON.parse(
  readFileSync(new URL('../node_modules/onnxruntime-node/package.json', import.meta.url), 'utf8'),
)
const machine = `${cpus()[0].model}, ${cpus().length} cores, onnxruntime-node ${version}, Node ${process.version}`
const settings = { threads, batch: 1, rounds, calibrationSamples }
writeFileSync(
  resultFile,
  `${JSON.stringify({ command: 'npx tsx bench/int8.mts', machine, settings, results }, null, 2)}\n`,
)
