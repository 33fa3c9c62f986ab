/**
 * Measures every committed record again: accuracy on the whole test set, multiply-adds, parameters and bytes of the packed
 * file, beside the network that it was made from, and the latency of both in ONNX Runtime (one image, one thread).
 *
 * Needs COPPICE_DATA (a folder with `mnist` and `cifar10` in it; or COPPICE_CIFAR10), and COPPICE_MODELS for the originals; what
 * cannot be measured without them is left out or as it was, and said. Run: npm run records [-- NAME ...], and for the latency, on a quiet machine,
 * npm run records -- --latency [NAME ...]; both write bench/results/records.json.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { batcherFor, requiredInputs } from '../src/data/batcher.ts'
import type { Preprocess } from '../src/data/dataset.ts'
import { fedBatches } from '../src/data/fed-batches.ts'
import { evaluateAccuracy } from '../src/evaluate/accuracy.ts'
import { measureLatency } from '../src/evaluate/latency.ts'
import { unpackModel } from '../src/formats/unpack.ts'
import { inspectModel } from '../src/inspect/inspect.ts'
import type { Model } from '../src/model.ts'
import { loadData } from '../src/node/data.ts'
import { readModel } from '../src/onnx/read.ts'
import { openSession, useThreads, withSession } from '../src/runtime/session.ts'
import { floats, isFloat } from '../src/tensor/dtype.ts'

/** What lies beside each packed file. */
interface Record {
  /** The file in COPPICE_MODELS that it was made from, and where that is from. */
  readonly from: { readonly file: string; readonly source: string }
  readonly data: 'cifar10' | 'mnist'
  readonly preprocess: Preprocess
  /** The command that made it, seed included. */
  readonly command: string
  /** What others published for the network, of records that are about bytes. */
  readonly beside?: { readonly who: string; readonly bytes: number; readonly errorPercent: number }
  /** The same, of records that are about how few weights are left. */
  readonly fewer?: { readonly who: string; readonly factor: number }
  /** How it was chosen, and whatever else a reader should know of the figure. */
  readonly note?: string
}

useThreads(1)
const folder = join(import.meta.dirname, '../records')
const resultFile = join(import.meta.dirname, 'results/records.json')
const { COPPICE_DATA, COPPICE_MODELS, COPPICE_CIFAR10 = COPPICE_DATA && join(COPPICE_DATA, 'cifar10') } = process.env
const names = readdirSync(folder).flatMap((f) => (f.endsWith('.cop') ? [f.slice(0, -4)] : []))
const [given, isTimed] = [process.argv.slice(2).filter((a) => a !== '--latency'), process.argv.includes('--latency')]
const wanted = given.length > 0 ? given : names
const results = existsSync(resultFile) ? JSON.parse(readFileSync(resultFile, 'utf8')).results : {}

/** Parameters that are not zero, biases too. */
function nonzeroOf(model: Model): number {
  const stored = [...model.graph.initializers.values()].filter((t) => isFloat(t.dtype))
  return stored.reduce((n, t) => n + floats(t).reduce((m, v) => m + (v === 0 ? 0 : 1), 0), 0)
}

for (const name of wanted) {
  const { from, data, preprocess, command, beside, fewer }: Record = JSON.parse(
    readFileSync(join(folder, `${name}.json`), 'utf8'),
  )
  const packed = readFileSync(join(folder, `${name}.cop`))
  const after = unpackModel(packed)
  const samples = data === 'cifar10' ? COPPICE_CIFAR10 : COPPICE_DATA && join(COPPICE_DATA, data)
  if (!samples || !existsSync(samples)) {
    console.log(`${name}: skipped: COPPICE_DATA (or COPPICE_CIFAR10) names no folder with ${data}`)
    continue
  }
  const { test } = await loadData(`${data}:${samples}`, { seed: 1 })
  const batcher = batcherFor(requiredInputs(after), test, preprocess)
  const measured = async (model: Model) => {
    const { macs, params } = inspectModel(model).totals
    const { correct, count } = await withSession(
      () => openSession(model),
      (session) => evaluateAccuracy(session, batcher, test),
    )
    return { top1: correct / count, macs, params, ...(fewer ? { nonzero: nonzeroOf(model) } : {}) }
  }
  const original = join(COPPICE_MODELS ?? '', from.file)
  const before = COPPICE_MODELS && existsSync(original) ? readModel(readFileSync(original)) : undefined
  if (!before)
    console.log(`${name}: the original is not measured again: COPPICE_MODELS names no folder with ${from.file}`)
  if (isTimed && before) {
    const [{ feeds }] = fedBatches(batcher, test, 1)
    const contenders = [before, after].map((model, i) => ({
      name: ['before', 'after'][i],
      open: () => openSession(model, { threads: 1 }),
      feeds,
    }))
    const [, { speedUp }] = await measureLatency(contenders, { maxMs: 60_000 })
    results[name] = { ...results[name], speedUp }
  } else if (!isTimed)
    results[name] = {
      from: from.file,
      command,
      ...(beside ? { beside } : {}),
      ...(fewer ? { fewer } : {}),
      ...(before
        ? { before: { ...(await measured(before)), bytes: readFileSync(original).byteLength } }
        : results[name]?.before
          ? { before: results[name].before }
          : {}),
      after: { ...(await measured(after)), bytes: packed.byteLength },
      ...(results[name]?.speedUp ? { speedUp: results[name].speedUp } : {}),
    }
  console.log(name, JSON.stringify(results[name]))
}
const machine = `${cpus()[0].model.trim()}, ${cpus().length} cores, Node ${process.version}`
writeFileSync(resultFile, `${JSON.stringify({ command: 'npm run records', machine, results }, null, 2)}\n`)
