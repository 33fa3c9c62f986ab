/**
 * What operators read constants as: a table, a row per operator. It says which inputs are weights, and which axis of a
 * weight counts the layer's output channels.
 */
import { isOnnxDomain, type Node } from '../model.ts'
import { type DataType, isFloat } from '../tensor/dtype.ts'
import { intAttribute, stringAttribute } from './walk.ts'

/**
 * What a constant is to the nodes that read it.
 * - `weight`: a layer multiplies with it, or looks rows up in it; a table of two axes that is added or multiplied in
 * - `bias`: added to what a layer makes
 * - `norm`: scale or shift of a normalisation, slope of an activation
 * - `statistic`: mean or variance of a normalisation
 * - `factor`: numbers on the way to a weight that scale or shift it, or are the codebook that it is looked up in
 * - `quantiser`: scale or zero point of a quantiser
 * - `offset`: a number per channel, or fewer, in arithmetic on values that are no layer's
 * - `setting`: shape, index, bound, initial state, window
 * - `fixed`: what outputs are made of without any input of the model, or what they give as it is stored
 * - `unknown`: read by an operator that the table does not have
 * - `unused`: read by nothing
 */
export type Role =
  | 'weight'
  | 'bias'
  | 'norm'
  | 'statistic'
  | 'factor'
  | 'quantiser'
  | 'offset'
  | 'setting'
  | 'fixed'
  | 'unknown'
  | 'unused'

/** The axis that counts output channels, of a weight that the node reads with that many axes. */
type AxisOf = (node: Node, rank: number) => number | undefined

interface Place {
  readonly role: Role
  readonly axisOf?: AxisOf
}

const weight = (axisOf?: AxisOf): Place => ({ role: 'weight', ...(axisOf ? { axisOf } : {}) })
const [bias, norm, statistic, quantiser, offset] = (['bias', 'norm', 'statistic', 'quantiser', 'offset'] as const).map(
  (role): Place => ({ role }),
)

const conv = { 1: weight(() => 0), 2: bias }
const left = (transposed: string) =>
  weight((node, rank) => (rank < 2 ? undefined : rank - (intAttribute(node, transposed, 0) ? 1 : 2)))
const right = (transposed: string) =>
  weight((node, rank) => (rank < 2 ? undefined : rank - (intAttribute(node, transposed, 0) ? 2 : 1)))
const gemm = { 0: left('transA'), 1: right('transB'), 2: bias }
/** [directions, gates * hidden, ...] */
const recurrent = { 1: weight(() => 1), 2: weight(() => 1), 3: bias, 7: bias }
/** [inputs, outputs] */
const matrix = weight((_, rank) => (rank === 2 ? 1 : undefined))
/** Rows of a table, or slices along another axis. */
const table = weight((node, rank) => (rank === 2 ? 1 - (((intAttribute(node, 'axis', 0) % 2) + 2) % 2) : undefined))

type Row = Readonly<Record<number, Place>>

