/** The common ways of feeding images to a model, to be tried where the given one may not be that of its training. */
import type { Model } from '../model.ts'
import { requiredInputs } from './batch-axis.ts'
import { type BoundBatcher, batcherFor } from './batcher.ts'
import { type Dataset, hasImages, type Preprocess } from './dataset.ts'

export interface Way {
  readonly preprocess: Preprocess
  readonly batcher: BoundBatcher
}

const imageNet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
const cifar = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] }
const caffe = { mean: [103.939, 116.779, 123.68] }
const mnist = { mean: [0.1307], std: [0.3081] }

/** The given way first, then the common ones, each once. */
export function waysFor(model: Model, dataset: Dataset, given: Preprocess): Way[] {
  if (!hasImages(dataset)) return []
  const { mean: _, std: __, channels: ___, ...rest } = given
  const images = Object.values(dataset.fields).filter((f) => f.kind === 'image')
  const colour = images.every((f) => f.shape[0] === 3)
  const moments = images.length === 1 ? [momentsOf(dataset)] : []
  const named = (colour ? [imageNet, cifar] : images.every((f) => f.shape[0] === 1) ? [mnist] : []).concat(moments)
  const all: Preprocess[] = [
    given,
    { ...rest, range: [0, 1] },
    { ...rest, range: [0, 255] },
    { ...rest, range: [-1, 1] },
    ...named.map((n) => ({ ...rest, range: [0, 1] as const, ...n })),
    ...(colour ? [{ ...rest, range: [0, 255] as const, ...caffe, channels: 'BGR' as const }] : []),
  ]
  const seen = new Set<string>()
  return all.flatMap((preprocess) => {
    const key = keyOf(preprocess)
    if (seen.has(key)) return []
    seen.add(key)
    return bound(model, dataset, preprocess)
  })
}

/** The same with the other order of colours, and in the other layout where the model takes both. */
export function variantsOf(model: Model, dataset: Dataset, best: Preprocess): Way[] {
  const { mean, std } = best
  const turned: Preprocess = {
    ...best,
    channels: best.channels === 'BGR' ? 'RGB' : 'BGR',
    ...(mean ? { mean: mean.toReversed() } : {}),
    ...(std ? { std: std.toReversed() } : {}),
  }
  const colour = Object.values(dataset.fields).some((f) => f.kind === 'image' && f.shape[0] === 3)
  const layout = best.layout === 'NCHW' ? 'NHWC' : 'NCHW'
  return [...(colour ? bound(model, dataset, turned) : []), ...bound(model, dataset, { ...best, layout })]
}

/** A way with its batcher, if the model takes it. */
function bound(model: Model, dataset: Dataset, preprocess: Preprocess): Way[] {
  try {
    return [{ preprocess, batcher: batcherFor(requiredInputs(model), dataset, preprocess, model.graph.outputs) }]
  } catch {
    // Not a way to feed this model: whole-number inputs take pixels as they are, and most layouts do not fit.
    return []
  }
}

function keyOf({ range, mean = [0], std = [1], channels = 'RGB' }: Preprocess): string {
  const [low, high] = range
  const same = (values: readonly number[]): readonly number[] =>
    values.every((v) => v === values[0]) ? [values[0]] : values
  // As a pixel's scale and offset: -1..1 is 0..1 with mean and std of 0.5.
  const [m, s] = [same(mean), same(std)]
  const count = Math.max(m.length, s.length)
  const of = (values: readonly number[], c: number): number => values[values.length === 1 ? 0 : c]
  const maps = Array.from({ length: count }, (_, c) => [(high - low) / of(s, c), (low - of(m, c)) / of(s, c)])
  return JSON.stringify([maps.map((map) => map.map((v) => v.toFixed(4))), count === 1 ? '' : channels])
}

/** Mean and standard deviation of each channel of the first images, in 0..1, to four digits. */
function momentsOf({ fields, length }: Dataset): { mean: number[]; std: number[] } {
  const { shape, data } = Object.values(fields).find((f) => f.kind === 'image')!
  const [channels, height, width] = shape
  const area = height * width
  const samples = Math.min(length, Math.max(1, Math.floor(4e6 / (channels * area))))
  const moments = Array.from({ length: channels }, (_, c) => {
    let [sum, squares] = [0, 0]
    for (let i = 0; i < samples; i++) {
      const from = (i * channels + c) * area
      for (let at = from; at < from + area; at++) {
        sum += data[at]
        squares += data[at] ** 2
      }
    }
    const mean = sum / (samples * area)
    return [mean / 255, Math.sqrt(Math.max(1, squares / (samples * area) - mean ** 2)) / 255]
  })
  const round = (v: number): number => Number(v.toFixed(4))
  return { mean: moments.map(([m]) => round(m)), std: moments.map(([, s]) => round(s)) }
}
