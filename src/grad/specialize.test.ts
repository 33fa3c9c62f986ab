/** What is computed once for a whole training: nothing that follows from values of weights, however small they are. */
import { expect, it } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'
import { specialize } from './specialize.ts'

it('a mask of a small weight is computed anew, arithmetic on its shape is not', () => {
  const { graph } = specialize(
    makeModel({
      nodes: [
        node('Greater', ['w', 'zero'], ['above']),
        node('Cast', ['above'], ['mask'], { to: 1 }),
        node('Mul', ['w', 'mask'], ['masked']),
        node('Shape', ['w'], ['shape']),
        node('Concat', ['shape', 'one'], ['longer'], { axis: 0 }),
        node('Reshape', ['masked', 'longer'], ['turned']),
        node('Mul', ['x', 'turned'], ['y']),
      ],
      initializers: new Map(
        [
          floatTensor('w', [2, 2], [1, -1, 2, -2]),
          floatTensor('zero', [], [0]),
          integerTensor('one', 'int64', [1], [1]),
        ].map((t) => [t.name, t]),
      ),
      inputs: [valueInfo('x', 'float32', [2, 2, 1])],
      outputs: [valueInfo('y', 'float32', [2, 2, 1])],
    }),
    { x: [2, 2, 1] },
    ['w'],
  )
  expect(graph.nodes.map((n) => n.op)).toEqual(['Greater', 'Cast', 'Mul', 'Reshape', 'Mul'])
})
