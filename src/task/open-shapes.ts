/**
 * Constant shapes of Reshapes as they are for any number of samples, where a file is fixed to one sample per call. What a
 * Reshape makes of more samples is not written in the file: the axis of the samples is followed by its stride, the number of
 * elements behind it, which a Reshape keeps. The guess is to be tried by its caller.
 */
import { editGraph } from '../graph/edit.ts'
import { constantOf, producersOf } from '../graph/walk.ts'
import { type Model, withGraph } from '../model.ts'
import { inferShapes, type Shapes } from '../ops/shape.ts'
import { integers, integerTensor } from '../tensor/dtype.ts'

/** A number of samples that no other size is likely to be a multiple of. */
const several = 1009
/** Reshapes that follow each other on one path, at most; a transformer's block has about eight. */
const mostPasses = 400

/** Opens what is left fixed of a model whose `axes` count the samples of its inputs; a Reshape after the others before it. */
export function openShapes(model: Model, axes: ReadonlyMap<string, number>): Model {
  const at = (samples: number, m: Model): Shapes => {
    const sized = m.graph.inputs.flatMap(({ name, shape }) => {
      const axis = axes.get(name)
      return axis === undefined || !shape ? [] : [[name, shape.with(axis, samples)] as const]
    })
    return inferShapes(m, { inputShapes: Object.fromEntries(sized) })
  }
  let current = withoutZeroStates(model)
  const one = at(1, current)
  for (let pass = 0; pass < mostPasses; pass++) {
    const next = openNext(current, one, at(several, current))
    if (!next) break
    current = next
  }
  return current
}

/** Opens the Reshapes whose inputs are known for several samples, and whose shapes are not right for them. */
function openNext(model: Model, one: Shapes, more: Shapes): Model | undefined {
  const { graph } = model
  const edit = editGraph(model)
  const producers = producersOf(graph)
  let found = false
  for (const node of graph.nodes) {
    const shape = node.op === 'Reshape' ? constantOf(graph, node.inputs[1], producers) : undefined
    if (!shape || integers(shape).includes(-1)) continue
    const [before, after] = [one, more].map(({ values }) => fixed(values.get(node.inputs[0])?.shape))
    const target = fixed(one.values.get(node.outputs[0])?.shape)
    const place = before && after && target && placeOf(before, after, target)
    if (!target || place === undefined) continue
    const name = edit.fresh(`${node.inputs[1]}_any_batch`)
    edit.store(integerTensor(name, 'int64', [target.length], target.with(place, -1)))
    edit.change(node, (now) => ({ ...now, inputs: now.inputs.with(1, name) }))
    found = true
  }
  return found ? edit.finish() : undefined
}

function fixed(shape: readonly unknown[] | undefined): number[] | undefined {
  return shape?.every((d) => typeof d === 'number') ? (shape as number[]) : undefined
}

/** Where the samples lie in a Reshape's target; undefined where they are not in its input, or it cannot be told. */
function placeOf(one: readonly number[], more: readonly number[], target: readonly number[]): number | undefined {
  const differs = one.flatMap((d, i) => (more[i] === d ? [] : [i]))
  const [axis] = differs
  if (differs.length !== 1 || more[axis] !== several * one[axis]) return undefined
  const behind = (shape: readonly number[], i: number): number => shape.slice(i).reduce((a, b) => a * b, 1)
  // The samples may lie inside or around what shares their axis.
  const strides = [behind(one, axis + 1), behind(one, axis)]
  const alone = target.findIndex((d, i) => d === 1 && strides.includes(behind(target, i + 1)))
  if (alone >= 0) return alone
  const border = target.findIndex((_, i) => behind(target, i) === strides[0])
  // Rows of samples are joined for a product; what is parted, such as heads, lies inside of the samples.
  if (target.length < one.length) return border > 0 ? border - 1 : undefined
  return border >= 0 ? border : undefined
}

/** Initial states that are zero are what a recurrent layer begins with by itself, for any number of samples. */
function withoutZeroStates(model: Model): Model {
  const { graph } = model
  const producers = producersOf(graph)
  const isZero = (name: string): boolean => {
    const tensor = name ? constantOf(graph, name, producers) : undefined
    return tensor?.data.every((byte) => byte === 0) ?? false
  }
  const nodes = graph.nodes.map((node) =>
    ['GRU', 'LSTM', 'RNN'].includes(node.op)
      ? { ...node, inputs: node.inputs.map((name, i) => ((i === 5 || i === 6) && isZero(name) ? '' : name)) }
      : node,
  )
  return withGraph(model, { nodes })
}
