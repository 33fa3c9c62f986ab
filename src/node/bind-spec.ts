/** A data spec in words, with how it is read, to data that is bound to a model: what flags and recipes say. */
import { requiredInputs } from '../data/batcher.ts'
import { type BoundSplits, bindSplits } from '../data/bind-splits.ts'
import type { Splits } from '../data/dataset.ts'
import { imageSizeOf, type PreprocessOptions } from '../data/preprocess.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { loadData } from './data.ts'

/** As `CalibrationSpec` of a recipe has it. */
export interface DataSpec extends PreprocessOptions {
  readonly data: string
  readonly label?: string
  readonly header?: boolean
}

export interface SpecOptions extends Pick<Context, 'signal' | 'progress'> {
  /** Seeds what is drawn, and how a set that comes in one piece is cut. */
  readonly seed: number
}

/** Loads the data for a model, or makes it of the model's statistics. Throws one sentence where spec or files are wrong. */
export async function splitsOf(model: Model, spec: DataSpec, options: SpecOptions): Promise<Splits> {
  const inputs = requiredInputs(model)
  return loadData(spec.data, {
    ...options,
    model,
    inputs,
    label: spec.label,
    header: spec.header,
    imageSize: imageSizeOf(inputs),
  })
}

/** The same, bound to the model's inputs. Throws one sentence where it does not fit them. */
export async function bindSpec(model: Model, spec: DataSpec, options: SpecOptions): Promise<BoundSplits> {
  return bindSplits(model, await splitsOf(model, spec, options), spec)
}
