/** Backward rules of operators that move data: shapes, slices, gathers, resizing. */

import { UnsupportedError } from '../../errors.ts'
import { describe, intAttribute, stringAttribute } from '../../graph/walk.ts'
import { convGradX } from './conv.ts'
import {
  concat,
  type Emitter,
  expand,
  flip,
  matMul,
  pad,
  reshape,
  type Shape,
  sameShape,
  slice,
  sum,
  transpose,
  unbroadcast,
  zeros,
} from './emit.ts'
import { resizeMatrix, resizeScales } from './resize.ts'
import type { At, GradRule } from './rule.ts'

const reshapeBack: GradRule = (g, at) => [reshape(g, at.dy, g.shape(at.x[0]))]

const axisOf = (at: At, rank: number, fallback: number): number => {
  const axis = intAttribute(at.node, 'axis', fallback)
  return axis < 0 ? axis + rank : axis
}

const transposeRule: GradRule = (g, at) => {
  const rank = g.shape(at.x[0]).length
  const attribute = at.node.attributes.perm
  const perm = attribute?.type === 'ints' ? attribute.value.map(Number) : [...Array(rank).keys()].reverse()
  return [
    transpose(
      g,
      at.dy,
      perm.map((_, i) => perm.indexOf(i)),
    ),
  ]
}

const concatRule: GradRule = (g, at) => {
  const axis = axisOf(at, g.shape(at.y[0]).length, 0)
  let start = 0
  return at.x.map((x, i) => {
    const from = start
    start += g.shape(x)[axis]
    return at.needs(i) ? slice(g, at.dy, { axes: [axis], starts: [from], ends: [start] }) : undefined
  })
}

const split: GradRule = (g, at) => {
  const axis = axisOf(at, g.shape(at.x[0]).length, 0)
  return [
    concat(
      g,
      at.y.map((y, i) => at.dys[i] ?? zeros(g, y)),
      axis,
    ),
  ]
}

/** The gradient goes back to where it was cut from, one axis after another: zeros between (steps), before and after. */
const sliceRule: GradRule = (g, at) => {
  const from = g.shape(at.x[0])
  const starts = at.ints(1) ?? []
  const axes = at.ints(3) ?? starts.map((_, i) => i)
  const steps = at.ints(4) ?? starts.map(() => 1)
  if (isThinning(from, { starts, axes, steps })) return [thinningBack(g, at.dy, from, { axes, steps })]
  let dy = at.dy
  axes.forEach((given, i) => {
    const axis = given < 0 ? given + from.length : given
    dy = sliceBack(g, dy, { axis, size: from[axis], start: starts[i], step: steps[i] })
  })
  return [dy]
}

interface Thinning {
  readonly axes: readonly number[]
  readonly steps: readonly number[]
}

/** Every s-th row and column of an image, from the first: the shortcut of CIFAR ResNets. */
function isThinning(from: Shape, { starts, axes, steps }: Thinning & { readonly starts: readonly number[] }): boolean {
  const along = axes.every((axis) => axis >= 2) && steps.some((s) => s > 1)
  return from.length === 4 && along && starts.every((s) => s === 0) && steps.every((s) => s > 0)
}

/** It is a pointwise convolution, channel by channel, with ones; so is its gradient's. */
function thinningBack(g: Emitter, dy: string, from: Shape, { axes, steps }: Thinning): string {
  const strides = [2, 3].map((axis) => (axes.includes(axis) ? steps[axes.indexOf(axis)] : 1))
  const [, , h, w] = g.shape(dy)
  const whole = h === Math.ceil(from[2] / strides[0]) && w === Math.ceil(from[3] / strides[1])
  const shape = whole ? from : [from[0], from[1], (h - 1) * strides[0] + 1, (w - 1) * strides[1] + 1]
  const ones = g.constant(1, g.dtype(dy), [from[1], 1, 1, 1])
  const geometry = { kernel: [1, 1], strides, dilations: [1, 1], pads: [0, 0, 0, 0], group: from[1] }
  const dx = convGradX(g, ones, dy, { ...geometry, shape })
  return pad(g, dx, [0, 0, 0, 0, 0, 0, from[2] - shape[2], from[3] - shape[3]])
}

