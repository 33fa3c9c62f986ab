/** Shape rules of operators that work element by element, with their values where shape arithmetic uses them. */

import { floatAttribute, intAttribute } from '../../graph/walk.ts'
import type { Dim } from '../../model.ts'
import { type DataType, dataTypeNamed, dataTypeOf, dataTypes } from '../../tensor/dtype.ts'
import { since } from '../operator-sets.ts'
import { broadcast, type Call, countOf, fail, type Known, like, type Rule, show } from './known.ts'

type Arithmetic = (a: Dim, b: Dim, dtype: DataType | undefined) => Dim

/** Arithmetic on elements: numbers are computed, symbols survive only a neutral element. */
const numeric =
  (compute: (a: number, b: number) => number, neutral?: number): Arithmetic =>
  (a, b, dtype) => {
    if (typeof a === 'number' && typeof b === 'number') return rounded(compute(a, b), dtype)
    if (neutral !== undefined && b === neutral) return a
    return undefined
  }

function rounded(value: number, dtype: DataType | undefined): number {
  const kind = dtype && dataTypes[dtype].kind
  return kind === 'int' || kind === 'uint' ? Math.trunc(value) : dtype === 'float32' ? Math.fround(value) : value
}

const commutative =
  (compute: Arithmetic): Arithmetic =>
  (a, b, dtype) =>
    compute(a, b, dtype) ?? compute(b, a, dtype)

/** Element `i` of a broadcast result, for an operand of its own shape. */
function elementAt(known: Known, shape: readonly number[], i: number): Dim {
  const own = known.shape as readonly number[]
  let at = 0
  let stride = 1
  for (let d = shape.length - 1, rest = i; d >= 0; d--) {
    const k = d - shape.length + own.length
    if (k >= 0) {
      at += (own[k] === 1 ? 0 : rest % shape[d]) * stride
      stride *= own[k]
    }
    rest = Math.floor(rest / shape[d])
  }
  return known.value?.[at]
}

/** The elements of a broadcast result from those of its operands. */
function combine(inputs: readonly Known[], shape: Dim[] | undefined, compute: (...elements: Dim[]) => Dim) {
  const count = countOf(shape)
  if (count === undefined || count > 1024 || !inputs.every((k) => k.value && countOf(k.shape) !== undefined))
    return undefined
  return Array.from({ length: count }, (_, i) => compute(...inputs.map((k) => elementAt(k, shape as number[], i))))
}

function inputsOf(call: Call): Known[] {
  return call.node.inputs.map((_, i) => call.in(i))
}

/** Any number of inputs, broadcast; all of one type. */
function arithmetic(compute?: Arithmetic, result?: DataType): Rule {
  return (call) => {
    const inputs = inputsOf(call)
    const dtype = inputs.find((k) => k.dtype)?.dtype
    for (const k of inputs) {
      if (k.dtype && dtype && k.dtype !== dtype) fail(`its inputs are ${dtype} and ${k.dtype}; expected one type`)
    }
    const shape = legacyShape(call, inputs) ?? broadcast(inputs.map((k) => k.shape))
    // With an axis the second input lies elsewhere than broadcasting puts it.
    const aligned = call.opset >= since.numpyBroadcasting || !call.node.attributes.axis
    const value =
      compute && aligned && inputs.length === 2 ? combine(inputs, shape, (a, b) => compute(a, b, dtype)) : undefined
    return [{ dtype: result ?? dtype, shape, value }]
  }
}

/** In older sets `axis` said where a smaller second input lies. */
function legacyShape(call: Call, inputs: readonly Known[]): Dim[] | undefined {
  return call.opset < since.numpyBroadcasting && inputs[0]?.shape ? [...inputs[0].shape] : undefined
}

/** One input; `compute` gives the value where it matters. */
function unary(compute?: (a: number) => number, result?: DataType): Rule {
  return (call) => {
    const { dtype, shape, value } = call.in(0)
    return [
      {
        dtype: result ?? dtype,
        shape,
        value:
          compute &&
          value?.map((v) =>
            typeof v === 'number' ? rounded(compute(v), dtype) : compute === identity ? v : undefined,
          ),
      },
    ]
  }
}
const identity = (a: number): number => a

const pow: Rule = (call) => {
  const inputs = inputsOf(call)
  const shape = legacyShape(call, inputs) ?? broadcast(inputs.map((k) => k.shape))
  if (call.opset < since.numpyBroadcasting) return [{ dtype: inputs[0]?.dtype, shape }]
  return [{ dtype: inputs[0]?.dtype, shape, value: combine(inputs, shape, numeric((a, b) => a ** b, 1) as () => Dim) }]
}

const where: Rule = (call) => {
  const [condition, x, y] = [call.in(0), call.in(1), call.in(2)]
  const shape = broadcast([condition.shape, x.shape, y.shape])
  const value = combine([condition, x, y], shape, (c, a, b) => (c === undefined ? undefined : c ? a : b))
  return [{ dtype: x.dtype ?? y.dtype, shape, value }]
}

