/** `coppice scan`: how much pruning each weight tensor alone can bear, on held-back training data. */
import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { crc32 } from '../../checksum.ts'
import type { BoundBatcher } from '../../data/batcher.ts'
import { splitDataset } from '../../data/batches.ts'
import type { Dataset } from '../../data/dataset.ts'
import { dataFingerprint } from '../../data/fingerprint.ts'
import { drawApart, drawSamples } from '../../data/handle.ts'
import type { Model } from '../../model.ts'
import { environment } from '../../node/environment.ts'
import { writeFileAtomic } from '../../node/files.ts'
import { readScan, type ScanFile } from '../../node/scan-file.ts'
import { modelFingerprint } from '../../onnx/fingerprint.ts'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { expandGrids } from '../../quantize/compact.ts'
import { alignColumns, count, percent } from '../../report/format.ts'
import { type FactOptions, inputFacts } from '../../report/input-facts.ts'
import { factRows } from '../../report/rows.ts'
import { measureInWords, memorised, renderScan, type ScanPage } from '../../report/scan-html.ts'
import { wrap } from '../../report/text.ts'
import { type Retraining, type ScanResult, scan, scanGrid } from '../../search/scan.ts'
import { keepZeros } from '../../train/regimes/keep-zeros.ts'
import { train } from '../../train/train.ts'
import { defineCommand, type Invocation, threadsOption } from '../command.ts'
import { bindData, dataOptions, shapedModel } from '../data-options.ts'
import { withoutFolders } from '../facts.ts'
import { openToWork } from '../inputs.ts'
import { scanInt8 } from './scan-int8.ts'

const options = {
  ...dataOptions,
  of: {
    type: 'choice',
    of: ['pruning', 'int8'],
    default: 'pruning',
    help: 'what each layer alone is put to: pruning, or int8 (which layer adds how much noise, and why)',
  },
  output: {
    type: 'string',
    optional: true,
    short: 'o',
    value: 'file',
    writes: '.json',
    help: 'the curves (.json), from which a later run resumes (default: beside the model)',
  },
  report: {
    type: 'string',
    optional: true,
    value: 'file',
    writes: '.html',
    onlyWith: { of: ['pruning'] },
    help: 'also draw the curves (.html)',
  },
  sparsities: {
    type: 'numbers',
    default: scanGrid,
    min: 0,
    max: 1,
    onlyWith: { of: ['pruning'] },
    help: 'sparsities to measure at (shares of zeros), separated by commas',
  },
  maxLoss: {
    type: 'number',
    default: 1,
    min: 0,
    max: 100,
    value: 'points',
    onlyWith: { of: ['pruning'] },
    help: 'most points of accuracy (of numbers: of explained variance) that pruning one tensor may lose',
  },
  samples: {
    type: 'number',
    default: 2000,
    min: 1,
    max: 1e9,
    integer: true,
    help: 'training samples that are held back to measure on',
  },
  unit: {
    type: 'choice',
    of: ['element', 'filter'],
    default: 'element',
    value: 'unit',
    onlyWith: { of: ['pruning'] },
    help: 'element or filter: whether single weights or whole filters are zeroed',
  },
  retrain: {
    type: 'number',
    default: 0,
    min: 0,
    max: 1e6,
    integer: true,
    value: 'epochs',
    onlyWith: { of: ['pruning'] },
    help: 'train up to this many epochs before measuring each point; 0: measure without training',
  },
  retrainSamples: {
    type: 'number',
    default: 10_000,
    min: 1,
    max: 1e9,
    integer: true,
    onlyWith: { retrain: 'above 0' },
    help: 'samples to retrain on; a fifth of them decides when to stop',
  },
  rate: {
    type: 'number',
    default: 0.01,
    min: 0,
    max: 1e6,
    onlyWith: { retrain: 'above 0' },
    help: 'learning rate of --retrain',
  },
  ...threadsOption,
} as const satisfies OptionTable

export type ScanFlags = OptionsOf<typeof options>

export const scanCommand = defineCommand({
  arguments: '<model>',
  options,
  run: ([path], given, invocation) => runScan(path, given, invocation),
})

