/**
 * What a channel shuffle costs: latency of networks with Reshape, Transpose, Reshape (and Split) around each, and with
 * Gathers in their place (gather-shuffles), in one interleaved run, one thread, one image per call.
 *
 *   [COPPICE_MODELS=…] npx tsx bench/shuffles.mts
 *
 * ShuffleNetV2 has its first weights, on which time does not depend. Writes bench/results/shuffles.json.
 */
import { cpus } from 'node:os'
import { measureLatency } from '../src/evaluate/latency.ts'
import type { Model } from '../src/model.ts'
import { writeFileAtomic } from '../src/node/files.ts'
import { openSession } from '../src/runtime/session.ts'
import { foldBatchNorms } from '../src/simplify/fold-batch-norm.ts'
import { gatherShuffles } from '../src/simplify/gather-shuffles.ts'
import { modelsFolder, randomFeeds, realModel } from '../src/testing/real-models.ts'
import { shufflenetV2 } from '../src/zoo/shufflenet.ts'

const threads = 1
const nets: Record<string, Model> = {
  'shufflenetV2, 28 x 28': foldBatchNorms(shufflenetV2({ classes: 10, inputShape: [1, 28, 28] })),
  'shufflenetV2, 224 x 224': foldBatchNorms(shufflenetV2()),
  ...(modelsFolder ? { FastestDet: realModel('FastestDet') } : {}),
}
const rows: Record<string, unknown> = {}
for (const [name, model] of Object.entries(nets)) {
  const feeds = randomFeeds(model)
  const gathered = await gatherShuffles(model)
  const contenders = [model, gathered].map((m) => ({ name, feeds, open: () => openSession(m, { threads }) }))
  const [before, after] = await measureLatency(contenders, { precision: 0.005, maxMs: 60_000 })
  rows[name] = {
    nodes: [model.graph.nodes.length, gathered.graph.nodes.length],
    latencyMs: [before.latencyMs, after.latencyMs],
    speedUp: after.speedUp,
  }
  console.log(name, rows[name])
}
const machine = `${cpus()[0].model}, ${cpus().length} cores, Node ${process.version}`
const result = { command: 'npx tsx bench/shuffles.mts', machine, threads, rows }
await writeFileAtomic(
  new URL('./results/shuffles.json', import.meta.url).pathname,
  new TextEncoder().encode(`${JSON.stringify(result, null, 2)}\n`),
)
