/**
 * A model whose file fixes the samples per call (1, as exporters leave it where nobody asks for more), as one that takes
 * any number of them: training needs batches, and small models are judged several times as fast in them.
 *
 * The sizes that inputs and outputs declare are opened, and so are the constant shapes of Reshapes that begin with the
 * number of samples; of files for one sample, other Reshapes too (open-shapes.ts). No rule says which operators keep samples
 * apart, so it is tried: a batch must give what single calls give.
 */
import { axisOf, batchOf, joinSamples, pickSamples, requiredInputs } from '../data/batch-axis.ts'
import type { Batcher, Dataset } from '../data/dataset.ts'
import { editGraph } from '../graph/edit.ts'
import { constantOf, intAttribute, producersOf } from '../graph/walk.ts'
import type { Feeds, Value } from '../method.ts'
import { type Model, type Tensor, type ValueInfo, withGraph } from '../model.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { floatValues, integers, integerTensor } from '../tensor/dtype.ts'
import { openShapes } from './open-shapes.ts'

export interface AnyBatch {
  /** The original or a model that is fed the same, as one that takes any number of samples per call. */
  open(model: Model): Model
  /** A model that was made from an opened one, with the sizes that the original declares. */
  close(model: Model): Model
  /** Makes batches of any number of samples. */
  readonly batcher: Batcher
}

/** Samples that are tried as one batch and one by one. */
const tried = 5

/** Largest difference between the two, as a share of the largest value: other kernels add up in another order. */
const tolerance = 1e-4

/** Undefined where the model takes any number already, or cannot. `dataset` gives the samples to try it on. */
export async function anyBatchOf(
  model: Model,
  { batcher, dataset }: { readonly batcher: Batcher; readonly dataset: Dataset },
): Promise<AnyBatch | undefined> {
  const { batchSize } = batcher
  const axes = axesOf(model)
  const count = Math.min(tried, dataset.length)
  if (batchSize === undefined || !axes || count < 2) return undefined
  const samples = Uint32Array.from({ length: count }, (_, i) => Math.floor((i * dataset.length) / count))
  const joining = joiningBatcher(batcher, batchSize, axes)
  const open = (m: Model): Model => opened(m, batchSize)
  const run = (m: Model, feeds: readonly Feeds[]): Promise<Record<string, Value>[]> =>
    withSession(
      () => openSession(m),
      async (session) => {
        const all: Record<string, Value>[] = []
        for (const fed of feeds) all.push(await session.run(fed))
        return all
      },
    )
  const alone = [...samples].map((i) => batcher(dataset, new Uint32Array(batchSize).fill(i)))
  const apart = await run(model, alone)
  try {
    const [together] = await run(open(model), [joining(dataset, samples)])
    if (!Object.keys(together).every((name) => isSame(together, apart, { name, axis: axes.get(name) })))
      return undefined
  } catch {
    // ONNX Runtime refuses it: a size is fixed further inside.
    return undefined
  }
  return { open, close: (m) => withSizesOf(model, m), batcher: joining }
}

/** The axis that counts samples of each input and output that has one; undefined where an output has none. */
function axesOf(model: Model): ReadonlyMap<string, number> | undefined {
  const { outputs } = model.graph
  const inputs = requiredInputs(model)
  const batch = batchOf(inputs, outputs)
  const axes = new Map<string, number>()
  for (const info of [...inputs, ...outputs]) {
    const axis = axisOf(info, batch)
    if (axis !== undefined) axes.set(info.name, axis)
  }
  return outputs.every((o) => axes.has(o.name)) ? axes : undefined
}

/** The name of the size that is opened. */
const symbol = 'samples'

