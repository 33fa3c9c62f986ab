/** A case for each backward rule, and for each form that a rule has: for the tests and for the comparison with PyTorch. */
import { f } from '../graph/build.ts'
import type { GradientCase } from './test-gradient.ts'

const unary = (op: string, more: Partial<GradientCase> = {}): GradientCase => ({ op, inputs: [[2, 3]], ...more })
const binary = (op: string, more: Partial<GradientCase> = {}): GradientCase => ({
  op,
  inputs: [
    [2, 1, 3],
    [4, 1],
  ],
  ...more,
})
const reduced = (op: string, more: Partial<GradientCase> = {}): GradientCase => ({
  op,
  inputs: [[2, 3, 4]],
  constants: [{ ints: [1, -1] }],
  attributes: { keepdims: 0 },
  ...more,
})
const conv = (
  name: string,
  inputs: GradientCase['inputs'],
  attributes: GradientCase['attributes'] = {},
): GradientCase => ({
  op: 'Conv',
  name,
  inputs,
  attributes,
  float32: true,
})
const transposed = (name: string, inputs: GradientCase['inputs'], attributes: GradientCase['attributes'] = {}) => ({
  ...conv(name, inputs, attributes),
  op: 'ConvTranspose',
})
const pool = (op: string, name: string, attributes: GradientCase['attributes']): GradientCase => ({
  op,
  name,
  inputs: [[2, 3, 7, 6]],
  attributes,
  float32: op === 'AveragePool',
})
const positive = { range: [0.3, 3] as const }
const resize = (
  name: string,
  attributes: GradientCase['attributes'],
  constants: GradientCase['constants'],
): GradientCase => ({ op: 'Resize', name, inputs: [[1, 2, 6, 5]], constants, attributes, float32: true })
const through = (coordinate_transformation_mode: string) => ({ coordinate_transformation_mode })
const asymmetric = { ...through('asymmetric'), nearest_mode: 'floor' }

const once = 'its gradient is a Scan, which has no rule'
/** T 4, B 2, I 3, H 3; inputs X, W, R, B, sequence_lens, initial_h, initial_c. */
const recurrent = (
  op: 'RNN' | 'GRU' | 'LSTM',
  name: string,
  attributes: GradientCase['attributes'] = {},
  more: Partial<GradientCase> & { readonly plain?: boolean } = {},
): GradientCase => {
  const gates = { RNN: 1, GRU: 3, LSTM: 4 }[op]
  const directions = attributes.direction === 'bidirectional' ? 2 : 1
  const { plain, ...rest } = more
  const state = [directions, 2, 3]
  return {
    op,
    name,
    inputs: [
      [4, 2, 3],
      [directions, gates * 3, 3],
      [directions, gates * 3, 3],
      ...(plain ? [] : [[directions, 2 * gates * 3], undefined, state, ...(op === 'LSTM' ? [state] : [])]),
    ],
    attributes: { hidden_size: 3, ...attributes },
    range: [-0.9, 1],
    outputs: op === 'LSTM' ? 3 : 2,
    float32: true,
    once,
    ...rest,
  }
}
const strings = (...value: string[]) => ({ type: 'strings', value }) as const
const einsum = (equation: string, ...inputs: readonly (readonly number[])[]): GradientCase => ({
  op: 'Einsum',
  name: equation,
  inputs,
  attributes: { equation },
})

