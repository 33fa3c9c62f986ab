/** Small seeded models, one for each way in which a weight reaches its layer. */
import { f, model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Attribute, FunctionDef, Graph, Model, Node, Tensor, ValueInfo } from '../model.ts'
import { type DataType, dataTypes, floatTensor, integerTensor, sizeOf, tensorOfFloats } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'

export interface WeightWay {
  readonly model: Model
  /** The stored tensors that are weights, by name. */
  readonly weights: readonly string[]
}

interface Parts {
  readonly nodes: readonly Node[]
  readonly tensors: readonly Tensor[]
  readonly weights: readonly string[]
  /** Type of the input x[N, 32] and the output y; default float32. */
  readonly dtype?: DataType
  readonly opset?: number
  readonly functions?: readonly FunctionDef[]
  /** x is ids[N, 8] instead. */
  readonly ids?: number
  readonly inputDims?: readonly (number | string)[]
}

const rng = random(5)

function draw(name: string, dims: readonly number[], scale = 1 / Math.sqrt(dims[0])): Tensor {
  return floatTensor(
    name,
    dims,
    Float32Array.from({ length: sizeOf(dims) }, () => scale * rng.normal()),
  )
}

function as(dtype: DataType, t: Tensor): Tensor {
  return tensorOfFloats(t.name, dtype, t.dims, new Float32Array(t.data.slice().buffer))
}

function ints(name: string, values: readonly number[]): Tensor {
  return integerTensor(name, 'int64', [values.length], values)
}

function way({ nodes, tensors, weights, dtype = 'float32', opset = 17, functions, ids, inputDims }: Parts): WeightWay {
  const x = ids ? valueInfo('x', 'int64', ['N', 8]) : valueInfo('x', dtype, inputDims ?? ['N', 32])
  const graph = {
    nodes,
    initializers: new Map(tensors.map((t) => [t.name, t])),
    inputs: [x],
    outputs: [valueInfo('y', dtype)],
  }
  const made = makeModel(graph, opset)
  const domains = new Set([...nodes.map((n) => n.domain ?? ''), ...(functions ?? []).map((fn) => fn.domain)])
  domains.delete('')
  const opsets = [...made.opsets, ...Array.from(domains, (domain) => ({ domain, version: 1 }))]
  return { model: { ...made, opsets, ...(functions ? { functions } : {}) }, weights }
}

/** y = relu(x · value) · head, where `nodes` make `value` [32, 48] of what is stored. */
function behind(value: string, nodes: readonly Node[], parts: Omit<Parts, 'nodes'>): WeightWay {
  const layers = [node('MatMul', ['x', value], ['h']), node('Relu', ['h'], ['r']), node('MatMul', ['r', 'head'], ['y'])]
  const head = as(parts.dtype ?? 'float32', draw('head', [48, 16]))
  return way({
    ...parts,
    nodes: [...nodes, ...layers],
    tensors: [...parts.tensors, head],
    weights: [...parts.weights, 'head'],
  })
}

/** What a Loop counts and goes on by. */
const inputTypes: Readonly<Record<string, ValueInfo>> = {
  i: valueInfo('i', 'int64', []),
  go: valueInfo('go', 'bool', []),
}

function graphOf(value: Graph): Attribute {
  return { type: 'graph', value }
}

function body(
  name: string,
  nodes: readonly Node[],
  {
    inputs = [],
    outputs,
    tensors = [],
  }: { inputs?: readonly string[]; outputs: readonly string[]; tensors?: readonly Tensor[] },
): Graph {
  return {
    name,
    nodes,
    initializers: new Map(tensors.map((t) => [t.name, t])),
    inputs: inputs.map((n) => inputTypes[n] ?? valueInfo(n, 'float32')),
    outputs: outputs.map((n) => ({ name: n })),
  }
}

function fn(
  name: string,
  inputs: readonly string[],
  outputs: readonly string[],
  nodes: readonly Node[],
  attributes: readonly string[] = [],
): FunctionDef {
  const domain = 'local'
  return {
    name,
    domain,
    inputs,
    outputs,
    nodes,
    attributes,
    opsets: [
      { domain: '', version: 17 },
      { domain, version: 1 },
    ],
  }
}

const local = { domain: 'local' }
const contrib = { domain: 'com.microsoft' }
const w = () => draw('w', [32, 48])

