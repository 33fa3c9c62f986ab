/**
 * Networks trained to do with few bits: what do they lose against their float forms, and how many bytes are they packed?
 *
 *   COPPICE_MODELS=… COPPICE_DATA=… COPPICE_CIFAR10=… npm run experiment -- quantisation-aware-training
 *     [--runs lenet5-w4a4,…] [--epochs N] [--work FOLDER] [--threads 1]
 *
 * Each run starts from the float network (LeNet-5 is trained first, on the whole training set) and is the method
 * `train-quantised` with the options below, chosen beforehand: nothing is chosen by the test set, which each network meets
 * once, decoded from its packed bytes. Writes results/NAME.json per run and results/table.md from all of them. A run that
 * was cut off goes on from its checkpoint in the work folder.
 */
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { loadCase } from '../../bench/_cases.mts'
import { batcherFor, requiredInputs } from '../../src/data/batcher.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import { type BoundData, dataHandle } from '../../src/data/handle.ts'
import { guessPreprocess } from '../../src/data/preprocess.ts'
import { packModel } from '../../src/formats/pack.ts'
import { unpackModel } from '../../src/formats/unpack.ts'
import type { Model } from '../../src/model.ts'
import { checkpointFile } from '../../src/node/checkpoint-file.ts'
import { loadData } from '../../src/node/data.ts'
import { saveModel, writeFileAtomic } from '../../src/node/files.ts'
import { writeModel } from '../../src/onnx/write.ts'
import { int8 } from '../../src/quantize/int8.ts'
import { count } from '../../src/report/format.ts'
import { trainQuantised } from '../../src/retrain/train-quantised.ts'
import { sgd } from '../../src/train/optimizers.ts'
import { cosine } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import { validateClasses } from '../../src/train/validate.ts'
import { zoo } from '../../src/zoo/index.ts'
import { flag, readResults, stored, writeResults } from '../_shared.mts'

type Options = NonNullable<Parameters<typeof trainQuantised>[1]>

interface Run {
  readonly net: string
  readonly what: string
  readonly options: Options
  /** The network whose answers it learns, as int8, which answers as well and sooner. */
  readonly teacher?: string
}

const lenet = { batch: 64, rate: 0.01, crop: 1, epochs: 6 } as const
const resnet = { batch: 128, rate: 0.01, decay: 1e-4, crop: 4, flip: true, alpha: 0.9, freezeAfter: 1 } as const
const larger = { net: 'cifar10-resnet20', teacher: 'cifar10-resnet56' } as const
const speech = { batch: 50, rate: 0.002, epochs: 60, alpha: 1, mixup: 1, freezeAfter: 0.5 } as const

const runs: Readonly<Record<string, Run>> = {
  'lenet5-w8a8': { net: 'lenet5', what: '8 / 8', options: { ...lenet, epochs: 2 } },
  'lenet5-w4a4': { net: 'lenet5', what: '4 / 4', options: { ...lenet, weightBits: 4, activationBits: 4 } },
  'lenet5-w2a2': { net: 'lenet5', what: '2 / 2', options: { ...lenet, weightBits: 2, activationBits: 2 } },
  'lenet5-ternary': { net: 'lenet5', what: 'ternary / 8', options: { ...lenet, weights: 'ternary', edgeBits: 0 } },
  'lenet5-ttq': { net: 'lenet5', what: 'ttq / 8', options: { ...lenet, weights: 'ttq', edgeBits: 0 } },
  'lenet5-binary': { net: 'lenet5', what: 'binary / 8', options: { ...lenet, weights: 'binary', edgeBits: 0 } },
  'lenet5-xnor': {
    net: 'lenet5',
    what: 'binary / 1',
    options: { ...lenet, weights: 'binary', activationBits: 1 },
  },
  'kws-w4a4': { net: 'mlperf-tiny-kws-dscnn', what: '4 / 4', options: { ...speech, weightBits: 4, activationBits: 4 } },
  'resnet20-w4a4': {
    ...larger,
    what: '4 / 4',
    options: { ...resnet, epochs: 4, weightBits: 4, activationBits: 4 },
  },
  'resnet20-w3a3': {
    net: larger.net,
    what: '3 / 3',
    options: { ...resnet, epochs: 6, weightBits: 3, activationBits: 3 },
  },
  'resnet20-w2a2': {
    ...larger,
    what: '2 / 2',
    options: { ...resnet, epochs: 15, rate: 0.02, weightBits: 2, activationBits: 2 },
  },
  'resnet20-binary': {
    ...larger,
    what: 'binary / 8',
    options: { ...resnet, epochs: 10, rate: 0.02, weights: 'binary' },
  },
}

interface Measured {
  readonly accuracyPercent: number
  readonly packedBytes: number
}

interface Result {
  readonly net: string
  readonly what: string
  readonly options: Options
  readonly teacher?: string
  readonly float: Measured & { readonly onnxBytes: number }
  readonly quantised: Measured & { readonly onnxBytes: number }
}

const here = import.meta.dirname
const work = flag('work', join(here, '.coppice'))
const threads = Number(flag('threads', '1'))
const out = join(here, 'results')
for (const folder of [work, out]) mkdirSync(folder, { recursive: true })

interface Case {
  readonly model: Model
  readonly bound: BoundData
}

