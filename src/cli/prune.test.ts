/** `coppice prune` as a person runs it. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { subset } from '../data/batches.ts'
import { drawDigits } from '../data/digits.ts'
import { writeNpz } from '../data/npy.ts'
import { node } from '../graph/build.ts'
import { weightTensors } from '../graph/weights.ts'
import { withGraph } from '../model.ts'
import { openModel, saveModel } from '../node/files.ts'
import { floats } from '../tensor/dtype.ts'
import { modelsFolder, needsModels, realModel } from '../testing/real-models.ts'
import { type FlagTexts, runCommand } from '../testing/run-command.ts'
import { lenet5, mobileNet } from '../testing/small-nets.ts'
import { pruneCommand } from './commands/prune.ts'
import { scanCommand } from './commands/scan.ts'
import type { Io } from './io.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-prune-'))
const file = (name: string): string => join(folder, name)
const start = file('start.onnx')
beforeAll(() => saveModel(start, lenet5(1)))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Report {
  readonly rounds: readonly { readonly sparsity: number; readonly history: readonly unknown[] }[]
  readonly before: { readonly nonzero: number; readonly parameters: number; readonly packed: number }
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
    warn: heard,
    milestone: heard,
    progress() {},
    finish() {},
  }
}

const runPrune = (path: string, flags: FlagTexts, io: Io, signal: AbortSignal) =>
  runCommand(pruneCommand, [path], flags, { io, signal })
const runScan = (path: string, flags: FlagTexts, io: Io, signal: AbortSignal) =>
  runCommand(scanCommand, [path], flags, { io, signal })

const flags = (more: FlagTexts): FlagTexts => ({
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
  ...(more.pruning === 'one-shot' ? {} : { rounds: '2' }),
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

it('scores a model that takes eight samples per call, where there are as many', async () => {
  const any = mobileNet(1)
  const inputs = any.graph.inputs.map((i) => ({ ...i, shape: [8, ...(i.shape ?? []).slice(1)] }))
  await saveModel(file('any.onnx'), any)
  await saveModel(file('eight.onnx'), withGraph(any, { inputs }))
  const once = { data: 'digits:24', epochs: '0', pruning: 'one-shot' }
  for (const score of ['taylor', 'obd', 'obs']) {
    const kept: Uint8Array[][] = []
    for (const from of [file('any.onnx'), file('eight.onnx')]) {
      await runPrune(from, flags({ ...once, score }), recorder(), signal)
      kept.push(weightTensors(openModel(file('out.onnx'))).map((w) => w.tensor.data))
    }
    // One example at a time gives the same, however often a call contains it.
    if (score === 'obd') expect(kept[1]).toEqual(kept[0])
  }
  const few = flags({ ...once, score: 'obd', data: 'digits:7' })
  await expect(runPrune(file('eight.onnx'), few, recorder(), signal)).rejects.toThrow(/samples; expected at least 8/)
})

it('leaves a model as it is where no weight may be pruned', async () => {
  const exclude = weightTensors(openModel(start))
    .map((w) => w.name)
    .join()
  for (const score of ['obd', 'taylor', 'obs', 'magnitude']) {
    const io = recorder()
    await runPrune(start, flags({ score, exclude, epochs: '0', pruning: 'one-shot', data: 'digits:40' }), io, signal)
    expect(io.results[0].after).toEqual(io.results[0].before)
  }
})

it("prunes each tensor as a scan's file recommends", async () => {
  const scan = file('scan.json')
  const scanFlags = { data: 'digits:400', seed: '1', output: scan, sparsities: '0.5,0.9', maxLoss: '5', samples: '100' }
  await runPrune(start, flags({ sparsity: '0', output: file('trained.onnx') }), recorder(), signal)
  const how: FlagTexts = { ...scanFlags, unit: 'element', threads: '1' }
  await runScan(file('trained.onnx'), how, recorder(), signal)
  const { curves } = JSON.parse(readFileSync(scan, 'utf8')) as { curves: { name: string; recommended: number }[] }
  expect(curves.some((c) => c.recommended > 0)).toBe(true)
  const one = { data: undefined, epochs: '0', pruning: 'one-shot', shrink: false, sparsity: undefined }
  const prune = (more: FlagTexts) =>
    runPrune(file('trained.onnx'), flags({ ...one, scope: 'layer', scan, ...more }), recorder(), signal)
  await prune({ output: file('by-scan.onnx') })
  for (const { name, tensor } of weightTensors(openModel(file('by-scan.onnx')))) {
    const values = floats(tensor)
    const zeros = values.filter((v) => v === 0).length / values.length
    expect(zeros, name).toBeCloseTo(curves.find((c) => c.name === name)?.recommended ?? 0, 2)
  }

  const io = { ...recorder(), said: [] as string[] }
  const told = { ...io, say: (text: string) => void io.said.push(text) }
  const untrained = flags({ ...one, scope: 'layer', scan, output: file('untrained.onnx') })
  await runPrune(start, untrained, told, signal)
  expect(io.said.join()).toContain('scan.json is a scan of trained.onnx with other weights')

  await expect(prune({ output: scan })).rejects.toThrow('scan.json: this would overwrite')
  await expect(prune({ scope: 'global' })).rejects.toThrow(
    'scope global with a share for each tensor; expected scope layer',
  )
  await expect(prune({ unit: 'filter' })).rejects.toThrow(
    'it is a scan of unit element, not filter; expected --unit element',
  )
  const unfinished = { ...JSON.parse(readFileSync(scan, 'utf8')), complete: false }
  writeFileSync(file('unfinished.json'), JSON.stringify(unfinished))
  await expect(prune({ scan: file('unfinished.json') })).rejects.toThrow('unfinished.json: the scan has not ended')
})

it('looks at samples of all classes, also where they come class by class', async () => {
  const [train, test] = [drawDigits(2600, 1), drawDigits(300, 2)]
  const byClass = Uint32Array.from({ length: train.length }, (_, i) => i).sort(
    (a, b) => train.labels![a] - train.labels![b],
  )
  const arrays = (set: typeof train, split: string) => ({
    [`x_${split}`]: { shape: [set.length, 28, 28], data: set.fields.image.data },
    [`y_${split}`]: { shape: [set.length], data: set.labels! },
  })
  writeFileSync(
    file('sorted.npz'),
    await writeNpz({ ...arrays(subset(train, byClass), 'train'), ...arrays(test, 'test') }),
  )
  const trained = join(import.meta.dirname, '../../models/digits-lenet5.onnx')
  const once = { data: `npz:${file('sorted.npz')}`, epochs: '0', pruning: 'one-shot', scope: 'layer', sparsity: '0.5' }
  for (const score of ['taylor', 'obd']) {
    const io = recorder()
    await runPrune(trained, flags({ ...once, score, seed: '2' }), io, signal)
    expect(io.results[0].test?.after, score).toBeGreaterThan(0.9)
  }
})

it('prunes by a quality, by obs, and by obd with either diagonal', async () => {
  const once = { data: 'digits:64', epochs: '0', pruning: 'one-shot', scope: 'layer', sparsity: '0.6', shrink: false }
  const zeros: string[] = []
  const ways: FlagTexts[] = [
    { quality: '1', sparsity: undefined },
    { score: 'obs' },
    { score: 'obd' },
    { score: 'obd', diagonal: 'hessian' },
  ]
  for (const way of ways) {
    await runPrune(start, flags({ ...once, ...way }), recorder(), signal)
    // By quality: weights of a uniform distribution, of which 1 / √3 lie within a standard deviation.
    expect(sparsityOf(file('out.onnx'))).toBeCloseTo(way.quality ? 1 / Math.sqrt(3) : 0.6, 2)
    zeros.push(
      weightTensors(openModel(file('out.onnx')))
        .map((w) => floats(w.tensor).map((v) => (v === 0 ? 1 : 0)))
        .join(),
    )
  }
  expect(new Set(zeros).size).toBe(ways.length)
})

it('counts parameters wherever they are stored', async () => {
  const whole = lenet5(1)
  const { graph } = whole
  const fc = graph.initializers.get('fc1.w')!
  const constants = withGraph(whole, {
    nodes: [node('Constant', [], ['fc1.w'], { value: fc }), ...graph.nodes],
    initializers: new Map([...graph.initializers].filter(([name]) => name !== 'fc1.w')),
  })
  await saveModel(file('constants.onnx'), constants)
  const once = { data: undefined, epochs: '0', pruning: 'one-shot', shrink: false }
  const [plain, stored] = [recorder(), recorder()]
  await runPrune(start, flags(once), plain, signal)
  await runPrune(file('constants.onnx'), flags(once), stored, signal)
  for (const part of ['before', 'after'] as const) {
    const { packed: _, ...counts } = plain.results[0][part]
    expect(stored.results[0][part]).toMatchObject(counts)
  }
})

it.skipIf(!modelsFolder)(`counts no less than nothing in nested graphs${needsModels}`, async () => {
  await saveModel(file('silero.onnx'), realModel('silero_vad'))
  const io = recorder()
  const once = { data: undefined, epochs: '0', pruning: 'one-shot', scope: 'layer', sparsity: '0.5' }
  await runPrune(file('silero.onnx'), flags(once), io, signal)
  const { before, after } = io.results[0]
  expect(after.nonzero).toBeGreaterThan(0.3 * before.nonzero)
  expect(after.nonzero).toBeLessThan(0.7 * before.nonzero)
})

it('says in one sentence what is wrong with its flags', async () => {
  writeFileSync(file('no-scan.json'), '{}')
  writeFileSync(file('null.json'), 'null')
  writeFileSync(file('hollow.json'), '{"format":"coppice scan 1","complete":true,"unit":"element","curves":[null]}')
  const cases: readonly (readonly [FlagTexts, RegExp])[] = [
    [{ data: undefined }, /there is no data to train on; expected --data SPEC, or --epochs 0/],
    [{ data: undefined, epochs: '0', score: 'obd' }, /score obd needs data/],
    [{ data: undefined, epochs: '0', score: 'obs' }, /score obs needs data/],
    [{ quality: '1' }, /--quality: --sparsity is given too; expected one of/],
    [
      { scan: 'x.json', sparsity: undefined, sparsities: 'fc=0.5' },
      /--scan: --sparsities is given too; expected one of/,
    ],
    [{ quality: '-1', sparsity: undefined }, /--quality: "-1"; expected a number within \[0, 100\]/],
    [
      { quality: '0', sparsity: undefined, scope: 'layer' },
      /quality 0; expected a number of standard deviations above 0/,
    ],
    [{ quality: 'x', sparsity: undefined }, /--quality: "x"; expected a number/],
    [{ diagonal: 'exact', score: 'obd' }, /--diagonal: "exact"; expected fisher or hessian/],
    [{ sparsity: '1.5' }, /--sparsity: "1.5"; expected/],
    [{ pruning: 'slow' }, /--pruning: "slow"; expected one-shot, iterative or gradual/],
    [{ epochs: '0', finalEpochs: '2' }, /--final-epochs: nothing is trained; expected --epochs above 0/],
    [{ epochs: '0', restart: true }, /--restart: nothing is trained/],
    [{ epochs: '0', threads: 'many' }, /--threads: "many"; expected a whole number/],
    [{ scan: '', sparsity: undefined }, /^"": there is no such file/],
    [{ scan: file('null.json'), sparsity: undefined }, /it is not a scan of this version/],
    [{ scan: file('hollow.json'), sparsity: undefined }, /curve 0 is damaged; expected a name, points and a share/],
    [{ exclude: 'fc9' }, /names "fc9", which is no weight of the model/],
    [{ scan: file('no-scan.json'), sparsity: undefined }, /it is not a scan of this version/],
  ]
  for (const [more, message] of cases)
    await expect(runPrune(start, flags(more), recorder(), signal)).rejects.toThrow(message)
})
