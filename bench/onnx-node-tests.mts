/**
 * Question: is every model of ONNX's own backend tests (2,033 with onnx 1.23.2) read, written, packed, unpacked to the same bytes
 * and inspected, and do the inferred shapes agree with what the tests expect?
 *
 *   COPPICE_PYTHON=python-with-onnx npx tsx bench/onnx-node-tests.mts [DIR]
 *
 * DIR is filled by bench/peers/onnx_node_tests.py where it does not exist (default: a temporary folder). The same script compares
 * what was written with what was read, by the onnx package. Writes bench/results/onnx-node-tests.json; exits 1 where anything failed.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { packModel } from '../src/formats/pack.ts'
import { unpackOnnx } from '../src/formats/unpack.ts'
import { inspectModel } from '../src/inspect/inspect.ts'
import type { Model } from '../src/model.ts'
import { readModel } from '../src/onnx/read.ts'
import { writeModel } from '../src/onnx/write.ts'
import { inferShapes } from '../src/ops/shape.ts'
import { dataTypeOf } from '../src/tensor/dtype.ts'

type Expected = { type: number; shape: number[]; values?: number[] } | null

const python = process.env.COPPICE_PYTHON
if (!python) throw new Error('onnx-node-tests: COPPICE_PYTHON is not set; expected a Python that has onnx and numpy')
const peer = join(import.meta.dirname, 'peers/onnx_node_tests.py')
const folder = process.argv[2] ?? join(mkdtempSync(join(tmpdir(), 'onnx-node-tests-')), 'models')

function runPeer(...args: string[]): string {
  const run = spawnSync(python as string, [peer, ...args], { encoding: 'utf8', maxBuffer: 1 << 28 })
  if (run.status !== 0) throw new Error(`onnx-node-tests: ${peer} failed: ${run.stderr.trim().split('\n').at(-1)}`)
  return run.stdout
}

if (!existsSync(folder)) runPeer('write', folder)

const counts = { models: 0, written: 0, packed: 0, unpacked: 0, inspected: 0, slowestInspectMs: 0 }
const shapes = { exact: 0, partly: 0, unknown: 0, wrong: 0 }
const bytes = { onnx: 0, packed: 0 }
const failures: string[] = []
const noRule = new Map<string, number>()

for (const kind of readdirSync(folder).filter((k) => !k.includes('.'))) {
  for (const file of readdirSync(join(folder, kind)).filter((f) => f.endsWith('.onnx'))) {
    const name = `${kind}/${file.slice(0, -'.onnx'.length)}`
    counts.models++
    try {
      check(name, readFileSync(join(folder, `${name}.onnx`)))
    } catch (error) {
      failures.push(`${name}: ${(error as Error).message}`)
    }
  }
}
failures.push(...(JSON.parse(runPeer('compare', folder)) as string[]))

function check(name: string, original: Uint8Array): void {
  const model = readModel(original)
  const written = writeModel(model)
  writeFileSync(join(folder, `${name}.written`), written)
  counts.written++
  const packed = packModel(model)
  counts.packed++
  if (Buffer.compare(unpackOnnx(packed), written) !== 0)
    throw new Error('what was unpacked differs from what was packed')
  counts.unpacked++
  bytes.onnx += written.length
  bytes.packed += packed.length
  const start = performance.now()
  const { unsupported, problems } = inspectModel(model)
  counts.slowestInspectMs = Math.max(counts.slowestInspectMs, Math.round(performance.now() - start))
  counts.inspected++
  for (const { op } of unsupported) noRule.set(op, (noRule.get(op) ?? 0) + 1)
  if (problems.length > 0) throw new Error(`it is said that it cannot run: ${problems[0]}`)
  const told = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as {
    inputs: Expected[]
    outputs: Expected[]
  }
  shapes[compareShapes(model, told)]++
}

/** Types and shapes, inferred from the inputs (small ones with their values) and not from what the model declares, against the expected ones. */
function compareShapes(
  model: Model,
  told: { readonly inputs: readonly Expected[]; readonly outputs: readonly Expected[] },
): keyof typeof shapes {
  const { graph } = model
  const silent = { ...model, graph: { ...graph, valueInfo: [], outputs: graph.outputs.map(({ name }) => ({ name })) } }
  const given = told.inputs.flatMap((value, i): [string, number[]][] =>
    value?.values && graph.inputs[i] ? [[graph.inputs[i].name, value.values]] : [],
  )
  const { values } = inferShapes(silent, { inputValues: Object.fromEntries(given) })
  let result: keyof typeof shapes = 'exact'
  for (const [i, want] of told.outputs.entries()) {
    const { name } = graph.outputs[i] ?? {}
    if (!want || !name) continue
    const { dtype, shape } = values.get(name) ?? {}
    const said = `${dtype}[${shape?.map((d) => d ?? '?')}]`
    const wanted = `${dataTypeOf(want.type)}[${want.shape}]`
    const typeDiffers = dtype !== undefined && want.type !== 0 && dtype !== dataTypeOf(want.type)
    const shapeDiffers =
      shape !== undefined &&
      (shape.length !== want.shape.length || shape.some((d, k) => typeof d === 'number' && d !== want.shape[k]))
    if (typeDiffers || shapeDiffers) throw new Error(`"${name}" is inferred as ${said}; expected ${wanted}`)
    if (shape === undefined || dtype === undefined) result = 'unknown'
    else if (result === 'exact' && shape.some((d) => typeof d !== 'number')) result = 'partly'
    if (process.env.VERBOSE && result !== 'exact')
      console.error(`${result} ${graph.nodes.at(-1)?.op} ${graph.name}: ${said} of ${wanted}`)
  }
  return result
}

const result = {
  command: 'COPPICE_PYTHON=… npx tsx bench/onnx-node-tests.mts',
  onnx: runPeer('version').trim(),
  ...counts,
  shapes,
  bytes,
  operatorsWithoutRule: Object.fromEntries([...noRule].sort()),
  failures,
}
console.log(JSON.stringify(result, null, 2))
writeFileSync(new URL('./results/onnx-node-tests.json', import.meta.url), `${JSON.stringify(result, null, 2)}\n`)
if (failures.length > 0) process.exitCode = 1
