/**
 * Question: how far apart are the bytes that one recipe gives where ONNX Runtime computes in native code and in WebAssembly, as
 * in the page? Networks are compressed with the WebAssembly; then the recipe that this wrote is run with both, and the
 * weights that come out are compared. The native search is run too, which may come to another recipe.
 *
 * Needs COPPICE_MODELS, COPPICE_DATA and COPPICE_CIFAR10, as bench/compress.mts does.
 * Run: npm run build && npx tsx bench/runtimes.mts [ID...]; writes bench/results/runtimes.json.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { packModel } from '../src/formats/pack.ts'
import { openModel } from '../src/node/files.ts'
import { sizeOf } from '../src/tensor/dtype.ts'
import { dataFlags } from './_data-flags.mts'

const main = join(import.meta.dirname, '../dist/cli/main.js')
const folder = mkdtempSync(join(tmpdir(), 'coppice-'))
const at = (name: string): string => join(folder, name)

function coppice(runtime: 'native' | 'wasm', ...args: string[]): void {
  const conditions = runtime === 'wasm' ? ['--conditions=onnxruntime-web'] : []
  const { status, stderr } = spawnSync(process.execPath, [...conditions, main, ...args], { encoding: 'utf8' })
  if (status !== 0 && status !== 2) throw new Error(`${args[0]} ended with ${status}: ${stderr}`)
}

/** Elements of stored tensors, and how many of them are not the same in both. */
function compared(a: string, b: string): { elements: number; other: number } {
  const others = openModel(b).graph.initializers
  let elements = 0
  let other = 0
  for (const tensor of openModel(a).graph.initializers.values()) {
    const same = others.get(tensor.name)
    const size = sizeOf(tensor.dims)
    elements += size
    if (same?.dtype !== tensor.dtype || sizeOf(same.dims) !== size) other += size
    else {
      const width = tensor.data.byteLength / size
      const element = (t: typeof tensor, i: number) => t.data.subarray(i * width, (i + 1) * width)
      for (let i = 0; i < size; i++) if (!element(tensor, i).every((b, at) => b === element(same, i)[at])) other++
    }
  }
  return { elements, other }
}

const networks: Record<string, () => Promise<[model: string, ...flags: string[]]>> = {
  'digits-lenet5': async () => [join(import.meta.dirname, '../models/digits-lenet5.onnx'), '--data', 'digits:2000'],
  'mnist-8': async () => [real('mnist-8'), ...(await dataFlags('mnist-8', folder))],
  'cifar10-resnet20': async () => [real('cifar10-resnet20'), ...(await dataFlags('cifar10-resnet20', folder))],
}
const real = (id: string): string => join(process.env.COPPICE_MODELS ?? '', `${id}.onnx`)

const asked = process.argv.slice(2)
const file = join(import.meta.dirname, 'results/runtimes.json')

try {
  // Of some networks alone: the others' rows stay.
  const results: Record<string, unknown> =
    asked.length > 0 && existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).results : {}
  for (const id of asked.length > 0 ? asked : Object.keys(networks)) {
    const [model, ...flags] = await networks[id]()
    const [, spec] = flags
    const recipe = at(`${id}.recipe.json`)
    coppice('wasm', 'compress', model, ...flags, '-o', at(`${id}.onnx`), '--pack', at(`${id}.cop`), '--no-latency')
    for (const runtime of ['native', 'wasm'] as const)
      coppice(runtime, 'run', recipe, model, '--data', spec, '-o', at(`${runtime}.onnx`))
    const isSame = readFileSync(at('wasm.onnx')).equals(readFileSync(at(`${id}.onnx`)))
    if (!isSame) throw new Error(`${id}: its recipe does not give the same bytes again`)
    coppice('native', 'compress', model, ...flags, '-o', at('n.onnx'), '--pack', at('n.cop'), '--no-latency')
    results[id] = {
      ...compared(at('wasm.onnx'), at('native.onnx')),
      packed: {
        wasm: statSync(at(`${id}.cop`)).size,
        nativeByItsRecipe: packModel(openModel(at('native.onnx'))).length,
        nativeByItsOwn: statSync(at('n.cop')).size,
      },
    }
    console.error(id, results[id])
  }
  const command = 'npm run build && npx tsx bench/runtimes.mts'
  const machine = `${cpus()[0].model.trim()}, ${cpus().length} cores, Node ${process.version}`
  writeFileSync(file, `${JSON.stringify({ command, machine, results }, null, 2)}\n`)
} finally {
  rmSync(folder, { recursive: true })
}
