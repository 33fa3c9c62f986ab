/** Oracle: ONNX Runtime computes the same bits before and after. */
import { describe, expect, test } from 'vitest'
import type { Feeds, Value } from '../method.ts'
import { type Model, opsetOf } from '../model.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { printModel } from '../onnx/text.ts'
import { inferShapes } from '../ops/shape.ts'
import { openSession } from '../runtime/session.ts'
import { bytesOf, floats } from '../tensor/dtype.ts'
import { modelsFolder, needsModels, randomFeeds, realModel } from '../testing/real-models.ts'
import { upgradeOpset } from './upgrade.ts'

async function compute(model: Model, feeds: Feeds): Promise<Record<string, Value>> {
  // Without optimisation: kernels as they are, so that nothing but the change itself can differ.
  const session = await openSession(model, { threads: 1, optimize: 'disabled' })
  try {
    return await session.run(feeds)
  } finally {
    await session.release()
  }
}

async function expectSame(before: Model, after: Model): Promise<void> {
  const feeds = randomFeeds(before)
  const [a, b] = [await compute(before, feeds), await compute(after, feeds)]
  expect(Object.keys(b)).toEqual(Object.keys(a))
  for (const [name, value] of Object.entries(a)) {
    expect(b[name].dims, name).toEqual(value.dims)
    expect(Buffer.compare(bytesOf(b[name].data), bytesOf(value.data)), name).toBe(0)
  }
}

describe.each([17, 20])('one operator, from its old form to operator set %i', (target) => {
  test.each([
    [9, 'y = Slice(x) {starts: [1, -3], ends: [9223372036854775807, -1], axes: [1, 2]}'],
    [9, 'y = Slice(x) {starts: [0, 1], ends: [1, 3]}'],
    [10, 'y = Clip(x) {min: -0.5, max: 0.25}'],
    [10, 'y = Clip(x) {max: 0.25}'],
    [10, 'y = Clip(x)'],
    [10, 'y = Pad(x) {pads: [0, 1, 0, 2, 0, 0, 1, 0], value: 2.5}'],
    [10, 'y = Pad(x) {pads: [0, 0, 1, 1, 0, 0, 1, 1], mode: "reflect"}'],
    [8, 'y = Upsample(x) {scales: [1.0, 1.0, 2.0, 1.7], mode: "nearest"}'],
    [8, 'y = Upsample(x) {scales: [1.0, 1.0, 2.0, 3.0], mode: "linear"}'],
    [9, 's = Constant() {value: float32[4] {1, 1, 2.5, 1.5}}\n y = Upsample(x, s) {mode: "nearest"}'],
    [10, 's = Constant() {value: float32[4] {1, 1, 0.6, 1}}\n y = Resize(x, s) {mode: "nearest"}'],
    [10, 's = Constant() {value: float32[4] {1, 1, 2.5, 1.5}}\n y = Resize(x, s) {mode: "linear"}'],
    [8, 'y = Dropout(x) {ratio: 0.25}'],
    [11, 'y = Dropout(x) {ratio: 0.25}'],
    [12, 'y = ReduceSum(x) {axes: [1, 3], keepdims: 0}'],
    [12, 'y = ReduceSum(x)'],
    [12, 'a, y = Split(x) {axis: 3, split: [2, 4]}'],
    [12, 'a, y = Split(x) {axis: 3}'],
    [12, 'a = Unsqueeze(x) {axes: [0, 3]}\n y = Squeeze(a) {axes: [0]}'],
    [9, 'y, i = TopK(x) {axis: 2, k: 3}'],
    [12, 'y = Softmax(x)'],
    [12, 'y = Softmax(x) {axis: 3}'],
    [12, 'y = LogSoftmax(x) {axis: 2}'],
    [12, 'y = Softmax(x) {axis: -1}'],
    [8, 'g = GlobalAveragePool(x)\n y = Softmax(g)'],
    [8, 'p = Constant() {value: float32[3] {1, 2, 3}}\n y = BatchNormalization(x, p, p, p, p) {spatial: 1}'],
    [
      10,
      'i = Constant() {value: int64[1, 3, 1, 6] {0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2}}\n u = Constant() {value: float32[1, 3, 1, 6] {0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2}}\n y = Scatter(x, i, u) {axis: 2}',
    ],
    [
      12,
      'b = Constant() {value: bool[] {1}}\n y = If(b) {then_branch: graph t {\n out p: float32\n p = Softmax(x)\n}, else_branch: graph e {\n out q: float32\n q = Relu(x)\n}}',
    ],
  ])('%i: %s', async (opset, body) => {
    const m = parseModel(`ir 4\nopset ${opset}\ngraph g {\n in x: float32[1, 3, 5, 6]\n out y: float32\n ${body}\n}`)
    const raised = upgradeOpset(m, target)
    expect(opsetOf(raised)).toBe(target)
    expect(inferShapes(raised)).toMatchObject({ problems: [], unsupported: [] })
    await expectSame(m, raised)
  })
})

