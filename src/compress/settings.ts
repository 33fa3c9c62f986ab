/** What `compress` may be told, what a run needs to know of that, and the parts that a run consists of. */
import type { Dataset } from '../data/dataset.ts'
import type { BoundData } from '../data/handle.ts'
import { type InputShapes, withInputShapes } from '../graph/input-shapes.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import type { OptionsOf } from '../options.ts'
import type { Outlook, Piece } from '../progress.ts'
import type { CalibrationSpec } from '../recipe.ts'
import type { CompressCosts } from '../search/costs.ts'
import type { SpeedUp } from '../speed-up.ts'
import type { MaxLoss } from '../task/max-loss.ts'
import type { Workers } from '../workers.ts'
import type { compressTable } from './options.ts'

export interface CompressOptions
  extends Partial<OptionsOf<typeof compressTable>>,
    Pick<Context, 'progress' | 'warn' | 'signal' | 'teacher' | 'checkpoint'> {
  /** Data bound to the model; without any, the loss is judged on random inputs. */
  readonly data?: BoundData
  /** Told at once how each output is judged. */
  readonly say?: (sentence: string) => void
  /** The bytes of the model's file, which are the result where nothing smaller comes out; default: the model, written. */
  readonly original?: Uint8Array
  /** How the recipe names the data. */
  readonly calibration?: Omit<CalibrationSpec, 'samples' | 'batchSize'>
  /** Threads to quantise and pack on; this one alone where there are none. */
  readonly workers?: Workers
  /** Shapes that the inputs have in what is written; default: those of the model. */
  readonly writtenInputs?: InputShapes
  /** How much faster `after` is than `before` (goal speed); default: timed here, in turn, on the first test sample. */
  readonly compareSpeed?: (before: Model, after: Model) => Promise<SpeedUp>
}

export type CompressTable = OptionsOf<typeof compressTable>

/** How long training may take, in milliseconds; 0 where there is none. */
export function trainingMs({ train, budget = 30 }: Pick<CompressOptions, 'train' | 'budget'>): number {
  return train ? 60_000 * budget : 0
}

/** The options, checked, and what follows from them. */
export interface Settings extends Omit<CompressOptions, keyof CompressTable | 'progress' | 'warn'>, CompressTable {
  readonly max: MaxLoss
  readonly original: Uint8Array
  readonly outlook: Outlook<Part>
  readonly costs: CompressCosts
  readonly warn: (message: string) => void
  /** What a search that trains is validated on; `data` has the rest. */
  readonly validation?: Dataset
}

export type Part = 'tidying' | 'running the model' | 'searching' | 'packing' | 'unpacking' | 'judging'

export function partsAhead(costs: CompressCosts): Piece<Part>[] {
  return [
    { kind: 'tidying', cost: costs.tidying },
    { kind: 'running the model', cost: costs.running },
    { kind: 'searching', cost: costs.searching },
    ...partsAfterSearch(costs),
  ]
}

/** What comes after each search. */
export function partsAfterSearch({ packing, unpacking, proving }: CompressCosts): Piece<Part>[] {
  return [
    { kind: 'packing', cost: packing },
    { kind: 'unpacking', cost: unpacking },
    { kind: 'judging', cost: proving },
  ]
}

/** A model with its inputs as they are to be written. */
export function asWritten(model: Model, { writtenInputs = new Map() }: Settings): Model {
  return withInputShapes(model, writtenInputs)
}
