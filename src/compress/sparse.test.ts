/** A model that stores a weight as sparse: it is quantised as others are, and stored as sparse again. */
import { expect, it } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { inspectModel } from '../inspect/inspect.ts'
import type { Model } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { reportOf } from '../report/report-of.ts'
import { sparsified } from '../simplify/sparsify.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { compress } from './compress.ts'
import { runRecipe } from './run-recipe.ts'

const rng = random(3)
const normal = (n: number, share = 1): number[] =>
  Array.from({ length: n }, () => (rng.next() < share ? 0.1 * rng.normal() : 0))

/** Two layers; one number in twenty of the first is not zero. */
const dense: Model = makeModel({
  nodes: [node('MatMul', ['x', 'w1'], ['a']), node('Relu', ['a'], ['b']), node('MatMul', ['b', 'w2'], ['y'])],
  initializers: new Map(
    [floatTensor('w1', [100, 80], normal(8000, 0.05)), floatTensor('w2', [80, 10], normal(800))].map((t) => [
      t.name,
      t,
    ]),
  ),
  inputs: [valueInfo('x', 'float32', ['n', 100])],
  outputs: [valueInfo('y', 'float32', ['n', 10])],
})

it('both weights are quantised and listed, with the bytes that they had in the file', async () => {
  const model = readModel(writeModel(sparsified(dense)))
  const [{ values }] = model.graph.sparseInitializers ?? []
  const result = await compress(model)
  expect(result.onnx.byteLength).toBeLessThan(0.8 * writeModel(model).byteLength)
  expect(result.model.graph.sparseInitializers?.map((s) => [s.values.dtype, s.dims])).toEqual([['int8', [100, 80]]])
  expect(result.recipe.steps.map(([id]) => id)).toEqual(['densify', 'remove-unused', 'uniform', 'compact', 'sparsify'])
  expect(writeModel(await runRecipe(model, result.recipe))).toEqual(result.onnx)

  const { before, after, layers, untouched } = await reportOf(result, { skipLatency: true })
  expect(before.bytes).toBe(writeModel(model).byteLength)
  expect([before.params, after.params]).toEqual([8800, 8800])
  expect(Number(after.nonZero)).toBeLessThanOrEqual(Number(before.nonZero))
  expect(layers.map((l) => [l.name, l.weights, l.bytesBefore])).toEqual([
    ['w1', 8000, 12 * values.dims[0]],
    ['w2', 800, 3200],
  ])
  expect(layers[0].sparsity).toBeGreaterThan(0.9)
  expect(layers.reduce((sum, l) => sum + l.bytesAfter, 0)).toBeLessThan(after.packed)
  expect(untouched).toEqual([])
})

it('a sparse weight is inspected as the dense one is, quantised too', async () => {
  const { model } = await compress(sparsified(dense))
  const [first] = inspectModel(model).layers
  expect([first.params, first.sparsity && first.sparsity > 0.9, first.distinct && first.distinct > 2]).toEqual([
    8000,
    true,
    true,
  ])
  expect(inspectModel(sparsified(dense)).remarks).toEqual([
    expect.stringMatching(/^1 tensor is stored as sparse: [34]\d\d of 8,000 values \(w1\)$/),
  ])
})