interface Cut {
  readonly axis: number
  readonly size: number
  readonly start: number
  readonly step: number
}

function sliceBack(g: Emitter, dy: string, { axis, size, start, step }: Cut): string {
  const count = g.shape(dy)[axis]
  const stride = Math.abs(step)
  // The first and last position that were read, in ascending order.
  const clamp = (v: number, lo: number, hi: number): number => Math.min(hi, Math.max(lo, v < 0 ? v + size : v))
  const first = step > 0 ? clamp(start, 0, size) : clamp(start, 0, size - 1) - (count - 1) * stride
  const up = step < 0 ? flip(g, dy, [axis]) : dy
  const shape = g.shape(up)
  const grow = (a: string, at: number, before: number, after: number): string => {
    const rank = g.shape(a).length
    const pads = Array.from({ length: 2 * rank }, (_, i) => (i === at ? before : i === at + rank ? after : 0))
    return pad(g, a, pads)
  }
  if (count === 0)
    return expand(
      g,
      g.constant(0, g.dtype(dy)),
      shape.map((d, i) => (i === axis ? size : d)),
    )
  if (stride === 1) return grow(up, axis, first, size - first - count)
  const opened = reshape(g, up, [...shape.slice(0, axis + 1), 1, ...shape.slice(axis + 1)])
  const spread = grow(opened, axis + 1, 0, stride - 1)
  const closed = reshape(
    g,
    spread,
    shape.map((d, i) => (i === axis ? d * stride : d)),
  )
  return grow(closed, axis, first, size - first - count * stride) // the end may crop zeros
}

/** Where each element of a padded axis was read from, for the modes that repeat the input. */
function padSources(mode: string, size: number, before: number, after: number): number[] {
  return Array.from({ length: before + size + after }, (_, i) => {
    const p = i - before
    if (mode === 'edge') return Math.min(size - 1, Math.max(0, p))
    const period = mode === 'wrap' ? size : Math.max(1, 2 * (size - 1))
    const m = ((p % period) + period) % period
    return mode === 'reflect' && m >= size ? period - m : m
  })
}

const padRule: GradRule = (g, at) => {
  const from = g.shape(at.x[0])
  const given = at.ints(1) ?? []
  const axes = at.ints(3) ?? from.map((_, i) => i)
  const pads = Array.from({ length: 2 * from.length }, () => 0)
  axes.forEach((a, i) => {
    const axis = a < 0 ? a + from.length : a
    pads[axis] = given[i]
    pads[axis + from.length] = given[i + axes.length]
  })
  const mode = stringAttribute(at.node, 'mode', 'constant')
  if (mode === 'constant')
    return [
      pad(
        g,
        at.dy,
        pads.map((p) => -p),
      ),
    ]
  let dy = at.dy
  from.forEach((size, axis) => {
    const [before, after] = [pads[axis], pads[axis + from.length]]
    if (before || after) dy = gatherBack(g, dy, { axis, size, indices: g.ints(padSources(mode, size, before, after)) })
  })
  return [dy]
}

interface Gathered {
  readonly axis: number
  readonly size: number
  readonly indices: string
}

/** Adds each slice of the gradient to the place on `axis` (of `size`) that it was gathered from. */
function gatherBack(g: Emitter, dy: string, { axis, size, indices }: Gathered): string {
  const shape = g.shape(dy)
  const rank = g.shape(indices).length
  const product = (part: readonly number[]): number => part.reduce((n, d) => n * d, 1)
  const [lead, picked, rest] = [shape.slice(0, axis), shape.slice(axis, axis + rank), shape.slice(axis + rank)]
  const flat = [product(lead), product(picked), product(rest)]
  const where = expand(g, reshape(g, indices, [1, flat[1], 1]), flat)
  const target = expand(g, g.constant(0, g.dtype(dy), [1, 1, 1]), [flat[0], size, flat[2]])
  return reshape(g, scatterAdd(g, [target, where, reshape(g, dy, flat)], 1), [...lead, size, ...rest])
}

