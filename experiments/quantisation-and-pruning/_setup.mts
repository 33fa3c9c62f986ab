/**
 * What the paper's experiments share: its three nets on one data set, split, fed and trained alike.
 *
 * As in the paper: SGD with momentum 0.9 and weight decay 1e-5, batch 50, a fifth of the training data held back for validation.
 * Other than the paper: images keep their size (28 x 28, 32 x 32; AlexNet, which needs 63 x 63, gets 64 x 64 by nearest pixels)
 * instead of 224 x 224; few epochs with the rate on half a cosine instead of 50 at a constant one; AlexNet takes Adam, batches of
 * 100 and its last map as it is (1 x 1, not repeated to 6 x 6); training images, and only those, are flipped at random. All choices
 * are made on validation data.
 */
import { mkdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type BoundBatcher, batcherFor, requiredInputs } from '../../src/data/batcher.ts'
import { first, splitDataset } from '../../src/data/batches.ts'
import type { Dataset, Splits } from '../../src/data/dataset.ts'
import { guessPreprocess } from '../../src/data/preprocess.ts'
import { weightTensors } from '../../src/graph/weights.ts'
import type { Model } from '../../src/model.ts'
import { checkpointFile } from '../../src/node/checkpoint-file.ts'
import { loadData } from '../../src/node/data.ts'
import type { RoundTraining } from '../../src/prune/prune-and-train.ts'
import { floats, sizeOf } from '../../src/tensor/dtype.ts'
import type { CheckpointStore } from '../../src/train/checkpoint.ts'
import { adam, type Optimizer, sgd } from '../../src/train/optimizers.ts'
import { trainableNames } from '../../src/train/parameters.ts'
import { cosine, warmUp } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import type { TrainOptions } from '../../src/train/train-options.ts'
import { type ClassValidation, validateClasses } from '../../src/train/validate.ts'
import { zoo } from '../../src/zoo/index.ts'
import { flag, stored } from '../_shared.mts'
import { type NetName, netNames } from './_paper.mts'

interface NetDefaults {
  readonly rate: number
  readonly batch: number
  readonly epochs: number
  /** Images are made this large at least. */
  readonly side: number
  /** Instead of SGD. */
  readonly optimizer?: 'adam'
  readonly pooled?: number
}

const defaults: Readonly<Record<NetName, NetDefaults>> = {
  mobilenetV2: { rate: 0.02, batch: 50, epochs: 5, side: 28 },
  shufflenetV2: { rate: 0.02, batch: 50, epochs: 6, side: 28 },
  alexnet: { rate: 0.0003, batch: 100, epochs: 8, side: 64, optimizer: 'adam', pooled: 1 },
}

/** A net, its data and how it is trained; everything that changes a result is in `settings`. */
export interface Setup {
  readonly net: NetName
  readonly set: string
  readonly seed: number
  readonly settings: Readonly<Record<string, number | string>>
  /** Names a row of results. */
  readonly key: string
  readonly training: Dataset
  readonly validation: Dataset
  readonly test: Dataset
  readonly batcher: BoundBatcher
  readonly threads: number
  /** The untrained net. */
  start(): Model
  optimizer(weightDecay: number): Optimizer
  /** Options for a training called `what`. */
  options(what: string, more?: Partial<TrainOptions>): RoundTraining
  /** Where that training is kept, to go on from. */
  checkpoint(what: string): CheckpointStore
  /** The model called `what`, made where it is not there yet; its checkpoint goes. */
  made(what: string, make: () => Promise<Model>): Promise<Model>
  reference(): Promise<Model>
  measure(model: Model, data: Dataset): Promise<ClassValidation>
}

export const resultsFolder = flag('results', join(import.meta.dirname, 'results'))
mkdirSync(resultsFolder, { recursive: true })

/** Every net and seed that the command line asks for, in turn. */
export async function* setups(): AsyncGenerator<Setup> {
  const given = flag('data')
  const spec = /^(fashion-mnist|cifar10|digits)(:|$)/.test(given) ? given : `fashion-mnist:${given}`
  const splits = await loadData(spec, { seed: 0 })
  const set = spec.split(':')[0]
  for (const net of flag('nets', netNames.join(',')).split(',') as NetName[]) {
    if (!defaults[net]) throw new Error(`--nets: "${net}"; expected ${netNames.join(', ')}`)
    for (const seed of flag('seeds', '0').split(',').map(Number)) yield setupOf(net, { set, splits, seed })
  }
}

