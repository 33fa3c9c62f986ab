/** Shape rules of operators that move elements without computing: reshaping, slicing, joining, gathering. */
import { intAttribute, intsAttribute } from '../../graph/walk.ts'
import type { Dim } from '../../model.ts'
import { listOf, since } from '../operator-sets.ts'
import {
  axisOf,
  broadcast,
  type Call,
  countOf,
  divide,
  fail,
  type Known,
  like,
  multiply,
  numbers,
  type Rule,
  rearrange,
  same,
  show,
  typed,
  unknownDims,
} from './known.ts'

/** A list that is an attribute in older operator sets and an input in newer ones. Undefined: absent; null: not known. */
export function listFor(call: Call, name: string): number[] | undefined | null {
  return listOf(call.node, name, (i) => numbers(call.in(i)) ?? null)
}

const reshape: Rule = (call) => {
  const { dtype, shape, value } = call.in(0)
  const target: readonly Dim[] | undefined = listOf(call.node, 'shape', (i) => call.in(i).value)
  if (!target) {
    const rank = call.in(1).shape?.[0]
    return [{ dtype, shape: typeof rank === 'number' ? unknownDims(rank) : undefined }]
  }
  const allowZero = intAttribute(call.node, 'allowzero', 0) === 1
  const out = target.map((d, i): Dim => {
    if (d !== 0 || allowZero) return d
    if (shape && i >= shape.length) fail(`its target ${show(target)} copies dimension ${i} of ${show(shape)}`)
    return shape?.[i]
  })
  // One hole, a -1 or an unknown size, takes what the others leave.
  const holes = out.flatMap((d, i) => (d === -1 || d === undefined ? [i] : []))
  if (holes.length === 1 && shape) {
    const rest = out.filter((_, i) => i !== holes[0])
    if (rest.includes(0) && out[holes[0]] === -1) fail(`its target ${show(target)} holds a 0 beside -1`)
    out[holes[0]] = divide(shape, rest)
  } else for (const i of holes) out[i] = undefined
  const [before, after] = [countOf(shape), countOf(out)]
  if (before !== undefined && after !== undefined && before !== after)
    fail(`${show(shape)} has ${before} elements and its target ${show(target)} ${after}`)
  return [{ dtype, shape: out, value }]
}

const flatten: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  if (!shape) return [{ dtype, shape: unknownDims(2) }]
  let axis = intAttribute(call.node, 'axis', 1)
  if (axis < 0) axis += shape.length
  if (axis < 0 || axis > shape.length) fail(`axis ${axis} is outside its ${shape.length} dimensions`)
  return [{ dtype, shape: [multiply(shape.slice(0, axis)), multiply(shape.slice(axis))] }]
}

const squeeze: Rule = (call) => {
  const { dtype, shape, value } = call.in(0)
  const axes = listFor(call, 'axes')
  if (!shape || axes === null || (!axes && shape.some((d) => typeof d !== 'number'))) return [{ dtype, value }]
  const gone = new Set(axes ? axes.map((a) => axisOf(a, shape.length)) : shape.flatMap((d, i) => (d === 1 ? [i] : [])))
  for (const i of gone) same(shape[i], 1, `dimension ${i} of ${show(shape)} to squeeze`)
  return [{ dtype, shape: shape.filter((_, i) => !gone.has(i)), value }]
}

const unsqueeze: Rule = (call) => {
  const { dtype, shape, value } = call.in(0)
  const axes = listFor(call, 'axes')
  if (!shape || !axes) return [{ dtype, value }]
  const rank = shape.length + axes.length
  const added = new Set(axes.map((a) => axisOf(a, rank)))
  if (added.size !== axes.length) fail(`axes [${axes}] repeat`)
  const rest = [...shape]
  return [{ dtype, shape: Array.from({ length: rank }, (_, i) => (added.has(i) ? 1 : rest.shift())), value }]
}

