/** Real networks with their whole test sets, for the benches: from the folders that the environment names. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { batcherFor, requiredInputs } from '../src/data/batcher.ts'
import { splitDataset, subset } from '../src/data/batches.ts'
import type { Dataset, Preprocess } from '../src/data/dataset.ts'
import { unpackOnnx } from '../src/formats/unpack-onnx.ts'
import type { Feeds } from '../src/method.ts'
import type { Model } from '../src/model.ts'
import { loadData } from '../src/node/data.ts'
import { readModel } from '../src/onnx/read.ts'
import { openSession } from '../src/runtime/session.ts'
import { permutation, random } from '../src/tensor/random.ts'

export interface Case {
  readonly id: string
  readonly model: Model
  /** Where calibration inputs come from; never the test set. */
  readonly train: Dataset
  readonly test: Dataset
  readonly preprocess: Preprocess
  readonly note?: string
}

const folder = (name: string): string => {
  const path = process.env[name]
  if (!path) throw new Error(`bench: ${name} is not set; expected a folder`)
  return path
}

const plain: Preprocess = { range: [0, 1], layout: 'NCHW' }
const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }

export const caseIds = [
  'cifar10-resnet20',
  'cifar10-resnet56',
  'mlperf-tiny-ic-resnet8',
  'mnist-8',
  'mlperf-tiny-kws-dscnn',
]

/** Networks of models/, by the data that they were trained on: two of images, and two that read images row by row. */
export const ownCaseIds = ['fashion-mobilenetv2', 'fashion-shufflenetv2', 'mnist-gru', 'mnist-transformer']

export async function loadCase(id: string): Promise<Case> {
  if (ownCaseIds.includes(id)) {
    const file = readFileSync(join(import.meta.dirname, `../models/${id}.cop`))
    const set = id.startsWith('mnist') ? 'mnist' : 'fashion-mnist'
    const spec = `${set}:${join(folder('COPPICE_DATA'), set)}`
    const { train, test } = await loadData(spec, { seed: 1 })
    return { id, model: readModel(unpackOnnx(file)), train, test, preprocess: plain }
  }
  const model = readModel(readFileSync(join(folder('COPPICE_MODELS'), `${id}.onnx`)))
  if (id === 'mlperf-tiny-kws-dscnn') {
    const [train, test] = splitDataset(keywords(), 0.5, 1)
    const note = 'the 1,000 maps come in one piece: half (by seed 1) calibrates, accuracy is given on each half'
    return { id, model, train, test, preprocess: plain, note }
  }
  const isMnist = id === 'mnist-8'
  const spec = isMnist ? `mnist:${join(folder('COPPICE_DATA'), 'mnist')}` : `cifar10:${folder('COPPICE_CIFAR10')}`
  const { train, test } = await loadData(spec, { seed: 1 })
  const bytes = isMnist || id === 'mlperf-tiny-ic-resnet8'
  const preprocess: Preprocess = bytes ? { ...plain, range: [0, 255] } : { ...plain, ...imagenet }
  return { id, model, train, test, preprocess }
}

/** real value = 0.5847029 * (q - 83), as the data's README says. */
export function keywords(): Dataset {
  const at = join(folder('COPPICE_DATA'), 'kws01')
  const raw = readFileSync(join(at, 'features_int8_1000x49x10.bin'))
  const data = Float32Array.from(Int8Array.from(raw), (q) => 0.5847029 * (q - 83))
  const labels = Int32Array.from(readFileSync(join(at, 'labels_u8.bin')))
  const fields = { maps: { shape: [1, 49, 10], data, kind: 'values' as const } }
  return { id: 'kws01', length: labels.length, fields, labels, classes: 12 }
}

/** `count` seeded training samples as batches for the model. */
export function calibrationOf(c: Case, count: number, seed = 1): () => Iterable<Feeds> {
  const order = permutation(c.train.length, random(seed)).slice(0, count)
  return () => feedsOf(c, subset(c.train, order))
}

export function* feedsOf(c: Case, data: Dataset, size = 64): Generator<Feeds> {
  const batcher = batcherFor(requiredInputs(c.model), data, c.preprocess)
  const step = batcher.batchSize ?? size
  for (let at = 0; at < data.length; at += step) {
    yield batcher(
      data,
      Array.from({ length: Math.min(step, data.length - at) }, (_, i) => at + i),
    )
  }
}

/** Share of samples that the model classes right, in percent. */
export async function accuracyOf(model: Model | Uint8Array, c: Case, data: Dataset): Promise<number> {
  const session = await openSession(model, { threads: 1 })
  let right = 0
  let at = 0
  for (const feeds of feedsOf(c, data, 100)) {
    const [value] = Object.values(await session.run(feeds))
    const scores = value.data as Float32Array
    const classes = value.dims[1]
    for (let i = 0; i < value.dims[0]; i++, at++) {
      let best = 0
      for (let k = 1; k < classes; k++) if (scores[i * classes + k] > scores[i * classes + best]) best = k
      if (best === data.labels![at]) right++
    }
  }
  await session.release()
  return (100 * right) / data.length
}