async function runScan(path: string, flags: ScanFlags, { io, signal }: Invocation): Promise<void> {
  if (flags.of === 'int8') return scanInt8(path, flags, { io, signal })
  const output = flags.output ?? `${path.replace(/\.onnx$/, '')}.scan.json`
  const given = expandGrids(openToWork(path, { outputs: [output, flags.report] }))
  const model = shapedModel(given, flags)
  const data = await bindData(model, flags, io, signal)
  if (!data) throw new Error('scan: there is no data; expected --data SPEC')
  const { unit, samples, sparsities, maxLoss, threads, seed } = flags
  const [held, others] = drawApart(data.splits.train, samples, seed)
  const retrain = retraining({ batcher: data.batcher, others, threads, signal }, flags)
  const how = retrain ? ` ${retrain.epochs} ${flags.retrainSamples} ${flags.rate} ${fingerprint(others)}` : ''
  const crc = modelFingerprint(given)
  const of = `${crc} ${fingerprint(held)} ${seed} ${sparsities.join()} ${unit} ${JSON.stringify(data.spec)}${how}`
  const file = (result: ScanResult, complete: boolean): ScanFile => ({
    format: 'coppice scan 1',
    model: basename(path),
    crc,
    unit,
    complete,
    of,
    ...result,
  })
  const write = (value: ScanFile): Promise<void> =>
    writeFileAtomic(output, new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`))
  const before = existsSync(output) ? readScan(output) : undefined
  const done = before?.of === of ? before : undefined
  if (before && !done) io.say(`${output}: it is of another model, data or grid; starting again`)
  const points = done?.curves.reduce((n, c) => n + c.points.length, 0) ?? 0
  if (points > 0) io.say(`${output}: resuming after ${points} points`)
  const result = await scan(
    model,
    { batcher: data.batcher, data: held },
    {
      sparsities,
      maxLoss,
      unit,
      ...(threads ? { threads } : {}),
      ...(retrain ? { retrain } : {}),
      ...(done ? { done } : {}),
      onPoint: (so) => write(file(so, false)),
      progress: io.progress,
      warn: io.warn,
      signal,
    },
  )
  await write(file(result, true))
  if (flags.report)
    await writeFileAtomic(flags.report, new TextEncoder().encode(renderScan(pageOf(path, model, data, flags), result)))
  io.finish()
  io.result(describe(result, [output, ...(flags.report ? [flags.report] : [])]), file(result, true))
}

function pageOf(path: string, model: Model, data: NonNullable<FactOptions['data']>, flags: ScanFlags): ScanPage {
  const input = inputFacts(model, { data, seed: flags.seed, threads: flags.threads })
  const page = {
    title: `Sensitivity of ${basename(path)}`,
    made: new Date().toISOString(),
    facts: factRows({ input }),
    environment: environment(),
  }
  return withoutFolders(page, data.spec?.data)
}

const fingerprint = (data: Dataset): number => crc32(new TextEncoder().encode(dataFingerprint(data)))

const retrainBatch = 64

/** What --retrain asks for: each pruned model trained on samples that the scan does not measure on, stopped early by others. */
function retraining(
  {
    batcher,
    others,
    threads,
    signal,
  }: { batcher: BoundBatcher; others: Dataset; threads?: number; signal: AbortSignal },
  flags: ScanFlags,
): Retraining | undefined {
  const { retrain: epochs, retrainSamples, rate: learningRate, seed } = flags
  if (epochs === 0) return undefined
  const chosen = drawSamples(others, retrainSamples, seed)
  const [training, validation] = splitDataset(chosen, 0.2, seed)
  const { batchSize = retrainBatch } = batcher
  if (training.length < batchSize)
    throw new Error(
      `--retrain: ${training.length} samples are left to train on; expected at least ${batchSize}; fewer --samples or more --retrain-samples may help`,
    )
  const options = { batcher, epochs, batchSize, learningRate, threads, signal, seed }
  return {
    epochs,
    train: async (pruned) =>
      (await train(pruned, training, { ...options, validation, patience: 1, regimes: [keepZeros()] })).model,
  }
}

function describe(result: ScanResult, files: readonly string[]): string {
  const { reference, samples, curves, maxLoss } = result
  const rows = curves.map((c) => [
    c.name,
    c.op,
    c.dims.join('x'),
    percent(c.recommended, 0),
    c.points.map((p) => percent(p.accuracy, 1)).join('  ') + (c.collapsed ? '  (collapsed)' : ''),
  ])
  return [
    ...wrap(
      `${measureInWords(result)} ${percent(reference.accuracy)} on ${count(samples)} samples of the training set; pruning one tensor may lose at most ${maxLoss} points.${memorised(result)}`,
      0,
    ),
    ...alignColumns([['tensor', 'operator', 'shape', 'recommended', `${result.measure} by sparsity`], ...rows]),
    ...files.map((f) => `wrote ${f}`),
  ].join('\n')
}