describe('a model', () => {
  test('what has no safe way is an error that names the node', () => {
    const graph = (op: string): Model =>
      parseModel(`ir 4\nopset 8\ngraph g {\n in x: float32[1, 3, 5, 6]\n out y: float32\n ${op} @here\n}`)
    expect(() => upgradeOpset(graph('y, m = Dropout(x) @here\n z = Not(m)'), 13)).toThrow(
      /Dropout "here": its outputs after the first/,
    )
    expect(upgradeOpset(graph('y, m = Dropout(x)'), 13).graph.nodes[0].outputs).toEqual(['y'])
    const mixed = graph('s = Constant() {value: float32[4] {1, 1, 0.6, 1.5}}\n y = Resize(x, s)')
    expect(() => upgradeOpset({ ...mixed, opsets: [{ domain: '', version: 10 }] }, 13)).toThrow(
      /"here": scales that shrink and enlarge/,
    )
    expect(() => upgradeOpset(graph('y = Mystery(x)'), 13)).toThrow(/Mystery "here": no known way to operator set 13/)
    expect(() => upgradeOpset(graph('y = Relu(x)'), 99)).toThrow(/99 cannot be a target; expected 8 to 20/)
    expect(upgradeOpset(graph('y = Relu(x)'), 8)).toEqual(graph('y = Relu(x)'))
  })

  test('statistics for each position, which sets from 9 on do not have, are written out', () => {
    const stored = ['g', 'b', 'm', 'v'].map((name) => `${name}: float32[2, 3] = {1, 2, 3, 4, 5, 6}`).join('\n')
    const m = parseModel(
      `ir 4\nopset 8\ngraph g {\n in x: float32[1, 2, 3]\n out y: float32\n ${stored}\n y = BatchNormalization(x, g, b, m, v) {spatial: 0, epsilon: 0.01}\n}`,
    )
    const raised = upgradeOpset(m, 13)
    expect(inferShapes(raised)).toMatchObject({ problems: [], unsupported: [] })
    const x = Float32Array.of(5, 4, 3, 2, 1, 0)
    return compute(raised, { x: { dtype: 'float32', dims: [1, 2, 3], data: x } }).then(({ y }) => {
      for (let i = 0; i < 6; i++) {
        const p = i + 1
        expect((y.data as Float32Array)[i]).toBeCloseTo((p * (x[i] - p)) / Math.sqrt(p + 0.01) + p, 5)
      }
    })
  })

  test('the result is a model a person would have written', () => {
    const m = parseModel(
      'ir 3\nopset 9\ngraph g {\n in x: float32[1, 4, 2]\n out y: float32\n a = Squeeze(x) {axes: [0]}\n y = Softmax(a) {axis: 0}\n}',
    )
    expect(printModel(upgradeOpset(m, 13))).toMatchInlineSnapshot(`
      "ir 7
      opset 13
      graph g {
        in x: float32[1, 4, 2]
        out y: float32
        a_axes: int64[1] = {0}
        a = Squeeze(x, a_axes)
        y_shape = Shape(a)
        y_flat = Flatten(a) {axis: 0}
        y_soft = Softmax(y_flat) {axis: 1}
        y = Reshape(y_soft, y_shape)
      }
      "
    `)
  })
})

describe.skipIf(!modelsFolder)(`real models${needsModels}`, () => {
  test.each([
    ['mnist-8', 13],
    ['ultraface-RFB-320', 13],
    ['super_resolution', 13],
    ['FastestDet', 13],
    ['yolox_nano', 15],
    ['gtcrn_simple', 17],
    ['dtln_1', 13],
    ['shufflenet-v2-12-int8', 13],
    ['cifar10-resnet20', 17],
  ])('%s to operator set %i', async (name, target) => {
    const m = realModel(name)
    await expectSame(m, upgradeOpset(m, target))
  })
})

test('numbers that become inputs are stored in the type of the data', () => {
  const text = (type: string): string =>
    `ir 4\nopset 9\ngraph g {\n in x: ${type}[2]\n out y: ${type}[2]\n y = Clip(x) {min: -0.5, max: 0.25}\n}`
  for (const type of ['float16', 'float32', 'float64'] as const) {
    const { initializers } = upgradeOpset(parseModel(text(type)), 13).graph
    expect([...initializers.values()].map((t) => [t.dtype, floats(t)[0]])).toEqual([
      [type, -0.5],
      [type, 0.25],
    ])
  }
  expect(() => upgradeOpset(parseModel(text('int32')), 13)).toThrow(/its "min" for int32/)
})
