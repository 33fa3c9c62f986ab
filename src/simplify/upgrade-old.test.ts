/**
 * Operator sets 1 to 6, raised. Oracles: ONNX Runtime on the old form where it still has a kernel for it, and on a model written by
 * hand in operator set 8 where it has none.
 */
import { describe, expect, test } from 'vitest'
import type { Value } from '../method.ts'
import { type Model, opsetOf } from '../model.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { printModel } from '../onnx/text.ts'
import { inferShapes } from '../ops/shape.ts'
import { openSession } from '../runtime/session.ts'
import { bytesOf } from '../tensor/dtype.ts'
import { randomFeeds } from '../testing/real-models.ts'
import { upgradeOpset } from './upgrade.ts'

const graph = (opset: number, body: string, input = '[2, 3, 5, 6]'): Model =>
  parseModel(`ir 4\nopset ${opset}\ngraph g {\n in x: float32${input}\n out y: float32\n ${body}\n}`)

async function compute(model: Model): Promise<Record<string, Value>> {
  const session = await openSession(model, { threads: 1, optimize: 'disabled' })
  try {
    return await session.run(randomFeeds(model))
  } finally {
    await session.release()
  }
}

async function expectSame(a: Record<string, Value>, b: Record<string, Value>): Promise<void> {
  expect(b.y.dims).toEqual(a.y.dims)
  expect(Buffer.compare(bytesOf(b.y.data), bytesOf(a.y.data))).toBe(0)
}

/** What is inferred of the old form is what comes out of the new one. */
function expectShapes(old: Model, real: Value): void {
  const { problems, values } = inferShapes(old)
  expect(problems).toEqual([])
  expect(values.get('y')).toMatchObject({ dtype: real.dtype, shape: [...real.dims] })
}

describe('what ONNX Runtime still runs in its old form computes the same bits', () => {
  test.each([
    [6, 'y = Relu(x)'],
    [6, 'y = Clip(x) {min: -0.5, max: 0.25}'],
    [6, 'y = Selu(x)'],
    [6, 'a, y = Split(x) {axis: 3, split: [2, 4]}'],
    [6, 'y = Pad(x) {pads: [0, 1, 0, 2, 0, 0, 1, 0], value: 2.5}'],
    [6, 'y = Softmax(x) {axis: 2}'],
    [6, 'y = Slice(x) {starts: [1, -3], ends: [3, -1], axes: [1, 2]}'],
    [6, 'r: int64[4] = {1, 2, 1, 1}\n y = Tile(x, r)'],
    [5, 's: int64[2] = {0, -1}\n y = Reshape(x, s)'],
    [6, 'y = LpPool(x) {kernel_shape: [2, 2], p: 2}'],
    [6, 'y = GlobalLpPool(x) {p: 2}'],
    [6, 'y = MeanVarianceNormalization(x)'],
    [6, 'y = MeanVarianceNormalization(x) {across_channels: 1}'],
    [6, 'y = MaxPool(x) {kernel_shape: [2, 2], strides: [2, 2]}'],
    [4, 'y = Concat(x, x) {axis: 2}'],
    [6, 'y = ReduceSum(x) {axes: [1, 3], keepdims: 0}'],
    [6, 'a = Squeeze(b) {axes: [0]}\n y = Relu(a)'.replace('a =', 'b = Unsqueeze(x) {axes: [0]}\n a =')],
    [6, 'i = Cast(x) {to: 7}\n y = Cast(i) {to: 1}'],
    [6, 'y = InstanceNormalization(x, p, p)\n p: float32[3] = {1, 2, 3}'],
  ])('set %i: %s', async (opset, body) => {
    const old = graph(opset, body)
    const raised = upgradeOpset(old, 8)
    expect(opsetOf(raised)).toBe(8)
    const real = await compute(raised)
    await expectSame(await compute(old), real)
    expectShapes(old, real.y)
  })
})

test.each(['', ' {across_channels: 1}'])('MeanVarianceNormalization%s has axes since 9', async (flags) => {
  const old = graph(6, `y = MeanVarianceNormalization(x)${flags}`)
  const [before, after] = [await compute(old), await compute(upgradeOpset(old, 17))]
  expect(after.y.dims).toEqual(before.y.dims)
  const wanted = before.y.data as Float32Array
  ;(after.y.data as Float32Array).forEach((v, i) => {
    expect(v).toBeCloseTo(wanted[i], 5)
  })
})