export const weightWays: Readonly<Record<string, () => WeightWay>> = {
  'an initialiser': () => behind('w', [], { tensors: [w()], weights: ['w'] }),
  'a Constant node': () => behind('w', [node('Constant', [], ['w'], { value: w() })], { tensors: [], weights: ['w'] }),
  'a Transpose': () =>
    behind('t', [node('Transpose', ['w'], ['t'])], { tensors: [draw('w', [48, 32], 0.18)], weights: ['w'] }),
  'a Reshape': () =>
    behind('t', [node('Reshape', ['w', 'shape'], ['t'])], {
      tensors: [draw('w', [2, 16, 48], 0.18), ints('shape', [-1, 48])],
      weights: ['w'],
    }),
  'a Cast of float16': () =>
    behind('t', [node('Cast', ['w'], ['t'], { to: 1 })], { tensors: [as('float16', w())], weights: ['w'] }),
  'a Cast of bfloat16': () =>
    behind('t', [node('Cast', ['w'], ['t'], { to: 1 })], { tensors: [as('bfloat16', w())], weights: ['w'] }),
  'a constant scale': () =>
    behind('t', [node('Mul', ['w', 's'], ['t'])], { tensors: [w(), floatTensor('s', [], [0.7])], weights: ['w'] }),
  'a quantiser of float weights': () =>
    behind(
      't',
      [
        node('QuantizeLinear', ['w', 's', 'z'], ['q'], { axis: 1 }),
        node('DequantizeLinear', ['q', 's', 'z'], ['t'], { axis: 1 }),
      ],
      {
        tensors: [
          w(),
          floatTensor('s', [48], new Float32Array(48).fill(0.006)),
          integerTensor('z', 'int8', [48], new Int8Array(48)),
        ],
        weights: ['w'],
      },
    ),
  'weight normalisation': () =>
    behind(
      't',
      [
        node('ReduceL2', ['v'], ['n'], { axes: [0], keepdims: 1 }),
        node('Div', ['v', 'n'], ['d']),
        node('Mul', ['d', 'g'], ['t']),
      ],
      { tensors: [draw('v', [32, 48]), draw('g', [1, 48])], weights: ['v'] },
    ),
  'a low-rank side, merged': () =>
    behind(
      't',
      [node('MatMul', ['a', 'b'], ['ab']), node('Mul', ['ab', 's'], ['scaled']), node('Add', ['w', 'scaled'], ['t'])],
      { tensors: [w(), draw('a', [32, 4]), draw('b', [4, 48]), floatTensor('s', [], [0.5])], weights: ['w', 'a', 'b'] },
    ),
  'a low-rank side, apart': () =>
    way({
      nodes: [
        node('MatMul', ['x', 'w'], ['h']),
        node('MatMul', ['x', 'a'], ['xa']),
        node('MatMul', ['xa', 'b'], ['xab']),
        node('Add', ['h', 'xab'], ['y']),
      ],
      tensors: [draw('w', [32, 64]), draw('a', [32, 8]), draw('b', [8, 64])],
      weights: ['w', 'a', 'b'],
    }),
  'a table': () =>
    way({
      nodes: [
        node('Gather', ['table', 'x'], ['e']),
        node('ReduceMean', ['e'], ['m'], { axes: [1], keepdims: 0 }),
        node('MatMul', ['m', 'w'], ['y']),
      ],
      tensors: [draw('table', [100, 32], 1), draw('w', [32, 16])],
      weights: ['table', 'w'],
      ids: 100,
    }),
  'a table tied to the output': () =>
    way({
      nodes: [
        node('Gather', ['table', 'x'], ['e']),
        node('Transpose', ['table'], ['t'], { perm: [1, 0] }),
        node('MatMul', ['e', 't'], ['y']),
      ],
      tensors: [draw('table', [100, 32], 1)],
      weights: ['table'],
      ids: 100,
    }),
  'a table of positions': () =>
    way({
      nodes: [node('Gather', ['table', 'x'], ['e']), node('Add', ['e', 'positions'], ['y'])],
      tensors: [draw('table', [100, 48], 1), draw('positions', [1, 8, 48], 1)],
      weights: ['table', 'positions'],
      ids: 100,
    }),
  Einsum: () =>
    way({
      nodes: [node('Einsum', ['x', 'w'], ['y'], { equation: 'bi,ijk->bjk' })],
      tensors: [draw('w', [32, 4, 16])],
      weights: ['w'],
    }),
  'a stack of matrices': () =>
    way({
      nodes: [node('MatMul', ['x', 'w'], ['y'])],
      tensors: [draw('w', [3, 32, 16], 0.18)],
      weights: ['w'],
    }),
  'gates joined by Concat': () =>
    way({
      nodes: [
        node('Unsqueeze', ['x', 'zero'], ['s']),
        node('Concat', ['wi', 'wo', 'wf', 'wc'], ['wx'], { axis: 1 }),
        node('LSTM', ['s', 'wx', 'r', 'b'], ['', 'h'], { hidden_size: 16 }),
        node('Squeeze', ['h', 'zero'], ['y']),
      ],
      tensors: [
        ...['wi', 'wo', 'wf', 'wc'].map((n) => draw(n, [1, 16, 32], 0.2)),
        draw('r', [1, 64, 16], 0.2),
        draw('b', [1, 128]),
        ints('zero', [0]),
      ],
      weights: ['wi', 'wo', 'wf', 'wc', 'r'],
    }),
  'an argument of a local function': () =>
    way({
      nodes: [node('Linear', ['x', 'w', 'b'], ['h'], {}, local), node('Linear', ['h', 'w2', 'b2'], ['y'], {}, local)],
      tensors: [draw('w', [32, 48]), draw('b', [48]), draw('w2', [48, 16]), draw('b2', [16])],
      weights: ['w', 'w2'],
      functions: [
        fn('Linear', ['a', 'k', 'c'], ['o'], [node('MatMul', ['a', 'k'], ['p']), node('Add', ['p', 'c'], ['o'])]),
      ],
    }),
  'an argument of a nested local function, with attributes': () => {
    const transB: Attribute = { type: 'reference', value: 'turned', attributeType: 2 }
    return way({
      nodes: [node('Outer', ['x', 'w', 'b'], ['y'], { turned: 1 }, local)],
      tensors: [draw('w', [48, 32], 0.18), draw('b', [48])],
      weights: ['w'],
      functions: [
        fn('Inner', ['a', 'k', 'c'], ['o'], [node('Gemm', ['a', 'k', 'c'], ['o'], { transB })], ['turned']),
        fn(
          'Outer',
          ['a', 'k', 'c'],
          ['o'],
          [node('Inner', ['a', 'k', 'c'], ['p'], { turned: { ...transB } }, local), node('Relu', ['p'], ['o'])],
          ['turned'],
        ),
      ],
    })
  },
  'a constant inside a local function': () =>
    way({
      nodes: [node('Layer', ['x'], ['y'], {}, local)],
      tensors: [],
      weights: ['w'],
      functions: [
        fn('Layer', ['a'], ['o'], [node('Constant', [], ['w'], { value: w() }), node('MatMul', ['a', 'w'], ['o'])]),
      ],
    }),
  'what a local function makes of it': () =>
    way({
      nodes: [node('Scaled', ['w', 's'], ['t'], {}, local), node('MatMul', ['x', 't'], ['y'])],
      tensors: [w(), draw('s', [1, 48], 1)],
      weights: ['w'],
      functions: [fn('Scaled', ['k', 'c'], ['o'], [node('Mul', ['k', 'c'], ['o'])])],
    }),
  'branches of an If': () =>
    way({
      nodes: [
        node('ReduceSum', ['x'], ['sum'], { keepdims: 0 }),
        node('Greater', ['sum', 'limit'], ['c']),
        node('If', ['c'], ['y'], {
          then_branch: graphOf(body('then', [node('MatMul', ['x', 'w'], ['o1'])], { outputs: ['o1'], tensors: [w()] })),
          else_branch: graphOf(
            body(
              'else',
              [node('Constant', [], ['v'], { value: draw('', [32, 48]) }), node('MatMul', ['x', 'v'], ['o2'])],
              { outputs: ['o2'] },
            ),
          ),
        }),
      ],
      tensors: [floatTensor('limit', [], [0])],
      weights: ['w', 'v'],
    }),
  'a weight that an If chooses': () => {
    const choice = (name: string): Attribute =>
      graphOf(body(name, [node('Identity', [name], [`${name}_o`])], { outputs: [`${name}_o`] }))
    return way({
      nodes: [
        node('ReduceSum', ['x'], ['sum'], { keepdims: 0 }),
        node('Greater', ['sum', 'limit'], ['c']),
        node('If', ['c'], ['chosen'], { then_branch: choice('w'), else_branch: choice('v') }),
        node('MatMul', ['x', 'chosen'], ['y']),
      ],
      tensors: [floatTensor('limit', [], [0]), w(), draw('v', [32, 48])],
      weights: ['w', 'v'],
    })
  },
  'the body of a Loop': () =>
    way({
      nodes: [
        node('Loop', ['times', '', 'x'], ['y'], {
          body: graphOf(
            body(
              'body',
              [node('MatMul', ['s', 'w'], ['p']), node('Tanh', ['p'], ['o']), node('Identity', ['go'], ['on'])],
              {
                inputs: ['i', 'go', 's'],
                outputs: ['on', 'o'],
              },
            ),
          ),
        }),
      ],
      tensors: [integerTensor('times', 'int64', [], [3]), draw('w', [32, 32])],
      weights: ['w'],
    }),
  'layers that a Scan goes over': () =>
    way({
      nodes: [
        node('Scan', ['x', 'w'], ['y'], {
          num_scan_inputs: 1,
          body: graphOf(
            body('body', [node('MatMul', ['s', 'k'], ['p']), node('Tanh', ['p'], ['o'])], {
              inputs: ['s', 'k'],
              outputs: ['o'],
            }),
          ),
        }),
      ],
      tensors: [draw('w', [3, 32, 32], 0.18)],
      weights: ['w'],
    }),
  FusedMatMul: () =>
    way({
      nodes: [node('FusedMatMul', ['x', 'w'], ['y'], { transB: 1, alpha: f(0.5) }, contrib)],
      tensors: [draw('w', [48, 32], 0.18)],
      weights: ['w'],
    }),
  FusedGemm: () =>
    way({
      nodes: [node('FusedGemm', ['x', 'w', 'b'], ['y'], { activation: 'Relu' }, contrib)],
      tensors: [w(), draw('b', [48])],
      weights: ['w'],
    }),
  FusedConv: () =>
    way({
      nodes: [node('FusedConv', ['x', 'w', 'b'], ['y'], { activation: 'Relu', kernel_shape: [3, 3] }, contrib)],
      tensors: [draw('w', [16, 8, 3, 3], 0.1), draw('b', [16])],
      weights: ['w'],
      inputDims: ['N', 8, 8, 8],
    }),
  // Behind a normalisation, as in networks: inputs of hundreds would choose one position each, by a hair.
  Attention: () =>
    way({
      nodes: [
        node('LayerNormalization', ['x', 'gamma', 'beta'], ['n']),
        node('Attention', ['n', 'w', 'b'], ['y'], { num_heads: 2 }, contrib),
      ],
      tensors: [draw('gamma', [32]), draw('beta', [32]), draw('w', [32, 96]), draw('b', [96])],
      weights: ['w'],
      inputDims: ['N', 6, 32],
    }),
  EmbedLayerNormalization: () =>
    way({
      nodes: [
        node('Cast', ['x'], ['ids'], { to: dataTypes.int32.code }),
        node(
          'EmbedLayerNormalization',
          ['ids', '', 'words', 'positions', '', 'gamma', 'beta'],
          ['y', 'mask'],
          {},
          contrib,
        ),
      ],
      tensors: [draw('words', [100, 32], 1), draw('positions', [16, 32], 1), draw('gamma', [32]), draw('beta', [32])],
      weights: ['words', 'positions'],
      ids: 100,
    }),
  'float16 throughout': () => behind('w', [], { tensors: [as('float16', w())], weights: ['w'], dtype: 'float16' }),
  'a float16 convolution': () =>
    way({
      nodes: [node('Conv', ['x', 'w', 'b'], ['y'])],
      tensors: [as('float16', draw('w', [32, 16, 3, 3], 0.1)), as('float16', draw('b', [32]))],
      weights: ['w'],
      dtype: 'float16',
      inputDims: ['N', 16, 8, 8],
    }),
  'float64 throughout': () => behind('w', [], { tensors: [as('float64', w())], weights: ['w'], dtype: 'float64' }),
}
