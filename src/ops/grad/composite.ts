/**
 * Operators that are differentiated as what they are made of: each is written out in operators that have rules.
 * ONNX Runtime computes most of them that way too.
 */
import { UnsupportedError } from '../../errors.ts'
import { describe, floatAttribute, intAttribute, intsAttribute } from '../../graph/walk.ts'
import type { Node } from '../../model.ts'
import {
  add,
  div,
  type Emitter,
  expand,
  matMul,
  mul,
  reduce,
  reshape,
  scale,
  shift,
  sub,
  sum,
  transpose,
} from './emit.ts'

/** Emits what a node computes, and gives the values of its outputs. */
export type Composition = (g: Emitter, node: Node) => readonly string[]

/** (x - mean) / sqrt(variance + epsilon) over `axes`. */
function normalised(g: Emitter, x: string, axes: readonly number[], epsilon: number): string {
  const mean = (v: string): string => reduce(g, 'ReduceMean', v, { axes, keepDims: true })
  const centred = sub(g, x, mean(x))
  return div(g, centred, g.op('Sqrt', [shift(g, mean(mul(g, centred, centred)), epsilon)]))
}

/** Scale and bias are per channel (from operator set 21 on) or per group (18). */
const groupNormalization: Composition = (g, node) => {
  const [x, gamma, beta] = node.inputs
  const [n, c, ...space] = g.shape(x)
  const groups = intAttribute(node, 'num_groups', 1)
  const size = space.reduce((a, d) => a * d, 1)
  const rows = reshape(g, x, [n, groups, (c / groups) * size])
  const unit = normalised(g, rows, [2], floatAttribute(node, 'epsilon', 1e-5))
  const perGroup = g.shape(gamma)[0] === groups && groups !== c
  const shape = perGroup ? [groups, 1] : [c, ...space.map(() => 1)]
  const image = perGroup ? unit : reshape(g, unit, [n, c, ...space])
  const scaled = add(g, mul(g, image, reshape(g, gamma, shape)), reshape(g, beta, shape))
  return [reshape(g, scaled, [n, c, ...space])]
}

const meanVarianceNormalization: Composition = (g, node) => [
  normalised(g, node.inputs[0], intsAttribute(node, 'axes') ?? [0, 2, 3], 1e-9),
]

/** x over its 1- or 2-norm along an axis. A norm of zero leaves zeros. */
const lpNormalization: Composition = (g, node) => {
  const [x] = node.inputs
  const rank = g.shape(x).length
  const axis = intAttribute(node, 'axis', -1)
  const axes = [axis < 0 ? axis + rank : axis]
  const norm =
    intAttribute(node, 'p', 2) === 1
      ? sum(g, g.op('Abs', [x]), axes, true)
      : g.op('Sqrt', [sum(g, mul(g, x, x), axes, true)])
  return [div(g, x, g.op('Max', [norm, g.constant(1e-30, g.dtype(x))]))]
}

/** softmax(scale · Q·Kᵀ + mask) · V by heads; Q, K and V are [B, heads, S, D] or [B, S, heads·D]. */
const attention: Composition = (g, node) => {
  const [q, k, v, mask, pastKey, pastValue, lengths] = node.inputs
  if (pastKey || pastValue || lengths || node.outputs.slice(1).some((o) => o))
    throw new UnsupportedError(
      `${describe(node)}: its cache of keys and values has no gradient; expected attention over the whole sequence, without past and present`,
    )
  const flat = g.shape(q).length === 3
  const heads = flat ? intAttribute(node, 'q_num_heads', 1) : g.shape(q)[1]
  const sourceHeads = flat ? intAttribute(node, 'kv_num_heads', heads) : g.shape(k)[1]
  const split = (value: string, count: number): string => {
    if (!flat) return value
    const [b, s, size] = g.shape(value)
    return transpose(g, reshape(g, value, [b, s, count, size / count]), [0, 2, 1, 3])
  }
  /** Each head of keys or values as often as there are heads of queries that look at it. */
  const repeated = (value: string): string => {
    const [b, h, s, d] = g.shape(value)
    if (h === heads) return value
    const wide = expand(g, reshape(g, value, [b, h, 1, s, d]), [b, h, heads / h, s, d])
    return reshape(g, wide, [b, heads, s, d])
  }
  const [queries, keys, values] = [split(q, heads), repeated(split(k, sourceHeads)), repeated(split(v, sourceHeads))]
  const [b, , length, size] = g.shape(queries)
  const factor = node.attributes.scale ? floatAttribute(node, 'scale', 1) : 1 / Math.sqrt(size)
  let scores = scale(g, matMul(g, queries, transpose(g, keys, [0, 1, 3, 2])), factor)
  if (mask) scores = add(g, scores, additive(g, mask))
  if (intAttribute(node, 'is_causal', 0) === 1) scores = add(g, scores, causal(g, scores))
  const cap = floatAttribute(node, 'softcap', 0)
  if (cap > 0) scores = scale(g, g.op('Tanh', [scale(g, scores, 1 / cap)]), cap)
  const out = matMul(g, g.op('Softmax', [scores], { attributes: { axis: -1 } }), values)
  const width = heads * g.shape(out)[3]
  return [flat ? reshape(g, transpose(g, out, [0, 2, 1, 3]), [b, length, width]) : out]
}

