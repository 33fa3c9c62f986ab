/** Couplings of operators that move elements and change none. */
import { intAttribute, intsAttribute, stringAttribute } from '../../graph/walk.ts'
import type { Node, Tensor } from '../../model.ts'
import { integers, integerTensor } from '../../tensor/dtype.ts'
import { isInput, listOf } from '../operator-sets.ts'
import {
  type Adjustment,
  type Axis,
  axesBelow,
  type CouplingContext,
  countKept,
  countMarks,
  none,
  placesLeft,
  type Row,
  range,
  rankOf,
  resolved,
  same,
  sameAxes,
  sizeAt,
  type Tie,
} from './types.ts'

export const transpose: Row = (node, context) => {
  const [input] = node.inputs
  const [output] = node.outputs
  const rank = rankOf(context, input)
  if (rank === undefined) return undefined
  const perm = intsAttribute(node, 'perm') ?? axesBelow(rank).reverse()
  const ties = perm.flatMap((from, axis) => same(context, { value: input, axis: from }, { value: output, axis }))
  return { ties, cuts: [] }
}

/** Numbers that a node lists, as an attribute or an input; undefined where they are computed or left out. */
function listed(node: Node, name: string, { constant }: CouplingContext): number[] | undefined {
  return listOf(node, name, (i) => {
    const stored = constant(node.inputs[i])
    return stored && Array.from(integers(stored))
  })
}

const int64s = (values: readonly number[]): Tensor => integerTensor('', 'int64', [values.length], values)

/** A list put where the node has it: in an attribute, or at an input. */
function putList(node: Node, name: string, input: number, values: readonly number[]): Adjustment {
  return node.attributes[name]
    ? { attributes: { [name]: { type: 'ints', value: values } } }
    : { inputs: new Map([[input, int64s(values)]]) }
}

export const concat: Row = (node, context) => {
  const [output] = node.outputs
  const rank = rankOf(context, output)
  if (rank === undefined) return undefined
  const along = resolved(intAttribute(node, 'axis', 1), rank)
  const total = sizeAt(context, { value: output, axis: along })
  const ties: Tie[] = []
  let start = 0
  for (const input of node.inputs) {
    ties.push(...(sameAxes(context, [input, output], [along]) ?? []))
    const size = sizeAt(context, { value: input, axis: along })
    if (size === undefined || total === undefined) start = Number.NaN
    if (!Number.isNaN(start)) {
      const first = start
      const from = range(total ?? 0, (k) => (k >= first && k < first + (size ?? 0) ? k - first : -1))
      ties.push({ input: { value: input, axis: along }, output: { value: output, axis: along }, from })
      start += size ?? 0
    }
  }
  // Without all sizes nobody knows where the parts lie.
  const isWhole = start === total
  return { ties: isWhole ? ties : ties.filter((t) => t.output.axis !== along), cuts: [] }
}

export const split: Row = (node, context) => {
  const [input] = node.inputs
  const rank = rankOf(context, input)
  if (rank === undefined) return undefined
  const axis = resolved(intAttribute(node, 'axis', 0), rank)
  const total = sizeAt(context, { value: input, axis })
  const ties: Tie[] = []
  let start = 0
  for (const output of node.outputs) {
    ties.push(...(sameAxes(context, [input, output], [axis]) ?? []))
    const size = output ? sizeAt(context, { value: output, axis }) : undefined
    const first = start
    start += size ?? Number.NaN
    if (size !== undefined)
      ties.push({ input: { value: input, axis }, output: { value: output, axis }, from: range(size, (k) => k + first) })
  }
  if (start !== total) return { ties: ties.filter((t) => t.input.axis !== axis), cuts: [] }
  return {
    ties,
    cuts: [],
    adjust(kept) {
      const parts = node.outputs.map((value) => ({ value, axis }))
      if (!parts.some(kept)) return {}
      const { num_outputs: _, ...attributes } = node.attributes
      const sizes = parts.map((part) => countKept(context, kept, part))
      if (!isInput('Split', 'split', context.opset))
        return { attributes: { ...attributes, split: { type: 'ints', value: sizes } } }
      return { attributes, inputs: new Map([[1, int64s(sizes)]]) }
    },
  }
}

