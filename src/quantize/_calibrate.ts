/** Ranges of a model's inner values, seen on calibration inputs. */
import { stopIfAborted } from '../errors.ts'
import { node, valueInfo } from '../graph/build.ts'
import type { Context, Feeds } from '../method.ts'
import { type Model, type Node, type Tensor, withGraph } from '../model.ts'
import { isInput } from '../ops/operator-sets.ts'
import { openSession } from '../runtime/session.ts'
import { integerTensor } from '../tensor/dtype.ts'
import { addToHistogram, emptyHistogram, type Histogram } from './_histogram.ts'

/** The model with inner float values as outputs too. */
export function exposeValues(model: Model, names: Iterable<string>): Model {
  const present = new Set(model.graph.outputs.map((o) => o.name))
  const added = [...names].filter((name) => !present.has(name))
  return withGraph(model, { outputs: [...model.graph.outputs, ...added.map((name) => valueInfo(name, 'float32'))] })
}

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

/** Runs the model on every batch and hands over the named inner values; model inputs may be named too. */
export async function runInner(
  model: Model,
  names: readonly string[],
  options: { batches: Iterable<Feeds>; context: Context; subject: string },
  visit: (name: string, values: Float32Array, feeds: Feeds) => void,
): Promise<void> {
  const { batches, context, subject } = options
  const inputs = new Set(model.graph.inputs.map((i) => i.name))
  const inner = names.filter((name) => !inputs.has(name))
  const session = await openSession(exposeValues(model, inner), { name: subject })
  let count = 0
  try {
    for (const feeds of batches) {
      stopIfAborted(context.signal, 'int8')
      const results = inner.length > 0 ? await session.run(feeds, inner) : {}
      for (const name of names) {
        const value = results[name] ?? feeds[name]
        if (!value) throw new Error(`${subject}: calibration gives no input "${name}"; expected one in every batch`)
        if (!(value.data instanceof Float32Array)) {
          throw new Error(`${subject}: value "${name}" is ${value.dtype}; expected float32`)
        }
        visit(name, value.data, feeds)
      }
      count++
    }
  } finally {
    await session.release()
  }
  if (count === 0) throw new Error(`${subject}: the calibration data is empty; expected at least one batch`)
}

/** A histogram for each named value over all batches. */
export async function collectHistograms(
  model: Model,
  names: readonly string[],
  options: { batches: Iterable<Feeds>; context: Context; subject: string },
): Promise<Map<string, Histogram>> {
  const histograms = new Map(names.map((name) => [name, emptyHistogram()]))
  await runInner(model, names, options, (name, values) => addToHistogram(histograms.get(name)!, values))
  return histograms
}
