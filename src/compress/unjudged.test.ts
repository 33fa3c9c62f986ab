/** Of a model of which no loss can be judged, what loses nothing is done, and a sentence says so. */
import { expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import { type Model, type Node, withGraph } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { reportOf } from '../report/report-of.ts'
import { renderText } from '../report/text.ts'
import { dataTypes, floatTensor, integerTensor } from '../tensor/dtype.ts'
import { compress } from './compress.ts'

const values = Float32Array.from({ length: 512 }, (_, i) => Math.sin(i))
const weight = floatTensor('w', [8, 64], values)

/** sequence(tensor(float32)), as its bytes. */
const sequenceOfFloats = Uint8Array.of(0x22, 6, 0x0a, 4, 0x0a, 2, 8, 1)

/** A model of x [rows, 8] whose weight is w; and a weight that nothing reads. */
function modelOf(rows: number, nodes: readonly Node[]): Model {
  return model({
    nodes,
    initializers: new Map([
      ['w', weight],
      ['unused', { ...weight, name: 'unused' }],
      ['eight', floatTensor('eight', [], [8])],
      ['zero', integerTensor('zero', 'int64', [], [0])],
    ]),
    inputs: [valueInfo('x', 'float32', [rows, 8])],
    outputs: [valueInfo('y', 'float32')],
  })
}

it.each([
  [
    'gives no values',
    modelOf(0, [node('Mul', ['x', 'eight'], ['h']), node('MatMul', ['h', 'w'], ['y'])]),
    /^no loss can be judged, .*: with inputs of the shapes "x" \[0,8\] every output is empty/,
  ],
  [
    'does not run',
    // Rows from the eighth on, of eight.
    modelOf(2, [
      node('Abs', ['x'], ['a']),
      node('Add', ['a', 'eight'], ['b']),
      node('Cast', ['b'], ['rows'], { to: dataTypes.int64.code }),
      node('Gather', ['w', 'rows'], ['y']),
    ]),
    /^no loss can be judged, .*: the model does not run with inputs of its own shapes, "x" \[2,8\]/,
  ],
  [
    'takes a sequence',
    withGraph(modelOf(2, [node('SequenceAt', ['xs', 'zero'], ['x']), node('MatMul', ['x', 'w'], ['y'])]), {
      inputs: [{ name: 'xs', opaqueType: sequenceOfFloats }],
    }),
    /^no loss can be judged, .*: input "xs" is no tensor, and only tensors can be drawn/,
  ],
  [
    'gives the same whatever it is given',
    modelOf(2, [
      node('MatMul', ['x', 'w'], ['h']),
      node('Pow', ['eight', 'eight'], ['much']),
      node('Max', ['h', 'much'], ['y']),
    ]),
    /^no loss can be judged, .*: output "y" is the same for every random input; expected a model that works, and samples/,
  ],
  [
    'gives a sequence alone',
    withGraph(modelOf(2, [node('MatMul', ['x', 'w'], ['h']), node('SequenceConstruct', ['h', 'x'], ['ys'])]), {
      outputs: [{ name: 'ys', opaqueType: sequenceOfFloats }],
    }),
    /^no loss can be judged, .*: its output "ys" is not a tensor$/,
  ],
  [
    'overflows whatever it is given',
    modelOf(2, [
      node('MatMul', ['x', 'w'], ['h']),
      node('Pow', ['eight', 'eight'], ['much']),
      node('Mul', ['h', 'much'], ['g']),
      node('Exp', ['g'], ['y']),
    ]),
    /^no loss can be judged, .*: with random inputs in each of the ranges normalised, 0\.\.1, 0\.\.255 the original itself gives values that are not finite; use --data SPEC$/,
  ],
])('of a model that %s: it is tidied and packed, its weights as they were', async (_, given, warning) => {
  const result = await compress(given)
  expect(result.warnings).toEqual([expect.stringMatching(warning)])
  expect([result.holds, result.isUnjudged]).toEqual([true, true])
  expect([...result.model.graph.initializers.keys()]).not.toContain('unused')
  expect(result.model.graph.initializers.get('w')?.data).toEqual(weight.data)
  expect(result.packed.byteLength).toBeLessThan(0.6 * writeModel(given).byteLength)
  const report = await reportOf(result)
  expect([report.judged, report.agreement, report.speedUp]).toEqual([undefined, undefined, undefined])
  expect(renderText(report).replace(/\s+/g, ' ')).toContain('bytes, no loss could be judged: w')
})
