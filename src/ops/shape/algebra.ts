/** Shape rules of reductions, matrix products, recurrent layers, losses and quantised operators. */

import { UnsupportedError } from '../../errors.ts'
import { intAttribute, intsAttribute, stringAttribute } from '../../graph/walk.ts'
import type { Dim } from '../../model.ts'
import { type DataType, dataTypeOf } from '../../tensor/dtype.ts'
import { type Equation, parseEquation } from '../einsum.ts'
import { isInput } from '../operator-sets.ts'
import {
  axisOf,
  broadcast,
  type Call,
  countOf,
  fail,
  type Known,
  like,
  multiply,
  type Rule,
  same,
  show,
  typed,
  unknownDims,
} from './known.ts'
import { listFor } from './movement.ts'
import { convShape, poolShape, windows } from './windows.ts'

/** `compute` folds the elements where shape arithmetic needs them. */
function reduce(compute?: (values: number[]) => number): Rule {
  return (call) => {
    const { dtype, shape, value } = call.in(0)
    const keep = intAttribute(call.node, 'keepdims', 1) === 1
    const axes = listFor(call, 'axes')
    if (!axes?.length && axes !== null && intAttribute(call.node, 'noop_with_empty_axes', 0) === 1)
      return [{ dtype, shape, value }]
    if (!shape) return [{ dtype, shape: !axes?.length && axes !== null && !keep ? [] : undefined }]
    if (axes === null) return [{ dtype, shape: keep ? shape.map(() => undefined) : undefined }]
    const gone = new Set(axes?.length ? axes.map((a) => axisOf(a, shape.length)) : shape.map((_, i) => i))
    const out = keep ? shape.map((d, i) => (gone.has(i) ? 1 : d)) : shape.filter((_, i) => !gone.has(i))
    const whole = gone.size === shape.length && compute && value?.length && value.every((v) => typeof v === 'number')
    return [{ dtype, shape: out, value: whole ? [compute(value as number[])] : undefined }]
  }
}

const argOf: Rule = (call) => {
  const { shape } = call.in(0)
  const axis = shape && axisOf(intAttribute(call.node, 'axis', 0), shape.length)
  const keep = intAttribute(call.node, 'keepdims', 1) === 1
  const out = shape?.flatMap((d, i) => (i !== axis ? [d] : keep ? [1] : []))
  return [{ dtype: 'int64', shape: out }]
}

const topK: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  const k: Dim = isInput('TopK', 'k', call.opset) ? call.in(1).value?.[0] : intAttribute(call.node, 'k', 1)
  const axis = shape && axisOf(intAttribute(call.node, 'axis', -1), shape.length)
  const size = axis === undefined ? undefined : shape?.[axis]
  if (typeof k === 'number' && typeof size === 'number' && k > size) fail(`k ${k} is more than its ${size} elements`)
  const out = shape?.map((d, i) => (i === axis ? k : d))
  return [
    { dtype, shape: out },
    { dtype: 'int64', shape: out },
  ]
}

/** NumPy's matmul of inputs `a` and `b`. */
function productShape(call: Call, a: number, b: number): Dim[] | undefined {
  const [left, right] = [call.in(a).shape, call.in(b).shape]
  if (!left || !right) return undefined
  if (left.length === 0 || right.length === 0) fail('a scalar cannot be multiplied as a matrix')
  const l = left.length === 1 ? [1, left[0]] : left
  const r = right.length === 1 ? [right[0], 1] : right
  same(l.at(-1), r.at(-2), `inner dimensions of ${show(left)} and ${show(right)}`)
  const batch = broadcast([l.slice(0, -2), r.slice(0, -2)]) ?? []
  return [...batch, ...(left.length === 1 ? [] : [l.at(-2)]), ...(right.length === 1 ? [] : [r.at(-1)])]
}

const matMul: Rule = (call) => [typed(call, productShape(call, 0, 1))]

