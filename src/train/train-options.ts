/** What training is told, what it tells on the way, and what it gives. */
import type { AugmentOptions } from '../data/augment.ts'
import type { Batcher, Dataset } from '../data/dataset.ts'
import type { Engine } from '../grad/engine.ts'
import type { Model } from '../model.ts'
import type { Task } from '../task/task.ts'
import type { CheckpointStore } from './checkpoint.ts'
import type { Loss, LossName } from './losses.ts'
import type { Optimizer } from './optimizers.ts'
import type { Regime } from './regime.ts'
import type { Schedule } from './schedules.ts'
import type { Validation } from './validate.ts'

export interface TrainOptions {
  /**
   * Makes the model's inputs of samples. A model whose file fixes another `batchSize` is trained as one that takes any, where
   * it runs so, and is given back with the size that it had.
   */
  readonly batcher: Batcher
  readonly epochs: number
  readonly batchSize: number
  readonly learningRate: number
  /** What the outputs mean; default: guessed from the model and the data. */
  readonly task?: Task
  /**
   * Default: what the task asks for: cross-entropy of classes, of yes or no, or the mean squared error of numbers. Steps
   * follow the latter in units of the training targets' variance, where that is above 1; what is told is the error itself.
   */
  readonly loss?: LossName | Loss
  /** Share of each target that is spread over all classes; default 0. */
  readonly labelSmoothing?: number
  /** What the loss compares the first output with, instead of labels: its elements, sample by sample. */
  readonly targets?: (indices: ArrayLike<number>) => Float32Array
  /** Default: SGD with momentum 0.9. */
  readonly optimizer?: Optimizer
  /** Default: constant. */
  readonly schedule?: Schedule
  /** Methods of training, composed in this order. */
  readonly regimes?: readonly Regime[]
  /** `mixup`: samples and targets mixed in pairs, the share of each from Beta(a, a) with this a, above 0 up to 1; default: not. */
  readonly augment?: AugmentOptions & { readonly mixup?: number }
  /** Seeds shuffling, augmentation and dropout; default 0. */
  readonly seed?: number
  /** Data that training does not see, measured after each epoch. */
  readonly validation?: Dataset
  /** Stops after so many epochs without a better validation loss, and gives the best epoch's weights. */
  readonly patience?: number
  /** Stops after an epoch for which this holds, such as once training accuracy is high enough. */
  readonly until?: (epoch: EpochRecord) => boolean
  /** Decay of an exponential average of the weights, which is then what is validated and given; such as 0.999. */
  readonly averageDecay?: number
  readonly checkpoint?: CheckpointOptions
  readonly parameters?: readonly string[]
  readonly decays?: (name: string, shape: readonly number[]) => boolean
  /** Keeps BatchNormalization's statistics as they are: always, or from this epoch on (counted from 0). */
  readonly frozenStatistics?: boolean | number
  readonly clipNorm?: number
  /** Default: the quickest that this machine has (`chooseEngine`). */
  readonly engine?: Engine
  /** Default: the runtime's own choice. */
  readonly threads?: number
  readonly signal?: AbortSignal
  /** Training waits for a promise that it returns. */
  readonly onProgress?: (progress: Progress) => unknown
  /** Told what a person should know before the first step. */
  readonly warn?: (message: string) => void
}

export interface CheckpointOptions {
  readonly store: CheckpointStore
  /** Default: once per epoch. */
  readonly everySteps?: number
}

export interface Progress {
  /** From 0. */
  readonly epoch: number
  readonly epochs: number
  /** Steps done of all. */
  readonly step: number
  readonly steps: number
  /** Means over the epoch so far. */
  readonly loss: number
  readonly accuracy?: number
  readonly samplesPerSecond: number
  readonly secondsLeft: number
  /** Of several trainings one after another: which this is, from 0, and how many there are. */
  readonly stage?: number
  readonly stages?: number
  /** The epoch's record, once it is over. */
  readonly finished?: EpochRecord
}

export interface EpochRecord {
  readonly epoch: number
  readonly loss: number
  readonly accuracy?: number
  readonly learningRate: number
  readonly validation?: Validation
}

export interface Trained {
  readonly model: Model
  readonly history: readonly EpochRecord[]
  /** The epoch whose weights these are. */
  readonly epoch: number
  readonly engine: Engine['id']
  /** Why the plain engine was taken, where it was. */
  readonly engineReason?: string
}
