/**
 * What does `coppice compress` make of real models? Size at an allowed loss of 0.5 points, accuracy on the whole test set.
 *
 * Needs COPPICE_MODELS and COPPICE_DATA (folders of the models and data sets named below) and COPPICE_CIFAR10.
 * Run: npm run build && npx tsx bench/compress.mts [MODEL ...]; writes bench/results/compress.json.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { caseIds } from './_cases.mts'
import { dataFlags } from './_data-flags.mts'

const main = join(import.meta.dirname, '../dist/cli/main.js')
const resultFile = join(import.meta.dirname, 'results/compress.json')
const folder = mkdtempSync(join(tmpdir(), 'coppice-bench-'))

const ids = process.argv.length > 2 ? process.argv.slice(2) : caseIds
const results: Record<string, unknown> = existsSync(resultFile)
  ? JSON.parse(readFileSync(resultFile, 'utf8')).results
  : {}
for (const id of ids) {
  const flags = await dataFlags(id, folder)
  const model = join(process.env.COPPICE_MODELS ?? '', `${id}.onnx`)
  const start = performance.now()
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [main, 'compress', model, ...flags, '-o', join(folder, 'out.onnx'), '--json'],
    { maxBuffer: 1 << 26 },
  )
  // 2: what was written breaks the limit on the test set.
  if (status !== 0 && status !== 2)
    throw new Error(`${id}: compress ended with ${status}: ${stderr.toString().slice(-500)}`)
  const { before, after, agreement, heldBack, judged, speedUp, warnings, recipe } = JSON.parse(stdout.toString())
  const bytes = ({ bytes, packed, top1, nonZero, params }: typeof before) => ({
    bytes,
    packed,
    top1,
    params,
    nonZero,
  })
  results[id] = {
    before: bytes(before),
    after: bytes(after),
    ratio: Number((before.bytes / after.packed).toFixed(2)),
    lostPoints: Number((100 * (before.top1 - after.top1)).toFixed(2)),
    holds: judged.holds,
    snrDb: agreement.snrDb,
    ...(heldBack ? { heldBack: { ...heldBack, what: heldBack.what.replace(/ of .*/, '') } } : {}),
    speedUp,
    warnings,
    steps: recipe.steps,
    wallSeconds: Number(((performance.now() - start) / 1000).toFixed(1)),
  }
  console.log(
    id,
    before.bytes,
    '->',
    after.packed,
    `${(before.bytes / after.packed).toFixed(1)} x`,
    before.top1,
    '->',
    after.top1,
  )
  writeFileSync(
    resultFile,
    `${JSON.stringify({ command: 'npm run build && npx tsx bench/compress.mts', machine: `${cpus()[0].model.trim()}, ${cpus().length} cores, Node ${process.version}`, maxLoss: 0.5, results }, null, 2)}\n`,
  )
}