function opened(model: Model, batchSize: number): Model {
  const { graph } = model
  const axes = axesOf(model) ?? new Map<string, number>()
  const edit = editGraph(model)
  const producers = producersOf(graph)
  for (const node of graph.nodes) {
    if (node.op !== 'Reshape' || constantOf(graph, node.inputs[0], producers)) continue
    const shape = constantOf(graph, node.inputs[1], producers)
    const open = shape && openShape(shape, batchSize, intAttribute(node, 'allowzero', 0) !== 0)
    if (!open) continue
    const name = edit.store(integerTensor(edit.fresh(`${node.inputs[1]}_any_batch`), 'int64', [open.length], open))
    edit.change(node, (now) => ({ ...now, inputs: now.inputs.with(1, name) }))
  }
  const { valueInfo: _sizesInside, ...rest } = edit.finish().graph
  const free = (infos: readonly ValueInfo[]): ValueInfo[] =>
    infos.map((info) => {
      const axis = axes.get(info.name)
      return axis === undefined || !info.shape ? info : { ...info, shape: info.shape.with(axis, symbol) }
    })
  // A shape that is replaced may be listed among the inputs too.
  const inputs = graph.inputs.filter(({ name }) => !graph.initializers.has(name) || rest.initializers.has(name))
  const freed = withGraph({ ...model, graph: rest }, { inputs: free(inputs), outputs: free(graph.outputs) })
  return batchSize === 1 ? openShapes(freed, axes) : freed
}

/** A shape that begins with the number of samples, for any number of them: the rest of the elements, or the input's own. */
function openShape(shape: Tensor, batchSize: number, zeroIsEmpty: boolean): number[] | undefined {
  const sizes = [...integers(shape)]
  if (shape.dims.length !== 1 || sizes[0] !== batchSize) return undefined
  if (!sizes.includes(-1)) return [-1, ...sizes.slice(1)]
  return zeroIsEmpty ? undefined : [0, ...sizes.slice(1)]
}

/** A model with the declared sizes of the original's inputs and outputs. */
function withSizesOf(original: Model, model: Model): Model {
  const declared = new Map([...original.graph.inputs, ...original.graph.outputs].map((info) => [info.name, info.shape]))
  const sized = (infos: readonly ValueInfo[]): ValueInfo[] =>
    infos.map((info) => {
      const shape = declared.get(info.name)
      return shape && info.shape?.includes(symbol) ? { ...info, shape } : info
    })
  return withGraph(model, { inputs: sized(model.graph.inputs), outputs: sized(model.graph.outputs) })
}

/** Batches of any size, joined of those that the model takes. */
function joiningBatcher(batcher: Batcher, batchSize: number, axes: ReadonlyMap<string, number>): Batcher {
  return (from, indices) => {
    const parts: Feeds[] = []
    for (let at = 0; at < indices.length; at += batchSize) {
      const filled = Uint32Array.from({ length: batchSize }, (_, i) => indices[Math.min(at + i, indices.length - 1)])
      parts.push(batcher(from, filled))
    }
    const all = Uint32Array.from({ length: indices.length }, (_, i) => i)
    return Object.fromEntries(
      Object.keys(parts[0]).map((name) => {
        const axis = axes.get(name)
        if (axis === undefined) return [name, parts[0][name]]
        const joined = joinSamples(
          parts.map((part) => part[name]),
          axis,
        )
        return [name, joined.dims[axis] > indices.length ? pickSamples(joined, axis, all) : joined]
      }),
    )
  }
}

/** Whether an output of a batch is, sample by sample, what the calls of one sample each gave. */
function isSame(
  together: Record<string, Value>,
  apart: readonly Record<string, Value>[],
  { name, axis = 0 }: { readonly name: string; readonly axis?: number },
): boolean {
  return apart.every((values, i) => {
    const one = pickSamples(values[name], axis, [0])
    if (together[name].dims[axis] !== apart.length) return false
    const other = pickSamples(together[name], axis, [i])
    if (one.dims.join() !== other.dims.join()) return false
    const [a, b] = [floatValues(one), floatValues(other)]
    if (!a || !b) return [...one.data].every((v, k) => v === other.data[k])
    let most = 0
    for (const v of a) most = Math.max(most, Math.abs(v))
    return Array.from(a).every((v, k) => Math.abs(v - b[k]) <= tolerance * most)
  })
}
