/**
 * Does `coppice compress` keep its promise where a person has few images? With 150 labelled images, half of which judge the result,
 * it may lose 0.5 points; what it really lost is measured afterwards on the whole test set, of the model decoded from the packed
 * file. Two networks, five draws of the images each.
 *
 * Needs COPPICE_MODELS and COPPICE_CIFAR10, as bench/compress.mts does.
 * Run: npm run build && npx tsx bench/few-images.mts; writes bench/results/few-images.json.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { subset } from '../src/data/batches.ts'
import { writeNpz } from '../src/data/npy.ts'
import { permutation, random } from '../src/tensor/random.ts'
import { type Case, loadCase } from './_cases.mts'
import { dataFlags } from './_data-flags.mts'

const images = 150
const draws = 5
const limit = 0.5

const main = join(import.meta.dirname, '../dist/cli/main.js')
const folder = mkdtempSync(join(tmpdir(), 'coppice-bench-'))
const [onnx, packed, few] = ['out.onnx', 'out.cop', 'few.npz'].map((name) => join(folder, name))

/** A command's JSON; its exit code is 2 where the limit was broken, which is a result as well. */
function coppice(...args: string[]): { code: number | null; json: Record<string, never> } {
  const { status, stdout } = spawnSync(process.execPath, [main, ...args, '--json'], { maxBuffer: 1 << 26 })
  return { code: status, json: JSON.parse(stdout.toString()) }
}

/** So many images of the training set, drawn by the seed, as a file. */
async function writeFew({ train }: Case, seed: number): Promise<void> {
  const { fields, labels, length } = subset(train, permutation(train.length, random(seed)).slice(0, images))
  const [{ shape, data }] = Object.values(fields)
  const arrays = { image: { shape: [length, ...shape], data }, label: { shape: [length], data: labels as Int32Array } }
  writeFileSync(few, await writeNpz(arrays))
}

const rows: object[] = []
for (const id of ['cifar10-resnet20', 'mlperf-tiny-ic-resnet8']) {
  const model = join(process.env.COPPICE_MODELS ?? '', `${id}.onnx`)
  const loaded = await loadCase(id)
  const [, , ...preprocessing] = await dataFlags(id, folder)
  for (let seed = 1; seed <= draws; seed++) {
    await writeFew(loaded, seed)
    const made = coppice(
      ...['compress', model, '--data', `npz:${few}`, '--label', 'label', ...preprocessing],
      ...['-o', onnx, '--pack', packed, '--no-latency', '--max-loss', String(limit)],
    )
    const flags = await dataFlags(id, folder)
    const { before, after } = coppice('evaluate', packed, '--against', model, ...flags, '--no-preprocess-check')
      .json as unknown as Record<'before' | 'after', { top1: number }>
    const row = {
      model: id,
      seed,
      top1: { before: before.top1, after: after.top1 },
      lostPoints: Number((100 * (before.top1 - after.top1)).toFixed(2)),
      ratio: Number((statSync(model).size / statSync(packed).size).toFixed(2)),
      exitCode: made.code,
    }
    rows.push(row)
    console.log(row)
  }
}
rmSync(folder, { recursive: true })
const held = rows.filter((row) => (row as { lostPoints: number }).lostPoints <= limit).length
console.log(`${held} of ${rows.length} within ${limit} points`)
const machine = `${cpus()[0].model.trim()}, ${cpus().length} cores, Node ${process.version}`
const command = 'npm run build && npx tsx bench/few-images.mts'
writeFileSync(
  join(import.meta.dirname, 'results/few-images.json'),
  `${JSON.stringify({ command, machine, images, limit, held, rows }, null, 2)}\n`,
)
