/** A data set without labels that is made from the model alone, for `--data statistics`. */
import type { Dataset, Splits } from '../data/dataset.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { hasStatistics, inputsFromStatistics } from './inputs-from-statistics.ts'

/** What a data spec says for it: `statistics`, or `statistics:N` for N samples. */
export const statisticsForm = 'statistics[:N]'
const defaultSamples = 256
const perBatch = 64
/** To report on: a quarter as many again, made from other draws. */
const judgedShare = 0.25

/** The samples that a spec asks for; undefined where it is another kind of spec. Throws where N is no such number. */
export function statisticsSamples(spec: string): number | undefined {
  const [kind, count] = spec.split(':')
  if (kind !== 'statistics') return undefined
  const samples = count === undefined ? defaultSamples : Number(count)
  if (!Number.isInteger(samples) || samples < 8 || samples > 1e5)
    throw new Error(`data: "${spec}"; expected statistics or statistics:N with 8 to 100,000 samples`)
  return samples
}

/** Throws where the model has no statistics to make inputs from. */
export async function inventedSplits(
  model: Model,
  {
    samples = defaultSamples,
    ...options
  }: { readonly samples?: number } & Pick<Context, 'seed' | 'signal' | 'progress'>,
): Promise<Splits> {
  if (!hasStatistics(model))
    throw new Error(
      'data: "statistics" makes inputs from BatchNormalizations, and the model has none or not one input of float32 whose samples have a known shape; expected other data',
    )
  const size = Math.min(perBatch, samples)
  const training = Math.ceil(samples / size)
  const judged = Math.max(1, Math.ceil(judgedShare * training))
  const made = await inputsFromStatistics(model, { ...options, batches: training + judged, batchSize: size })
  const dataset = (id: string, from: number, to: number): Dataset => {
    const [[name, { dims }]] = Object.entries(made[0])
    const length = (to - from) * size
    const data = new Float32Array(length * dims.slice(1).reduce((a, b) => a * b, 1))
    made.slice(from, to).forEach((feeds, b) => {
      const values = feeds[name].data as Float32Array
      data.set(values, b * values.length)
    })
    return { id: `statistics (${id})`, length, fields: { [name]: { shape: dims.slice(1), data, kind: 'values' } } }
  }
  return {
    train: dataset('train', 0, training),
    test: dataset('test', training, made.length),
    notes: ['the inputs are made from the statistics in the model, and are no real ones: give data where there is any'],
  }
}
