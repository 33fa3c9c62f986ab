/** Warnings about what measurements on a data set can show. */
import type { BoundData } from '../data/handle.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
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
  if (preprocessCheck) warnings.push(...(await preprocessWarnings(model, data, { seed, signal })))
  for (const warning of warnings) warn?.(warning)
  return warnings
}
