/** Small networks over sequences, for tests of training: recurrent ones and a transformer, as exporters write them. */
import { f, model as makeModel, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'
import { netBuilder } from './small-nets.ts'

interface Sequence {
  readonly steps: number
  readonly features: number
  readonly classes: number
}

/** [N, steps, features] in, through a GRU, LSTM or RNN, and its last state to the classes' scores. */
export function recurrentNet(op: 'GRU' | 'LSTM' | 'RNN', { steps, features, classes }: Sequence, hidden = 16): Model {
  const b = netBuilder(7)
  const gates = { GRU: 3, LSTM: 4, RNN: 1 }[op]
  const x = b.op('Transpose', ['x'], { perm: [1, 0, 2] })
  const weights = [
    b.weight('w', [1, gates * hidden, features], 6 * hidden),
    b.weight('r', [1, gates * hidden, hidden], 6 * hidden),
    b.weight('b', [1, 2 * gates * hidden], 1e9),
  ]
  // PyTorch's GRU multiplies with the reset gate after the product.
  const attributes = { hidden_size: hidden, ...(op === 'GRU' ? { linear_before_reset: 1 } : {}) }
  const last = `${b.op(op, [x, ...weights], attributes)}_last`
  b.nodes.push({ ...b.nodes.pop()!, outputs: ['', last] })
  b.initializers.set('first', integerTensor('first', 'int64', [1], [0]))
  const scores = b.op('Gemm', [b.op('Squeeze', [last, 'first']), b.weight('f', [hidden, classes], hidden)])
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', ['N', steps, features])],
    outputs: [valueInfo(scores, 'float32', ['N', classes])],
  })
}

export interface TransformerOptions {
  readonly steps: number
  readonly words: number
  readonly classes: number
  readonly width?: number
  readonly heads?: number
}

/** Word numbers [N, steps] in; embeddings, one block (attention, Gelu) with normalisation, the mean over positions. */
export function transformer({ steps, words, classes, width = 16, heads = 2 }: TransformerOptions): Model {
  const b = netBuilder(9)
  const ints = (name: string, ...values: number[]): string => {
    b.initializers.set(name, integerTensor(name, 'int64', [values.length], values))
    return name
  }
  const dense = (x: string, name: string, from: number, to: number): string =>
    b.op('Add', [b.op('MatMul', [x, b.weight(`${name}.w`, [from, to], 3 * from)]), b.weight(`${name}.b`, [to], 1e9)])
  const norm = (x: string, name: string): string =>
    b.op('LayerNormalization', [x, b.weight(`${name}.g`, [width], 1e9, 1), b.weight(`${name}.b`, [width], 1e9)])
  let x = b.op('Gather', [b.weight('words', [words, width], 6), 'x'])
  x = b.op('Add', [x, b.weight('positions', [1, steps, width], 30)])
  const y = norm(x, 'n1')
  const byHeads = (name: string, perm: readonly number[]): string => {
    const split = b.op('Reshape', [dense(y, name, width, width), ints('heads', 0, 0, heads, width / heads)])
    return b.op('Transpose', [split], { perm })
  }
  const scores = b.op('MatMul', [byHeads('q', [0, 2, 1, 3]), byHeads('k', [0, 2, 3, 1])])
  b.initializers.set('scale', floatTensor('scale', [], [heads / width]))
  const attention = b.op('Softmax', [b.op('Mul', [scores, b.op('Sqrt', ['scale'])])], { axis: -1 })
  const mixed = b.op('Transpose', [b.op('MatMul', [attention, byHeads('v', [0, 2, 1, 3])])], { perm: [0, 2, 1, 3] })
  x = b.op('Add', [x, dense(b.op('Reshape', [mixed, ints('whole', 0, 0, width)]), 'o', width, width)])
  x = b.op('Add', [x, dense(gelu(b, dense(norm(x, 'n2'), 'up', width, 2 * width)), 'down', 2 * width, width)])
  const pooled = b.op('ReduceMean', [x], { axes: [1], keepdims: 0 })
  const logits = dense(pooled, 'head', width, classes)
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'int64', ['N', steps])],
    outputs: [valueInfo(logits, 'float32', ['N', classes])],
  })
}

/** x/2 · (1 + erf(x/√2)), as exporters write it below operator set 20. */
function gelu(b: ReturnType<typeof netBuilder>, x: string): string {
  const constant = (name: string, value: number): string => {
    b.nodes.push({ op: 'Constant', inputs: [], outputs: [name], attributes: { value_float: f(value) } })
    return name
  }
  const error = b.op('Erf', [b.op('Div', [x, constant('root', Math.SQRT2)])])
  return b.op('Mul', [b.op('Mul', [x, b.op('Add', [error, constant('one', 1)])]), constant('half', 0.5)])
}