async function caseOf(net: string): Promise<Case> {
  if (net === 'lenet5') return lenetCase()
  const { model, train: training, test, preprocess } = await loadCase(net)
  const batcher = batcherFor(requiredInputs(model), training, preprocess)
  return { model, bound: { splits: { train: training, test }, batcher } }
}

/** LeNet-5 of the zoo, trained for 12 epochs. */
async function lenetCase(): Promise<Case> {
  const start = zoo.lenet5.build({ seed: 0 })
  const splits = await loadData(`mnist:${join(process.env.COPPICE_DATA ?? '', 'mnist')}`, { seed: 0 })
  const inputs = requiredInputs(start)
  const batcher = batcherFor(inputs, splits.test, guessPreprocess(inputs, splits.test, {}))
  const model = await stored(join(work, 'lenet5.onnx'), async () => {
    const options = { batcher, batchSize: 64, learningRate: 0.02, optimizer: sgd({ weightDecay: 5e-4 }) }
    const trained = await train(start, splits.train, {
      ...options,
      ...{ epochs: 12, schedule: cosine(), augment: { crop: 1 }, seed: 0, threads },
      checkpoint: { store: checkpointFile(join(work, 'lenet5.checkpoint')) },
    })
    return trained.model
  })
  return { model, bound: { splits, batcher } }
}

async function measure(model: Model, test: Dataset, { batcher }: BoundData): Promise<Result['float']> {
  const packed = packModel(model)
  const { accuracy } = await validateClasses(unpackModel(packed), test, { batcher, batchSize: 250, threads })
  return {
    accuracyPercent: Number((100 * accuracy).toFixed(2)),
    packedBytes: packed.byteLength,
    onnxBytes: writeModel(model).byteLength,
  }
}

/** A network in int8, calibrated on the training set. */
async function inInt8(net: string, { bound }: Case): Promise<Model> {
  const { model } = await caseOf(net)
  const { train: training } = bound.splits
  return int8(model, {}, { data: dataHandle({ train: training, batcher: bound.batcher }, { seed: 1 }), seed: 1 })
}

async function runOne(name: string, { net, what, options, teacher }: Run): Promise<void> {
  const path = join(out, `${name}.json`)
  if (Object.keys(readResults(path)).length > 0) return
  const found = await caseOf(net)
  const { model, bound } = found
  const started = performance.now()
  const all = flag('epochs', '') ? { ...options, epochs: Number(flag('epochs', '')) } : options
  let told = 0
  const quantised = await stored(join(work, `${name}.onnx`), async () =>
    trainQuantised(model, all, {
      data: dataHandle({ train: bound.splits.train, batcher: bound.batcher }, { seed: 1 }),
      seed: 1,
      ...(teacher ? { teacher: await inInt8(teacher, found) } : {}),
      checkpoint: checkpointFile(join(work, `${name}.checkpoint`)),
      warn: (text) => console.error(`${name}: ${text}`),
      progress(done, text) {
        if (performance.now() - told < 20_000) return
        told = performance.now()
        console.error(`${name}: ${(100 * done).toFixed(1)} %, ${text}, ${((told - started) / 60_000).toFixed(1)} min`)
      },
    }),
  )
  const [float, after] = [
    await measure(model, bound.splits.test, bound),
    await measure(quantised, bound.splits.test, bound),
  ]
  const result: Result = { net, what, options: all, ...(teacher ? { teacher } : {}), float, quantised: after }
  await writeResults(path, result as unknown as Record<string, unknown>)
  await saveModel(join(work, `${name}.onnx`), quantised)
  console.error(`${name}: ${float.accuracyPercent} % -> ${after.accuracyPercent} %, ${after.packedBytes} bytes`)
}

async function writeTable(): Promise<void> {
  const results = readdirSync(out)
    .filter((f) => f.endsWith('.json'))
    .map((f) => readResults(join(out, f)) as unknown as Result)
  const rows = Object.values(runs).flatMap(({ net, what }) => results.filter((r) => r.net === net && r.what === what))
  const lines = rows.map(({ net, what, float, quantised, options, teacher }) =>
    [
      ...['', net, what, options.epochs, teacher ?? '', `${float.accuracyPercent.toFixed(2)} %`],
      `${quantised.accuracyPercent.toFixed(2)} %`,
      (float.accuracyPercent - quantised.accuracyPercent).toFixed(2),
      count(quantised.packedBytes),
      `${(float.onnxBytes / quantised.packedBytes).toFixed(1)} x`,
      '',
    ]
      .join(' | ')
      .trim(),
  )
  const text = `# Trained under quantisation

Bits of weights / activations; the first and the last layer have 8 unless the run's options say otherwise. Binary / 1 is
XNOR-Net: layers multiply signs by signs. Accuracy is that
of the network decoded from the packed file, on the whole test set (keyword spotting: the half of the maps that training
did not see). Teacher: a larger network whose answers were learnt beside the labels, in int8; without one, ResNet-20 and keyword
spotting learn those of their own float form. Smaller: the float .onnx file over the packed file.

| network | bits | epochs | teacher | float | quantised | points lost | packed bytes | smaller |
| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |
${lines.join('\n')}
`
  await writeFileAtomic(join(out, 'table.md'), new TextEncoder().encode(text))
}

for (const name of flag('runs', Object.keys(runs).join()).split(',')) {
  const run = runs[name]
  if (!run) throw new Error(`--runs: there is no "${name}"; expected some of ${Object.keys(runs).join(', ')}`)
  await runOne(name, run)
  await writeTable()
}
