/**
 * A data set in memory, and how its samples become a model's inputs.
 *
 * Images are kept as they were stored (planar uint8, 0..255): normalising happens a batch at a time.
 */
import type { Feeds } from '../method.ts'

export interface Field {
  /** Shape of one sample, without the batch axis. Images: [channels, height, width]. */
  readonly shape: readonly number[]
  /** All samples in order, dense. Empty for text, which is in `strings`. Images are Uint8Array. */
  readonly data: Uint8Array | Int8Array | Int32Array | Float32Array | Float64Array
  /** Text, for inputs that take strings. */
  readonly strings?: readonly string[]
  /** `image` data is 0..255 and goes through the preprocessing; `values` are fed as they are. */
  readonly kind: 'image' | 'values'
  /** One value for the whole set (such as a sampling rate): `data` holds it once, and no batch axis is added. */
  readonly constant?: boolean
}

export interface Dataset {
  /** The spec it came from, such as `mnist:data/mnist`, and the split. */
  readonly id: string
  readonly length: number
  /** By the name of the model input that they feed; a single field may have any name. */
  readonly fields: Readonly<Record<string, Field>>
  /** A class index a sample. */
  readonly labels?: Int32Array
  /** Number of classes, where there are labels. */
  readonly classes?: number
  /** Names of the classes, in the order of their indices. */
  readonly classNames?: readonly string[]
  /**
   * What the outputs should be where that is no class: numbers to regress, or several labels of 0 and 1 per sample. float32,
   * one row per sample; `shape` is one row's ([] for one number). A data set has labels or targets or neither, not both.
   */
  readonly targets?: Field
}

/** Whether there is anything that preprocessing and augmentation change. */
export function hasImages({ fields }: Dataset): boolean {
  return Object.values(fields).some((field) => field.kind === 'image')
}

/** The two halves of a data spec. `train` may be used for calibration, search and training; `test` only to report. */
export interface Splits {
  readonly train: Dataset
  readonly test: Dataset
  /** What a person should know about what was taken, and how the split came about. */
  readonly notes?: readonly string[]
}

/** From stored pixels to a model's input: x/255 stretched to the range, then (x - mean) / std per channel. */
export interface Preprocess {
  /** Where 0..255 is mapped to. */
  readonly range: readonly [number, number]
  readonly mean?: readonly number[]
  readonly std?: readonly number[]
  /** The order in which the model takes the channels of colour images, and in which mean and std are; default RGB. */
  readonly channels?: 'RGB' | 'BGR'
  readonly layout: 'NCHW' | 'NHWC'
  /** The size that images are brought to first; default: they stay as they are. */
  readonly size?: readonly [height: number, width: number]
}

/** Gives the inputs of samples `indices` (order kept) as one batch. */
export interface Batcher {
  (dataset: Dataset, indices: ArrayLike<number>): Feeds
  /** The only number of samples per call that the model takes, where there is one. */
  readonly batchSize?: number
}