function gemmShape(call: Call, a = 0, b = 1): Dim[] | undefined {
  const [left, right] = [call.in(a).shape, call.in(b).shape]
  for (const shape of [left, right])
    if (shape && shape.length !== 2) fail(`its input ${show(shape)} should be a matrix`)
  const [ta, tb] = [intAttribute(call.node, 'transA', 0), intAttribute(call.node, 'transB', 0)]
  same(left?.[ta ? 0 : 1], right?.[tb ? 1 : 0], `inner dimensions of ${show(left)} and ${show(right)}`)
  return [left?.[ta ? 1 : 0], right?.[tb ? 0 : 1]]
}

const gemm: Rule = (call) => {
  const shape = gemmShape(call)
  const c = call.in(2).shape
  if (c && shape && (broadcast([c, shape])?.length ?? 2) > 2)
    fail(`its C ${show(c)} does not broadcast to ${show(shape)}`)
  return [typed(call, shape)]
}

const einsum: Rule = (call) => {
  const given = stringAttribute(call.node, 'equation', '')
  const inputs = call.node.inputs.map((_, i) => call.in(i).shape)
  const { terms, output, ellipsis } = equationOf(given, inputs)
  const sizes = new Map<string, Dim>()
  terms.forEach((term, i) => {
    for (let k = 0; k < term.length; k++) {
      const size = inputs[i]?.[k]
      const known = sizes.get(term[k])
      const broadcasts = ellipsis.includes(term[k]) && (known === 1 || size === 1)
      if (!inputs[i] || (broadcasts && size === 1 && sizes.has(term[k]))) continue
      sizes.set(term[k], broadcasts ? size : same(known, size, `"${term[k]}" of "${given}"`))
    }
  })
  return [
    typed(
      call,
      [...output].map((l) => sizes.get(l)),
    ),
  ]
}

function equationOf(equation: string, shapes: readonly (readonly Dim[] | undefined)[]): Equation {
  try {
    return parseEquation(
      equation,
      shapes.map((s) => s?.length),
    )
  } catch (error) {
    if (error instanceof RangeError) return fail(error.message)
    throw error
  }
}

/** Y, Y_h and, for LSTM, Y_c. */
const recurrent: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  const [w, r] = [call.in(1).shape, call.in(2).shape]
  if (shape && shape.length !== 3) fail(`its input ${show(shape)} should have 3 dimensions`)
  same(shape?.[2], w?.[2], `features of its input ${show(shape)} and of W ${show(w)}`)
  const directions = stringAttribute(call.node, 'direction', 'forward') === 'bidirectional' ? 2 : 1
  const hidden: Dim = call.node.attributes.hidden_size ? intAttribute(call.node, 'hidden_size', 0) : r?.[2]
  const batchFirst = intAttribute(call.node, 'layout', 0) === 1
  const [sequence, batch] = batchFirst ? [shape?.[1], shape?.[0]] : [shape?.[0], shape?.[1]]
  const last: Known = { dtype, shape: batchFirst ? [batch, directions, hidden] : [directions, batch, hidden] }
  const all = batchFirst ? [batch, sequence, directions, hidden] : [sequence, directions, batch, hidden]
  return [{ dtype, shape: all }, last, last]
}

const loss: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  const scalar = stringAttribute(call.node, 'reduction', 'mean') !== 'none'
  return [
    { dtype, shape: scalar ? [] : call.in(1).shape },
    { dtype, shape },
  ]
}

/** The type that a quantised output has: its zero point's, or what the node says. */
function quantizedType(call: Call, zeroPoint: number, fallback?: DataType): DataType | undefined {
  const said = dataTypeOf(intAttribute(call.node, 'output_dtype', 0))
  return said ?? (call.has(zeroPoint) ? call.in(zeroPoint).dtype : fallback)
}

const quantize: Rule = (call) => {
  checkScale(call)
  return [{ dtype: quantizedType(call, 2, 'uint8'), shape: call.in(0).shape }]
}

const dequantize: Rule = (call) => {
  checkScale(call)
  return [
    { dtype: dataTypeOf(intAttribute(call.node, 'output_dtype', 0)) ?? call.in(1).dtype, shape: call.in(0).shape },
  ]
}

