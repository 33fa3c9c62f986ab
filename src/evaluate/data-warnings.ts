/** Warnings about what measurements on a data set can show. */
import type { Dataset } from '../data/dataset.ts'
import type { BoundData } from '../data/handle.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { count } from '../numbers.ts'
import { preprocessWarnings } from './preprocess-warnings.ts'

export interface DataWarningOptions extends Pick<Context, 'signal' | 'warn'> {
  readonly seed: number
  /** Whether other ways of feeding images are tried; default true. */
  readonly preprocessCheck?: boolean
}

/** Warnings for a model that is measured on the data's test part; each is also told at once, to `warn`. */
export async function dataWarnings(
  model: Model,
  data: Pick<BoundData, 'splits' | 'preprocess'>,
  { seed, signal, warn, preprocessCheck = true }: DataWarningOptions,
): Promise<string[]> {
  const { id, labels } = data.splits.test
  const warnings: string[] = []
  if (labels?.length && labels.every((label) => label === labels[0]))
    warnings.push(`every test sample of ${id} is of class ${labels[0]}, so accuracy shows little`)
  warnings.push(...notFiniteWarnings(data.splits.test, 'test samples'))
  if (preprocessCheck) warnings.push(...(await preprocessWarnings(model, data, { seed, signal })))
  for (const warning of warnings) warn?.(warning)
  return warnings
}

/** Says how many `samples` of a data set, as they are called, hold NaN or infinity; nothing where none does. */
export function notFiniteWarnings(set: Dataset, samples: string): string[] {
  const unfit = samplesNotFinite(set)
  if (unfit === 0) return []
  return [
    `${count(unfit)} of ${count(set.length)} ${samples} of ${set.id} hold NaN or infinity, which few models can answer`,
  ]
}

/** Samples with a number that is none, or infinite, in any of their fields. */
export function samplesNotFinite({ fields, length }: Dataset): number {
  const unfit = new Set<number>()
  for (const { data, constant, kind } of Object.values(fields)) {
    const isFloat = data instanceof Float32Array || data instanceof Float64Array
    if (kind === 'image' || constant || !isFloat || data.length === 0) continue
    const size = data.length / length
    for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) unfit.add(Math.floor(i / size))
  }
  return unfit.size
}
