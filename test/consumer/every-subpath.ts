/** A user's program that imports every subpath: test/package.test.ts type-checks it strictly and runs it on the packed package. */
import assert from 'node:assert/strict'
import { defineMethod, inspectModel, type Model, openSession, readModel, runSteps, writeModel } from 'coppice'
import { type BoundSplits, bindSplits, csvDataset, type Dataset, drawDigits, readNpz, writeNpz } from 'coppice/data'
import {
  evaluateAccuracy,
  filePartsOf,
  findRandomInputs,
  measureSizes,
  partsBeside,
  partsInWords,
  scan,
} from 'coppice/evaluate'
import { svd } from 'coppice/factorize'
import { hac, type Matrix, openMatrix, packModel, shac, unpackModel } from 'coppice/formats'
import { compressors, openModel, saveModel, writeFileAtomic } from 'coppice/node'
import { magnitude, pruneAndTrain } from 'coppice/prune'
import { share, uniform } from 'coppice/quantize'
import { type Report, renderSweep, renderText } from 'coppice/report'
import { finetune, pruneInRounds } from 'coppice/retrain'
import { decodeCop, loadSession } from 'coppice/runtime'
import { foldBatchNorm, removeUnused } from 'coppice/simplify'
import { type RowStore, sweep as runSweep, type SweepRow } from 'coppice/sweep'
import { type CheckpointStore, cosine, keepZeros, l2, sgd, train } from 'coppice/train'
import { lenet300, zoo } from 'coppice/zoo'
import * as ort from 'onnxruntime-node'

const splits = { train: drawDigits(256, 1), test: drawDigits(64, 2) }
const model: Model = lenet300({ seed: 1, width: 0.1 })
const bound: BoundSplits = bindSplits(model, splits, { range: [0, 1] })
assert.equal(Object.keys(zoo).includes('lenet5'), true)

const table: Dataset = csvDataset('a,b,label\n1,2,0\n3,4,1\n', 'table')
assert.equal(table.length, 2)
const archive = await writeNpz({ x: { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) } })
assert.deepEqual((await readNpz(archive, 'archive')).get('x')?.shape, [2, 2])

let kept: Uint8Array | undefined
const store: CheckpointStore = { save: async (bytes) => void (kept = bytes), load: async () => kept }
const options = { batcher: bound.batcher, epochs: 1, batchSize: 32, learningRate: 0.05 }
const trained = await train(model, splits.train, {
  ...options,
  optimizer: sgd({ momentum: 0.9 }),
  schedule: cosine(),
  regimes: [l2(1e-4), keepZeros()],
  checkpoint: { store },
})
assert.ok(kept && trained.history.length === 1)

const pruned = await pruneAndTrain(trained.model, splits.train, { sparsity: 0.5, training: options })
const halving = defineMethod({
  id: 'keep-as-it-is',
  help: 'gives the model back',
  options: { times: { type: 'number', default: 1, min: 0, help: 'how often' } },
  run: (given, { times }) => (times > 0 ? given : model),
})
const shared = await share(await magnitude(await halving(pruned, { times: 2 }), { sparsity: 0.6 }), { values: 16 })
const simple = await removeUnused(await foldBatchNorm(shared))
assert.ok((await runSteps(simple, [['remove-unused', {}]])).graph.nodes.length > 0)
assert.ok((await svd(simple, { rank: 4 })).graph.nodes.length > simple.graph.nodes.length)
assert.equal(uniform.id, 'uniform')
assert.deepEqual([finetune.id, pruneInRounds.id], ['finetune', 'prune-in-rounds'])

const session = await openSession(simple)
const { top1 } = await evaluateAccuracy(session, bound.batcher, splits.test)
const inputs = (await findRandomInputs(simple, session)).make(0)
await session.release()
assert.ok(top1 >= 0 && Object.keys(inputs).length === 1)
const scanned = await scan(simple, { batcher: bound.batcher, data: splits.train }, { sparsities: [0.5] })
assert.ok(scanned.curves.length > 0)

const packed = packModel(simple)
assert.deepEqual(decodeCop(packed), writeModel(unpackModel(packed)))
const loaded = await loadSession(ort, packed)
assert.equal(loaded.outputNames.length, 1)
await loaded.release()
const sizes = await measureSizes(writeModel(simple), compressors)
assert.ok((sizes.gzipBytes ?? 0) > packed.byteLength)

const matrix: Matrix = { rows: 2, columns: 2, values: Float32Array.of(0, 1, 1, 0) }
assert.deepEqual([...openMatrix(hac.encode(matrix)).matvec(Float32Array.of(1, 2))], [2, 1])
assert.equal(shac.open(shac.encode(matrix)).format, 'shac')

await saveModel('saved.onnx', simple)
assert.deepEqual(writeModel(openModel('saved.onnx')), writeModel(readModel(writeModel(simple))))
await writeFileAtomic('saved.cop', packed)
assert.deepEqual(writeModel(openModel('saved.cop')), writeModel(simple))
const fromPacked = await openSession(packed)
assert.deepEqual(fromPacked.outputNames, loaded.outputNames)
await fromPacked.release()

const fileParts = filePartsOf(simple, inspectModel(simple).totals.bytes)
const file = { bytes: writeModel(simple).length, parts: fileParts }
assert.equal(partsBeside(file, file).length, partsInWords(file.bytes, fileParts).length)

const side = { name: 'a.onnx', bytes: 10, packed: 5, params: 1, nonZero: 1, macs: 1, layers: [] }
const nothing = { layers: [], notes: [], warnings: [], environment: [] }
const report: Report = {
  title: 'A title',
  made: '2026-01-01',
  input: { inputs: [], seed: 0 },
  before: side,
  after: side,
  ...nothing,
}
assert.match(renderText(report), /A title/)

const swept = new Map<string, SweepRow>()
const rows: RowStore = { load: (key) => swept.get(key), save: ({ row }) => void swept.set(row.key, row) }
const [row] = await runSweep(
  {
    models: [{ name: 'net', file: 'net' }],
    data: [{ name: 'random', data: 'random' }],
    recipes: [{ name: 'shared', steps: [['share', { values: 8 }]] }],
    seeds: [0],
    latency: false,
  },
  {
    version: '1',
    environment: [],
    model: () => ({ model, onnx: writeModel(model), sha256: 'of the model' }),
    data: async () => bound,
    dataHash: async () => 'of the data',
  },
  { rows },
)
assert.ok(row.found && swept.size === 1)
assert.match(
  renderSweep({ title: 'a sweep', made: new Date().toISOString(), facts: [], environment: [] }, [row]),
  /shared/,
)
console.log('every subpath works')
