/**
 * Whether verdicts on latency can be trusted on the machine at hand, however busy it is: each network beside itself, of which
 * nothing can be told, and beside one with 30 % more layers, which is slower.
 *
 *   npx tsx bench/latency.mts [--runs 20] [--threads N]
 *
 * Writes bench/results/latency.json.
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { measureLatency } from '../src/evaluate/latency.ts'
import { model as makeModel, valueInfo } from '../src/graph/build.ts'
import type { Model } from '../src/model.ts'
import { writeFileAtomic } from '../src/node/files.ts'
import { openSession } from '../src/runtime/session.ts'
import { speedVerdict } from '../src/speed-up.ts'
import { randomFeeds } from '../src/testing/real-models.ts'
import { netBuilder } from '../src/testing/small-nets.ts'

const { values } = parseArgs({ options: { runs: { type: 'string', default: '20' }, threads: { type: 'string' } } })
const threads = values.threads ? Number(values.threads) : undefined

/** Convolutions of 3 x 3 over `channels` maps of `side` x `side`. */
function convolutions(layers: number, channels: number, side: number): Model {
  const b = netBuilder()
  let x = 'x'
  for (let i = 0; i < layers; i++)
    x = b.op('Relu', [b.op('Conv', [x, b.weight(`w${i}`, [channels, channels, 3, 3])], { pads: [1, 1, 1, 1] })])
  const shape = [1, channels, side, side]
  return makeModel({
    name: 'convolutions',
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', shape)],
    outputs: [valueInfo(x, 'float32', shape)],
  })
}

const rows: Record<string, unknown> = {}
for (const [channels, side] of [
  [16, 16],
  [32, 32],
  [64, 56],
]) {
  const nets = [convolutions(10, channels, side), convolutions(13, channels, side)]
  for (const [what, other] of [
    ['itself', nets[0]],
    ['30 % more layers', nets[1]],
  ] as const) {
    const verdicts: Record<string, number> = { faster: 0, slower: 0, 'could not tell': 0 }
    const medians: number[] = []
    for (let run = 0; run < Number(values.runs); run++) {
      const feeds = randomFeeds(nets[0])
      const open = (model: Model) => () => openSession(model, { threads, restful: true })
      const contenders = [nets[0], other].map((m, i) => ({ name: String(i), feeds, open: open(m) }))
      const [, { speedUp }] = await measureLatency(contenders)
      verdicts[speedVerdict(speedUp)]++
      medians.push(speedUp.median)
    }
    const name = `${channels} channels of ${side} x ${side}, beside ${what}`
    rows[name] = { verdicts, medians: medians.map((m) => Number(m.toFixed(3))) }
    console.log(name, verdicts)
  }
}
const machine = `${cpus()[0].model}, ${cpus().length} cores, Node ${process.version}`
const result = { command: 'npx tsx bench/latency.mts', machine, load: loadavg(), threads: threads ?? null, rows }
await writeFileAtomic(
  new URL('./results/latency.json', import.meta.url).pathname,
  new TextEncoder().encode(`${JSON.stringify(result, null, 2)}\n`),
)