export const gradientCases: readonly GradientCase[] = [
  ...['Neg', 'Abs', 'Exp', 'Sigmoid', 'Tanh', 'Erf', 'Softplus', 'Softsign', 'Sin', 'Cos', 'Identity', 'Elu'].map(
    (op) => unary(op, ['Softplus', 'Softsign', 'Erf', 'Elu'].includes(op) ? { float32: true } : {}),
  ),
  ...['Sqrt', 'Log', 'Reciprocal'].map((op) => unary(op, positive)),
  unary('Relu'),
  unary('Relu', { name: 'float32', float32: true }),
  unary('LeakyRelu', { attributes: { alpha: f(0.3) }, float32: true }),
  unary('PRelu', {
    inputs: [
      [2, 3, 2],
      [3, 1],
    ],
    float32: true,
  }),
  unary('HardSigmoid', { attributes: { alpha: f(0.3), beta: f(0.4) }, float32: true }),
  unary('HardSwish', { range: [-4, 4.3], float32: true }),
  unary('Gelu', { float32: true }),
  unary('Gelu', { name: 'tanh', attributes: { approximate: 'tanh' }, float32: true }),
  unary('Clip', {
    constants: [
      { floats: [-1], dims: [] },
      { floats: [1.2], dims: [] },
    ],
  }),
  unary('Clip', {
    name: 'float32',
    float32: true,
    constants: [
      { floats: [0], dims: [] },
      { floats: [1.2], dims: [] },
    ],
  }),
  unary('Clip', { name: 'one bound', constants: [undefined, { floats: [0.5], dims: [] }] }),
  unary('Dropout', { name: 'inference', float32: true }),
  unary('Cast', { attributes: { to: 1 }, once: 'float32 between', float32: true }),
  ...['Add', 'Sub', 'Mul', 'Max', 'Min', 'Sum', 'Mean'].map((op) => binary(op, { float32: op === 'Mean' })),
  binary('Max', { name: 'three', inputs: [[2, 3], [3], [1]] }),
  binary('Div', { range: [0.5, 2] }),
  binary('Pow', { range: [0.5, 2] }),
  binary('Pow', { name: 'square', inputs: [[5]], constants: [{ floats: [2], dims: [] }] }),
  {
    op: 'Where',
    inputs: [[2, 3], [3]],
    constants: [{ bools: [1, 0, 0, 1, 1, 0], dims: [2, 3] }],
    constantsFirst: true,
  },
  ...['Sum', 'Mean', 'Max', 'Min', 'LogSumExp', 'SumSquare', 'L1'].map((kind) => reduced(`Reduce${kind}`)),
  ...['L2', 'LogSum', 'Prod'].map((kind) => reduced(`Reduce${kind}`, positive)),
  reduced('ReduceSum', { name: 'all axes', constants: [] }),
  reduced('ReduceMean', { name: 'kept', attributes: { keepdims: 1 } }),
  unary('Softmax', { inputs: [[2, 3, 4]], attributes: { axis: 1 } }),
  unary('LogSoftmax', { inputs: [[2, 5]], attributes: { axis: -1 } }),
  ...[0, 1, 2, 3].map(
    (bits): GradientCase => ({
      op: 'Gemm',
      name: `transposes ${bits}`,
      inputs: [bits & 1 ? [4, 3] : [3, 4], bits & 2 ? [5, 4] : [4, 5], bits ? [5] : [3, 1]],
      attributes: { transA: bits & 1, transB: bits >> 1, alpha: f(0.5), beta: f(2) },
    }),
  ),
  ...(
    [
      ['matrices', [3, 4], [4, 2]],
      ['batch', [2, 3, 4], [2, 4, 5]],
      ['one matrix for all', [2, 3, 4], [4, 5]],
      ['broadcast', [2, 1, 3, 4], [3, 4, 2]],
      ['row', [4], [4, 3]],
      ['column', [2, 3, 4], [4]],
      ['vectors', [4], [4]],
    ] as const
  ).map(([name, a, b]): GradientCase => ({ op: 'MatMul', name, inputs: [a, b] })),
  conv('1-D', [[2, 3, 8], [4, 3, 3], [4]], { pads: [1, 1] }),
  conv(
    '1-D stride dilation',
    [
      [2, 2, 11],
      [3, 2, 3],
    ],
    { strides: [2], dilations: [2], pads: [2, 0] },
  ),
  conv('2-D', [[2, 3, 5, 6], [4, 3, 3, 2], [4]], { pads: [1, 0, 1, 1] }),
  conv(
    'stride, rows left over',
    [
      [2, 2, 8, 7],
      [3, 2, 3, 3],
    ],
    { strides: [2, 3] },
  ),
  conv(
    'stride and pads',
    [
      [1, 2, 7, 7],
      [3, 2, 3, 3],
    ],
    { strides: [2, 2], pads: [1, 1, 1, 1] },
  ),
  conv(
    'pads wider than the kernel',
    [
      [1, 1, 4, 4],
      [2, 1, 1, 1],
    ],
    { pads: [1, 0, 2, 1] },
  ),
  conv(
    'stride and wide pads',
    [
      [1, 1, 4, 4],
      [2, 1, 2, 2],
    ],
    { pads: [3, 2, 2, 3], strides: [2, 2] },
  ),
  conv('groups', [[2, 4, 5, 5], [6, 2, 3, 3], [6]], { group: 2, pads: [1, 1, 1, 1] }),
  conv(
    'depthwise stride 2',
    [
      [2, 3, 6, 6],
      [3, 1, 3, 3],
    ],
    { group: 3, strides: [2, 2], pads: [1, 1, 1, 1] },
  ),
  conv(
    'depthwise multiplier',
    [
      [2, 2, 5, 5],
      [4, 1, 3, 3],
    ],
    { group: 2 },
  ),
  conv(
    'dilation',
    [
      [2, 2, 7, 7],
      [2, 2, 3, 3],
    ],
    { dilations: [2, 2], pads: [2, 2, 2, 2] },
  ),
  conv(
    'SAME_UPPER',
    [
      [1, 2, 5, 5],
      [2, 2, 2, 2],
    ],
    { auto_pad: 'SAME_UPPER', strides: [2, 2] },
  ),
  conv(
    'SAME_LOWER',
    [
      [1, 2, 5, 5],
      [2, 2, 2, 2],
    ],
    { auto_pad: 'SAME_LOWER' },
  ),
  transposed('1-D', [[2, 3, 4], [3, 2, 3], [2]], { strides: [2] }),
  transposed('stride and pads', [[2, 3, 4, 3], [3, 2, 3, 3], [2]], { strides: [2, 2], pads: [1, 1, 1, 0] }),
  transposed(
    'output padding',
    [
      [1, 2, 3, 3],
      [2, 2, 3, 3],
    ],
    { strides: [2, 2], output_padding: [1, 1] },
  ),
  transposed(
    'groups',
    [
      [1, 4, 3, 3],
      [4, 2, 2, 2],
    ],
    { group: 2 },
  ),
  transposed(
    'dilation',
    [
      [1, 2, 3, 3],
      [2, 1, 2, 2],
    ],
    { dilations: [2, 2] },
  ),
  pool('MaxPool', 'apart', { kernel_shape: [2, 2], strides: [2, 2] }),
  pool('MaxPool', 'overlapping', { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }),
  pool('MaxPool', 'ceil', { kernel_shape: [2, 3], strides: [2, 2], ceil_mode: 1 }),
  pool('MaxPool', 'indices by columns', { kernel_shape: [2, 2], strides: [2, 2], storage_order: 1 }),
  pool('AveragePool', 'plain', { kernel_shape: [2, 2], strides: [2, 2] }),
  pool('AveragePool', 'pads not counted', { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }),
  pool('AveragePool', 'pads counted', {
    kernel_shape: [3, 3],
    strides: [2, 1],
    pads: [1, 1, 1, 1],
    count_include_pad: 1,
  }),
  ...['SAME_UPPER', 'SAME_LOWER'].flatMap((auto_pad) =>
    [0, 1].map((count_include_pad) =>
      pool('AveragePool', `${auto_pad}${count_include_pad ? ', pads counted' : ''}`, {
        kernel_shape: [3, 2],
        strides: [2, 1],
        auto_pad,
        count_include_pad,
      }),
    ),
  ),
  pool('AveragePool', 'ceil', { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 }),
  pool('AveragePool', 'ceil, pads counted', {
    kernel_shape: [2, 2],
    strides: [2, 2],
    pads: [1, 1, 0, 1],
    ceil_mode: 1,
    count_include_pad: 1,
  }),
  { op: 'GlobalAveragePool', inputs: [[2, 3, 4, 2]], float32: true },
  { op: 'GlobalMaxPool', inputs: [[2, 3, 4, 2]], float32: true },
  {
    op: 'LRN',
    inputs: [[2, 6, 2, 3]],
    attributes: { size: 3, alpha: f(0.3), beta: f(0.75), bias: f(1) },
    float32: true,
  },
  {
    op: 'BatchNormalization',
    name: 'frozen',
    inputs: [[3, 2, 2, 2], [2], [2]],
    constants: [{ floats: [0.2, -0.3] }, { floats: [0.5, 1.5] }],
  },
  {
    op: 'BatchNormalization',
    name: 'training',
    inputs: [[4, 2, 3], [2], [2], [2], [2]],
    attributes: { training_mode: 1, momentum: f(0.7) },
    outputs: 3,
    float32: true,
  },
  {
    op: 'BatchNormTrain',
    domain: 'coppice',
    inputs: [[4, 2, 3, 2], [2], [2]],
    attributes: { epsilon: f(1e-5) },
    outputs: 3,
    outputShapes: [[4, 2, 3, 2], [2], [2]],
    float32: true,
  },
  { op: 'LayerNormalization', inputs: [[2, 3, 4], [4], [4]] },
  {
    op: 'LayerNormalization',
    name: 'axis 1, no bias',
    inputs: [
      [2, 3, 4],
      [3, 4],
    ],
    attributes: { axis: 1 },
  },
  ...(['RNN', 'GRU', 'LSTM'] as const).flatMap((op) => [
    recurrent(op, 'forward'),
    recurrent(op, 'no bias, no initial state', {}, { plain: true }),
    recurrent(op, 'reverse', { direction: 'reverse' }),
    recurrent(op, 'bidirectional', { direction: 'bidirectional' }),
    recurrent(op, 'only the last state', {}, { without: [0] }),
    recurrent(op, 'only the states', {}, { outputs: 1 }),
  ]),
  recurrent('GRU', 'linear before reset', { linear_before_reset: 1 }),
  recurrent('GRU', 'linear before reset, bidirectional', { linear_before_reset: 1, direction: 'bidirectional' }),
  recurrent('GRU', 'other functions', { activations: strings('HardSigmoid', 'Softplus'), linear_before_reset: 1 }),
  recurrent('LSTM', 'other functions', { activations: strings('HardSigmoid', 'Softplus', 'Tanh') }),
  recurrent('RNN', 'ReLU', { activations: strings('Relu') }, { range: [0.1, 0.6] }),
  einsum('ij,jk->ik', [2, 3], [3, 4]),
  einsum('bhid,bhjd->bhij', [2, 2, 3, 4], [2, 2, 2, 4]),
  einsum('ij', [3, 2]),
  einsum('ij->j', [3, 2]),
  einsum('i,i->', [4], [4]),
  einsum('i,j->', [4], [3]),
  einsum('bi,oi,bo->b', [2, 3], [4, 3], [2, 4]),
  einsum('...ij,...jk->...ik', [2, 2, 3, 2], [2, 2, 2, 3]),
  {
    op: 'GroupNormalization',
    name: 'per group',
    inputs: [[2, 6, 2, 3], [2], [2]],
    attributes: { num_groups: 2 },
    float32: true,
  },
  {
    op: 'GroupNormalization',
    name: 'per channel',
    inputs: [[2, 6, 2, 3], [6], [6]],
    attributes: { num_groups: 3 },
    opset: 21,
    float32: true,
  },
  { op: 'RMSNormalization', inputs: [[2, 3, 4], [4]], opset: 23, float32: true },
  { op: 'MeanVarianceNormalization', inputs: [[2, 3, 2, 3]], float32: true },
  { op: 'LpNormalization', name: '2-norm', inputs: [[3, 4]], attributes: { axis: 1, p: 2 } },
  { op: 'LpNormalization', name: '1-norm', inputs: [[3, 4]], attributes: { axis: 0, p: 1 } },
  {
    op: 'Attention',
    name: 'by heads',
    inputs: [
      [2, 2, 3, 4],
      [2, 2, 5, 4],
      [2, 2, 5, 3],
    ],
    opset: 23,
    float32: true,
  },
  {
    op: 'Attention',
    name: 'in rows, shared heads, causal',
    inputs: [
      [2, 4, 12],
      [2, 4, 6],
      [2, 4, 6],
    ],
    attributes: { q_num_heads: 4, kv_num_heads: 2, is_causal: 1, scale: f(0.4) },
    opset: 23,
    float32: true,
  },
  {
    op: 'Attention',
    name: 'masked',
    inputs: [
      [1, 2, 3, 4],
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ],
    constants: [{ bools: [1, 0, 0, 1, 1, 0, 1, 1, 1], dims: [3, 3] }],
    opset: 23,
    float32: true,
  },
  ...['Celu', 'Selu', 'ThresholdedRelu', 'Mish', 'Shrink'].map((op) => unary(op, { float32: true, range: [-2, 2.3] })),
  ...['Tan', 'Sinh', 'Cosh', 'Atan', 'Asinh', 'Atanh'].map((op) => unary(op, { range: [-0.8, 0.9], float32: true })),
  { op: 'CastLike', inputs: [[2, 3]], constants: [{ floats: [1] }] },
  { op: 'Mod', inputs: [[2, 3]], constants: [{ floats: [1.3] }], attributes: { fmod: 1 }, range: [0.1, 1.2] },
  { op: 'CumSum', inputs: [[3, 4]], constants: [{ ints: [1], dims: [] }] },
  {
    op: 'CumSum',
    name: 'exclusive, in reverse',
    inputs: [[3, 4]],
    constants: [{ ints: [0], dims: [] }],
    attributes: { exclusive: 1, reverse: 1 },
  },
  { op: 'TopK', inputs: [[3, 5]], constants: [{ ints: [2] }], outputs: 2 },
  {
    op: 'TopK',
    name: 'smallest, along axis 0',
    inputs: [[5, 3]],
    constants: [{ ints: [2] }],
    attributes: { axis: 0, largest: 0 },
    outputs: 2,
  },
  { op: 'Trilu', inputs: [[3, 4]], constants: [{ ints: [1], dims: [] }], attributes: { upper: 0 } },
  { op: 'DepthToSpace', inputs: [[1, 8, 2, 3]], attributes: { blocksize: 2 } },
  { op: 'DepthToSpace', name: 'CRD', inputs: [[1, 8, 2, 3]], attributes: { blocksize: 2, mode: 'CRD' } },
  { op: 'SpaceToDepth', inputs: [[1, 2, 4, 6]], attributes: { blocksize: 2 } },
  { op: 'GatherND', inputs: [[3, 4, 2]], constants: [{ ints: [0, 1, 2, -1, 0, 1], dims: [3, 2] }] },
  {
    op: 'ScatterND',
    inputs: [[4, 3]],
    constants: [
      { ints: [1, 3], dims: [2, 1] },
      { floats: [1, 2, 3, 4, 5, 6], dims: [2, 3] },
    ],
  },
  {
    op: 'ScatterElements',
    name: 'written over',
    inputs: [[3, 3]],
    constants: [
      { ints: [0, 2, 1], dims: [1, 3] },
      { floats: [1, 2, 3], dims: [1, 3] },
    ],
  },
  { op: 'InstanceNormalization', inputs: [[2, 3, 4], [3], [3]], float32: true },
  { op: 'Reshape', inputs: [[2, 6]], constants: [{ ints: [3, -1] }] },
  { op: 'Flatten', inputs: [[2, 3, 2]], attributes: { axis: 1 } },
  { op: 'Squeeze', inputs: [[2, 1, 3]], constants: [{ ints: [1] }] },
  { op: 'Unsqueeze', inputs: [[2, 3]], constants: [{ ints: [0, -1] }] },
  { op: 'Transpose', inputs: [[2, 3, 4]], attributes: { perm: [2, 0, 1] } },
  { op: 'Transpose', name: 'reversed', inputs: [[2, 3, 4]] },
  {
    op: 'Concat',
    inputs: [
      [2, 2],
      [2, 3],
    ],
    attributes: { axis: -1 },
  },
  { op: 'Split', inputs: [[2, 5]], constants: [{ ints: [2, 3] }], attributes: { axis: 1 }, outputs: 2 },
  { op: 'Slice', inputs: [[4, 6]], constants: [{ ints: [1, -4] }, { ints: [3, 100] }, { ints: [0, 1] }] },
  {
    op: 'Slice',
    name: 'steps',
    inputs: [[7, 6]],
    constants: [{ ints: [0, 1] }, { ints: [100, 6] }, { ints: [0, 1] }, { ints: [3, 2] }],
  },
  {
    op: 'Slice',
    name: 'backwards',
    inputs: [[7, 6]],
    constants: [{ ints: [5, -1] }, { ints: [0, -100] }, { ints: [0, 1] }, { ints: [-2, -1] }],
  },
  {
    op: 'Slice',
    name: 'every second row and third column',
    inputs: [[2, 3, 7, 8]],
    constants: [{ ints: [0, 0] }, { ints: [1000, 1000] }, { ints: [2, 3] }, { ints: [2, 3] }],
    float32: true,
  },
  {
    op: 'Slice',
    name: 'some of every second row',
    inputs: [[2, 3, 7, 8]],
    constants: [{ ints: [0] }, { ints: [4] }, { ints: [2] }, { ints: [2] }],
    float32: true,
  },
  { op: 'Pad', inputs: [[2, 3]], constants: [{ ints: [1, 0, 0, 2] }] },
  { op: 'Pad', name: 'crops', inputs: [[4, 3]], constants: [{ ints: [-1, 1, 0, 0] }] },
  {
    op: 'Pad',
    name: 'reflect',
    inputs: [[3, 4]],
    constants: [{ ints: [2, 0, 1, 3] }],
    attributes: { mode: 'reflect' },
  },
  { op: 'Pad', name: 'edge', inputs: [[3, 4]], constants: [{ ints: [2, 1, 0, 3] }], attributes: { mode: 'edge' } },
  { op: 'Pad', name: 'axes', inputs: [[2, 3]], constants: [{ ints: [1, 2] }, undefined, { ints: [1] }] },
  { op: 'Expand', inputs: [[3, 1]], constants: [{ ints: [2, 3, 4] }] },
  { op: 'Tile', inputs: [[2, 3]], constants: [{ ints: [2, 3] }] },
  { op: 'Gather', inputs: [[4, 3]], constants: [{ ints: [2, 0, 2, -1], dims: [2, 2] }] },
  { op: 'Gather', name: 'inner axis', inputs: [[2, 5, 2]], constants: [{ ints: [4, 4, 1] }], attributes: { axis: 1 } },
  {
    op: 'GatherElements',
    inputs: [[3, 3]],
    constants: [{ ints: [0, 2, 1, 2, 2, 0], dims: [2, 3] }],
    attributes: { axis: 0 },
  },
  ...(
    [
      ['nearest x2', { mode: 'nearest' }, [1, 1, 2, 2]],
      ['nearest floor asymmetric', { mode: 'nearest', ...asymmetric }, [1, 1, 2, 1.5]],
      ['linear half pixel', { mode: 'linear' }, [1, 1, 2, 1.7]],
      ['linear corners', { mode: 'linear', ...through('align_corners') }, [1, 1, 1.5, 2]],
      ['linear smaller', { mode: 'linear', ...through('pytorch_half_pixel') }, [1, 1, 0.5, 0.6]],
    ] as const
  ).map(([name, attributes, scales]) => resize(name, attributes, [undefined, { floats: scales }])),
]

