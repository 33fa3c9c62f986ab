/** Couplings of operators that work element by element, and of normalisations. */
import { intAttribute, intsAttribute } from '../../graph/walk.ts'
import { integers } from '../../tensor/dtype.ts'
import { listOf, since } from '../operator-sets.ts'
import {
  axesBelow,
  type Coupling,
  type CouplingContext,
  type Cut,
  countKept,
  none,
  type Row,
  range,
  rankOf,
  resolved,
  same,
  sameAxes,
  sizeAt,
  type Tie,
} from './types.ts'

/** One value through a function of each element. */
export const unary: Row = ({ inputs, outputs }, context) => {
  if (outputs.filter((o) => o).length > 1) return undefined
  const ties = sameAxes(context, [inputs[0], outputs[0]])
  return ties && { ties, cuts: [] }
}

/**
 * Several values with broadcasting: axes of as many places are tied, an axis of one place meets all others and stays. Stored
 * tensors broadcast or are cut.
 */
export const elementwise: Row = (node, context) => {
  const output = node.outputs[0]
  const rank = rankOf(context, output)
  // In old sets attributes said how to broadcast (operator-sets.ts).
  if (rank === undefined || node.attributes.broadcast || node.attributes.axis) return undefined
  const operands = node.inputs.map((name, at) => ({
    name,
    at,
    rank: rankOf(context, name),
    stored: context.constant(name),
  }))
  if (operands.some((o) => o.name && o.rank === undefined)) return undefined
  const ties: Tie[] = []
  const cuts: Cut[] = []
  for (const axis of axesBelow(rank)) {
    const made = { value: output, axis }
    const size = sizeAt(context, made)
    if (size === undefined) continue
    const own: Tie[] = []
    const ownCuts: Cut[] = []
    let isKnown = true
    for (const { name, at, rank: r = 0, stored } of operands) {
      const read = { value: name, axis: axis - (rank - r) }
      if (!name || read.axis < 0) continue
      const count = sizeAt(context, read)
      if (count === undefined) isKnown = false
      else if (count !== size) continue
      else if (!stored) own.push({ input: read, output: made })
      else if (size > 1) ownCuts.push({ at, axis: read.axis, follows: made })
    }
    if (!isKnown || own.length === 0) continue
    ties.push(...own)
    cuts.push(...ownCuts)
  }
  return { ties, cuts }
}

/** A function of all places along some axes (a mean, a softmax, a running sum): those stay, the others are tied. */
const along = (
  axesOf: (node: Parameters<Row>[0], context: CouplingContext, rank: number) => number[] | undefined,
): Row => {
  return (node, context) => {
    const { inputs, outputs } = node
    const rank = rankOf(context, inputs[0])
    const axes = rank === undefined ? undefined : axesOf(node, context, rank)?.map((a) => resolved(a, rank))
    const ties = axes && sameAxes(context, [inputs[0], outputs[0]], axes)
    return ties && outputs.filter((o) => o).length === 1 ? { ties, cuts: [] } : undefined
  }
}

export const softmax = along((node, { opset }, rank) =>
  opset >= since.softmaxOfOneAxis
    ? [intAttribute(node, 'axis', -1)]
    : axesBelow(rank).slice(resolved(intAttribute(node, 'axis', 1), rank)),
)

export const oneAxis = (fallback: number): Row => along((node) => [intAttribute(node, 'axis', fallback)])

export const cumulativeSum = along(({ inputs }, { constant }) => {
  const axis = constant(inputs[1])
  return axis && Array.from(integers(axis))
})

/** The lower or upper part of matrices. */
export const triangle = along((_, __, rank) => [rank - 2, rank - 1])

export const localResponse = along(() => [1])

export const meanVariance = along((node) => intsAttribute(node, 'axes') ?? [0, 2, 3])

