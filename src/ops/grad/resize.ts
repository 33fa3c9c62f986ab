/**
 * Resize along one axis as a matrix. Source: ONNX's Resize-19 and its reference implementation; where that leaves
 * rounding open, ONNX Runtime's kernels, which find positions in float32: there 4 / (4/3) is 3, and not just below it.
 */
import { UnsupportedError } from '../../errors.ts'
import { describe, intAttribute, intsAttribute, stringAttribute } from '../../graph/walk.ts'
import type { Node } from '../../model.ts'
import type { Shape } from './emit.ts'
import type { At } from './rule.ts'

interface Axis {
  readonly from: number
  readonly to: number
  /** As float32. Not always to / from, since output sizes are rounded. */
  readonly scale: number
}

/** The scale of each axis: as declared, or as the sizes make it; one for all where the aspect ratio is kept. */
export function resizeScales(at: At, from: Shape, to: Shape): number[] {
  const axes = (intsAttribute(at.node, 'axes') ?? [...from.keys()]).map((a) => (a < 0 ? a + from.length : a))
  const declared = at.x[2] ? at.floats(2) : undefined
  if (declared?.length) return from.map((_, axis) => declared[axes.indexOf(axis)] ?? 1)
  const policy = stringAttribute(at.node, 'keep_aspect_ratio_policy', 'stretch')
  if (policy === 'stretch') return from.map((size, axis) => Math.fround(to[axis] / size))
  const ratios = (at.ints(3) ?? []).map((size, i) => Math.fround(size / from[axes[i]]))
  const ratio = policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios)
  return from.map((_, axis) => (axes.includes(axis) ? ratio : 1))
}

/** Row o holds the weights of the inputs that output o is made of: [to, from], row by row. */
export function resizeMatrix(node: Node, axis: Axis): Float32Array {
  const { from, to } = axis
  const mode = stringAttribute(node, 'mode', 'nearest')
  const transformation = stringAttribute(node, 'coordinate_transformation_mode', 'half_pixel')
  if (mode === 'cubic' || intAttribute(node, 'antialias', 0) === 1 || transformation === 'tf_crop_and_resize') {
    const what =
      mode === 'cubic' ? 'mode cubic' : transformation === 'tf_crop_and_resize' ? transformation : 'antialias'
    throw new UnsupportedError(`${describe(node)}: ${what} has no gradient; expected nearest or linear`)
  }
  const matrix = new Float32Array(to * from)
  for (let o = 0; o < to; o++) {
    const position = sourcePosition(transformation, o, axis)
    if (mode === 'nearest') {
      const source = roundPosition(stringAttribute(node, 'nearest_mode', 'round_prefer_floor'), position)
      matrix[o * from + Math.min(from - 1, Math.max(0, source))] = 1
      continue
    }
    const clamped = Math.min(from - 1, Math.max(0, position))
    const low = Math.floor(clamped)
    matrix[o * from + low] += 1 - (clamped - low)
    if (low + 1 < from) matrix[o * from + low + 1] += clamped - low
  }
  return matrix
}

/** Where output `o` lies in the input, rounded to float32 at each step as ONNX Runtime does. */
function sourcePosition(transformation: string, o: number, { from, to, scale }: Axis): number {
  const { fround } = Math
  const centre = fround((o + 0.5) / scale)
  switch (transformation) {
    case 'asymmetric':
      return fround(o / scale)
    case 'align_corners':
      return to === 1 ? 0 : fround(fround(o * (from - 1)) / (to - 1))
    case 'pytorch_half_pixel':
      return to === 1 ? 0 : fround(centre - 0.5)
    case 'tf_half_pixel_for_nn':
      return centre
    case 'half_pixel_symmetric': {
      const adjustment = fround(to / fround(scale * from))
      const offset = fround((from / 2) * fround(1 - adjustment))
      return fround(offset + (o + 0.5) / scale - 0.5) // this one in float64
    }
    default:
      return fround(centre - 0.5)
  }
}

function roundPosition(mode: string, position: number): number {
  switch (mode) {
    case 'floor':
      return Math.floor(position)
    case 'ceil':
      return Math.ceil(position)
    case 'round_prefer_ceil':
      return Math.floor(position + 0.5)
    default:
      return Math.ceil(position - 0.5)
  }
}
