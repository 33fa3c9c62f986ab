/** `coppice train` and `coppice finetune` as a person runs them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { drawDigits } from '../data/digits.ts'
import { writeNpz } from '../data/npy.ts'
import { withGraph, withWeights } from '../model.ts'
import { openModel, saveModel } from '../node/files.ts'
import type { TrainReport } from '../report/train-report.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { type FlagTexts, runCommand } from '../testing/run-command.ts'
import { lenet5, mobileNet } from '../testing/small-nets.ts'
import { finetuneCommand } from './commands/finetune.ts'
import { trainCommand } from './commands/train.ts'
import type { Io } from './io.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-cli-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function recorder(): Io & { results: unknown[] } {
  const results: unknown[] = []
  return {
    json: true,
    results,
    result: (_, value) => void results.push(value),
    say() {},
    warn() {},
    milestone() {},
    progress() {},
    finish() {},
  }
}

const runTrain = (net: string, flags: FlagTexts, io: Io, signal: AbortSignal) =>
  runCommand(trainCommand, [net], flags, { io, signal })
const runFinetune = (path: string, flags: FlagTexts, io: Io, signal: AbortSignal) =>
  runCommand(finetuneCommand, [path], flags, { io, signal })

const flags = (more: FlagTexts): FlagTexts => ({
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
  const [history, page] = [join(folder, 'history.json'), join(folder, 'report.html')]
  await runTrain('lenet300', flags({ history, report: page }), io, signal)
  const report = io.results[0] as TrainReport
  expect(report.test!.after).toBeGreaterThan(report.test!.before + 0.3)
  expect(JSON.parse(readFileSync(history, 'utf8'))).toEqual(report)

  // The curve's points are means of steps: over an epoch they give the epoch's own.
  const stepsPerEpoch = Math.floor(720 / 32)
  expect(report.curve).toHaveLength(4 * stepsPerEpoch)
  const second = report.curve.filter((p) => p.at > 1 && p.at <= 2)
  expect(second.reduce((sum, p) => sum + p.loss, 0) / second.length).toBeCloseTo(report.history[1].loss, 6)
  const html = readFileSync(page, 'utf8')
  expect(html).toContain('aria-label="Loss over 4 epochs: training ends at')
  expect(html).not.toMatch(/NaN|undefined|Infinity/)

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

it('finetune learns from a teacher, at --alpha 1 from images without labels', async () => {
  const [student, teacher, images] = ['student.onnx', 'teacher.onnx', 'images.npz'].map((name) => join(folder, name))
  await saveModel(student, lenet5(1))
  await saveModel(teacher, lenet5(2, true))
  const [x_train, x_test] = [256, 64].map((n) => {
    return { shape: [n, 28, 28], data: drawDigits(n, n).fields.image.data as Uint8Array }
  })
  writeFileSync(images, await writeNpz({ x_train, x_test }))
  const taught = flags({
    ...{ data: `npz:${images}`, teacher, alpha: '1', temperature: '2', epochs: '3', rate: '0.01' },
    ...{ validation: undefined, smoothing: undefined, output: join(folder, 'taught.onnx') },
  })
  const io = recorder()
  await runFinetune(student, taught, io, signal)
  const { history, options, test } = io.results[0] as TrainReport
  expect(history[2].loss).toBeLessThan(0.5 * history[0].loss)
  expect(history[0].accuracy).toBeUndefined()
  expect(test).toBeUndefined()
  expect(options).toMatchObject({ teacher: 'teacher.onnx', alpha: '1', temperature: '2' })
  for (const [more, message] of [
    [{ alpha: undefined }, /it has no labels; expected labels or targets/],
    [{ teacher: undefined }, /^--temperature: there is no teacher; expected --teacher MODEL with it$/],
    [{ output: teacher }, /teacher\.onnx: this would overwrite/],
  ] as const)
    await expect(runFinetune(student, { ...taught, ...more }, io, signal)).rejects.toThrow(message)
})

it('says in one sentence what is wrong with its flags', async () => {
  const io = recorder()
  const cases: readonly (readonly [string, FlagTexts, RegExp])[] = [
    ['lenet30', {}, /no network "lenet30"; did you mean "lenet300"/],
    ['lenet5', { schedule: 'stepwise' }, /--schedule: "stepwise"; expected/],
    ['lenet5', { optimizer: 'adamax' }, /--optimizer: /],
    ['lenet5', { epochs: '0' }, /--epochs: "0"; expected/],
    ['lenet5', { data: undefined }, /expected --data SPEC/],
    ['lenet5', { input: '1,28' }, /--input: /],
    ['lenet5', { rate: 'NaN' }, /--rate: "NaN"; expected a number/],
    ['lenet5', { validation: '0', patience: '2' }, /--patience: .*expected --validation/],
    ['lenet5', { output: join(folder, 'none/x.onnx') }, /none\/x.onnx: there is no folder/],
    ['lenet5', { output: folder }, /it is a folder; expected a file/],
    ['lenet5', { history: join(folder, 'out.onnx') }, /would overwrite/],
    ['lenet5', { data: `npz:${join(folder, 'none.npz')}` }, /none.npz: there is no such file/],
    ['lenet5', { input: '3,32,32' }, /\[1,28,28\] do not fit the model's input "input" \[N,3,32,32\]/],
    ['lenet5', { classes: '4' }, /labels of 10 classes fit no output of the model \("logits" \[N,4\]\)/],
  ]
  for (const [net, more, message] of cases)
    await expect(runTrain(net, flags(more), io, signal)).rejects.toThrow(message)
})

it('trains a model that takes one batch size only in batches of another, and measures the whole test set with its own', async () => {
  const io = recorder()
  const fixed = lenet5(1)
  const inputs = fixed.graph.inputs.map((i) => ({ ...i, shape: [48, 1, 28, 28] }))
  const path = join(folder, 'fixed.onnx')
  await saveModel(path, withGraph(fixed, { inputs }))
  const output = join(folder, 'fixed-tuned.onnx')
  await runFinetune(path, flags({ output, batch: '20', data: 'digits:400', epochs: '2' }), io, signal)
  const { test } = io.results[0] as TrainReport
  expect(test!.samples % 48).not.toBe(0)
  // Shares of all samples, the last and partly filled batch included.
  const right = test!.after * test!.samples
  expect(right).toBeCloseTo(Math.round(right), 9)
  expect(test!.after).toBeGreaterThan(test!.before)
})

it('fine-tuning keeps the statistics of BatchNormalization, unless it is told to take on those of the data', async () => {
  const net = mobileNet(1)
  const path = join(folder, 'normalised.onnx')
  await saveModel(path, net)
  const output = join(folder, 'normalised-tuned.onnx')
  const mean = async (more: object): Promise<Float32Array> => {
    await runFinetune(path, { ...flags({ output, data: 'digits:200', epochs: '1' }), ...more }, recorder(), signal)
    return floats(openModel(output).graph.initializers.get('bn0.mean')!)
  }
  const before = floats(net.graph.initializers.get('bn0.mean')!)
  expect(await mean({})).toEqual(before)
  expect(await mean({ updateStatistics: true })).not.toEqual(before)
})