/** Keys of other domains than ONNX's own are `domain.operator`. Inputs that a row leaves out are settings. */
const rows: Readonly<Record<string, Row>> = {
  Conv: conv,
  // [inputs, outputs / group, ...]: with groups one slice of axis 1 serves a channel of every group.
  ConvTranspose: { 1: weight(() => 1), 2: bias },
  DeformConv: { 1: weight(() => 0), 3: bias },
  Gemm: gemm,
  MatMul: { 0: left(''), 1: right('') },
  LSTM: recurrent,
  GRU: recurrent,
  RNN: recurrent,
  Gather: { 0: table },
  GatherElements: { 0: weight() },
  GatherND: { 0: weight() },
  BatchNormalization: { 1: norm, 2: norm, 3: statistic, 4: statistic },
  InstanceNormalization: { 1: norm, 2: norm },
  GroupNormalization: { 1: norm, 2: norm },
  LayerNormalization: { 1: norm, 2: norm },
  RMSNormalization: { 1: norm },
  PRelu: { 1: norm },
  ConvInteger: { 1: weight(() => 0), 2: quantiser, 3: quantiser },
  MatMulInteger: { 0: left(''), 1: right(''), 2: quantiser, 3: quantiser },
  QLinearConv: { ...quantisers([1, 2, 4, 5, 6, 7]), 3: weight(() => 0), 8: bias },
  QLinearMatMul: { ...quantisers([1, 2, 4, 5, 6, 7]), 3: weight((_, rank) => rank - 1) },
  QuantizeLinear: quantisers([1, 2]),
  DequantizeLinear: quantisers([1, 2]),
  // It looks labels up by their number.
  'ai.onnx.ml.ArrayFeatureExtractor': {},
  ...contrib({
    Attention: { 1: matrix, 2: bias, 5: weight() },
    BiasAdd: { 1: bias },
    BiasDropout: { 1: bias },
    BiasGelu: { 1: bias },
    BiasSoftmax: { 1: weight() },
    BiasSplitGelu: { 1: bias },
    DecoderAttention: { 2: matrix, 3: matrix, 4: bias },
    DecoderMaskedSelfAttention: { 1: matrix, 2: bias },
    DynamicQuantizeLSTM: { 1: weight(), 2: weight(), 3: bias, ...quantisers([8, 9, 10, 11]) },
    DynamicQuantizeMatMul: { 1: matrix, ...quantisers([2, 3]), 4: bias },
    EmbedLayerNormalization: { 2: table, 3: table, 4: table, 5: norm, 6: norm },
    FastGelu: { 1: bias },
    FusedConv: conv,
    FusedGemm: gemm,
    FusedMatMul: { 0: left('transA'), 1: right('transB') },
    FusedMatMulActivation: { 0: left('transA'), 1: right('transB') },
    GatedRelativePositionBias: { 1: bias, 3: matrix, 4: bias, 5: bias },
    GatherBlockQuantized: { 0: weight(), ...quantisers([2, 3]) },
    GemmFastGelu: { 1: matrix, 2: bias },
    GroupNorm: { 1: norm, 2: norm },
    LongformerAttention: { 1: matrix, 2: bias, 4: matrix, 5: bias },
    MatMulBnb4: { 1: weight(), ...quantisers([2]) },
    MatMulIntegerToFloat: { 1: matrix, ...quantisers([2, 3, 4, 5]), 6: bias },
    MatMulNBits: { 1: weight(), ...quantisers([2, 3]), 5: bias },
    MoE: { 2: weight(() => 1), 3: bias, 4: weight(() => 1), 5: bias, 6: weight(() => 1), 7: bias },
    MultiHeadAttention: { 3: bias, 5: weight() },
    NhwcConv: conv,
    NhwcFusedConv: conv,
    PackedAttention: { 1: matrix, 2: bias, 5: weight() },
    QAttention: { 1: matrix, 2: bias, ...quantisers([3, 4, 6, 7]) },
    QEmbedLayerNormalization: { 2: table, 3: table, 4: table, 5: norm, 6: norm, ...quantisers([8, 9, 10, 11, 12]) },
    QGemm: { ...quantisers([1, 2, 4, 5, 7, 8]), 3: right('transB'), 6: bias },
    QLinearAdd: { 0: offset, 3: offset, ...quantisers([1, 2, 4, 5, 6, 7]) },
    QLinearConv: { ...quantisers([1, 2, 4, 5, 6, 7]), 3: weight(() => 0), 8: bias },
    QLinearMul: { 0: offset, 3: offset, ...quantisers([1, 2, 4, 5, 6, 7]) },
    QMoE: {
      2: weight(),
      3: quantiser,
      4: bias,
      5: weight(),
      6: quantiser,
      7: bias,
      8: weight(),
      9: quantiser,
      10: bias,
    },
    QuickGelu: {},
    RelativePositionBias: { 0: weight() },
    RotaryEmbedding: {},
    SimplifiedLayerNormalization: { 1: norm },
    SkipGroupNorm: { 1: norm, 2: norm, 4: bias },
    SkipLayerNormalization: { 2: norm, 3: norm, 4: bias },
    SkipSimplifiedLayerNormalization: { 2: norm, 3: bias },
    TransposeMatMul: { 0: left('transA'), 1: right('transB') },
    WordConvEmbedding: { 1: weight(() => 0), 2: bias, 3: table },
    ...Object.fromEntries(
      ['DequantizeLinear', 'QuantizeLinear', 'QLinearSigmoid', 'QLinearLeakyRelu', 'QLinearAveragePool'].map((op) => [
        op,
        quantisers([1, 2, 3, 4]),
      ]),
    ),
  }),
}

