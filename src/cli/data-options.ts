/** The options that commands share which take data: the spec, the preprocessing, the seed. */

import { compressTable } from '../compress/options.ts'
import { requiredInputs } from '../data/batcher.ts'
import { bindSplits } from '../data/bind-splits.ts'
import { hasImages, type Preprocess } from '../data/dataset.ts'
import type { BoundData } from '../data/handle.ts'
import type { PreprocessOptions } from '../data/preprocess.ts'
import { preprocessWarnings } from '../evaluate/preprocess-warnings.ts'
import { inputShapesOf, tellInputShapes, withInputShapes } from '../graph/input-shapes.ts'
import { inventedSplits, statisticsForm, statisticsSamples } from '../invent/invented-splits.ts'
import type { Model } from '../model.ts'
import { dataForms, loadData } from '../node/data.ts'
import type { OptionsOf, OptionTable } from '../options.ts'
import type { CalibrationSpec } from '../recipe.ts'
import type { Io } from './io.ts'

/** Of all commands that open models. */
export const shapeOption = {
  inputShape: {
    type: 'strings',
    default: [],
    repeatable: true,
    value: 'name=shape',
    help: 'sizes that the model leaves open, such as image=1,3,320,320 (? leaves one open); NAME= is needed only with several inputs',
  },
} as const satisfies OptionTable

export const dataOptions = {
  ...shapeOption,
  data: {
    type: 'string',
    optional: true,
    value: 'spec',
    help: `data: ${dataForms.join(', ')}, or ${statisticsForm}: inputs made from the model's own BatchNormalizations`,
  },
  inputRange: {
    type: 'choice',
    of: ['0..1', '0..255', '-1..1'],
    optional: true,
    value: 'range',
    help: 'what pixels 0..255 are mapped to: 0..1, 0..255 or -1..1 (default: 0..1)',
  },
  mean: {
    type: 'numbers',
    optional: true,
    help: 'subtracted after the range: one number, or one per channel, separated by commas',
  },
  std: { type: 'numbers', optional: true, help: 'divided by after that: one number, or one per channel' },
  channels: {
    type: 'choice',
    of: ['RGB', 'BGR'],
    optional: true,
    value: 'order',
    help: 'RGB or BGR: order of the colours in the input, in mean and in std',
  },
  layout: {
    type: 'choice',
    of: ['NCHW', 'NHWC'],
    optional: true,
    value: 'layout',
    help: 'NCHW or NHWC (default: inferred from the model where only one fits)',
  },
  resize: { type: 'boolean', default: false, help: 'resize images to what the model takes (bilinear)' },
  preprocessCheck: compressTable.preprocessCheck,
  label: {
    type: 'string',
    optional: true,
    value: 'name',
    help: 'the column (csv) or array (npz) with the answers; a column may also be given by its number, from 1',
  },
  header: {
    type: 'choice',
    of: ['yes', 'no'],
    optional: true,
    value: 'answer',
    help: 'yes or no: whether the first row of a csv names the columns (default: yes where its words look like names of columns)',
  },
  seed: compressTable.seed,
} as const satisfies OptionTable

export type ShapeFlags = OptionsOf<typeof shapeOption>
export type DataFlags = OptionsOf<typeof dataOptions>

/** The model with the shapes that the flags tell. */
export function shapedModel(model: Model, { inputShape }: ShapeFlags): Model {
  if (inputShape.length === 0) return model
  const told = inputShape.map((text) => {
    const split = text.lastIndexOf('=')
    const sizes = text.slice(split + 1).split(',')
    if (!sizes.every((size) => /^\s*([1-9]\d*|\?)\s*$/.test(size)))
      throw new Error(
        `--input-shape: "${text}"; expected name=1,3,320,320: sizes above 0, or ? for one that stays open`,
      )
    const shape = sizes.map((size) => (size.trim() === '?' ? undefined : Number(size)))
    return [split < 0 ? '' : text.slice(0, split), shape] as const
  })
  return withInputShapes(model, tellInputShapes(model, new Map(told), '--input-shape'))
}

/** What `shapedModel` made, with its inputs as the file had them. */
export function asGiven(made: Model, original: Model): Model {
  return withInputShapes(made, inputShapesOf(original))
}

const ranges = { '0..1': [0, 1], '0..255': [0, 255], '-1..1': [-1, 1] } as const

export function preprocessOptions({ inputRange, resize, mean, std, channels, layout }: DataFlags): PreprocessOptions {
  return {
    ...(inputRange ? { range: ranges[inputRange] } : {}),
    ...(mean ? { mean } : {}),
    ...(std ? { std } : {}),
    ...(channels ? { channels } : {}),
    ...(layout ? { layout } : {}),
    ...(resize ? { resize } : {}),
  }
}

/** How tables and arrays are read. */
function readOptions({ label, header }: DataFlags): Pick<CalibrationSpec, 'label' | 'header'> {
  return { ...(label === undefined ? {} : { label }), ...(header === undefined ? {} : { header: header === 'yes' }) }
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
    if (given.length > 0)
      throw new Error(`${given[0]}: it says how data is read, and there is none; expected --data SPEC with it`)
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
  const inputs = requiredInputs(model)
  const samples = statisticsSamples(spec.data)
  const splits =
    samples === undefined
      ? await loadData(spec.data, {
          seed,
          signal,
          inputs,
          label: spec.label,
          header: spec.header,
          imageSize: imageSizeOf(inputs),
          progress: io.progress,
        })
      : await inventedSplits(model, { samples, seed, signal, progress: io.progress })
  if (given.length > 0 && !hasImages(splits.test))
    throw new Error(
      `${given[0]}: it says how images are read, and ${spec.data} has none; expected data of images with it`,
    )
  const { batcher, preprocess, notes } = bindSplits(model, splits, spec)
  const { classNames } = splits.test
  const named = classNames && /^(csv|npz):/.test(spec.data) ? [classesInWords(classNames)] : []
  for (const note of [...(splits.notes ?? []), ...named, ...notes]) io.say(`note: ${note}`)
  const { range, mean, std, channels, layout } = preprocess
  return {
    splits,
    batcher,
    preprocess,
    spec: {
      data: spec.data,
      ...(spec.label === undefined ? {} : { label: spec.label }),
      ...(spec.header === undefined ? {} : { header: spec.header }),
      range,
      layout,
      ...(mean ? { mean } : {}),
      ...(std ? { std } : {}),
      ...(channels ? { channels } : {}),
      ...(spec.resize ? { resize: true } : {}),
    },
  }
}

/** Names have no order of their own, and a model may have another. */
function classesInWords(names: readonly string[]): string {
  const some = names.slice(0, 10).map((name, i) => `${i} ${name}`)
  return `classes are numbered in alphabetical order of their names: ${some.join(', ')}${names.length > 10 ? ', …' : ''}`
}

/** The picture size that the model's first four-dimensional input takes, where it says. */
function imageSizeOf(
  inputs: ReturnType<typeof requiredInputs>,
): { height: number; width: number; channels: number } | undefined {
  const shape = inputs.find((i) => i.shape?.length === 4)?.shape
  if (!shape) return undefined
  const planar = shape[1] === 1 || shape[1] === 3
  const [channels, height, width] = planar ? shape.slice(1) : [shape[3], shape[1], shape[2]]
  return typeof height === 'number' && typeof width === 'number' && typeof channels === 'number'
    ? { height, width, channels }
    : undefined
}