/** Some places of one axis, in the order of a stored list. One that a single number picks takes the axis away, which stays whole. */
export const gather: Row = (node, context) => {
  const [input, list] = node.inputs
  const [output] = node.outputs
  const [rank, more] = [rankOf(context, input), rankOf(context, list)]
  if (rank === undefined || more === undefined) return undefined
  const axis = resolved(intAttribute(node, 'axis', 0), rank)
  const indices = context.constant(list)
  const size = sizeAt(context, { value: input, axis })
  const ties = axesBelow(rank).flatMap((a) => {
    if (a === axis) return []
    return same(context, { value: input, axis: a }, { value: output, axis: a < axis ? a : a + more - 1 })
  })
  const [read, made]: Axis[] = [
    { value: input, axis },
    { value: output, axis },
  ]
  if (more !== 1 || !indices || size === undefined) return { ties, cuts: [] }
  const from = Int32Array.from(integers(indices), (i) => (i < 0 ? i + size : i))
  return {
    ties: [...ties, { input: read, output: made, from }],
    cuts: [],
    adjust(kept) {
      const [before, after] = [kept(read), kept(made)]
      return before || after ? { inputs: new Map([[1, remapped(from, before, after)]]) } : {}
    },
  }
}

/** The indices of a Gather among the places that are left. */
function remapped(from: Int32Array, keptIn: Uint8Array | undefined, keptOut: Uint8Array | undefined): Tensor {
  const place = keptIn && placesLeft(keptIn)
  return int64s(
    Array.from(from)
      .filter((_, k) => !keptOut || keptOut[k])
      .map((c) => (place ? place[c] : c)),
  )
}

/** A run of an axis, or of several. */
export const slice: Row = (node, context) => {
  const [input] = node.inputs
  const [output] = node.outputs
  const rank = rankOf(context, input)
  if (rank === undefined) return undefined
  const starts = listed(node, 'starts', context)
  const axes = listed(node, 'axes', context) ?? (node.inputs[3] ? undefined : starts?.map((_, i) => i))
  const steps = node.inputs[4] ? context.constant(node.inputs[4]) : undefined
  if (!axes || (node.inputs[4] && !steps)) return none
  const cut = axes.map((a) => resolved(a, rank))
  const ties = sameAxes(context, [input, output], cut) ?? []
  const runs: { readonly i: number; readonly read: Axis; readonly made: Axis }[] = []
  for (const [i, axis] of cut.entries()) {
    const [read, made] = [
      { value: input, axis },
      { value: output, axis },
    ]
    const [size, count] = [sizeAt(context, read), sizeAt(context, made)]
    const isRun = (steps ? Number(integers(steps)[i]) : 1) === 1
    if (!starts || size === undefined || count === undefined || !isRun) continue
    const first = Math.min(Math.max(0, resolved(starts[i], size)), size)
    ties.push({ input: read, output: made, from: range(count, (k) => k + first) })
    runs.push({ i, read, made })
  }
  return {
    ties,
    cuts: [],
    adjust(kept) {
      const ends = listed(node, 'ends', context)
      if (!starts || !ends || !runs.some(({ read }) => kept(read))) return {}
      const [from, to] = [[...starts], [...ends]]
      for (const { i, read, made } of runs) {
        if (!kept(read)) continue
        const first = resolved(starts[i], sizeAt(context, read) ?? 0)
        from[i] = countMarks((kept(read) as Uint8Array).subarray(0, Math.max(0, first)))
        to[i] = from[i] + countKept(context, kept, made)
      }
      return both(putList(node, 'starts', 1, from), putList(node, 'ends', 2, to))
    },
  }
}