function quantisers(inputs: readonly number[]): Row {
  return Object.fromEntries(inputs.map((i) => [i, quantiser]))
}

/** Operators that ONNX Runtime adds, and fuses others into. */
function contrib(table: Readonly<Record<string, Row>>): Record<string, Row> {
  return Object.fromEntries(Object.entries(table).map(([op, row]) => [`com.microsoft.${op}`, row]))
}

function rowOf(node: Node): Row | undefined {
  // ONNX Runtime's layouts and training forms keep the places of the operator that they are named after.
  if (isOnnxDomain(node.domain)) return rows[node.op] ?? (node.op === 'Einsum' ? einsumRow(node) : undefined)
  return rows[`${node.domain}.${node.op}`] ?? (node.domain === 'com.microsoft.nchwc' ? rows[node.op] : undefined)
}

/** Every operand of an Einsum that is constant is a weight; its output channels are the axis of its own in the result. */
function einsumRow(node: Node): Row {
  const [from, to = ''] = stringAttribute(node, 'equation', '').replace(/\s/g, '').split('->')
  const operands = from.split(',')
  return Object.fromEntries(
    operands.map((letters, i) => {
      const others = operands.filter((_, k) => k !== i).join('')
      const own = [...letters].flatMap((l, axis) => (to.includes(l) && !others.includes(l) ? [axis] : []))
      return [i, weight(() => (own.length === 1 && !letters.includes('.') ? own[0] : undefined))]
    }),
  )
}

/** What a node reads its input as, where the table says so. */
export function placeOf(node: Node, input: number): Place | undefined {
  return rowOf(node)?.[input]
}

/** Whether the node is of an operator that the table has, or one of ONNX's own, whose other constants are settings. */
export function isKnownOperator(node: Node): boolean {
  return isOnnxDomain(node.domain) || rowOf(node) !== undefined || node.domain === 'com.microsoft.nchwc'
}

/** The inputs of a node that are weights, biases and parameters of normalisations: what training could change. */
export function parameterPlaces(node: Node): number[] {
  return Object.entries(rowOf(node) ?? {}).flatMap(([i, { role }]) =>
    role === 'weight' || role === 'bias' || role === 'norm' ? [Number(i)] : [],
  )
}

/** Arithmetic on two values, element by element. */
export const arithmetic: ReadonlySet<string> = new Set(['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Min', 'Max', 'Sum', 'Mean'])

/** Operators that put a constant beside other values. */
const joining = new Set(['Concat', 'Where', 'ScatterND', 'ScatterElements'])

/** A constant that a node meets with other values. */
export interface Met {
  readonly dtype: DataType
  /** An axis whose length is not known counts as longer than 1. */
  readonly dims: readonly unknown[]
  /** Whether it is on its way to a weight, and no weight itself. */
  readonly isFactor?: boolean
  /** Whether the other values are what a layer makes. */
  readonly afterLayer?: boolean
}

/** What a constant is to a node that reads it at an input. */
export function roleAt(node: Node, input: number, { dtype, dims, isFactor, afterLayer }: Met): Role {
  const place = placeOf(node, input)
  if (place) return place.role === 'weight' && isFactor ? 'factor' : place.role
  if (!isKnownOperator(node)) return 'unknown'
  if (!isFloat(dtype) || node.domain) return 'setting'
  if (!arithmetic.has(node.op) && !joining.has(node.op)) return 'setting'
  if (isFactor) return 'factor'
  if (dims.filter((d) => d !== 0 && d !== 1).length > 1) return 'weight'
  return node.op === 'Add' && afterLayer ? 'bias' : 'offset'
}
