/** The options of the commands that train: `train`, `finetune`, `prune`. */
import type { OptionsOf, OptionTable } from '../options.ts'
import { threadsOption } from './command.ts'
import { dataOptions } from './data-options.ts'

/** A table for a command, whose usual length and rate are its own. */
export function trainOptions({
  epochs,
  rate,
  leastEpochs = 1,
}: {
  epochs: number
  rate: number
  leastEpochs?: number
}) {
  return {
    output: {
      type: 'string',
      required: true,
      short: 'o',
      value: 'file',
      writes: '.onnx',
      help: 'the trained model (.onnx)',
    },
    ...dataOptions,
    epochs: {
      type: 'number',
      default: epochs,
      min: leastEpochs,
      max: 1e6,
      integer: true,
      help: 'passes over the training data',
    },
    batch: { type: 'number', default: 64, min: 1, max: 1e6, integer: true, help: 'samples per step' },
    rate: { type: 'number', default: rate, min: 0, max: 1e6, help: 'learning rate' },
    optimizer: { type: 'choice', of: ['sgd', 'adam'], default: 'sgd', help: 'sgd or adam' },
    momentum: { type: 'number', optional: true, min: 0, max: 1, help: 'momentum of sgd (default: 0.9)' },
    nesterov: { type: 'boolean', default: false, help: 'use Nesterov momentum with sgd' },
    decay: {
      type: 'number',
      default: 0,
      min: 0,
      max: 1,
      help: 'weight decay; biases and normalisations have none',
    },
    schedule: {
      type: 'string',
      default: 'cosine',
      value: 'form',
      help: 'how the learning rate changes: constant, cosine, or step:EPOCH,EPOCH (times 0.1 at each)',
    },
    warmUp: {
      type: 'number',
      default: 0,
      min: 0,
      max: 1e6,
      value: 'epochs',
      help: 'epochs over which the learning rate rises to its full value',
    },
    smoothing: { type: 'number', default: 0, min: 0, max: 0.99, value: 'share', help: 'label smoothing' },
    crop: {
      type: 'number',
      default: 0,
      min: 0,
      max: 1000,
      integer: true,
      value: 'pixels',
      help: 'augment: pad images by this many pixels, then crop at random',
    },
    flip: { type: 'boolean', default: false, help: 'augment: mirror images at random' },
    validation: {
      type: 'number',
      default: 0,
      min: 0,
      max: 0.9,
      value: 'share',
      help: 'share of the training data to hold back and measure after each epoch',
    },
    patience: {
      type: 'number',
      optional: true,
      min: 1,
      max: 1e6,
      integer: true,
      value: 'epochs',
      help: 'stop after this many epochs without a better validation loss, and keep the best',
    },
    average: {
      type: 'number',
      optional: true,
      min: 0,
      max: 1,
      value: 'decay',
      help: 'keep an exponential moving average of the weights with this decay, such as 0.999',
    },
    checkpoint: {
      type: 'string',
      optional: true,
      value: 'file',
      help: 'save progress here each epoch; the same command later goes on from it',
    },
    task: {
      type: 'string',
      optional: true,
      value: 'task',
      help: 'what is learnt: classes, binary, labels, numbers, tokens or mask, or OUTPUT=KIND (default: what the data and the model say)',
    },
    history: {
      type: 'string',
      optional: true,
      value: 'file',
      writes: '.json',
      help: 'also write loss and accuracy of each epoch (.json)',
    },
    engine: {
      type: 'choice',
      of: ['auto', 'blocked', 'plain'],
      default: 'auto',
      help: 'how gradients are computed: blocked (faster, not on all processors), plain, or auto',
    },
    ...threadsOption,
  } as const satisfies OptionTable
}

export const trainReportOption = {
  report: {
    type: 'string',
    optional: true,
    value: 'file',
    writes: '.html',
    help: 'also draw loss and accuracy (.html)',
  },
} as const satisfies OptionTable

export type TrainFlags = OptionsOf<ReturnType<typeof trainOptions>>

/** What only some of the commands set. */
export interface TrainChoices {
  /** The page with curves. */
  readonly report?: string
  readonly keep?: 'zeros' | 'none'
  /** BatchNormalization keeps its statistics. */
  readonly freezeStatistics?: boolean
}
