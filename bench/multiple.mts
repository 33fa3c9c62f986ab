/**
 * To which multiple channels are best rounded: networks with 30 % of their multiply-adds removed, at several multiples, beside
 * the whole one in ONNX Runtime (one image, one thread). Weights are drawn, since times do not depend on them.
 *
 *   npx tsx bench/multiple.mts [NETWORK ...]
 *
 * Writes bench/results/multiple.json.
 */
import { existsSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { measureLatency } from '../src/evaluate/latency.ts'
import { inspectModel } from '../src/inspect/inspect.ts'
import type { Model } from '../src/model.ts'
import { writeFileAtomic } from '../src/node/files.ts'
import { channels } from '../src/prune/channels.ts'
import { openSession, useThreads } from '../src/runtime/session.ts'
import { randomFeeds } from '../src/testing/real-models.ts'
import { zoo } from '../src/zoo/index.ts'

/** 0: as the method chooses by itself. */
const multiples = [1, 2, 4, 8, 16, 0]
const cifar = { classes: 10, inputShape: [3, 32, 32], seed: 1 } as const
const nets: Readonly<Record<string, () => Model>> = {
  'ResNet-56, 32 x 32': () => zoo.resnet56.build({ seed: 1 }),
  'ResNet-18, 32 x 32': () => zoo.resnet18.build({ ...cifar, stem: 'cifar' }),
  'MobileNetV2, 32 x 32': () => zoo.mobilenetV2.build({ ...cifar, stem: 'cifar' }),
  'GoogLeNet, 32 x 32': () => zoo.googlenet.build({ ...cifar, stem: 'cifar' }),
}

useThreads(1)
const path = new URL('./results/multiple.json', import.meta.url).pathname
const rows = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).rows : {}
const wanted = process.argv.slice(2)
for (const [name, make] of Object.entries(nets)) {
  if (wanted.length > 0 && !wanted.some((w) => name.startsWith(w))) continue
  const whole = make()
  const macs = (model: Model): number => inspectModel(model).totals.macs ?? Number.NaN
  const thin: Model[] = []
  for (const multiple of multiples)
    thin.push(await channels(whole, { budget: 'macs', sparsity: 0.3, scope: 'global', multiple }))
  const feeds = randomFeeds(whole, { batch: 1 })
  const contenders = [whole, ...thin].map((model, i) => ({
    name: i === 0 ? 'whole' : String(multiples[i - 1]),
    feeds,
    open: () => openSession(model, { threads: 1 }),
  }))
  const [, ...times] = await measureLatency(contenders, { maxMs: 15_000 })
  rows[name] = times.map(({ speedUp }, i) => ({
    multiple: multiples[i],
    macsRatio: Number((macs(whole) / macs(thin[i])).toFixed(3)),
    speedUp,
  }))
  for (const r of rows[name])
    console.log(name, r.multiple, `${r.macsRatio} x fewer`, `${r.speedUp.median.toFixed(2)} x faster`)
  const machine = `${cpus()[0].model}, ${cpus().length} cores, Node ${process.version}`
  const result = { command: 'npx tsx bench/multiple.mts', machine, rows }
  await writeFileAtomic(path, new TextEncoder().encode(`${JSON.stringify(result, null, 2)}\n`))
}
