/** What is trained of a model, and what is not. */
import { expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Node, Tensor } from '../model.ts'
import { floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { trainableNames, untrainedWeights } from './parameters.ts'

const ones = (name: string, dims: readonly number[]): Tensor =>
  floatTensor(name, dims, new Float32Array(sizeOf(dims)).fill(1))

function graphOf(nodes: readonly Node[], tensors: readonly Tensor[]) {
  const initializers = new Map(tensors.map((t) => [t.name, t]))
  return model({ nodes, initializers, inputs: [valueInfo('x', 'float32')], outputs: [valueInfo('y', 'float32')] }).graph
}

it('weights of one value are trained where a layer reads them, factors on the way are not', () => {
  const graph = graphOf(
    [
      node('Mul', ['w', 'factor'], ['scaled']),
      node('Conv', ['x', 'scaled', 'bias'], ['c']),
      node('PRelu', ['c', 'slope'], ['p']),
      node('Mul', ['p', 'gain'], ['y']),
    ],
    [ones('w', [1, 3, 3, 3]), ones('factor', [1]), ones('bias', [1]), ones('slope', [1, 1, 1]), ones('gain', [1])],
  )
  expect(trainableNames(graph)).toEqual(['w', 'bias', 'slope'])
  expect(untrainedWeights(graph, trainableNames(graph))).toEqual([])
})

it('names the weights that no step changes: integers, what the caller left out', () => {
  const graph = graphOf(
    [
      node('Cast', ['q'], ['cast'], { to: 1 }),
      node('Mul', ['cast', 'step'], ['w1']),
      node('MatMul', ['x', 'w1'], ['h']),
      node('LSTM', ['h', 'lstm.w', 'lstm.r'], ['l'], { hidden_size: 2 }),
      node('Gather', ['codebook', 'index'], ['w2']),
      node('Gemm', ['l', 'w2', 'bias'], ['y']),
    ],
    [
      integerTensor('q', 'int8', [3, 2], [1, 2, 3, 4, 5, 6]),
      ones('step', []),
      ones('lstm.w', [1, 8, 2]),
      ones('lstm.r', [1, 8, 2]),
      ones('codebook', [4]),
      integerTensor('index', 'int32', [2, 2], [0, 1, 2, 3]),
      ones('bias', [2]),
    ],
  )
  expect(trainableNames(graph)).toEqual(['lstm.w', 'lstm.r', 'codebook', 'bias'])
  expect(untrainedWeights(graph, ['codebook', 'bias'])).toEqual(['w1', 'lstm.w', 'lstm.r'])
  expect(untrainedWeights(graph, ['bias'])).toEqual(['w1', 'lstm.w', 'lstm.r', 'w2'])
})

it('trains positions, tokens and scales of what layers make, not masks, padding or single factors', () => {
  const counted = (name: string, dims: readonly number[]): Tensor =>
    floatTensor(
      name,
      dims,
      Array.from({ length: sizeOf(dims) }, (_, i) => i / 10),
    )
  const graph = graphOf(
    [
      node('Gather', ['words', 'x'], ['embedded']),
      node('Concat', ['token', 'embedded'], ['all'], { axis: 1 }),
      node('Add', ['all', 'positions'], ['placed']),
      node('MatMul', ['placed', 'w'], ['product']),
      node('Mul', ['product', 'scales'], ['widened']),
      node('Add', ['widened', 'shifts'], ['scaled']),
      node('MatMul', ['scaled', 'square'], ['scores']),
      node('Add', ['scores', 'mask'], ['masked']),
      node('Softmax', ['masked'], ['weights']),
      node('MatMul', ['weights', 'w2'], ['out']),
      node('Concat', ['out', 'zeros'], ['padded'], { axis: 2 }),
      node('Mul', ['padded', 'half'], ['y']),
    ],
    [
      counted('words', [9, 4]),
      counted('token', [1, 1, 4]),
      counted('positions', [1, 4, 4]),
      counted('w', [4, 4]),
      counted('scales', [4]),
      counted('shifts', [4]),
      counted('square', [4, 4]),
      floatTensor('mask', [1, 4, 4], [0, -1e9, -1e9, -1e9, 0, 0, -1e9, -1e9, 0, 0, 0, -1e9, 0, 0, 0, 0]),
      counted('w2', [4, 4]),
      floatTensor('zeros', [1, 4, 2], new Float32Array(8)),
      floatTensor('half', [4], [0.5, 0.5, 0.5, 0.5]),
    ],
  )
  expect(trainableNames(graph)).toEqual(['words', 'token', 'positions', 'w', 'scales', 'shifts', 'square', 'w2'])
})
