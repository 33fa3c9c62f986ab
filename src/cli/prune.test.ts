/** `coppice prune` as a person runs it. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { weightTensors } from '../graph/weights.ts'
import { openModel, saveModel } from '../node/files.ts'
import { floats } from '../tensor/dtype.ts'
import { lenet5 } from '../testing/small-nets.ts'
import { type PruneFlags, runPrune } from './commands/prune.ts'
import { runScan, type ScanFlags } from './commands/scan.ts'
import type { Io } from './io.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-prune-'))
const file = (name: string): string => join(folder, name)
const start = file('start.onnx')
beforeAll(() => saveModel(start, lenet5(1)))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Report {
  readonly rounds: readonly { readonly sparsity: number; readonly history: readonly unknown[] }[]
  readonly before: { readonly nonzero: number; readonly packed: number }
  readonly after: { readonly nonzero: number; readonly parameters: number; readonly packed: number }
  readonly test?: { readonly before: number; readonly after: number }
}

/** Collects what is said; `heard` is told of each sentence. */
function recorder(heard: (text: string) => void = () => {}): Io & { readonly results: Report[] } {
  const results: Report[] = []
  return {
    json: false,
    results,
    result: (_, v) => void results.push(v as Report),
    say: heard,
    milestone: heard,
    progress() {},
    finish() {},
  }
}

const flags = (more: Partial<PruneFlags>): PruneFlags => ({
  data: 'digits:400',
  seed: '1',
  output: file('out.onnx'),
  epochs: '1',
  batch: '20',
  rate: '0.02',
  optimizer: 'sgd',
  momentum: '0.9',
  decay: '0',
  schedule: 'constant',
  warmUp: '0',
  smoothing: '0',
  crop: '0',
  validation: '0',
  engine: 'auto',
  threads: '1',
  sparsity: '0.8',
  scope: 'global',
  score: 'magnitude',
  unit: 'element',
  rounds: '2',
  pruning: 'iterative',
  shrink: true,
  ...more,
})
const signal = new AbortController().signal
const sparsityOf = (path: string): number => {
  const all = weightTensors(openModel(path)).map((w) => floats(w.tensor))
  const zeros = all.reduce((n, a) => n + a.filter((v) => v === 0).length, 0)
  return zeros / all.reduce((n, a) => n + a.length, 0)
}

it('prunes in rounds with training between, and goes on where it was stopped to the same bytes', async () => {
  const io = recorder()
  await runPrune(start, flags({ shrink: false, history: file('report.json') }), io, signal)
  const [report] = io.results
  expect(sparsityOf(file('out.onnx'))).toBeCloseTo(0.8, 3)
  expect(report.rounds.map((r) => r.history.length)).toEqual([1, 1])
  expect(report.after.nonzero).toBeLessThan(report.before.nonzero / 4)
  expect(report.after.packed).toBeLessThan(report.before.packed / 2)
  expect(report.test?.after).toBeGreaterThan((report.test?.before ?? 1) + 0.2)
  expect(JSON.parse(readFileSync(file('report.json'), 'utf8')).rounds).toEqual(report.rounds)

  const more = { shrink: false, output: file('again.onnx'), checkpoint: file('rounds') }
  const stop = new AbortController()
  const stopping = recorder((text) => text.startsWith('round 1') && stop.abort())
  await expect(runPrune(start, flags(more), stopping, stop.signal)).rejects.toThrow('stopped')
  expect(existsSync(file('again.onnx'))).toBe(false)
  const said: string[] = []
  const resumed = recorder((text) => void said.push(text))
  await runPrune(start, flags(more), resumed, signal)
  expect(said.filter((s) => s.startsWith('epoch')).length).toBe(1)
  expect(resumed.results[0].rounds).toEqual(report.rounds)
  expect(readFileSync(file('again.onnx')).equals(readFileSync(file('out.onnx')))).toBe(true)
  await expect(runPrune(start, flags({ ...more, sparsity: '0.5' }), io, signal)).rejects.toThrow('another pruning')
})

it('shrinks what died, without data and training too', async () => {
  const io = recorder()
  const once = { data: undefined, epochs: '0', pruning: 'one-shot', sparsity: '0.97' }
  await runPrune(start, flags(once), io, signal)
  await runPrune(start, flags({ ...once, shrink: false, output: file('wide.onnx') }), io, signal)
  const [small, wide] = io.results
  expect(small.after.parameters).toBeLessThan(wide.after.parameters)
  expect(small.test).toBeUndefined()
  expect(sparsityOf(file('wide.onnx'))).toBeCloseTo(0.97, 3)
})

it("prunes each tensor as a scan's file recommends", async () => {
  const scan = file('scan.json')
  const scanFlags = { data: 'digits:400', seed: '1', output: scan, sparsities: '0.5,0.9', maxLoss: '5', samples: '100' }
  const retrain = { retrain: '0', retrainSamples: '100', rate: '0.01' }
  await runPrune(start, flags({ sparsity: '0', output: file('trained.onnx') }), recorder(), signal)
  const how: ScanFlags = { ...scanFlags, ...retrain, unit: 'element', threads: '1' }
  await runScan(file('trained.onnx'), how, recorder(), signal)
  const { curves } = JSON.parse(readFileSync(scan, 'utf8')) as { curves: { name: string; recommended: number }[] }
  expect(curves.some((c) => c.recommended > 0)).toBe(true)
  const one = { data: undefined, epochs: '0', pruning: 'one-shot', shrink: false }
  await runPrune(file('trained.onnx'), flags({ ...one, scan, output: file('by-scan.onnx') }), recorder(), signal)
  for (const { name, tensor } of weightTensors(openModel(file('by-scan.onnx')))) {
    const values = floats(tensor)
    const zeros = values.filter((v) => v === 0).length / values.length
    expect(zeros, name).toBeCloseTo(curves.find((c) => c.name === name)?.recommended ?? 0, 2)
  }
})

it('says in one sentence what is wrong with its flags', async () => {
  writeFileSync(file('no-scan.json'), '{}')
  const cases: readonly (readonly [Partial<PruneFlags>, RegExp])[] = [
    [{ data: undefined }, /there is no data to train on; expected --data SPEC, or --epochs 0/],
    [{ data: undefined, epochs: '0', score: 'obd' }, /score obd needs data/],
    [{ sparsity: '1.5' }, /--sparsity: "1.5"; expected/],
    [{ pruning: 'slow' }, /--pruning: "slow"; expected one-shot, iterative, gradual/],
    [{ exclude: 'fc9' }, /names "fc9", which is no weight of the model/],
    [{ scan: file('no-scan.json') }, /it is no scan of this version/],
  ]
  for (const [more, message] of cases)
    await expect(runPrune(start, flags(more), recorder(), signal)).rejects.toThrow(message)
})
