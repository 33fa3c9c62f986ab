/** Oracle: the checksum of the file that `writeModel` makes. */
import { expect, test } from 'vitest'
import { crc32 } from '../checksum.ts'
import { type Model, withGraph, withWeights } from '../model.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { modelFingerprint } from './fingerprint.ts'
import { parseModel } from './parse-text.ts'
import { writeModel } from './write.ts'

const model = parseModel(
  `ir 8\nopset 17\ngraph g {\n in x: float32[2, 64]\n out y: float32\n w: float32[64, 2] = {${'1, '.repeat(127)}1}\n y = MatMul(x, w)\n}`,
)

test('a model has the checksum of its file', () => {
  expect(modelFingerprint(model)).toBe(crc32(writeModel(model)))
})

test.each<[string, Model]>([
  ['weight', withWeights(model, [floatTensor('w', [64, 2], [2, ...new Array(127).fill(1)])])],
  ['node', withGraph(model, { nodes: [{ ...model.graph.nodes[0], op: 'Gemm' }] })],
  ['name', withGraph(model, { name: 'h' })],
])('models that differ in a %s are told apart', (_, other) => {
  expect(modelFingerprint(other)).not.toBe(modelFingerprint(model))
})
