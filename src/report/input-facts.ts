/** What a report says of the inputs that its figures were found on. */

import { requiredInputs } from '../data/batcher.ts'
import { hasImages } from '../data/dataset.ts'
import type { BoundData } from '../data/handle.ts'
import type { Model } from '../model.ts'
import type { CalibrationSpec } from '../recipe.ts'
import { shownName } from '../shown-name.ts'
import type { InputFacts } from './report.ts'

type Spec = Omit<CalibrationSpec, 'samples' | 'batchSize'>

export interface FactOptions {
  /** With the words that data and preprocessing were given in, where they were. */
  readonly data?: BoundData & { readonly spec?: Spec }
  readonly seed: number
  /** Threads that were asked for. */
  readonly threads?: number
}

export function inputFacts(model: Model, { data, seed, threads }: FactOptions): InputFacts {
  return {
    inputs: requiredInputs(model).map(
      ({ name, dtype, shape }) =>
        `${shownName(name)} ${dtype ?? 'of any type'} [${shape?.map((d) => d ?? '?').join(',') ?? '...'}]`,
    ),
    ...(data
      ? {
          data: data.spec?.data ?? data.splits.train.id,
          samples: { training: data.splits.train.length, test: data.splits.test.length },
          ...(data.spec && hasImages(data.splits.test) ? { preprocessing: preprocessingInWords(data.spec) } : {}),
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