/** Cases of which PyTorch has no like: what an operator means in them is what ONNX Runtime does. */
export const runtimeCases: readonly GradientCase[] = [
  ...['Gelu', 'FastGelu', 'QuickGelu'].map((op) => unary(op, { domain: 'com.microsoft', float32: true })),
  unary('BiasGelu', { inputs: [[2, 3], [3]], domain: 'com.microsoft', float32: true }),
  {
    op: 'FusedMatMul',
    domain: 'com.microsoft',
    inputs: [
      [2, 4, 3],
      [2, 5, 4],
    ],
    attributes: { transA: 1, transB: 1, alpha: f(0.5) },
    float32: true,
  },
  {
    op: 'SkipLayerNormalization',
    domain: 'com.microsoft',
    inputs: [[2, 3, 4], [2, 3, 4], [4], [4], [4]],
    attributes: { epsilon: f(1e-5) },
    float32: true,
  },
  ...['Sum', 'Mean', 'Max', 'Min', 'LogSumExp', 'Prod', 'L1', 'L2', 'SumSquare', 'LogSum'].map((kind) =>
    reduced(`Reduce${kind}`, {
      name: 'no axes, element by element',
      constants: [],
      attributes: { noop_with_empty_axes: 1 },
      ...(kind === 'LogSum' ? positive : {}),
    }),
  ),
  ...(
    [
      ['nearest floor, thirds more', { mode: 'nearest', ...asymmetric }, [1, 1, 4 / 3, 5 / 3]],
      ['nearest floor, thirds less', { mode: 'nearest', ...asymmetric }, [1, 1, 2 / 3, 1 / 3]],
      ['nearest tf_half_pixel', { mode: 'nearest', ...through('tf_half_pixel_for_nn') }, [1, 1, 1.5, 0.7]],
      ['linear symmetric', { mode: 'linear', ...through('half_pixel_symmetric') }, [1, 1, 1.3, 0.7]],
      ['linear, a scale too small for another row', { mode: 'linear' }, [1, 1, 1.1, 2]],
      ['linear, some axes', { mode: 'linear', axes: [2, 3] }, [1.5, 1.3]],
      ['linear, axes in another order', { mode: 'linear', axes: [3, 2] }, [1.5, 1.3]],
    ] as const
  ).map(([name, attributes, scales]) => resize(name, attributes, [undefined, { floats: scales }])),
  ...(
    [
      ['stretched', 'stretch'],
      ['no larger', 'not_larger'],
      ['no smaller', 'not_smaller'],
    ] as const
  ).map(([name, keep_aspect_ratio_policy]) =>
    resize(`sizes, ${name}`, { mode: 'linear', axes: [2, 3], keep_aspect_ratio_policy }, [
      undefined,
      undefined,
      { ints: [7, 6] },
    ]),
  ),
]
