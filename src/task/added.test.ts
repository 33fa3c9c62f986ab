import { describe, expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model, Node } from '../model.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { withAdded } from './added.ts'
import { guessTask } from './guess.ts'

/** A network that makes `net` of an input [N,8], and what makes of both the output `y`. */
function ending(...nodes: readonly Node[]): Model {
  return model({
    nodes: [
      node('MatMul', ['x', 'w1'], ['h']),
      node('Relu', ['h'], ['r']),
      node('MatMul', ['r', 'w2'], ['net']),
      ...nodes,
    ],
    initializers: new Map([
      ['w1', floatTensor('w1', [8, 16], new Float32Array(128))],
      ['w2', floatTensor('w2', [16, 8], new Float32Array(128))],
      ['small', floatTensor('small', [], [0.01])],
      ['bias', floatTensor('bias', [8], new Float32Array(8))],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', 8])],
    outputs: [valueInfo('y', 'float32', ['N', 8])],
  })
}

const added = (made: Model): string[] =>
  withAdded(guessTask(made), made).outputs.flatMap((o) => (o.added ? [o.output] : []))

describe('what an output adds to an input', () => {
  it('is judged as well, whatever scales the sum', () => {
    expect(added(ending(node('Add', ['x', 'net'], ['y'])))).toEqual(['net'])
    expect(added(ending(node('Sub', ['x', 'net'], ['y'])))).toEqual(['net'])
    expect(
      added(ending(node('Greater', ['x', 'small'], ['known']), node('Where', ['known', 'x', 'net'], ['y']))),
    ).toEqual(['net'])
    expect(
      added(
        ending(
          node('Mul', ['net', 'small'], ['step']),
          node('Add', ['step', 'bias'], ['shifted']),
          node('Mul', ['x', 'small'], ['scaled']),
          node('Sum', ['scaled', 'shifted'], ['sum']),
          node('Clip', ['sum', '', 'small'], ['y']),
        ),
      ),
    ).toEqual(['net'])
  })

  it('is found behind what leaves a sum about as it was, and in factors about a constant', () => {
    for (const op of ['Neg', 'Relu', 'Tanh', 'Round'])
      expect(added(ending(node('Add', ['x', 'net'], ['sum']), node(op, ['sum'], ['y'])))).toEqual(['net'])
    const sum = node('Add', ['x', 'net'], ['sum'])
    expect(added(ending(sum, node('Concat', ['sum', 'x'], ['y'], { axis: 1 })))).toEqual(['net'])
    const factor = node('Add', ['net', 'bias'], ['factor'])
    expect(added(ending(factor, node('Mul', ['x', 'factor'], ['y'])))).toEqual(['net'])
    expect(added(ending(node('Exp', ['net'], ['factor']), node('Div', ['x', 'factor'], ['y'])))).toEqual(['factor'])
  })

  it('is nothing where no part of the sum is given', () => {
    expect(added(ending(node('Add', ['net', 'bias'], ['y'])))).toEqual([])
    expect(added(ending(node('Add', ['net', 'net'], ['y'])))).toEqual([])
    expect(added(ending(node('Mul', ['x', 'net'], ['y'])))).toEqual([])
  })

  it('is not looked for behind decisions', () => {
    const made = ending(node('Add', ['x', 'net'], ['sum']), node('Softmax', ['sum'], ['y']))
    expect(added(made)).toEqual([])
  })
})
