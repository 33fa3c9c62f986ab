/** What has no gradient is refused in one sentence that names the operator, its node and what to do. */
import { describe, expect, it } from 'vitest'
import { backward } from '../../grad/backward.ts'
import { f } from '../../graph/build.ts'
import { differentiatedFor, forwardGraph, type GradientCase } from '../../testing/test-gradient.ts'

const gru = (more: Partial<GradientCase>): GradientCase => ({
  op: 'GRU',
  inputs: [
    [4, 2, 3],
    [1, 9, 3],
    [1, 9, 3],
  ],
  attributes: { hidden_size: 3 },
  float32: true,
  ...more,
})

const refused: readonly (readonly [string, GradientCase, RegExp])[] = [
  [
    'shorter sequences',
    gru({ constants: [undefined, { ints: [4, 3] }] }),
    /GRU "y0": an input sequence_lens of shorter sequences has no gradient; expected sequences of all 4 steps/,
  ],
  ['clipped gates', gru({ attributes: { hidden_size: 3, clip: f(2) } }), /GRU "y0": clip has no gradient/],
  [
    'an unknown function of gates',
    gru({ attributes: { hidden_size: 3, activations: { type: 'strings', value: ['Sigmoid', 'ScaledTanh'] } } }),
    /GRU "y0": its activation ScaledTanh has no gradient; expected one of Sigmoid, Tanh/,
  ],
  [
    'a diagonal',
    { op: 'Einsum', inputs: [[3, 3]], attributes: { equation: 'ii->i' } },
    /Einsum "y0": its equation "ii->i" repeats a letter/,
  ],
  [
    'attention with a cache',
    {
      op: 'Attention',
      inputs: [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], undefined, [1, 2, 5, 4], [1, 2, 5, 4]],
      outputs: 3,
      outputShapes: [
        [1, 2, 3, 4],
        [1, 2, 8, 4],
        [1, 2, 8, 4],
      ],
      opset: 23,
    },
    /Attention "y0": its cache of keys and values has no gradient; expected attention over the whole sequence/,
  ],
  ['an operator without a rule', { op: 'Hardmax', inputs: [[2, 3]] }, /Hardmax "y0": Hardmax has no gradient/],
]

describe('it refuses', () => {
  for (const [what, test, message] of refused) {
    it(what, () => {
      expect(() => backward(forwardGraph(test, 'float32'), 'loss', differentiatedFor(test))).toThrow(message)
    })
  }
})

it('takes sequence_lens that are the whole length', () => {
  const test = gru({ constants: [undefined, { ints: [4, 4] }] })
  expect(backward(forwardGraph(test, 'float32'), 'loss', ['x0']).gradients.has('x0')).toBe(true)
})