function setupOf(net: NetName, { set, splits, seed }: { set: string; splits: Splits; seed: number }): Setup {
  const known = defaults[net]
  const number = (name: string, fallback: number): number => Number(flag(name, String(fallback)))
  const threads = number('threads', 2)
  const crop = number('crop', 0)
  const mixup = number('mixup', 0)
  // A second half cosine after the first, from the same rate (Loshchilov, Hutter 2017: SGDR).
  const restart = number('restart', 0)
  const stem = flag('stem', 'imagenet')
  if (stem !== 'imagenet' && stem !== 'cifar') throw new Error(`--stem: "${stem}"; expected imagenet or cifar`)
  const settings = {
    epochs: number('epochs', known.epochs),
    batch: number('batch', known.batch),
    rate: number('rate', known.rate),
    decay: number('decay', 1e-5),
    width: number('width', 1),
    limit: number('limit', 0),
    side: number('side', known.side),
    ...(known.optimizer ? { optimizer: known.optimizer } : {}),
    ...(known.pooled ? { pooled: known.pooled } : {}),
    ...(stem === 'cifar' ? { stem } : {}),
    ...(crop > 0 ? { crop } : {}),
    ...(mixup > 0 ? { mixup } : {}),
    ...(restart > 0 ? { restart } : {}),
  }
  const test = enlarged(splits.test, settings.side)
  const [rest, heldBack] = splitDataset(splits.train, 0.2, 42)
  const training = enlarged(settings.limit > 0 ? first(rest, settings.limit) : rest, settings.side)
  const validation = enlarged(heldBack, settings.side)
  const [{ shape }] = Object.values(test.fields)
  const start = (): Model =>
    zoo[net].build({
      classes: 10,
      inputShape: [shape[0], shape[1], shape[2]],
      width: settings.width,
      ...(settings.pooled ? { pooled: settings.pooled } : {}),
      stem,
      seed,
    })
  const optimizer = (weightDecay: number): Optimizer =>
    settings.optimizer === 'adam' ? adam({ weightDecay }) : sgd({ momentum: 0.9, weightDecay })
  const inputs = requiredInputs(start())
  const batcher = batcherFor(inputs, test, guessPreprocess(inputs, test, pixelMoments(training)))
  const key = [net, set, `seed ${seed}`, ...Object.entries(settings).map(([n, v]) => `${n} ${v}`)].join(', ')
  const work = join(flag('work', '.coppice/experiments'), key.replaceAll(', ', '_').replaceAll(' ', '-'))
  mkdirSync(work, { recursive: true })
  const options = (what: string, more: Partial<TrainOptions> = {}): RoundTraining => ({
    batcher,
    epochs: settings.epochs,
    batchSize: settings.batch,
    learningRate: settings.rate,
    optimizer: optimizer(settings.decay),
    schedule: warmUp(0.2, cosine()),
    augment: { flip: set !== 'digits', ...(crop > 0 ? { crop } : {}), ...(mixup > 0 ? { mixup } : {}) },
    seed,
    threads,
    onProgress: (p) => {
      const { finished, secondsLeft, epoch, epochs, loss, accuracy = 0 } = p
      if (!finished && p.step % 100 !== 0) return
      const left = `${Math.round(secondsLeft / 60)} min left`
      console.error(
        `${net} ${what}: epoch ${epoch + 1}/${epochs}, loss ${loss.toFixed(4)}, ${accuracy.toFixed(4)}, ${left}`,
      )
    },
    ...more,
  })
  const checkpoint = (what: string): CheckpointStore => checkpointFile(join(work, `${what}.ck`))
  const made: Setup['made'] = async (what, make) => {
    const model = await stored(join(work, `${what}.onnx`), make)
    await rm(join(work, `${what}.ck`), { force: true })
    return model
  }
  const trainedFrom = async (from: Model, what: string, epochs: number): Promise<Model> => {
    const how = { ...options(what, { epochs }), checkpoint: { store: checkpoint(what) } }
    return (await train(from, training, how)).model
  }
  const trained = async (): Promise<Model> => {
    if (restart === 0) return trainedFrom(start(), 'reference', settings.epochs)
    const before = await made('before-restart', () => trainedFrom(start(), 'before-restart', settings.epochs))
    return trainedFrom(before, 'reference', restart)
  }
  return {
    net,
    set,
    seed,
    settings,
    key,
    training,
    validation,
    test,
    batcher,
    threads,
    start,
    optimizer,
    options,
    checkpoint,
    made,
    reference: () => made('reference', trained),
    measure: (model, data) => validateClasses(model, data, { batcher, batchSize: 250, threads }),
  }
}

/** Images of at least `side` x `side`, each pixel the nearest one. */
function enlarged(data: Dataset, side: number): Dataset {
  const [[name, field]] = Object.entries(data.fields)
  const [channels, height, width] = field.shape
  if (height >= side && width >= side) return data
  const pixels = new Uint8Array(data.length * channels * side * side)
  for (let i = 0, plane = 0; plane < data.length * channels; plane++) {
    for (let y = 0; y < side; y++) {
      const row = (plane * height + Math.floor((y * height) / side)) * width
      for (let x = 0; x < side; x++) pixels[i++] = field.data[row + Math.floor((x * width) / side)]
    }
  }
  return { ...data, fields: { [name]: { ...field, shape: [channels, side, side], data: pixels } } }
}

/** Mean and standard deviation of each channel, of pixels within 0..1. */
function pixelMoments(data: Dataset): { mean: number[]; std: number[] } {
  const [{ shape, data: pixels }] = Object.values(data.fields)
  const plane = shape[1] * shape[2]
  const sums = Array.from({ length: shape[0] }, () => ({ sum: 0, squares: 0 }))
  for (let i = 0; i < pixels.length; i++) {
    const v = pixels[i] / 255
    const channel = sums[Math.floor(i / plane) % shape[0]]
    channel.sum += v
    channel.squares += v * v
  }
  const n = data.length * plane
  return {
    mean: sums.map(({ sum }) => sum / n),
    std: sums.map(({ sum, squares }) => Math.sqrt(squares / n - (sum / n) ** 2)),
  }
}

/** Trained parameters that are not zero; the paper's counts are of trained parameters too. */
export function parameters(model: Model): number {
  const weights = new Set(weightTensors(model).map((w) => w.tensor))
  return trainableNames(model.graph).reduce((n, name) => {
    const tensor = model.graph.initializers.get(name)
    if (!tensor) return n
    return n + (weights.has(tensor) ? floats(tensor).reduce((m, v) => m + (v === 0 ? 0 : 1), 0) : sizeOf(tensor.dims))
  }, 0)
}

/** A share as percent, to two digits. */
export function percent(share: number): number {
  return Number((100 * share).toFixed(2))
}
