/**
 * Straight-through gradients of quantisation (Bengio et al. 2013), clipped: where the rounded value was cut to the
 * integer type's range nothing flows to x. Scales get LSQ's gradient (Esser et al. 2020, arXiv:1902.08153), which is
 * what the two rules give together: within the range q - x/scale, outside it q.
 */
import { UnsupportedError } from '../../errors.ts'
import { describe, intAttribute } from '../../graph/walk.ts'
import { add, cast, div, type Emitter, indicator, mul, neg, reshape, sub, unbroadcast } from './emit.ts'
import type { At, GradRule } from './rule.ts'

const ranges: Readonly<Record<string, readonly [number, number]>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
  int4: [-8, 7],
  uint4: [0, 15],
}

/** A scale or zero point as something that broadcasts with the tensor, and as a float. */
function aligned(g: Emitter, at: At, value: string): string {
  const float = cast(g, value, 'float32')
  const size = g.shape(value).reduce((n, d) => n * d, 1)
  if (size === 1) return reshape(g, float, [])
  if (intAttribute(at.node, 'block_size', 0) > 0)
    throw new UnsupportedError(`${describe(at.node)}: blocked scales have no gradient`)
  const rank = g.shape(at.x[0]).length
  const axis = intAttribute(at.node, 'axis', 1)
  const at0 = axis < 0 ? axis + rank : axis
  return reshape(
    g,
    float,
    Array.from({ length: rank }, (_, i) => (i === at0 ? size : 1)),
  )
}

/** A gradient of the tensor's shape summed to the scale's. */
function toScale(g: Emitter, at: At, gradient: string): string {
  return reshape(g, unbroadcast(g, gradient, g.shape(aligned(g, at, at.x[1]))), g.shape(at.x[1]))
}

const quantize: GradRule = (g, at) => {
  const [x, step, zero] = at.x
  const range = ranges[g.dtype(at.y[0])]
  if (!range) throw new UnsupportedError(`${describe(at.node)}: ${g.dtype(at.y[0])} has no straight-through gradient`)
  const s = aligned(g, at, step)
  const unit = div(g, x, s)
  const level = zero ? add(g, unit, aligned(g, at, zero)) : unit
  const inside = mul(
    g,
    indicator(g, 'GreaterOrEqual', level, g.constant(range[0] - 0.5)),
    indicator(g, 'LessOrEqual', level, g.constant(range[1] + 0.5)),
  )
  const dx = div(g, mul(g, at.dy, inside), s)
  return [dx, at.needs(1) ? toScale(g, at, neg(g, mul(g, dx, unit))) : undefined]
}

const dequantize: GradRule = (g, at) => {
  const [q, step, zero] = at.x
  const dq = mul(g, at.dy, aligned(g, at, step))
  const level = () => {
    const value = cast(g, q, 'float32')
    return zero ? sub(g, value, aligned(g, at, zero)) : value
  }
  return [dq, at.needs(1) ? toScale(g, at, mul(g, at.dy, level())) : undefined]
}

export const quantizeRules: Readonly<Record<string, GradRule>> = {
  QuantizeLinear: quantize,
  DequantizeLinear: dequantize,
}
