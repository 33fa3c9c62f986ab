/** Oracle: files with and without what is counted. */
import { expect, test } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { bytesOfList } from '../graph/walk.ts'
import { inspectModel } from '../inspect/inspect.ts'
import type { Attribute, Model } from '../model.ts'
import { writeModel, writtenBytes } from '../onnx/write.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { randomModel } from '../testing/random-model.ts'
import { filePartsOf, partsBeside, partsInWords } from './file-parts.ts'

const tree = { nodes_featureids: [0, 1, 127, 128, 300], nodes_values: { type: 'floats', value: [0.5, 1.5] } } as const
const plain: Model = makeModel({
  nodes: [
    node('MatMul', ['x', 'w'], ['a']),
    node('TreeEnsembleRegressor', ['a'], ['y'], tree, { domain: 'ai.onnx.ml' }),
  ],
  initializers: new Map([['w', floatTensor('w', [4, 4], new Float32Array(16).fill(1))]]),
  inputs: [valueInfo('x', 'float32', [1, 4])],
  outputs: [valueInfo('y', 'float32', [1, 1])],
})
const text = 'a long text '.repeat(500)
const noted: Model = {
  ...plain,
  metadata: [{ key: 'tokenizer.json', value: text }],
  docString: text,
  graph: { ...plain.graph, nodes: plain.graph.nodes.map((n) => ({ ...n, docString: text })) },
}
const partsOf = (model: Model) => filePartsOf(model, inspectModel(model).totals.bytes)

test('metadata and documentation are what a file without them is smaller by; the rest stays', () => {
  const [with_, without] = [noted, plain].map(partsOf)
  expect(without.metadata).toBe(0)
  expect(with_.metadata).toBe(writeModel(noted).length - writeModel(plain).length)
  expect(with_.metadata).toBeGreaterThan(4 * text.length)
  expect(with_.graph).toBe(without.graph)
})

test('the parts in words sum to the file', () => {
  const bytes = writeModel(noted).length
  const rows = partsInWords(bytes, partsOf(noted))
  expect(rows.map(([name]) => name)).toEqual(['constants, as stored', 'metadata', 'nodes, names'])
  expect(rows.reduce((sum, [, n]) => sum + n, 0)).toBe(bytes)
  // 16 floats; two floats and five whole numbers, of which two take two bytes.
  expect(rows[0][1]).toBe(64 + 8 + 7)
  expect(partsInWords(bytes, partsOf(plain)).map(([name]) => name)).not.toContain('metadata')
})

test('bytes are counted without writing', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const model = randomModel(seed)
    expect(writtenBytes(model), `seed ${seed}`).toBe(writeModel(model).length)
  }
})

test.each<Attribute>([
  { type: 'ints', value: [0, 1, 127, 128, 2 ** 40, -1, 2n ** 63n - 1n] },
  { type: 'floats', value: [0, 1.5, -3] },
  { type: 'strings', value: ['a', 'é模', new Uint8Array([255, 0])] },
])('what a list of $type takes is what the file grows by, less a field number for each', (list) => {
  const file = (a: Attribute): number => {
    const [first, ...rest] = plain.graph.nodes
    const nodes = [{ ...first, attributes: { list: a } }, ...rest]
    return writtenBytes({ ...plain, graph: { ...plain.graph, nodes } })
  }
  const { type, value } = list as Extract<Attribute, { type: 'ints' | 'floats' | 'strings' }>
  const empty = { type, value: [] } as Attribute
  // Strings have a length each too.
  const beside = value.length * (type === 'strings' ? 2 : 1)
  expect(bytesOfList(list)).toBe(file(list) - file(empty) - beside)
})

test('two files side by side: what only one of them has is nothing of the other', () => {
  const [before, after] = [noted, plain].map((m) => ({ bytes: writeModel(m).length, parts: partsOf(m) }))
  const rows = partsBeside(before, after)
  expect(rows.map(([name]) => name)).toEqual(['constants, as stored', 'metadata', 'nodes, names'])
  expect(rows[1]).toEqual(['metadata', before.parts.metadata, 0])
  expect([1, 2].map((side) => rows.reduce((sum, row) => sum + Number(row[side]), 0))).toEqual([
    before.bytes,
    after.bytes,
  ])
  expect(partsBeside(before, { bytes: 1 })).toEqual([])
})
