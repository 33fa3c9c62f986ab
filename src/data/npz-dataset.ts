/**
 * An .npz as data: either arrays named after the model's inputs with `labels` or `y`, or the four arrays x_train,
 * y_train, x_test, y_test that many Python examples save. Which arrays are images: `imageOrValues`, `looksLikeImages`.
 */
import { sizeOf } from '../tensor/dtype.ts'
import type { Dataset, Field, Splits } from './dataset.ts'
import { checkLabels } from './idx.ts'
import type { NpyArray } from './npy.ts'

const labelNames = ['labels', 'label', 'y']

/** The data of an .npz: both splits, or the whole where it comes in one piece. */
export function npzSplits(arrays: ReadonlyMap<string, NpyArray>, id: string): Splits | { readonly whole: Dataset } {
  const x = arrays.get('x_train')
  const xTest = arrays.get('x_test')
  if (!x || !xTest) return { whole: namedArrays(arrays, id) }
  const y = arrays.get('y_train')
  const yTest = arrays.get('y_test')
  const [trainId, testId] = [`${id} (train)`, `${id} (test)`]
  const classes = y && yTest ? Math.max(countClasses(y, trainId), countClasses(yTest, testId)) : undefined
  const make = (data: NpyArray, labels: NpyArray | undefined, id: string): Dataset =>
    withLabels({ id, length: data.shape[0], fields: { x: imageOrValues(data) } }, labels, classes)
  return { train: make(x, y, trainId), test: make(xTest, yTest, testId) }
}

function namedArrays(arrays: ReadonlyMap<string, NpyArray>, id: string): Dataset {
  const labelName = labelNames.find((name) => arrays.has(name))
  const labels = labelName ? arrays.get(labelName) : undefined
  const named = [...arrays].filter(([name]) => name !== labelName)
  const samples = named.filter(([, a]) => a.shape.length > 0)
  const length = samples[0]?.[1].shape[0]
  if (length === undefined) throw new Error(`${id}: it holds no array of samples; expected arrays of shape [N,...]`)
  const fields: Record<string, Field> = {}
  for (const [name, array] of named) {
    const { shape, data } = array
    if (shape.length === 0) fields[name] = { shape, data, kind: 'values', constant: true }
    else if (shape[0] !== length)
      throw new Error(`${id}: array "${name}" has ${shape[0]} samples and another ${length}; expected the same`)
    else if (labels && looksLikeImages(shape, samples.length === 1)) fields[name] = imageOrValues(array)
    else fields[name] = { shape: shape.slice(1), data, kind: 'values' }
  }
  return withLabels({ id, length, fields }, labels, labels && countClasses(labels, id))
}

function withLabels(dataset: Dataset, array: NpyArray | undefined, classes: number | undefined): Dataset {
  if (!array) return dataset
  const { id, length } = dataset
  if (sizeOf(array.shape) !== length) {
    throw new Error(`${id}: labels of shape [${array.shape.join(',')}]; expected ${length}, one a sample`)
  }
  if (classes === undefined) throw new Error(`${id}: only one of y_train and y_test is there; expected both or neither`)
  return { ...dataset, labels: checkLabels(Int32Array.from(array.data), classes, id), classes }
}

function countClasses({ data }: NpyArray, id: string): number {
  let most = 0
  data.forEach((label, i) => {
    if (!Number.isInteger(label) || label < 0 || label > 1e6)
      throw new Error(`${id}: sample ${i} has label ${label}; expected a whole number from 0 to 1000000`)
    if (label > most) most = label
  })
  return most + 1
}

/**
 * Whether a named array has a shape of images: [N,1|3,H,W] or [N,H,W,1|3]; [N,H,W] only where no other array has
 * samples, for among several inputs it may well be a mask.
 */
function looksLikeImages(shape: readonly number[], alone: boolean): boolean {
  const [, first, , last] = shape
  if (shape.length === 3) return alone
  return shape.length === 4 && [first, last].some((channels) => channels === 1 || channels === 3)
}

/** uint8 arrays of rank 3 ([N,H,W]) or 4 (planar, or interleaved where only the last axis can be channels) are images. */
function imageOrValues({ shape, data, boolean }: NpyArray): Field {
  const sample = shape.slice(1)
  if (boolean || !(data instanceof Uint8Array) || sample.length < 2 || sample.length > 3) {
    return { shape: sample, data, kind: 'values' }
  }
  if (sample.length === 2) return { shape: [1, ...sample], data, kind: 'image' }
  const [first, second, last] = sample
  if (first === 1 || first === 3 || (last !== 1 && last !== 3)) return { shape: sample, data, kind: 'image' }
  return { shape: [last, first, second], data: planar(data, first * second, last), kind: 'image' }
}

function planar(data: Uint8Array, area: number, channels: number): Uint8Array {
  const out = new Uint8Array(data.length)
  for (let i = 0; i < data.length; i++) {
    const sample = Math.floor(i / (area * channels))
    const pixel = Math.floor(i / channels) % area
    out[(sample * channels + (i % channels)) * area + pixel] = data[i]
  }
  return out
}
