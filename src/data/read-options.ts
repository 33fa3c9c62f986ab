/** The options that say how data is read, as tables: how images become inputs, and where answers are. */
import type { OptionsOf, OptionTable } from '../options.ts'
import type { PreprocessOptions } from './preprocess.ts'

/** Of images. */
export const preprocessTable = {
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
} as const satisfies OptionTable

/** Of tables and arrays. */
export const readTable = {
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
} as const satisfies OptionTable

type Words = Partial<OptionsOf<typeof preprocessTable>>

const ranges = { '0..1': [0, 1], '0..255': [0, 255], '-1..1': [-1, 1] } as const

export function preprocessOptions({ inputRange, resize, mean, std, channels, layout }: Words): PreprocessOptions {
  return {
    ...(inputRange ? { range: ranges[inputRange] } : {}),
    ...(mean ? { mean } : {}),
    ...(std ? { std } : {}),
    ...(channels ? { channels } : {}),
    ...(layout ? { layout } : {}),
    ...(resize ? { resize } : {}),
  }
}

/** What is read of a table or array, as a recipe holds it. */
export function readOptions({ label, header }: Partial<OptionsOf<typeof readTable>>): {
  label?: string
  header?: boolean
} {
  return { ...(label === undefined ? {} : { label }), ...(header === undefined ? {} : { header: header === 'yes' }) }
}