/** So far below every score that its softmax is 0, without the risk that a row of it gives no number. */
const never = -1e9

function additive(g: Emitter, mask: string): string {
  if (g.dtype(mask) !== 'bool') return mask
  const choice = [mask, g.constant(0), g.constant(never)]
  return g.op('Where', choice, { dtype: 'float32', shape: g.shape(mask) })
}

/** Nobody looks at what comes after. */
function causal(g: Emitter, scores: string): string {
  const [length, source] = g.shape(scores).slice(-2)
  const values = new Float32Array(length * source)
  for (let i = 0; i < length; i++) for (let j = 0; j < source; j++) if (j > i) values[i * source + j] = never
  return g.constant(values, g.dtype(scores), [length, source])
}

/** C = alpha · A'·B', where ' swaps the last two axes. */
const fusedMatMul: Composition = (g, node) => {
  const turned = (value: string, name: string): string => {
    const rank = g.shape(value).length
    if (intAttribute(node, name, 0) === 0 || rank < 2) return value
    const perm = Array.from({ length: rank }, (_, i) => i)
    return transpose(g, value, [...perm.slice(0, -2), rank - 1, rank - 2])
  }
  if (intAttribute(node, 'transBatchA', 0) || intAttribute(node, 'transBatchB', 0))
    throw new UnsupportedError(`${describe(node)}: transBatchA and transBatchB have no gradient`)
  const [a, b] = node.inputs
  const result = matMul(g, turned(a, 'transA'), turned(b, 'transB'))
  return [scale(g, result, floatAttribute(node, 'alpha', 1))]
}

const gelu =
  (approximate: 'none' | 'tanh'): Composition =>
  (g, node) => {
    const [x, bias] = node.inputs
    return [g.op('Gelu', [bias ? add(g, x, bias) : x], { attributes: { approximate } })]
  }

/** x·sigmoid(alpha·x) */
const quickGelu: Composition = (g, node) => {
  const [x] = node.inputs
  return [mul(g, x, g.op('Sigmoid', [scale(g, x, floatAttribute(node, 'alpha', 1.702))]))]
}

/** (x + skip + bias), normalised over the last axis. */
const skipLayerNormalization: Composition = (g, node) => {
  const [x, skip, gamma, beta, bias] = node.inputs
  const whole = bias ? add(g, add(g, x, skip), bias) : add(g, x, skip)
  const attributes = { axis: -1, epsilon: { type: 'float', value: floatAttribute(node, 'epsilon', 1e-12) } } as const
  const y = g.op('LayerNormalization', beta ? [whole, gamma, beta] : [whole, gamma], {
    attributes,
    shape: g.shape(whole),
  })
  if (node.outputs[1] || node.outputs[2])
    throw new UnsupportedError(`${describe(node)}: its outputs of statistics have no gradient`)
  return [y, '', '', whole]
}

export const compositions: Readonly<Record<string, Composition>> = {
  GroupNormalization: groupNormalization,
  MeanVarianceNormalization: meanVarianceNormalization,
  LpNormalization: lpNormalization,
  Attention: attention,
  'com.microsoft.FusedMatMul': fusedMatMul,
  'com.microsoft.Gelu': gelu('none'),
  'com.microsoft.BiasGelu': gelu('none'),
  'com.microsoft.FastGelu': gelu('tanh'),
  'com.microsoft.QuickGelu': quickGelu,
  'com.microsoft.SkipLayerNormalization': skipLayerNormalization,
}