function both(a: Adjustment, b: Adjustment): Adjustment {
  return {
    attributes: { ...a.attributes, ...b.attributes },
    inputs: new Map([...(a.inputs ?? []), ...(b.inputs ?? [])]),
  }
}

/** Padding, where its numbers are stored: places that nothing else makes, unless other places are repeated. */
export const pad: Row = (node, context) => {
  const [input] = node.inputs
  const [output] = node.outputs
  const rank = rankOf(context, input)
  const pads = listed(node, 'pads', context)
  if (rank === undefined || !pads) return undefined
  const named = node.inputs[3] ? context.constant(node.inputs[3]) : undefined
  if (node.inputs[3] && !named) return undefined
  const axes = named ? Array.from(integers(named), (a) => resolved(Number(a), rank)) : axesBelow(rank)
  const isConstant = stringAttribute(node, 'mode', 'constant') === 'constant'
  const ties: Tie[] = []
  const padded: { readonly i: number; readonly read: Axis; readonly made: Axis }[] = []
  for (const axis of axesBelow(rank)) {
    const [read, made] = [
      { value: input, axis },
      { value: output, axis },
    ]
    const i = axes.indexOf(axis)
    const [before, after] = i < 0 ? [0, 0] : [pads[i], pads[i + axes.length]]
    const [size, count] = [sizeAt(context, read), sizeAt(context, made)]
    if (before === 0 && after === 0) ties.push(...same(context, read, made))
    else if (isConstant && before >= 0 && after >= 0 && size !== undefined && count === before + size + after) {
      const from = range(count, (k) => (k >= before && k < before + size ? k - before : -1))
      ties.push({ input: read, output: made, from })
      padded.push({ i, read, made })
    }
  }
  return {
    ties,
    cuts: [],
    adjust(kept) {
      const left = [...pads]
      for (const { i, read, made } of padded) {
        const marks = kept(made)
        const size = sizeAt(context, read) ?? 0
        if (!marks) continue
        left[i] = countMarks(marks.subarray(0, pads[i]))
        left[i + axes.length] = countMarks(marks.subarray(pads[i] + size))
      }
      return left.join() === pads.join() ? {} : putList(node, 'pads', 1, left)
    },
  }
}

/** Images by factors, or to sizes that are stored. */
export const resize: Row = (node, context) => {
  const [input, , , list] = node.inputs
  const [output] = node.outputs
  const sizes = list ? context.constant(list) : undefined
  const rank = rankOf(context, input)
  if (rank === undefined || (list && !sizes)) return undefined
  const made = [0, 1].map((axis) => ({ value: output, axis }))
  const ties = made.flatMap((m) => same(context, { value: input, axis: m.axis }, m))
  return {
    ties,
    cuts: [],
    adjust(kept) {
      if (!sizes || !made.some(kept)) return {}
      const axes = (intsAttribute(node, 'axes') ?? axesBelow(rank)).map((a) => resolved(a, rank))
      const left = Array.from(integers(sizes), (size, i) =>
        axes[i] < 2 && kept(made[axes[i]]) ? countKept(context, kept, made[axes[i]]) : Number(size),
      )
      return { inputs: new Map([[3, int64s(left)]]) }
    },
  }
}

/** Repeated along some axes to a stored shape; the others are tied. */
export const expand: Row = (node, context) => {
  const [input, list] = node.inputs
  const [output] = node.outputs
  const shape = context.constant(list)
  const [before, after] = [rankOf(context, input), rankOf(context, output)]
  if (before === undefined || after === undefined) return undefined
  const ties = axesBelow(before).flatMap((axis) =>
    same(context, { value: input, axis }, { value: output, axis: axis + after - before }),
  )
  if (!shape) return none
  const sizes = Array.from(integers(shape), Number)
  return {
    ties,
    cuts: [],
    adjust(kept) {
      const left = sizes.map((size, i) => {
        const made = { value: output, axis: i + after - sizes.length }
        return size !== 1 && kept(made) ? countKept(context, kept, made) : size
      })
      return left.join() === sizes.join() ? {} : { inputs: new Map([[1, int64s(left)]]) }
    },
  }
}