/** A scale an axis must be as long as the axis. */
function checkScale(call: Call): void {
  const [shape, scale] = [call.in(0).shape, call.in(1).shape]
  const blocked = intAttribute(call.node, 'block_size', 0) > 0
  if (!shape || scale?.length !== 1 || scale[0] === 1 || blocked) return
  const axis = axisOf(intAttribute(call.node, 'axis', 1), shape.length)
  same(shape[axis], scale[0], `dimension ${axis} of ${show(shape)} and its scales`)
}

const dynamicQuantize: Rule = (call) => [
  { dtype: 'uint8', shape: call.in(0).shape },
  { dtype: 'float32', shape: [] },
  { dtype: 'uint8', shape: [] },
]

/** a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero */
const qlinearBinary: Rule = (call) => [
  { dtype: quantizedType(call, 7, call.in(0).dtype), shape: broadcast([call.in(0).shape, call.in(3).shape]) },
]

const qlinearConcat: Rule = (call) => {
  const inputs = call.node.inputs.flatMap((_, i) => (i >= 2 && (i - 2) % 3 === 0 ? [call.in(i)] : []))
  const axis = intAttribute(call.node, 'axis', 1)
  const first = inputs[0]?.shape
  const at = first && axisOf(axis, first.length)
  const sizes = inputs.map((k) => (at === undefined ? undefined : k.shape?.[at]))
  const total = countOf(sizes) === undefined ? undefined : (sizes as number[]).reduce((a, b) => a + b, 0)
  return [{ dtype: inputs[0]?.dtype, shape: first?.map((d, i) => (i === at ? total : d)) }]
}

const matMulNBits: Rule = (call) => [
  typed(call, call.in(0).shape && [...(call.in(0).shape ?? []).slice(0, -1), intAttribute(call.node, 'N', 0)]),
]

const fusedMatMul: Rule = (call) => {
  if (intsAttribute(call.node, 'transBatchA') ?? intAttribute(call.node, 'transBatchA', 0))
    throw new UnsupportedError('transBatchA')
  const swap = (i: number, name: string): Known => {
    const { dtype, shape } = call.in(i)
    if (!shape || shape.length < 2 || intAttribute(call.node, name, 0) === 0) return { dtype, shape }
    return { dtype, shape: [...shape.slice(0, -2), shape.at(-1), shape.at(-2)] }
  }
  const inputs = [swap(0, 'transA'), swap(1, 'transB')]
  return [typed(call, productShape({ ...call, in: (i) => inputs[i] }, 0, 1))]
}

/** Y, and the keys and values that are kept for the next call. Inputs Q, K, V, mask, past keys and values. */
const attention: Rule = (call) => {
  const [q, k, v] = [call.in(0).shape, call.in(1).shape, call.in(2).shape]
  if (!q || !k || !v) return [typed(call, q && unknownDims(q.length))]
  const flat = q.length === 3
  const [heads, sources]: Dim[] = flat
    ? [intAttribute(call.node, 'q_num_heads', 0), intAttribute(call.node, 'kv_num_heads', 0)]
    : [q[1], k[1]]
  const each = (width: Dim): Dim => {
    if (!flat) return width
    return typeof width === 'number' && typeof sources === 'number' && sources > 0 ? width / sources : undefined
  }
  // Keys and values of the past come before those of now.
  const past = call.has(4) ? call.in(4).shape?.[2] : 0
  const now = flat ? k[1] : k[2]
  const total: Dim = past === 0 ? now : typeof past === 'number' && typeof now === 'number' ? past + now : undefined
  const [steps, width] = [flat ? q[1] : q[2], each(v.at(-1))]
  const out = flat
    ? [q[0], steps, typeof width === 'number' ? width * Number(heads) : undefined]
    : [...q.slice(0, 3), width]
  return [
    typed(call, out),
    typed(call, [q[0], sources, total, each(k.at(-1))], 1),
    typed(call, [q[0], sources, total, width], 2),
    typed(call, [q[0], heads, steps, total]),
  ]
}