/** ScatterElements runs in order on one thread: the sum is the same each time, which ScatterND does not promise. */
export function scatterAdd(g: Emitter, [target, indices, updates]: readonly string[], axis: number): string {
  const attributes = { axis, reduction: 'add' }
  return g.op('ScatterElements', [target, indices, updates], { attributes, shape: g.shape(target) })
}

const gather: GradRule = (g, at) => {
  const from = g.shape(at.x[0])
  const axis = axisOf(at, from.length, 0)
  return [gatherBack(g, at.dy, { axis, size: from[axis], indices: at.x[1] })]
}

const gatherElements: GradRule = (g, at) => {
  const from = g.shape(at.x[0])
  const target = expand(
    g,
    g.constant(
      0,
      g.dtype(at.dy),
      from.map(() => 1),
    ),
    from,
  )
  return [scatterAdd(g, [target, at.x[1], at.dy], axisOf(at, from.length, 0))]
}

const scatterElements: GradRule = (g, at) => {
  const reduction = stringAttribute(at.node, 'reduction', 'none')
  if (reduction !== 'none' && reduction !== 'add')
    throw new UnsupportedError(
      `${describe(at.node)}: its reduction "${reduction}" has no gradient; expected none or add`,
    )
  const attributes = { axis: intAttribute(at.node, 'axis', 0) }
  const [data, indices, given] = at.x
  const written = (): string =>
    g.op('ScatterElements', [at.dy, indices, zeros(g, given)], { attributes, shape: g.shape(data) })
  const updates = (): string => g.op('GatherElements', [at.dy, indices], { attributes, shape: g.shape(given) })
  return [
    at.needs(0) ? (reduction === 'add' ? at.dy : written()) : undefined,
    undefined,
    at.needs(2) ? updates() : undefined,
  ]
}

/** Values of the k largest (or smallest) go back to where they were. */
const topK: GradRule = (g, at) => {
  const from = g.shape(at.x[0])
  const type = { shape: g.shape(at.y[0]) }
  const types = [
    { ...type, dtype: g.dtype(at.y[0]) },
    { ...type, dtype: 'int64' as const },
  ]
  const indices = at.y[1] || g.ops('TopK', at.x, types, { attributes: at.node.attributes })[1]
  const axis = axisOf(at, from.length, -1)
  const target = expand(
    g,
    g.constant(
      0,
      g.dtype(at.dy),
      from.map(() => 1),
    ),
    from,
  )
  return [scatterAdd(g, [target, indices, at.dy], axis)]
}

/** Lists of indices [.., k] into the first k axes, as places in those axes made one. */
function flatPlaces(g: Emitter, indices: string, shape: Shape): string {
  const along = g.shape(indices)
  const k = along[along.length - 1]
  const strides = Array.from({ length: k }, (_, i) => shape.slice(i + 1, k).reduce((n, d) => n * d, 1))
  // Indices below zero count from the end.
  const sizes = g.ints(shape.slice(0, k))
  const below = g.op('Less', [indices, g.ints([0])], { dtype: 'bool', shape: along })
  const whole = g.op('Where', [below, g.op('Add', [indices, sizes]), indices], { dtype: 'int64', shape: along })
  return sum(g, g.op('Mul', [whole, g.ints(strides)]), [along.length - 1])
}

const gatherNd: GradRule = (g, at) => {
  const from = g.shape(at.x[0])
  if (intAttribute(at.node, 'batch_dims', 0) !== 0)
    throw new UnsupportedError(`${describe(at.node)}: batch_dims has no gradient; expected 0`)
  const k = g.shape(at.x[1]).at(-1) as number
  const size = from.slice(0, k).reduce((n, d) => n * d, 1)
  const places = flatPlaces(g, at.x[1], from)
  const rest = from.slice(k)
  const dy = reshape(g, at.dy, [...g.shape(places), ...rest])
  return [reshape(g, gatherBack(g, dy, { axis: 0, size, indices: places }), from)]
}

