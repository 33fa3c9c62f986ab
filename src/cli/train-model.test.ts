/** `coppice train` and `coppice finetune` as a person runs them. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { withWeights } from '../model.ts'
import { openModel, saveModel } from '../node/files.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { runFinetune } from './commands/finetune.ts'
import { type NetFlags, runTrain } from './commands/train.ts'
import type { Io } from './io.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-cli-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function recorder(): Io & { results: unknown[] } {
  const results: unknown[] = []
  return { json: true, results, result: (_, value) => void results.push(value), say() {}, progress() {}, finish() {} }
}

const flags = (more: Partial<NetFlags>): NetFlags => ({
  data: 'digits:800',
  seed: '1',
  output: join(folder, 'out.onnx'),
  epochs: '4',
  batch: '32',
  rate: '0.05',
  optimizer: 'sgd',
  momentum: '0.9',
  decay: '0.0005',
  schedule: 'cosine',
  warmUp: '0.5',
  smoothing: '0.1',
  crop: '1',
  validation: '0.1',
  engine: 'auto',
  threads: '1',
  ...more,
})
const signal = new AbortController().signal

it('trains a network of the zoo, then trains it on with its zeros kept', async () => {
  const io = recorder()
  const history = join(folder, 'history.json')
  await runTrain('lenet300', flags({ history }), io, signal)
  const report = io.results[0] as { test: { before: number; after: number }; history: unknown[] }
  expect(report.test.after).toBeGreaterThan(report.test.before + 0.3)
  expect(JSON.parse(readFileSync(history, 'utf8')).history).toEqual(report.history)

  const trained = openModel(join(folder, 'out.onnx'))
  const weights = [...trained.graph.initializers.values()].filter((t) => t.dtype === 'float32' && t.dims.length === 2)
  const pruned = withWeights(
    trained,
    weights.map((t) =>
      floatTensor(
        t.name,
        t.dims,
        floats(t).map((v, i) => (i % 2 ? v : 0)),
      ),
    ),
  )
  await saveModel(join(folder, 'pruned.onnx'), pruned)
  const output = join(folder, 'tuned.onnx')
  await runFinetune(join(folder, 'pruned.onnx'), flags({ keep: 'zeros', output, epochs: '1' }), io, signal)
  const tuned = openModel(output)
  for (const { name } of weights) {
    const values = floats(tuned.graph.initializers.get(name)!)
    expect(values.every((v, i) => i % 2 === 1 || v === 0)).toBe(true)
    expect(values).not.toEqual(floats(pruned.graph.initializers.get(name)!))
  }
})

it('says in one sentence what is wrong with its flags', async () => {
  const io = recorder()
  const cases: readonly (readonly [string, Partial<NetFlags>, RegExp])[] = [
    ['lenet30', {}, /no network "lenet30"; did you mean "lenet300"/],
    ['lenet5', { schedule: 'stepwise' }, /--schedule: "stepwise"; expected/],
    ['lenet5', { optimizer: 'adamax' }, /--optimizer: /],
    ['lenet5', { epochs: '0' }, /--epochs: "0"; expected/],
    ['lenet5', { data: undefined }, /expected --data SPEC/],
    ['lenet5', { input: '1,28' }, /--input: /],
  ]
  for (const [net, more, message] of cases)
    await expect(runTrain(net, flags(more), io, signal)).rejects.toThrow(message)
})