/** Reduced over some axes. */
export const reduce: Row = (node, context) => {
  const { inputs, outputs } = node
  const rank = rankOf(context, inputs[0])
  if (rank === undefined) return undefined
  const isOne = node.op === 'ArgMax' || node.op === 'ArgMin'
  const listed = isOne
    ? [intAttribute(node, 'axis', 0)]
    : listOf(node, 'axes', (i) => {
        const stored = context.constant(inputs[i])
        return stored && Array.from(integers(stored))
      })
  // Axes that are computed may be any.
  if (!listed && inputs[1]) return none
  const keeps = !listed?.length && intAttribute(node, 'noop_with_empty_axes', 0) === 1
  const axes = listed?.length ? listed.map((a) => resolved(a, rank)) : keeps ? [] : axesBelow(rank)
  const isKept = intAttribute(node, 'keepdims', 1) === 1
  const ties: Tie[] = []
  let to = 0
  for (const axis of axesBelow(rank)) {
    const isReduced = axes.includes(axis)
    if (!isReduced) ties.push(...same(context, { value: inputs[0], axis }, { value: outputs[0], axis: to }))
    if (!isReduced || isKept) to++
  }
  return { ties, cuts: [] }
}

export const batchNormalization: Row = (node, context) => {
  if (node.outputs.filter((o) => o).length > 1) return undefined
  return { ...sameAxesOf(node, context), cuts: storedAlong(node, context, [1, 2, 3, 4]) }
}

/** A normalisation of each channel alone, over the image. */
export const instanceNormalization: Row = (node, context) => {
  const { ties } = sameAxesOf(node, context)
  return { ties: ties.filter((t) => t.output.axis < 2), cuts: storedAlong(node, context, [1, 2]) }
}

/** Over groups of channels and the image: whole groups go, so that the mean of none changes. */
export const groupNormalization: Row = (node, context) => {
  const [output] = node.outputs
  const channels = { value: output, axis: 1 }
  const size = sizeAt(context, channels)
  const groups = intAttribute(node, 'num_groups', 0)
  if (!size || groups < 1 || size % groups !== 0) return undefined
  const each = size / groups
  // Sets 18 to 20 have a scale per group.
  const cuts = storedAlong(node, context, [1, 2]).map((cut) =>
    context.constant(node.inputs[cut.at])?.dims[0] === size ? cut : { ...cut, each },
  )
  return {
    ties: sameAxesOf(node, context).ties.filter((t) => t.output.axis < 2),
    cuts,
    alike: [{ axis: channels, as: range(size, (k) => Math.floor(k / each) * each) }],
    adjust: (kept) => ({
      attributes: { num_groups: { type: 'int', value: countKept(context, kept, channels) / each } },
    }),
  }
}

/**
 * Over the last axes. Without what is removed the mean and variance are others, so the places along them stay, or scale and
 * bias follow where the context allows it.
 */
export const layerNormalization: Row = (node, context) => {
  if (node.outputs.filter((o) => o).length > 1) return undefined
  const [input, ...stored] = node.inputs
  const rank = rankOf(context, input)
  if (rank === undefined) return undefined
  const first = resolved(intAttribute(node, 'axis', -1), rank)
  const ties = sameAxes(context, [input, node.outputs[0]]) ?? []
  if (!context.overNormalised) return { ties: ties.filter((t) => t.output.axis < first), cuts: [] }
  const cuts = stored.flatMap((name, i) => {
    const dims = name ? context.constant(name)?.dims : []
    // Aligned from the right.
    return axesBelow(dims?.length ?? 0).flatMap((axis): Cut[] => {
      const follows = { value: node.outputs[0], axis: axis + rank - (dims?.length ?? 0) }
      return dims?.[axis] === 1 ? [] : [{ at: i + 1, axis, follows }]
    })
  })
  return { ties, cuts }
}

function sameAxesOf({ inputs, outputs }: Parameters<Row>[0], context: CouplingContext): Pick<Coupling, 'ties'> {
  return { ties: sameAxes(context, [inputs[0], outputs[0]]) ?? [] }
}

/** Vectors of one number per channel, at these inputs. */
function storedAlong({ inputs, outputs }: Parameters<Row>[0], _: CouplingContext, at: readonly number[]): Cut[] {
  return at.filter((i) => inputs[i]).map((i) => ({ at: i, axis: 0, follows: { value: outputs[0], axis: 1 } }))
}
