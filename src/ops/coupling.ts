/**
 * How operators tie places of their inputs' axes to those of their outputs: what must be removed together with a channel, and
 * which stored tensors are cut with it. A channel is a place of any axis of any value. A row says what it ties; an axis that it
 * does not name, and all axes of an operator without a row, are needed whole.
 *
 * After DepGraph (Fang et al. 2023, arXiv:2301.12900), with the shuffle as a Gather and Split's sizes as data.
 */
import { UnsupportedError } from '../errors.ts'
import { isOnnxDomain, type Node } from '../model.ts'
import {
  batchNormalization,
  cumulativeSum,
  elementwise,
  groupNormalization,
  instanceNormalization,
  layerNormalization,
  localResponse,
  meanVariance,
  oneAxis,
  reduce,
  softmax,
  triangle,
  unary,
} from './coupling/elementwise.ts'
import { attention, convolution, einsum, fusedAttention, gemm, matMul, recurrent } from './coupling/layers.ts'
import {
  concat,
  depthToSpace,
  expand,
  gather,
  pad,
  reshape,
  resize,
  scatter,
  slice,
  spaceToDepth,
  split,
  tile,
  transpose,
} from './coupling/movement.ts'
import { type Coupling, type CouplingContext, type Row, sameAxes } from './coupling/types.ts'

export type { Adjustment, Axis, Coupling, CouplingContext, Cut, Kept, Mix, Tie } from './coupling/types.ts'
export { countMarks, eachTied, placesLeft, sizeAt } from './coupling/types.ts'

/** Windows over images: channels are where they were. */
const pool: Row = (node, context) => {
  const [input] = node.inputs
  const [output, more] = node.outputs
  const ties = sameAxes(context, [input, output])?.filter((t) => t.output.axis < 2)
  return ties && !more ? { ties, cuts: [] } : undefined
}

/** The row for each of several operators. */
const alike = (ops: string, row: Row): Record<string, Row> =>
  Object.fromEntries(ops.split(/\s+/).map((op) => [op, row]))

const rows: Readonly<Record<string, Row>> = {
  ...alike(
    `Relu LeakyRelu Sigmoid Tanh Clip HardSigmoid HardSwish Elu Softplus Gelu Identity Dropout Abs Acos Acosh Asin Asinh
    Atan Atanh Cast Ceil Celu Cos Cosh Erf Exp Floor IsInf IsNaN Log Mish Neg Not Reciprocal Round Selu Shrink Sign Sin Sinh
    Softsign Sqrt Swish Tan ThresholdedRelu com.microsoft.Gelu com.microsoft.FastGelu com.microsoft.QuickGelu`,
    unary,
  ),
  ...alike(
    `Add Sub Mul Div PRelu Pow Max Min Sum Mean Mod Where And Or Xor Equal Greater GreaterOrEqual Less LessOrEqual
    com.microsoft.BiasGelu`,
    elementwise,
  ),
  ...alike('Softmax LogSoftmax Hardmax', softmax),
  ...alike('MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool', pool),
  ...alike('Conv ConvTranspose', convolution),
  ...alike('GRU LSTM RNN', recurrent),
  ...alike('Flatten Reshape Squeeze Unsqueeze', reshape),
  ...alike(
    `ReduceMean ReduceMax ReduceMin ReduceSum ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp
    ArgMax ArgMin`,
    reduce,
  ),
  ...alike('LayerNormalization RMSNormalization com.microsoft.SimplifiedLayerNormalization', layerNormalization),
  ...alike('Resize Upsample', resize),
  ...alike('Attention com.microsoft.MultiHeadAttention', attention),
  'com.microsoft.Attention': fusedAttention,
  BatchNormalization: batchNormalization,
  Concat: concat,
  CumSum: cumulativeSum,
  DepthToSpace: depthToSpace,
  Einsum: einsum,
  Expand: expand,
  Gather: gather,
  Gemm: gemm,
  GroupNormalization: groupNormalization,
  InstanceNormalization: instanceNormalization,
  LRN: localResponse,
  LpNormalization: oneAxis(-1),
  MatMul: matMul,
  MeanVarianceNormalization: meanVariance,
  Pad: pad,
  ScatterND: scatter,
  Slice: slice,
  SpaceToDepth: spaceToDepth,
  Split: split,
  Tile: tile,
  Transpose: transpose,
  Trilu: triangle,
}

/** How the node ties places; undefined where it has no row or is not of a form that the row knows. */
export function couplingOf(node: Node, context: CouplingContext): Coupling | undefined {
  const name = isOnnxDomain(node.domain) ? node.op : `${node.domain}.${node.op}`
  if (!Object.hasOwn(rows, name)) return undefined
  try {
    return rows[name](node, context)
  } catch (error) {
    // An attribute of another type, an equation that cannot be read: no row knows that form, and the channels stay.
    if (error instanceof UnsupportedError || error instanceof RangeError) return undefined
    throw error
  }
}
