/** Data and a model in one step: guess how images become the model's inputs, and bind the fields to them. */
import type { Model } from '../model.ts'
import { batcherFor, requiredInputs } from './batcher.ts'
import type { Preprocess, Splits } from './dataset.ts'
import type { BoundData } from './handle.ts'
import { guessPreprocess, type PreprocessOptions } from './preprocess.ts'

export interface BoundSplits extends BoundData {
  readonly preprocess: Preprocess
  /** Sentences for the user about what was assumed. */
  readonly notes: readonly string[]
}

/** Throws one sentence where the data does not fit the model's inputs. `options` say what would be guessed otherwise. */
export function bindSplits(model: Model, splits: Splits, options: PreprocessOptions = {}): BoundSplits {
  const inputs = requiredInputs(model)
  const { notes, ...preprocess } = guessPreprocess(inputs, splits.test, options)
  const batcher = batcherFor(inputs, splits.test, preprocess, model.graph.outputs)
  return { splits, batcher, preprocess, notes: [...notes, ...batcher.notes] }
}