/** com.microsoft.Attention: queries, keys and values from one weight; with what is kept for the next call not known. */
const fusedAttention: Rule = (call) => {
  const [x, weight] = [call.in(0).shape, call.in(1).shape]
  const made = intsAttribute(call.node, 'qkv_hidden_sizes')?.[2]
  const total = weight?.[1]
  const width = made ?? (typeof total === 'number' && total % 3 === 0 ? total / 3 : undefined)
  return [typed(call, x?.length === 3 ? [x[0], x[1], width] : undefined), { dtype: call.in(0).dtype }]
}

/** com.microsoft.MultiHeadAttention of queries, keys and values [N, T, width]; packed ones are not known. */
const multiHeadAttention: Rule = (call) => {
  const [q, v] = [call.in(0).shape, call.in(2).shape]
  const { dtype } = call.in(0)
  return [typed(call, q?.length === 3 && v?.length === 3 ? [q[0], q[1], v[2]] : undefined), { dtype }, { dtype }]
}

/** Y, mean and deviation, and the sum that is normalised. */
const skipLayerNormalization: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  const statistic: Known = { dtype: 'float32', shape: shape?.map((d, i) => (i === shape.length - 1 ? 1 : d)) }
  return [{ dtype, shape }, statistic, statistic, { dtype, shape }]
}

const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0)
const ints32 = (shape: Dim[] | undefined): Known[] => [{ dtype: 'int32', shape }]

export const algebra: Record<string, Rule> = {
  ReduceSum: reduce(sum),
  ReduceMean: reduce((v) => sum(v) / v.length),
  ReduceProd: reduce((v) => Number(multiply(v))),
  ReduceMax: reduce((v) => Math.max(...v)),
  ReduceMin: reduce((v) => Math.min(...v)),
  ReduceL1: reduce(),
  ReduceL2: reduce(),
  ReduceSumSquare: reduce(),
  ReduceLogSum: reduce(),
  ReduceLogSumExp: reduce(),
  ArgMax: argOf,
  ArgMin: argOf,
  TopK: topK,
  MatMul: matMul,
  Gemm: gemm,
  'com.microsoft.Attention': fusedAttention,
  'com.microsoft.MultiHeadAttention': multiHeadAttention,
  'com.microsoft.SkipLayerNormalization': skipLayerNormalization,
  'com.microsoft.FusedMatMul': fusedMatMul,
  'com.microsoft.FusedGemm': gemm,
  Einsum: einsum,
  Attention: attention,
  LSTM: recurrent,
  GRU: recurrent,
  RNN: recurrent,
  SoftmaxCrossEntropyLoss: loss,
  NegativeLogLikelihoodLoss: loss,
  QuantizeLinear: quantize,
  DequantizeLinear: dequantize,
  'com.microsoft.QuantizeLinear': quantize,
  'com.microsoft.DequantizeLinear': dequantize,
  DynamicQuantizeLinear: dynamicQuantize,
  ConvInteger: (call) => ints32(convShape(call, 0, 1)),
  MatMulInteger: (call) => ints32(productShape(call, 0, 1)),
  QLinearConv: (call) => [{ dtype: quantizedType(call, 7), shape: convShape(call, 0, 3) }],
  QLinearMatMul: (call) => [{ dtype: quantizedType(call, 7), shape: productShape(call, 0, 3) }],
  'com.microsoft.QLinearAdd': qlinearBinary,
  'com.microsoft.QLinearMul': qlinearBinary,
  'com.microsoft.QLinearSigmoid': like,
  'com.microsoft.QLinearLeakyRelu': like,
  'com.microsoft.QLinearSoftmax': like,
  'com.microsoft.QLinearAveragePool': (call) => [typed(call, poolShape(call))],
  'com.microsoft.QLinearGlobalAveragePool': windows.GlobalAveragePool,
  'com.microsoft.QLinearConcat': qlinearConcat,
  'com.microsoft.QGemm': (call) => [
    { dtype: call.has(8) ? call.in(8).dtype : 'float32', shape: gemmShape(call, 0, 3) },
  ],
  'com.microsoft.DynamicQuantizeMatMul': (call) => [typed(call, productShape(call, 0, 1))],
  'com.microsoft.MatMulIntegerToFloat': (call) => [{ dtype: call.in(2).dtype, shape: productShape(call, 0, 1) }],
  'com.microsoft.MatMulNBits': matMulNBits,
}