const transpose: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  const perm = intsAttribute(call.node, 'perm')
  if (!shape) return [{ dtype, shape: perm && unknownDims(perm.length) }]
  const order = perm ?? shape.map((_, i) => shape.length - 1 - i)
  if (
    order.length !== shape.length ||
    new Set(order).size !== order.length ||
    order.some((i) => !(i >= 0 && i < shape.length))
  )
    fail(`perm [${order}] is no order of its ${shape.length} dimensions`)
  const out = order.map((i) => shape[i])
  return [
    { dtype, shape: out, value: rearrange(call.in(0), out, (index) => shape.map((_, i) => index[order.indexOf(i)])) },
  ]
}

const expand: Rule = (call) => {
  const { dtype, shape, value } = call.in(0)
  const target = call.in(1).value
  const rank = call.in(1).shape?.[0]
  const to = target ?? (typeof rank === 'number' ? unknownDims(rank) : undefined)
  const out = broadcast([shape, to])
  const count = countOf(out)
  const filled =
    value?.length === 1 && count !== undefined && count <= 1024 ? new Array<Dim>(count).fill(value[0]) : undefined
  return [{ dtype, shape: out, value: filled }]
}

const tile: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  const axis = call.opset < since.tileEveryAxis && call.has(2) ? call.in(2).value?.[0] : undefined
  const repeats =
    typeof axis === 'number'
      ? shape?.map((_, i) => (i === axisOf(axis, shape.length) ? call.in(1).value?.[0] : 1))
      : call.in(1).value
  return [{ dtype, shape: shape?.map((d, i) => (repeats ? multiply([d, repeats[i]]) : undefined)) }]
}

const concat: Rule = (call) => {
  const inputs = call.node.inputs.map((_, i) => call.in(i))
  const dtype = inputs.find((k) => k.dtype)?.dtype
  const first = inputs.find((k) => k.shape)?.shape
  if (!first) return [{ dtype }]
  const axis = axisOf(intAttribute(call.node, 'axis', 1), first.length)
  const out: Dim[] = [...first]
  let total: Dim = 0
  for (const { shape } of inputs) {
    if (shape && shape.length !== first.length) fail(`its inputs ${show(first)} and ${show(shape)} differ in rank`)
    shape?.forEach((d, i) => {
      if (i !== axis) out[i] = same(out[i], d, `dimension ${i} of its inputs ${show(first)} and ${show(shape)}`)
    })
    const d: Dim = shape?.[axis]
    total = typeof total === 'number' && typeof d === 'number' ? total + d : undefined
  }
  out[axis] = inputs.length === 1 ? first[axis] : total
  const value = first.length === 1 && inputs.every((k) => k.value) ? inputs.flatMap((k) => k.value ?? []) : undefined
  return [{ dtype, shape: out, value }]
}

const split: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  const parts = call.node.outputs.length
  if (!shape) return call.node.outputs.map(() => ({ dtype }))
  const axis = axisOf(intAttribute(call.node, 'axis', 0), shape.length)
  const size = shape[axis]
  let sizes: readonly Dim[] | null | undefined = listFor(call, 'split')
  if (sizes === undefined && typeof size === 'number') {
    if (size % parts !== 0 && !call.node.attributes.num_outputs)
      fail(`${size} cannot be split into ${parts} equal parts`)
    const each = Math.ceil(size / parts)
    sizes = call.node.outputs.map((_, i) => Math.max(0, Math.min(each, size - i * each)))
  }
  if (sizes && sizes.length !== parts) fail(`${sizes.length} sizes for its ${parts} outputs`)
  const total = countOf(sizes ?? undefined) === undefined ? undefined : (sizes as number[]).reduce((a, b) => a + b, 0)
  same(total, size, `its parts [${sizes}] together and dimension ${axis} of ${show(shape)}`)
  return call.node.outputs.map((_, i) => ({ dtype, shape: shape.map((d, k) => (k === axis ? sizes?.[i] : d)) }))
}

