/** What a report says of its inputs, without the folders of the machine that it was made on. */
import { basename } from 'node:path'
import { requiredInputs } from '../data/batcher.ts'
import { hasImages } from '../data/dataset.ts'
import type { BoundData } from '../data/handle.ts'
import type { Model } from '../model.ts'
import type { CalibrationSpec } from '../recipe.ts'
import type { InputFacts } from '../report/report.ts'

type Spec = Omit<CalibrationSpec, 'samples' | 'batchSize'>

export interface FactOptions {
  readonly data?: BoundData & { readonly spec: Spec }
  readonly seed: number
  /** As `--threads` says. */
  readonly threads?: number
}

export function inputFacts(model: Model, { data, seed, threads }: FactOptions): InputFacts {
  return {
    inputs: requiredInputs(model).map(
      ({ name, dtype, shape }) =>
        `${name} ${dtype ?? 'of any type'} [${shape?.map((d) => d ?? '?').join(',') ?? '...'}]`,
    ),
    ...(data
      ? {
          data: data.spec.data,
          samples: { training: data.splits.train.length, test: data.splits.test.length },
          ...(hasImages(data.splits.test) ? { preprocessing: preprocessingInWords(data.spec) } : {}),
        }
      : {}),
    seed,
    ...(threads === undefined ? {} : { threads }),
  }
}

function preprocessingInWords({ range = [0, 1], mean, std, channels, layout, resize }: Spec): string {
  return [
    `pixels 0..255 to ${range.join('..')}`,
    ...(mean ? [`minus ${mean.join(', ')}`] : []),
    ...(std ? [`over ${std.join(', ')}`] : []),
    ...(channels ? [channels] : []),
    ...(layout ? [layout] : []),
    ...(resize ? ['resized (bilinear)'] : []),
  ].join('; ')
}

/** The same value with the paths of a data spec cut down to their last part, wherever its texts name them. */
export function withoutFolders<T>(value: T, spec: string | undefined): T {
  const path = spec?.slice(spec.indexOf(':') + 1) ?? ''
  return path.includes('/') || path.includes('\\')
    ? withText(value, (text) => text.replaceAll(path, basename(path)))
    : value
}

function withText<T>(value: T, change: (text: string) => string): T {
  if (typeof value === 'string') return change(value) as T
  if (Array.isArray(value)) return value.map((v) => withText(v, change)) as T
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, withText(v, change)])) as T
}