describe('what it has no kernel for computes what the same written anew does', () => {
  const p = 'p: float32[3] = {0.5, -2, 3}'
  const row = 'p: float32[6] = {1, 2, 3, -4, 5, 6}'
  test.each<[number, string, string]>([
    ...['Add', 'Sub', 'Mul', 'Div', 'Pow'].map((op): [number, string, string] => [
      6,
      `y = ${op}(x, p) {broadcast: 1, axis: 1}\n ${p}`,
      `y = ${op}(x, q)\n q: float32[3, 1, 1] = {0.5, -2, 3}`,
    ]),
    [6, `y = Add(x, p) {broadcast: 1, axis: -3}\n ${p}`, 'y = Add(x, q)\n q: float32[3, 1, 1] = {0.5, -2, 3}'],
    [6, `y = Mul(x, p) {broadcast: 1}\n ${row}`, `y = Mul(x, p)\n ${row}`],
    [1, 'y = Add(x, x) {consumed_inputs: [0, 0]}', 'y = Add(x, x)'],
    [
      6,
      `c = Greater(x, p) {broadcast: 1, axis: 1}\n y = Cast(c) {to: 1}\n ${p}`,
      'c = Greater(x, q)\n y = Cast(c) {to: 1}\n q: float32[3, 1, 1] = {0.5, -2, 3}',
    ],
    [6, `y = PRelu(x, p)\n ${p}`, 'y = PRelu(x, q)\n q: float32[3, 1, 1] = {0.5, -2, 3}'],
    [
      1,
      `y = BatchNormalization(x, p, p, p, v) {consumed_inputs: [0, 0, 0, 1, 1], is_test: 1, spatial: 1}\n ${p}\n v: float32[3] = {1, 2, 3}`,
      `y = BatchNormalization(x, p, p, p, v)\n ${p}\n v: float32[3] = {1, 2, 3}`,
    ],
    [6, 'y, m = Dropout(x) {is_test: 1, ratio: 0.25}', 'y = Identity(x)'],
    [1, 'i = Cast(x) {to: "INT32"}\n y = Cast(i) {to: "FLOAT"}', 'i = Cast(x) {to: 6}\n y = Cast(i) {to: 1}'],
    [
      1,
      'y = Pad(x) {paddings: [0, 1, 0, 2, 0, 0, 1, 0], value: 1.5}',
      'y = Pad(x) {pads: [0, 1, 0, 2, 0, 0, 1, 0], value: 1.5}',
    ],
    [1, 'y = Reshape(x) {shape: [0, -1], consumed_inputs: [0]}', 's: int64[2] = {0, -1}\n y = Reshape(x, s)'],
    [1, 'y = Concat(x, x)', 'y = Concat(x, x) {axis: 1}'],
    [1, 'y = Selu(x)', 'y = Selu(x) {alpha: 1.6732, gamma: 1.0507}'],
    [1, 'a, y = Split(x) {split: [1, 1]}', 'a, y = Split(x) {axis: 0}'],
    [1, 's: float32[2] = {1, 2}\n a, y = Split(x, s) {axis: 1}', 'a, y = Split(x) {axis: 1, split: [1, 2]}'],
    [1, 'n: float32[] = {3}\n a: float32[] = {1}\n y = Tile(x, n, a)', 'r: int64[4] = {1, 3, 1, 1}\n y = Tile(x, r)'],
    [1, 'y = Upsample(x) {height_scale: 2.0, width_scale: 3.0}', 'y = Upsample(x) {scales: [1.0, 1.0, 2.0, 3.0]}'],
    [1, 'y = GlobalLpPool(x) {p: 2.0}', 'y = GlobalLpPool(x) {p: 2}'],
    [
      1,
      'y = Affine(x) {alpha: 2.0, beta: 0.5}',
      'a: float32[] = {2}\n b: float32[] = {0.5}\n h = Mul(x, a)\n y = Add(h, b)',
    ],
    [
      1,
      'y = ImageScaler(x) {scale: 2.0, bias: [0.5, 1.0, 1.5]}',
      'a: float32[] = {2}\n b: float32[3, 1, 1] = {0.5, 1, 1.5}\n h = Mul(x, a)\n y = Add(h, b)',
    ],
    [
      1,
      'y = ScaledTanh(x) {alpha: 2.0, beta: 0.5}',
      'a: float32[] = {2}\n b: float32[] = {0.5}\n h = Mul(x, b)\n t = Tanh(h)\n y = Mul(t, a)',
    ],
    [1, 'y = Crop(x) {border: [1, 2, 0, 1]}', 'y = Slice(x) {axes: [2, 3], starts: [2, 1], ends: [4, 6]}'],
    [
      1,
      'y = Crop(x) {border: [1, 2, 0, 0], scale: [2, 3]}',
      'y = Slice(x) {axes: [2, 3], starts: [2, 1], ends: [4, 4]}',
    ],
  ])('set %i: %s', async (opset, body, anew) => {
    const old = graph(opset, body)
    const raised = upgradeOpset(old, 8)
    const real = await compute(raised)
    await expectSame(await compute(graph(8, anew)), real)
    expectShapes(old, real.y)
    expect(inferShapes(raised)).toMatchObject({ problems: [], unsupported: [] })
  })

  test.each([
    [6, 'y = Gemm(x, w, p) {broadcast: 1, transB: 1}', 'y = Gemm(x, w, p) {transB: 1}'],
    [6, 'h, y = GRU(z, wg, rg) {hidden_size: 1, output_sequence: 0}', 'h, y = GRU(z, wg, rg) {hidden_size: 1}'],
    [1, 'h, y = RNN(z, wr, rr) {hidden_size: 1, output_sequence: 1}', 'h, y = RNN(z, wr, rr) {hidden_size: 1}'],
    [6, 'h, y, c = LSTM(z, wl, rl) {hidden_size: 1}', 'h, y, c = LSTM(z, wl, rl) {hidden_size: 1}'],
  ])('set %i: %s', async (opset, body, anew) => {
    const weights = `
      w: float32[2, 3] = {1, 2, 3, 4, 5, 6}
      p: float32[2] = {0.5, -2}
      z = Unsqueeze(x) {axes: [0]}
      wr: float32[1, 1, 3] = {0.5, -0.25, 1}
      rr: float32[1, 1, 1] = {0.5}
      wg: float32[1, 3, 3] = #ramp9#
      rg: float32[1, 3, 1] = {0.5, 0.25, 1}
      wl: float32[1, 4, 3] = #ramp12#
      rl: float32[1, 4, 1] = {0.5, 0.25, 1, -1}\n`.replace(
      /#ramp(\d+)#/g,
      (_, n) => `{${Array.from({ length: Number(n) }, (_v, i) => i / 8)}}`,
    )
    const real = await compute(upgradeOpset(graph(opset, weights + body, '[4, 3]'), 8))
    await expectSame(await compute(graph(8, weights + body.replace(body, anew), '[4, 3]')), real)
  })
})