export const tile: Row = (node, context) => {
  const repeats = context.constant(node.inputs[1])
  if (!repeats) return none
  const more = axesBelow(repeats.dims[0]).filter((axis) => Number(integers(repeats)[axis]) !== 1)
  return { ties: sameAxes(context, [node.inputs[0], node.outputs[0]], more) ?? [], cuts: [] }
}

/**
 * Writes updates into data at places that a list names by the first axes; the others are tied. As exporters write a slice that
 * is assigned to, a stored list may name all places of an axis in their order: such axes are tied as well.
 */
export const scatter: Row = (node, context) => {
  const [data, list, updates] = node.inputs
  const [output] = node.outputs
  const depth = context.shape(list)?.at(-1)
  const rank = rankOf(context, data)
  const updated = rankOf(context, updates)
  if (typeof depth !== 'number' || rank === undefined || updated === undefined) return undefined
  const indices = context.constant(list)
  const named = indices && indices.dims.length === depth + 1 ? wholeAxes(indices, context.shape(data) ?? []) : []
  const ties = axesBelow(rank)
    .filter((axis) => axis >= depth || named.includes(axis))
    .flatMap((axis) => [
      ...same(context, { value: data, axis }, { value: output, axis }),
      ...same(context, { value: updates, axis: axis + updated - rank }, { value: output, axis }),
    ])
  return {
    ties,
    cuts: [],
    adjust(kept) {
      const marks = named.map((axis) => ({ axis, kept: kept({ value: output, axis }) })).filter((m) => m.kept)
      return indices && marks.length > 0 ? { inputs: new Map([[1, listLeft(indices, marks)]]) } : {}
    },
  }
}

/** The axes of which a list of places, [.., axes], names every place at its own. */
function wholeAxes({ dims, ...tensor }: Tensor, shape: readonly unknown[]): number[] {
  const depth = dims[dims.length - 1]
  const values = integers({ ...tensor, dims })
  return axesBelow(depth).filter((axis) => {
    if (dims[axis] !== shape[axis]) return false
    const inner = dims.slice(axis + 1, -1).reduce((a, b) => a * b, 1)
    for (let i = 0; i * depth < values.length; i++)
      if (Number(values[i * depth + axis]) !== Math.floor(i / inner) % dims[axis]) return false
    return true
  })
}

/** A list of places without those that are gone, the others counted anew. */
function listLeft({ dims, ...tensor }: Tensor, marks: readonly { axis: number; kept?: Uint8Array }[]): Tensor {
  const depth = dims[dims.length - 1]
  const values = integers({ ...tensor, dims })
  const places = new Map(marks.map(({ axis, kept }) => [axis, placesLeft(kept ?? new Uint8Array())]))
  const left: number[] = []
  for (let i = 0; i < values.length; i += depth) {
    const place = axesBelow(depth).map((axis) => {
      const index = Number(values[i + axis])
      return places.get(axis)?.[index] ?? index
    })
    if (!place.includes(-1)) left.push(...place)
  }
  const sizes = dims.map((d, axis) => places.get(axis)?.filter((p) => p >= 0).length ?? d)
  return integerTensor('', 'int64', sizes, left)
}

/** Channels to places of the image: each block of them becomes one. */
export const depthToSpace: Row = (node, context) => {
  const [read, made] = [
    { value: node.inputs[0], axis: 1 },
    { value: node.outputs[0], axis: 1 },
  ]
  const [before, after] = [sizeAt(context, read), sizeAt(context, made)]
  if (!before || !after) return none
  const isColumnFirst = stringAttribute(node, 'mode', 'DCR') === 'CRD'
  const into = range(before, (k) => (isColumnFirst ? Math.floor((k * after) / before) : k % after))
  return { ties: [{ input: read, output: made, into }], cuts: [] }
}