/** What was written over passes nothing on; what was added to does. */
const scatterNd: GradRule = (g, at) => {
  const reduction = stringAttribute(at.node, 'reduction', 'none')
  if (reduction !== 'none' && reduction !== 'add')
    throw new UnsupportedError(
      `${describe(at.node)}: its reduction "${reduction}" has no gradient; expected none or add`,
    )
  const [data, indices, updates] = at.x
  const written = (): string => {
    const nothing = zeros(g, updates)
    return g.op('ScatterND', [at.dy, indices, nothing], { shape: g.shape(data) })
  }
  return [
    at.needs(0) ? (reduction === 'add' ? at.dy : written()) : undefined,
    undefined,
    at.needs(2) ? g.op('GatherND', [at.dy, indices], { shape: g.shape(updates) }) : undefined,
  ]
}

/** Blocks of an image as channels, and back, which moves elements as [b, channels, b] or [channels, b, b] say. */
const depthToSpace: GradRule = (g, at) => {
  const [n, c, h, w] = g.shape(at.x[0])
  const b = intAttribute(at.node, 'blocksize', 1)
  const cells = reshape(g, at.dy, [n, c / (b * b), h, b, w, b])
  const perm = stringAttribute(at.node, 'mode', 'DCR') === 'CRD' ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4]
  return [reshape(g, transpose(g, cells, perm), [n, c, h, w])]
}

const spaceToDepth: GradRule = (g, at) => {
  const [n, c, h, w] = g.shape(at.x[0])
  const b = intAttribute(at.node, 'blocksize', 1)
  const cells = reshape(g, at.dy, [n, b, b, c, h / b, w / b])
  return [reshape(g, transpose(g, cells, [0, 3, 4, 1, 5, 2]), [n, c, h, w])]
}

/** Resizing is linear and separable: along each axis, y = A·x, hence dx = Aᵀ·dy. */
const resize: GradRule = (g, at) => {
  const [from, to] = [g.shape(at.x[0]), g.shape(at.y[0])]
  if (sameShape(from, to)) return [at.dy] // ONNX Runtime then copies, whatever the scales
  const scales = resizeScales(at, from, to)
  let dy = at.dy
  from.forEach((size, axis) => {
    if (scales[axis] === 1) return
    const matrix = resizeMatrix(at.node, { from: size, to: to[axis], scale: scales[axis] })
    const weights = g.constant(matrix, g.dtype(dy), [to[axis], size])
    const perm = from.map((_, i) => i).filter((i) => i !== axis)
    const moved = matMul(g, transpose(g, dy, [...perm, axis]), weights)
    dy = transpose(
      g,
      moved,
      from.map((_, i) => (i === axis ? from.length - 1 : i < axis ? i : i - 1)),
    )
  })
  return [dy]
}

export const layoutRules: Readonly<Record<string, GradRule>> = {
  Reshape: reshapeBack,
  Flatten: reshapeBack,
  Squeeze: reshapeBack,
  Unsqueeze: reshapeBack,
  Transpose: transposeRule,
  Concat: concatRule,
  Split: split,
  Slice: sliceRule,
  Pad: padRule,
  Expand: (g, at) => [unbroadcast(g, at.dy, g.shape(at.x[0]))],
  Tile: (g, at) => {
    const from = g.shape(at.x[0])
    const repeats = at.ints(1) ?? []
    const parts = reshape(
      g,
      at.dy,
      from.flatMap((d, i) => [repeats[i], d]),
    )
    return [
      reshape(
        g,
        sum(
          g,
          parts,
          from.map((_, i) => 2 * i),
        ),
        from,
      ),
    ]
  },
  Gather: gather,
  GatherElements: gatherElements,
  ScatterElements: scatterElements,
  ScatterND: scatterNd,
  GatherND: gatherNd,
  TopK: topK,
  Trilu: (g, at) => [
    g.op('Trilu', at.x[1] ? [at.dy, at.x[1]] : [at.dy], {
      attributes: { upper: intAttribute(at.node, 'upper', 1) },
      shape: g.shape(at.dy),
    }),
  ],
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  Resize: resize,
}
