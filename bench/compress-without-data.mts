/**
 * What does `coppice compress` make of networks whose data it never sees? The loss is judged on random inputs alone; accuracy is
 * measured afterwards on the whole test set, of the model decoded from the packed file.
 *
 * Needs COPPICE_MODELS, COPPICE_DATA and COPPICE_CIFAR10, as bench/compress.mts does.
 * Run: npm run build && npx tsx bench/compress-without-data.mts [ID...]; writes bench/results/compress-without-data.json. With
 * `--statistics` inputs are made from the BatchNormalizations that a network has; writes bench/results/compress-statistics.json.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { dataFlags } from './_data-flags.mts'

const main = join(import.meta.dirname, '../dist/cli/main.js')
const folder = mkdtempSync(join(tmpdir(), 'coppice-bench-'))
const [onnx, packed] = [join(folder, 'out.onnx'), join(folder, 'out.cop')]

/** A command's JSON; its exit code is 2 where the limit was broken, which is a result as well. */
function coppice(...args: string[]): { code: number | null; json: Record<string, never> } {
  const { status, stdout } = spawnSync(process.execPath, [main, ...args, '--json'], { maxBuffer: 1 << 26 })
  return { code: status, json: JSON.parse(stdout.toString()) }
}

const statistics = process.argv.includes('--statistics')
const asked = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const usual = ['cifar10-resnet20', 'cifar10-resnet56', ...(statistics ? [] : ['mlperf-tiny-ic-resnet8', 'mnist-8'])]
const name = statistics ? 'compress-statistics' : 'compress-without-data'
const file = join(import.meta.dirname, `results/${name}.json`)
// Of some networks alone: the others' rows stay.
const results: Record<string, unknown> =
  asked.length > 0 && existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).results : {}
for (const id of asked.length > 0 ? asked : usual) {
  const model = join(process.env.COPPICE_MODELS ?? '', `${id}.onnx`)
  const start = performance.now()
  const { code, json } = coppice(
    ...['compress', model, '-o', onnx, '--pack', packed, '--no-latency'],
    ...(statistics ? ['--data', 'statistics'] : []),
  )
  const seconds = (performance.now() - start) / 1000
  const flags = await dataFlags(id, folder)
  const evaluated = coppice('evaluate', packed, '--against', model, ...flags, '--no-preprocess-check').json
  const [before, after] = [evaluated.before, evaluated.after].map(
    (side: { top1?: number } = {}) => side.top1 ?? Number.NaN,
  )
  const bytes = statSync(model).size
  results[id] = {
    bytes,
    packed: statSync(packed).size,
    ratio: Number((bytes / statSync(packed).size).toFixed(2)),
    top1: { before, after },
    lostPoints: Number((100 * (before - after)).toFixed(2)),
    exitCode: code,
    warnings: json.warnings,
    wallSeconds: Number(seconds.toFixed(1)),
  }
  console.log(id, results[id])
}
const machine = `${cpus()[0].model.trim()}, ${cpus().length} cores, Node ${process.version}`
const command = `npm run build && npx tsx bench/compress-without-data.mts${statistics ? ' --statistics' : ''}`
writeFileSync(file, `${JSON.stringify({ command, machine, results }, null, 2)}\n`)
