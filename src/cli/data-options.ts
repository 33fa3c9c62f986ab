/** The options that commands share which take data: the spec, the preprocessing, the seed. */

import { compressTable } from '../compress/options.ts'
import { bindSplits } from '../data/bind-splits.ts'
import { hasImages, type Preprocess } from '../data/dataset.ts'
import type { BoundData } from '../data/handle.ts'
import { spelledOut } from '../data/preprocess.ts'
import { preprocessOptions, preprocessTable, readOptions, readTable } from '../data/read-options.ts'
import { preprocessWarnings } from '../evaluate/preprocess-warnings.ts'
import { inputShapesOf, withInputShapes } from '../graph/input-shapes.ts'
import { type ShapeFlags, shapedModel, shapeOption } from '../graph/told-shapes.ts'
import type { Model } from '../model.ts'
import { splitsOf } from '../node/bind-spec.ts'
import { dataForms } from '../node/data.ts'
import type { OptionsOf, OptionTable } from '../options.ts'
import type { CalibrationSpec } from '../recipe.ts'
import type { Io } from './io.ts'

export { type ShapeFlags, shapedModel, shapeOption }

export const dataOptions = {
  ...shapeOption,
  data: {
    type: 'string',
    optional: true,
    value: 'spec',
    help: `data: ${dataForms.join(', ')}; statistics: inputs made from the model's own BatchNormalizations`,
  },
  ...preprocessTable,
  preprocessCheck: compressTable.preprocessCheck,
  ...readTable,
  seed: compressTable.seed,
} as const satisfies OptionTable

export type DataFlags = OptionsOf<typeof dataOptions>

/** What `shapedModel` made, with its inputs as the file had them. */
export function asGiven(made: Model, original: Model): Model {
  return withInputShapes(made, inputShapesOf(original))
}

/** Those of the flags about preprocessing that were given. */
function preprocessFlags({ inputRange, mean, std, channels, layout, resize }: DataFlags): string[] {
  const image = { '--input-range': inputRange, '--mean': mean, '--std': std, '--channels': channels }
  const flags = { ...image, '--layout': layout, '--resize': resize }
  return Object.entries(flags).flatMap(([flag, value]) => (value === undefined || value === false ? [] : [flag]))
}

/** Loads the data of the flags and binds it to the model's inputs; undefined without --data. Says what it assumed. */
export async function bindData(
  model: Model,
  flags: DataFlags,
  io: Io,
  signal?: AbortSignal,
): Promise<BoundSpec | undefined> {
  const given = preprocessFlags(flags)
  if (!flags.data) {
    const answers = [flags.label === undefined ? [] : ['--label'], flags.header === undefined ? [] : ['--header']]
    const [unread] = [...given, ...answers.flat()]
    if (unread) throw new Error(`${unread}: it says how data is read, and there is none; expected --data SPEC with it`)
    return undefined
  }
  const options = { ...preprocessOptions(flags), ...readOptions(flags) }
  const { seed } = flags
  const bound = await bindSpec(model, { data: flags.data, ...options }, { seed, io, signal, given })
  if (flags.preprocessCheck)
    for (const message of await preprocessWarnings(model, bound, { seed, signal })) io.warn(message)
  return bound
}

interface BoundSpec extends BoundData {
  readonly spec: Omit<CalibrationSpec, 'samples' | 'batchSize'>
  readonly preprocess: Preprocess
}

/**
 * The same from a recipe's words. `given`: flags that have a meaning for images alone, and are refused without any. A
 * recipe names the range and layout in any case.
 */
export async function bindSpec(
  model: Model,
  spec: Omit<CalibrationSpec, 'samples' | 'batchSize'>,
  { seed, io, signal, given = [] }: { seed: number; io: Io; signal?: AbortSignal; given?: readonly string[] },
): Promise<BoundSpec> {
  const splits = await splitsOf(model, spec, { seed, signal, progress: io.progress })
  if (given.length > 0 && !hasImages(splits.test))
    throw new Error(
      `${given[0]}: it says how images are read, and ${spec.data} has none; expected data of images with it`,
    )
  const { splits: bound, batcher, preprocess, notes } = bindSplits(model, splits, spec)
  const { classNames } = bound.test
  const named = classNames && /^(csv|npz):/.test(spec.data) ? [classesInWords(classNames)] : []
  for (const note of [...(splits.notes ?? []), ...named, ...notes]) io.say(`note: ${note}`)
  return {
    splits: bound,
    batcher,
    preprocess,
    spec: {
      data: spec.data,
      ...(spec.label === undefined ? {} : { label: spec.label }),
      ...(spec.header === undefined ? {} : { header: spec.header }),
      ...spelledOut(preprocess, spec),
    },
  }
}

/** Names have no order of their own, and a model may have another. */
function classesInWords(names: readonly string[]): string {
  const some = names.slice(0, 10).map((name, i) => `${i} ${name}`)
  return `classes are numbered in alphabetical order of their names: ${some.join(', ')}${names.length > 10 ? ', …' : ''}`
}
