/** Data and a model in one step: guess how images become the model's inputs, and bind the fields to them. */
import type { Model } from '../model.ts'
import { isFloat } from '../tensor/dtype.ts'
import { batcherFor, requiredInputs } from './batcher.ts'
import type { Dataset, Preprocess, Splits } from './dataset.ts'
import type { BoundData } from './handle.ts'
import { guessPreprocess, type PreprocessOptions } from './preprocess.ts'

export interface BoundSplits extends BoundData {
  readonly preprocess: Preprocess
  /** Sentences for the user about what was assumed. */
  readonly notes: readonly string[]
}

/** Throws one sentence where the data does not fit the model's inputs. `options` say what would be guessed otherwise. */
export function bindSplits(model: Model, given: Splits, options: PreprocessOptions = {}): BoundSplits {
  const inputs = requiredInputs(model)
  const splits = givesOneNumber(model) ? withoutClasses(given) : given
  const { notes, ...preprocess } = guessPreprocess(inputs, splits.test, options)
  const batcher = batcherFor(inputs, splits.test, preprocess, model.graph.outputs)
  const taken =
    splits === given
      ? []
      : ['the model gives one number per sample, so the whole numbers of the data are numbers, no classes']
  return { splits, batcher, preprocess, notes: [...taken, ...notes, ...batcher.notes] }
}

/** Whether that is all that the model gives: more than two classes cannot be meant. */
function givesOneNumber({ graph: { outputs } }: Model): boolean {
  return (
    outputs.length > 0 &&
    outputs.every(
      ({ dtype, shape }) => isFloat(dtype) && shape && shape.length > 0 && shape.slice(1).every((d) => d === 1),
    )
  )
}

/** Classes without names, of which there are more than two, as numbers to regress. */
function withoutClasses(splits: Splits): Splits {
  const { classes = 0, classNames } = splits.test
  if (classes <= 2 || classNames) return splits
  const asNumbers = (set: Dataset): Dataset => {
    const { labels, classes: _, ...rest } = set
    return labels ? { ...rest, targets: { shape: [], data: Float32Array.from(labels), kind: 'values' } } : set
  }
  return { ...splits, train: asNumbers(splits.train), test: asNumbers(splits.test) }
}
