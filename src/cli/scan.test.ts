/** `coppice scan` as a person runs it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import { drawDigits } from '../data/digits.ts'
import { writeNpz } from '../data/npy.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import { loadData } from '../node/data.ts'
import { saveModel } from '../node/files.ts'
import type { ScanFile } from '../node/scan-file.ts'
import type { LayerCauses } from '../quantize/int8-layers.ts'
import { type FlagTexts, runCommand } from '../testing/run-command.ts'
import { lenet5 } from '../testing/small-nets.ts'
import { train } from '../train/train.ts'
import { scanCommand } from './commands/scan.ts'
import type { Io } from './io.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-scan-'))
const file = (name: string): string => join(folder, name)
const model = file('model.onnx')
const signal = new AbortController().signal
afterAll(() => rmSync(folder, { recursive: true, force: true }))
beforeAll(async () => {
  const start = lenet5(1)
  const data = (await loadData('digits:400', { seed: 1 })).train
  const inputs = requiredInputs(start)
  const batcher = batcherFor(inputs, data, guessPreprocess(inputs, data, {}))
  const options = { batcher, epochs: 3, batchSize: 20, learningRate: 0.02, threads: 1 }
  await saveModel(model, (await train(start, data, options)).model)
})

const runScan = (path: string, flags: FlagTexts, io: Io, signal: AbortSignal) =>
  runCommand(scanCommand, [path], flags, { io, signal })

const flags = (more: FlagTexts): FlagTexts => ({
  data: 'digits:400',
  seed: '1',
  samples: '100',
  threads: '1',
  ...(more.of === 'int8' ? {} : { sparsities: '0.5,0.9', maxLoss: '1', unit: 'element', retrain: '0' }),
  ...(Number(more.retrain) > 0 ? { retrainSamples: '200', rate: '0.01' } : {}),
  ...more,
})

function io(heard: { said?: (text: string) => void; progress?: () => void } = {}): Io {
  const { said = () => {}, progress = () => {} } = heard
  return { json: false, result: (text) => said(text), say: said, warn: said, milestone: said, progress, finish() {} }
}

const read = (name: string): ScanFile => JSON.parse(readFileSync(file(name), 'utf8')) as ScanFile

for (const retrain of ['0', '1']) {
  it(`goes on where it was stopped, to the same file; ${retrain} epochs of retraining`, async () => {
    const [whole, parts] = [`whole-${retrain}.json`, `parts-${retrain}.json`]
    await runScan(model, flags({ retrain, output: file(whole), report: file('report.html') }), io(), signal)
    expect(readFileSync(file('report.html'), 'utf8')).toContain('<polyline')
    const result = read(whole)
    expect(result).toMatchObject({ samples: 100, retrainEpochs: Number(retrain) })
    expect(result.curves.length).toBe(4)

    const stop = new AbortController()
    let points = 0
    const stopping = io({ progress: () => ++points === 4 && stop.abort() })
    await expect(runScan(model, flags({ retrain, output: file(parts) }), stopping, stop.signal)).rejects.toThrow('stop')
    expect(read(parts).curves.map((c) => c.points.length)).toEqual([2, 1])
    expect([read(whole), read(parts)]).toMatchObject([
      { unit: 'element', complete: true },
      { unit: 'element', complete: false },
    ])
    const said: string[] = []
    await runScan(model, flags({ retrain, output: file(parts) }), io({ said: (t) => void said.push(t) }), signal)
    expect(said).toContain(`${file(parts)}: resuming after 3 points`)
    expect(readFileSync(file(parts)).equals(readFileSync(file(whole)))).toBe(true)

    await runScan(
      model,
      flags({ retrain, output: file(parts), samples: '50' }),
      io({ said: (t) => void said.push(t) }),
      signal,
    )
    expect(said).toContain(`${file(parts)}: it is of another model, data or grid; starting again`)
    expect(read(parts).samples).toBe(50)
  })
}

it('begins anew where the samples of a file have changed', async () => {
  const set = file('set.npz')
  const arrays = async (seed: number): Promise<Uint8Array> => {
    const { fields, labels, length } = drawDigits(40, seed)
    return writeNpz({ x: { shape: [length, 28, 28], data: fields.image.data }, y: { shape: [length], data: labels! } })
  }
  const said: string[] = []
  const run = (): Promise<void> => {
    const of = { data: `npz:${set}`, sparsities: '0.9', samples: '20', output: file('set.json') }
    return runScan(model, flags(of), io({ said: (t) => void said.push(t) }), signal)
  }
  writeFileSync(set, await arrays(1))
  await run()
  const first = read('set.json')
  writeFileSync(set, await arrays(2))
  await run()
  expect(said).toContain(`${file('set.json')}: it is of another model, data or grid; starting again`)
  expect(read('set.json').reference).not.toEqual(first.reference)
})

it('says in one sentence what is wrong', async () => {
  writeFileSync(file('broken.json'), '{')
  const cases: readonly (readonly [FlagTexts, RegExp])[] = [
    [{ data: undefined }, /scan: there is no data; expected --data SPEC/],
    [{ unit: 'row' }, /--unit: "row"; expected element or filter/],
    [{ sparsities: '0.5,0.4' }, /expected rising numbers/],
    [{ retrain: '1', retrainSamples: '20' }, /--retrain: \d+ samples are left to train on; expected at least 64/],
    [{ output: file('broken.json') }, /broken.json: it is not JSON/],
    [{ report: model }, /model.onnx: this would overwrite an input or another output; expected a name of its own/],
    [{ report: file('x.json') }, /x.json: this would overwrite/],
    [{ output: file('nowhere/x.json') }, /there is no folder/],
  ]
  const before = readFileSync(model)
  for (const [more, message] of cases)
    await expect(runScan(model, flags({ output: file('x.json'), ...more }), io(), signal)).rejects.toThrow(message)
  expect(readFileSync(model).equals(before)).toBe(true)
})

it('says of numbers that percentages are of the variance explained', async () => {
  const { fields, length } = drawDigits(40, 1)
  const targets = Float32Array.from({ length: length * 10 }, (_, i) => Math.sin(i))
  const arrays = {
    x: { shape: [length, 28, 28], data: fields.image.data },
    targets: { shape: [length, 10], data: targets },
  }
  writeFileSync(file('numbers.npz'), await writeNpz(arrays))
  const said: string[] = []
  const of = { data: `npz:${file('numbers.npz')}`, sparsities: '0.9', samples: '20', output: file('numbers.json') }
  await runScan(model, flags({ ...of, report: file('numbers.html') }), io({ said: (t) => void said.push(t) }), signal)
  expect(said.join('\n')).toMatch(/variance of the targets explained .* on 20 samples/)
  expect(said.join('\n') + readFileSync(file('numbers.html'), 'utf8')).not.toMatch(/top-1|to chance/)
  expect(read('numbers.json').measure).toBe('explained variance')
})

it('--of int8: each layer with the noise it adds, and what of it adds most', async () => {
  const heard: string[] = []
  const more = { of: 'int8', output: file('int8.json') }
  await runScan(model, flags(more), io({ said: (text) => void heard.push(text) }), signal)
  const { layers } = JSON.parse(readFileSync(file('int8.json'), 'utf8')) as { layers: LayerCauses[] }
  expect(layers.map((l) => l.op).sort()).toEqual(['Conv', 'Conv', 'Gemm', 'Gemm'])
  const noises = layers.map((l) => l.snrDb)
  expect(noises).toEqual([...noises].sort((a, b) => a - b))
  for (const l of layers) {
    // What is rounded in a layer adds up to about what the whole layer on integers adds.
    const parts = [l.weightsDb, l.inputDb, l.resultDb ?? 200].reduce((sum, db) => sum + 10 ** (-db / 10), 0)
    expect(Math.abs(-10 * Math.log10(parts) - l.snrDb), l.node).toBeLessThan(6)
    const [least] = Object.entries({ weights: l.weightsDb, input: l.inputDb, result: l.resultDb ?? 200 }).sort(
      ([, a], [, b]) => a - b,
    )
    expect(l.mainly).toBe(least[0])
  }
  expect(heard.at(-1)).toMatch(/because of/)
  await expect(runScan(model, flags({ ...more, report: file('r.html') }), io(), signal)).rejects.toThrow(
    '--report: --of int8 does not read it; expected --of pruning with it',
  )
})
