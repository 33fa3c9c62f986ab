/** Ranges of a model's inner values, seen on calibration inputs. */
import { watchValues } from '../calibrate/watch-values.ts'
import { node } from '../graph/build.ts'
import type { Context, Feeds } from '../method.ts'
import type { Model, Node, Tensor } from '../model.ts'
import { isInput } from '../ops/operator-sets.ts'
import { integerTensor } from '../tensor/dtype.ts'
import { addToHistogram, emptyHistogram, type Histogram } from './_histogram.ts'

/**
 * A node that reduces a value of `rank` axes to one number per channel (axis 1); `store` keeps the list of axes where the
 * operator set has it as an input.
 */
export function reduceToChannels(
  op: 'ReduceMax' | 'ReduceMean',
  [input, output]: readonly [string, string],
  {
    rank,
    opset,
    fresh,
    store,
  }: { rank: number; opset: number; fresh: (base: string) => string; store: (t: Tensor) => string },
): Node {
  const axes = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 1)
  if (!isInput(op, 'axes', opset)) return node(op, [input], [output], { axes, keepdims: 0 })
  const list = store(integerTensor(fresh('axes'), 'int64', [axes.length], axes))
  return node(op, [input, list], [output], { keepdims: 0 })
}

export interface Calibration {
  readonly batches: Iterable<Feeds>
  readonly context: Context
  /** The method that asks, in errors. */
  readonly subject: string
}

/** Hands over the named values of float32, one at a time, for every batch. */
export async function floatsOf(
  model: Model,
  names: readonly string[],
  { batches, context, subject }: Calibration,
  visit: (name: string, values: Float32Array, feeds: Feeds) => void,
): Promise<void> {
  let count = 0
  const each = (values: Feeds, feeds: Feeds): void => {
    for (const name of names) {
      const { dtype, data } = values[name]
      if (!(data instanceof Float32Array)) throw new Error(`${subject}: value "${name}" is ${dtype}; expected float32`)
      visit(name, data, feeds)
    }
    count++
  }
  await watchValues(model, names, batches, each, { subject, signal: context.signal })
  if (count === 0) throw new Error(`${subject}: the calibration data is empty; expected at least one batch`)
}

/** A histogram for each named value over all batches. */
export async function collectHistograms(
  model: Model,
  names: readonly string[],
  options: Calibration,
): Promise<Map<string, Histogram>> {
  const histograms = new Map(names.map((name) => [name, emptyHistogram()]))
  await floatsOf(model, names, options, (name, values) => addToHistogram(histograms.get(name)!, values))
  return histograms
}
