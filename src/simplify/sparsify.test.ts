/** Oracles: ONNX Runtime computes the same; `densify` gives the tensors back. */
import { describe, expect, test } from 'vitest'
import type { Value } from '../method.ts'
import type { Model, Tensor } from '../model.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { printModel } from '../onnx/text.ts'
import { writeModel } from '../onnx/write.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'
import { randomFeeds } from '../testing/real-models.ts'
import { densified } from './densify.ts'
import { sparsified, sparsify } from './sparsify.ts'

const run = (m: Model): Promise<Record<string, Value>> =>
  withSession(
    () => openSession(m, { threads: 1 }),
    (session) => session.run(randomFeeds(m)),
  )

/** Every `step`-th element is 1, the others 0. */
const every = (step: number, count = 1000): number[] =>
  Array.from({ length: count }, (_, i) => (i % step === 0 ? 1 : 0))

const plain = parseModel(`ir 8
opset 17
graph g {
  in x: float32[2, 10]
  out y: float32
  f = Cast(q) {to: 1}
  p = MatMul(x, w)
  y = MatMul(p, f)
}`)
const withTensors = (...tensors: Tensor[]): Model => ({
  ...plain,
  graph: { ...plain.graph, initializers: new Map(tensors.map((t) => [t.name, t])) },
})
const mostlyZero = withTensors(floatTensor('w', [10, 100], every(9)), integerTensor('q', 'int8', [100, 10], every(20)))

describe('tensors that are mostly zero become sparse', () => {
  test('floats and integers; the file is smaller and computes the same', async () => {
    const sparse = await sparsify(mostlyZero)
    expect(sparse.graph.sparseInitializers?.map((s) => [s.values.name, s.values.dims, s.dims])).toEqual([
      ['w', [112], [10, 100]],
      ['q', [50], [100, 10]],
    ])
    expect(writeModel(sparse).length).toBeLessThan(writeModel(mostlyZero).length)
    expect((await run(sparse)).y).toEqual((await run(mostlyZero)).y)
    expect(printModel(densified(sparse))).toBe(printModel(mostlyZero))
  })

  test('inside nested graphs too', () => {
    const inner = { ...mostlyZero.graph, inputs: [], outputs: [] }
    const node = {
      op: 'If',
      inputs: ['b'],
      outputs: ['y'],
      attributes: { then_branch: { type: 'graph', value: inner } },
    } as const
    const model = { ...plain, graph: { ...plain.graph, nodes: [node] } }
    expect(printModel(sparsified(model))).toContain('w: sparse [10, 100]')
  })

  test('-0 is no zero: it stays', () => {
    const w = floatTensor(
      'w',
      [10, 100],
      every(50).map((v) => (v === 1 ? -0 : 0)),
    )
    const sparse = sparsified(withTensors(w))
    expect(sparse.graph.sparseInitializers?.[0].values.dims).toEqual([20])
    expect(densified(sparse).graph.initializers.get('w')?.data).toEqual(w.data)
  })

  test('not where that takes as many bytes, nor what a caller may feed: the model itself', () => {
    const dense = withTensors(
      floatTensor('w', [10, 100], every(3)),
      integerTensor('q', 'int8', [100, 10], every(9)),
      floatTensor('x', [2, 10], every(20, 20)),
    )
    expect(sparsified(dense)).toBe(dense)
    const fed = withTensors(floatTensor('x', [10, 100], every(50)))
    expect(sparsified(fed)).toBe(fed)
  })

  test('a file format older than sparse tensors is raised', () => {
    expect(sparsified({ ...mostlyZero, irVersion: 4 }).irVersion).toBe(5)
  })
})