/** The slope broadcasts to the input, never the other way round. */
const prelu: Rule = (call) => {
  const [x, slope] = [call.in(0), call.in(1)]
  // It was one slope per channel.
  if (call.opset < since.numpyBroadcasting) return [{ dtype: x.dtype, shape: x.shape }]
  const shape = broadcast([x.shape, slope.shape])
  if (shape && x.shape && shape.length > x.shape.length)
    fail(`its slope ${show(slope.shape)} does not broadcast to ${show(x.shape)}`)
  return [{ dtype: x.dtype, shape: x.shape }]
}

const cast: Rule = (call) => {
  const { shape, value } = call.in(0)
  const { to } = call.node.attributes
  // Old sets name the type.
  if (to?.type === 'string') return [castTo(dataTypeNamed(String(to.value)), shape, value)]
  return [castTo(dataTypeOf(intAttribute(call.node, 'to', 0)), shape, value)]
}

const castLike: Rule = (call) => [castTo(call.in(1).dtype, call.in(0).shape, call.in(0).value)]

function castTo(dtype: DataType | undefined, shape: Known['shape'], value: Known['value']): Known {
  const toBool = dtype === 'bool'
  return {
    dtype,
    shape,
    value: value?.map((v) =>
      typeof v === 'number' ? (toBool ? Number(v !== 0) : rounded(v, dtype)) : toBool ? undefined : v,
    ),
  }
}

const dropout: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  return [
    { dtype, shape },
    { dtype: call.opset < since.booleanMask ? dtype : 'bool', shape },
  ]
}

const clip: Rule = (call) => {
  const { dtype, shape, value } = call.in(0)
  const bound = (i: number, name: string, fallback: number): Dim =>
    call.has(i) ? call.in(i).value?.[0] : floatAttribute(call.node, name, fallback)
  const low = bound(1, 'min', Number.NEGATIVE_INFINITY)
  const high = bound(2, 'max', Number.POSITIVE_INFINITY)
  const clipped = value?.map((v) =>
    typeof v === 'number' && typeof low === 'number' && typeof high === 'number'
      ? Math.min(high, Math.max(low, v))
      : undefined,
  )
  return [{ dtype, shape, value: clipped }]
}

const compare = (test: (a: number, b: number) => boolean): Rule =>
  arithmetic((a, b) => (typeof a === 'number' && typeof b === 'number' ? Number(test(a, b)) : undefined), 'bool')

/** Activations and other functions whose values no shape depends on. */
const plainNames =
  `Relu LeakyRelu Elu Celu Selu ThresholdedRelu HardSigmoid HardSwish Sigmoid Tanh Softplus Softsign Swish Gelu Mish Erf Exp Log Sin
  Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Shrink Softmax LogSoftmax Hardmax LpNormalization
  MeanVarianceNormalization BitwiseNot Affine ImageScaler ParametricSoftplus ScaledTanh CumProd RotaryEmbedding SwiGLU TensorScatter`
    .split(/\s+/)
    .filter(Boolean)

export const elementwise: Record<string, Rule> = {
  ...Object.fromEntries(plainNames.map((name) => [name, like])),
  // What models have only while they train (ops/grad/fake-quantize.ts).
  'coppice.FakeQuantize': like,
  'coppice.StraightThrough': like,
  'com.microsoft.Gelu': like,
  'com.microsoft.FastGelu': like,
  'com.microsoft.QuickGelu': like,
  'com.microsoft.BiasGelu': like,
  Identity: unary(identity),
  Neg: unary((a) => 0 - a), // never -0, which integers do not have
  Abs: unary(Math.abs),
  Floor: unary(Math.floor),
  Ceil: unary(Math.ceil),
  Round: unary(roundHalfEven),
  Sqrt: unary(Math.sqrt),
  Reciprocal: unary((a) => 1 / a),
  Sign: unary(Math.sign),
  Not: unary((a) => Number(!a)),
  IsNaN: unary(undefined, 'bool'),
  IsInf: unary(undefined, 'bool'),
  Add: arithmetic(commutative(numeric((a, b) => a + b, 0))),
  Sub: arithmetic(numeric((a, b) => a - b, 0)),
  Mul: arithmetic(commutative(numeric((a, b) => a * b, 1))),
  Div: arithmetic(numeric((a, b) => a / b, 1)),
  Mod: arithmetic((a, b) =>
    typeof a === 'number' && typeof b === 'number' && b ? a - b * Math.floor(a / b) : undefined,
  ),
  Pow: pow,
  Min: arithmetic(numeric(Math.min)),
  Max: arithmetic(numeric(Math.max)),
  Sum: arithmetic(),
  Mean: arithmetic(),
  BitShift: arithmetic(),
  BitwiseAnd: arithmetic(),
  BitwiseOr: arithmetic(),
  BitwiseXor: arithmetic(),
  And: compare((a, b) => Boolean(a && b)),
  Or: compare((a, b) => Boolean(a || b)),
  Xor: compare((a, b) => Boolean(a) !== Boolean(b)),
  Equal: compare((a, b) => a === b),
  Less: compare((a, b) => a < b),
  LessOrEqual: compare((a, b) => a <= b),
  Greater: compare((a, b) => a > b),
  GreaterOrEqual: compare((a, b) => a >= b),
  Where: where,
  PRelu: prelu,
  Clip: clip,
  Cast: cast,
  CastLike: castLike,
  Dropout: dropout,
}

function roundHalfEven(a: number): number {
  const down = Math.floor(a)
  return a - down === 0.5 ? 2 * Math.round(a / 2) : Math.round(a)
}