export const spaceToDepth: Row = (node, context) => {
  const [read, made] = [
    { value: node.inputs[0], axis: 1 },
    { value: node.outputs[0], axis: 1 },
  ]
  const [before, after] = [sizeAt(context, read), sizeAt(context, made)]
  return before && after
    ? { ties: [{ input: read, output: made, from: range(after, (k) => k % before) }], cuts: [] }
    : none
}

/**
 * Axes joined and taken apart (Reshape, Flatten, Squeeze, Unsqueeze). Sizes are taken apart into factors that lie in one axis
 * before and one behind: of [N, T, 12] and [N, T, 3, 4] those are N, T, 3 and 4. An axis of one factor on either side is the
 * same; of several in one axis, one can be followed: a place of the factor is then all places of the axis that have it.
 */
export const reshape: Row = (node, context) => {
  const [input, list] = node.inputs
  const [output] = node.outputs
  const [before, after] = [context.shape(input), context.shape(output)]
  if (!before || !after) return undefined
  const target = node.op === 'Reshape' ? listed(node, 'shape', context) : undefined
  if (node.op === 'Reshape' && !target) return none
  const factors = factorsOf(before, after)
  const ties: Tie[] = []
  const choices: Tie[] = []
  for (const f of factors) {
    const [read, made] = [
      { value: input, axis: f.before },
      { value: output, axis: f.after },
    ]
    const [isWhole, staysWhole] = [before[f.before] === f.size, after[f.after] === f.size]
    const placeOf = (inner: number) => (k: number) => Math.floor(k / inner) % f.size
    if (isWhole && staysWhole) ties.push({ input: read, output: made })
    else if (isWhole)
      choices.push({ input: read, output: made, from: range(after[f.after] as number, placeOf(f.innerAfter)) })
    else if (staysWhole)
      choices.push({ input: read, output: made, into: range(before[f.before] as number, placeOf(f.innerBefore)) })
  }
  return {
    ties,
    cuts: [],
    choices,
    adjust(kept) {
      if (!target) return {}
      const sizes = target.map((size, axis) => {
        const made = { value: output, axis }
        return size > 0 && kept(made) ? countKept(context, kept, made) : size
      })
      if (sizes.join() === target.join()) return {}
      return list ? { inputs: new Map([[1, int64s(sizes)]]) } : putList(node, 'shape', 1, sizes)
    },
  }
}

interface Factor {
  readonly size: number
  /** The axes that it lies in, and how many places of them lie between two of its own. */
  readonly before: number
  readonly after: number
  readonly innerBefore: number
  readonly innerAfter: number
}

type Shape = NonNullable<ReturnType<CouplingContext['shape']>>

/** The factors that axes before and behind have in common, as far as sizes are known: from the left, then from the right. */
function factorsOf(before: Shape, after: Shape): Factor[] {
  const found: Factor[] = []
  let first = 0
  while (
    first < before.length &&
    first < after.length &&
    before[first] === after[first] &&
    before[first] !== undefined
  ) {
    const size = before[first]
    if (typeof size === 'number') found.push({ size, before: first, after: first, innerBefore: 1, innerAfter: 1 })
    first++
  }
  let [b, a] = [before.length - 1, after.length - 1]
  let [innerBefore, innerAfter] = [1, 1]
  const right: Factor[] = []
  while (b >= first && a >= first) {
    const [x, y] = [before[b], after[a]]
    if (typeof x !== 'number' || typeof y !== 'number' || x === 0 || y === 0) break
    const [restBefore, restAfter] = [x / innerBefore, y / innerAfter]
    const size = Math.min(restBefore, restAfter)
    // Sizes that do not divide each other have no common factor that lies in one axis of each.
    if (Math.max(restBefore, restAfter) % size !== 0) break
    if (size > 1) right.unshift({ size, before: b, after: a, innerBefore, innerAfter })
    if (restBefore === size) [b, innerBefore] = [b - 1, 1]
    else innerBefore *= size
    if (restAfter === size) [a, innerAfter] = [a - 1, 1]
    else innerAfter *= size
  }
  return [...found, ...right]
}
