/** The options of training, as a table: the same words on the command line, in recipes and in code. */
import { splitDataset } from '../data/batches.ts'
import type { Dataset } from '../data/dataset.ts'
import type { OptionsOf, OptionTable } from '../options.ts'
import { chooseEngine } from './choose-engine.ts'
import { adam, type Optimizer, sgd } from './optimizers.ts'
import { constant, cosine, type Schedule, stepDecay, warmUp } from './schedules.ts'
import type { TrainOptions } from './train-options.ts'

export interface UsualLength {
  readonly epochs: number
  readonly rate: number
  /** Default 1. */
  readonly leastEpochs?: number
}

/** The table of a method or command, whose usual length and rate are its own. */
export function learningOptions({ epochs, rate, leastEpochs = 1 }: UsualLength) {
  return {
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
    momentum: {
      type: 'number',
      optional: true,
      min: 0,
      max: 1,
      onlyWith: { optimizer: ['sgd'] },
      help: 'momentum of sgd (default: 0.9)',
    },
    nesterov: {
      type: 'boolean',
      default: false,
      onlyWith: { optimizer: ['sgd'] },
      help: 'use Nesterov momentum with sgd',
    },
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
    mixup: {
      type: 'number',
      default: 0,
      min: 0,
      max: 1,
      value: 'a',
      help: 'augment: mix samples and their answers in pairs, the share of each from Beta(a, a); 0: not',
    },
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
    engine: {
      type: 'choice',
      of: ['auto', 'blocked', 'plain'],
      default: 'auto',
      help: 'how gradients are computed: blocked (faster, not on all processors), plain, or auto',
    },
  } as const satisfies OptionTable
}

export type Learning = OptionsOf<ReturnType<typeof learningOptions>>

/**
 * What the loop takes for these words, but for its engine. Throws one sentence where they do not go together, which calls an
 * option as `called` says.
 */
export function trainOptionsOf(
  learning: Learning,
  called: (option: string) => string = (option) => option,
): Omit<TrainOptions, 'batcher' | 'engine'> {
  const { patience, validation, crop, flip, mixup } = learning
  if (patience !== undefined && validation === 0)
    throw new Error(
      `${called('patience')}: no data is held back to stop by; expected ${called('validation')} above 0 with it`,
    )
  return {
    epochs: learning.epochs,
    batchSize: learning.batch,
    learningRate: learning.rate,
    optimizer: optimizerOf(learning),
    schedule: scheduleOf(learning, called),
    labelSmoothing: learning.smoothing,
    patience,
    averageDecay: learning.average,
    ...(crop > 0 || flip || mixup > 0 ? { augment: { crop, flip, ...(mixup > 0 ? { mixup } : {}) } } : {}),
  }
}

export interface Halves {
  /** What is trained on, and what scores look at. */
  readonly training: Dataset
  /** What `validation` holds back; absent where that is 0. */
  readonly heldBack?: Dataset
}

/** A training set, cut in two where the words say so. */
export function halvesOf(train: Dataset, { validation }: Pick<Learning, 'validation'>, seed: number): Halves {
  if (validation === 0) return { training: train }
  const [training, heldBack] = splitDataset(train, validation, seed)
  return { training, heldBack }
}

/** The engine that the words name; `warn` hears why it is the plain one, where that was not asked for. */
export async function engineOf({ engine: which }: Learning, warn?: (message: string) => void) {
  const { engine, reason } = await chooseEngine(which)
  if (reason && which === 'auto') warn?.(`the plain engine trains: ${reason}`)
  return engine
}

type Called = (option: string) => string

function optimizerOf({ optimizer, momentum, nesterov, decay: weightDecay }: Learning): Optimizer {
  return optimizer === 'sgd' ? sgd({ momentum: momentum ?? 0.9, nesterov, weightDecay }) : adam({ weightDecay })
}

function scheduleOf({ schedule, warmUp: rise }: Learning, called: Called): Schedule {
  const form = (): Schedule => {
    if (schedule === 'constant') return constant
    if (schedule === 'cosine') return cosine()
    const [name, list = ''] = schedule.split(':')
    const epochs = list.split(',').map((text) => (text.trim() === '' ? Number.NaN : Number(text)))
    if (name === 'step' && epochs.every((epoch, i) => epoch > (epochs[i - 1] ?? 0))) return stepDecay(epochs)
    throw new Error(
      `${called('schedule')}: "${schedule}"; expected constant, cosine or step:EPOCH,EPOCH with rising epochs`,
    )
  }
  return rise > 0 ? warmUp(rise, form()) : form()
}