/** Start, end and step of one axis, to how many elements they take. */
function sliced(d: Dim, start: Dim, end: Dim, step: Dim): Dim {
  if (typeof start !== 'number' || typeof end !== 'number' || typeof step !== 'number') return undefined
  if (step === 0) fail('a step is 0')
  if (typeof d !== 'number') return step === 1 && start === 0 && end >= 2 ** 31 - 1 ? d : undefined
  const [from, to] = bounds(d, start, end, step)
  return Math.max(0, Math.ceil((to - from) / step))
}

function bounds(d: number, start: number, end: number, step: number): [number, number] {
  const [low, high] = step > 0 ? [0, d] : [-1, d - 1]
  const clamp = (v: number): number => Math.min(high, Math.max(low, v < 0 ? v + d : v))
  return [Math.min(Math.max(clamp(start), step > 0 ? 0 : low), high), clamp(end)]
}

const slice: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  const list = (name: string): readonly Dim[] | undefined => listOf(call.node, name, (i) => call.in(i).value)
  const [starts, ends] = [list('starts'), list('ends')]
  if (!shape) return [{ dtype }]
  const known = call.node.attributes.starts ? true : call.has(3) ? Boolean(call.in(3).value) : true
  const count = starts?.length ?? ends?.length ?? call.in(1).shape?.[0]
  const axesList =
    numbers({ value: list('axes') }) ??
    (known && typeof count === 'number' ? unknownDims(count).map((_, i) => i) : undefined)
  if (!axesList) return [{ dtype, shape: unknownDims(shape.length) }]
  const axes = axesList.map((a) => axisOf(a, shape.length))
  const steps = call.has(4) ? call.in(4).value : axes.map(() => 1)
  const out: Dim[] = [...shape]
  axes.forEach((a, i) => {
    out[a] = sliced(shape[a], starts?.[i], ends?.[i], steps?.[i])
  })
  const moves = axes.map((a, i) => {
    const [d, start, end, step] = [shape[a], starts?.[i], ends?.[i], steps?.[i]]
    if (typeof d !== 'number' || typeof start !== 'number' || typeof end !== 'number') return undefined
    return typeof step === 'number' ? { from: bounds(d, start, end, step)[0], step } : undefined
  })
  if (moves.includes(undefined)) return [{ dtype, shape: out }]
  const source = (index: readonly number[]): number[] => {
    const at = [...index]
    moves.forEach((m, i) => {
      if (m) at[axes[i]] = m.from + index[axes[i]] * m.step
    })
    return at
  }
  return [{ dtype, shape: out, value: rearrange(call.in(0), out, source) }]
}

/** Of operator set 1: a border of left, top, right and bottom is cut off, or as much as leaves `scale`. */
const crop: Rule = (call) => {
  const [left = 0, top = 0, right = 0, bottom = 0] = intsAttribute(call.node, 'border') ?? []
  const kept = intsAttribute(call.node, 'scale')
  const cut = [0, 0, top + bottom, left + right]
  const less = (d: Dim, i: number): Dim => (typeof d === 'number' ? d - cut[i] : undefined)
  return [
    typed(
      call,
      call.in(0).shape?.map((d, i) => (i < 2 ? d : (kept?.[i - 2] ?? less(d, i)))),
    ),
  ]
}

const pad: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  if (!shape) return [{ dtype }]
  const pads: readonly Dim[] | undefined =
    intsAttribute(call.node, 'paddings') ?? listOf(call.node, 'pads', (i) => call.in(i).value)
  const axes = call.has(3) ? numbers(call.in(3))?.map((a) => axisOf(a, shape.length)) : shape.map((_, i) => i)
  if (!pads || !axes) return [{ dtype, shape: unknownDims(shape.length) }]
  if (pads.length !== 2 * axes.length) fail(`${pads.length} pads; expected ${2 * axes.length}`)
  const out: Dim[] = [...shape]
  axes.forEach((a, i) => {
    const [d, begin, end] = [shape[a], pads[i], pads[i + axes.length]]
    if (typeof begin !== 'number' || typeof end !== 'number') out[a] = undefined
    else out[a] = typeof d === 'number' ? d + begin + end : begin === 0 && end === 0 ? d : undefined
    const size = out[a]
    if (typeof size === 'number' && size < 0) fail(`pads [${pads}] remove more than ${show(shape)} holds`)
  })
  return [{ dtype, shape: out }]
}