test('further up, from set 1 to 17', async () => {
  const old = graph(
    1,
    `p: float32[3] = {0.5, -2, 3}
     b = BatchNormalization(x, p, p, p, v) {is_test: 1}
     v: float32[3] = {1, 2, 3}
     a = Add(b, p) {broadcast: 1, axis: 1}
     c = Clip(a) {min: 0.0}
     f = Reshape(c) {shape: [2, -1]}
     y = Softmax(f)`,
  )
  const [low, high] = [upgradeOpset(old, 8), upgradeOpset(old, 17)]
  expect(opsetOf(high)).toBe(17)
  await expectSame(await compute(low), await compute(high))
})

test('what has no true form is refused in one sentence that names the node', () => {
  const refused = (opset: number, body: string): string => {
    try {
      return printModel(upgradeOpset(graph(opset, body), 8))
    } catch (error) {
      return (error as Error).message
    }
  }
  const p = 'p: float32[3] = {0.5, -2, 3}'
  expect(refused(6, `y, m, v = BatchNormalization(x, p, p, p, p) @norm\n z = Add(m, v)\n ${p}`)).toBe(
    'BatchNormalization "norm": it is in training form',
  )
  expect(refused(6, `y = Add(x, p) {broadcast: 1, axis: 3} @add\n ${p}`)).toMatch(/^y = |^Add "add"|aligned|ir/)
  expect(refused(6, `y = Add(x, p) {broadcast: 1, axis: 4} @add\n ${p}`)).toBe(
    'Add "add": axis 4 does not fit inputs of 4 and 1 dimensions',
  )
  expect(refused(1, 'y = Tile(x, n, n) @tile\n n = ReduceMax(x)')).toBe('Tile "tile": how often it repeats is computed')
  expect(refused(1, 'y = Cast(x) {to: "HALF"} @cast')).toBe('Cast "cast": no element type is named "HALF"')
  expect(refused(3, 'y = ATen(x) @aten')).toBe('ATen "aten": no known way to operator set 8')
})
