/** Resize along one axis as a matrix. Source: ONNX's Resize-19 and its reference implementation. */
import { UnsupportedError } from '../../errors.ts'
import { describe, intAttribute, stringAttribute } from '../../graph/walk.ts'
import type { At } from './rule.ts'

interface Sizes {
  readonly from: number
  readonly to: number
}

/** Row o holds the weights of the inputs that output o is made of: [to, from], row by row. */
export function resizeMatrix(at: At, axis: number, { from, to }: Sizes): Float32Array {
  const { node } = at
  const mode = stringAttribute(node, 'mode', 'nearest')
  const transformation = stringAttribute(node, 'coordinate_transformation_mode', 'half_pixel')
  if (mode === 'cubic' || intAttribute(node, 'antialias', 0) === 1 || transformation === 'tf_crop_and_resize') {
    const what =
      mode === 'cubic' ? 'mode cubic' : transformation === 'tf_crop_and_resize' ? transformation : 'antialias'
    throw new UnsupportedError(`${describe(node)}: ${what} has no gradient; expected nearest or linear`)
  }
  const factor = scaleOf(at, axis) ?? to / from
  const matrix = new Float32Array(to * from)
  for (let o = 0; o < to; o++) {
    const position = sourcePosition(transformation, o, { from, to, factor })
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

/** The declared scale, which is not always to / from. */
function scaleOf(at: At, axis: number): number | undefined {
  const scales = at.x[2] ? at.floats(2) : undefined
  return scales?.[axis]
}

function sourcePosition(transformation: string, o: number, { from, to, factor }: Sizes & { factor: number }): number {
  switch (transformation) {
    case 'asymmetric':
      return o / factor
    case 'align_corners':
      return to === 1 ? 0 : (o * (from - 1)) / (to - 1)
    case 'pytorch_half_pixel':
      return to === 1 ? 0 : (o + 0.5) / factor - 0.5
    case 'half_pixel_symmetric':
      return (from / 2) * (1 - to / (factor * from)) + (o + 0.5) / factor - 0.5
    default:
      return (o + 0.5) / factor - 0.5
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