const gather: Rule = (call) => {
  const [data, indices] = [call.in(0), call.in(1)]
  if (!data.shape || !indices.shape) return [{ dtype: data.dtype }]
  const axis = axisOf(intAttribute(call.node, 'axis', 0), data.shape.length)
  const shape = [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)]
  const size = data.shape[axis]
  const value =
    data.shape.length === 1 && data.value && indices.value
      ? indices.value.map((i) => (typeof i === 'number' ? data.value?.[i < 0 ? i + data.value.length : i] : undefined))
      : undefined
  for (const i of indices.value ?? []) {
    if (typeof i === 'number' && typeof size === 'number' && (i >= size || i < -size))
      fail(`index ${i} is outside its ${size} elements`)
  }
  return [{ dtype: data.dtype, shape, value }]
}

/** Rows of a table of levels, as floats of the type that its scales have. Levels may lie several to a byte of uint8. */
const gatherBlocks: Rule = (call) => {
  const [data, indices, scales] = [call.in(0), call.in(1), call.in(2)]
  if (!data.shape || !indices.shape) return [{ dtype: scales.dtype }]
  const axis = axisOf(intAttribute(call.node, 'gather_axis', 0), data.shape.length)
  const last = data.shape.length - 1
  const bits = data.dtype === 'uint8' ? intAttribute(call.node, 'bits', 4) : 8
  const wide = data.shape.map((d, i) => (i === last && typeof d === 'number' ? (d * 8) / bits : d))
  return [{ dtype: scales.dtype, shape: [...wide.slice(0, axis), ...indices.shape, ...wide.slice(axis + 1)] }]
}

const gatherElements: Rule = (call) => [typed(call, call.in(1).shape)]

const gatherNd: Rule = (call) => {
  const [data, indices] = [call.in(0).shape, call.in(1).shape]
  const last = indices?.at(-1)
  if (!data || !indices || typeof last !== 'number') return [typed(call, undefined)]
  const batch = intAttribute(call.node, 'batch_dims', 0)
  return [typed(call, [...indices.slice(0, -1), ...data.slice(batch + last)])]
}

const compress: Rule = (call) => {
  const shape = call.in(0).shape
  if (!call.node.attributes.axis) return [typed(call, [undefined])]
  const axis = shape && axisOf(intAttribute(call.node, 'axis', 0), shape.length)
  return [
    typed(
      call,
      shape?.map((d, i) => (i === axis ? undefined : d)),
    ),
  ]
}

const oneHot: Rule = (call) => {
  const shape = call.in(0).shape
  if (!shape) return [typed(call, undefined, 2)]
  const axis = axisOf(intAttribute(call.node, 'axis', -1), shape.length + 1)
  return [typed(call, [...shape.slice(0, axis), call.in(1).value?.[0], ...shape.slice(axis)], 2)]
}

const unique: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  const byAxis = call.node.attributes.axis
  const axis = byAxis && shape ? axisOf(intAttribute(call.node, 'axis', 0), shape.length) : undefined
  const first: Known = { dtype, shape: byAxis ? shape?.map((d, i) => (i === axis ? undefined : d)) : [undefined] }
  const indices: Known = { dtype: 'int64', shape: [undefined] }
  return [first, indices, indices, indices]
}

export const movement: Record<string, Rule> = {
  Reshape: reshape,
  Flatten: flatten,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Transpose: transpose,
  Expand: expand,
  Tile: tile,
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Gather: gather,
  'com.microsoft.GatherBlockQuantized': gatherBlocks,
  GatherElements: gatherElements,
  GatherND: gatherNd,
  Crop: crop,
  Scatter: like,
  ScatterElements: like,
  ScatterND: like,
  Compress: compress,
  OneHot: oneHot,
  Unique: unique,
  Trilu: like,
  CumSum: like,
  ReverseSequence: like,
}
