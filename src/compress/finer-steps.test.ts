/** Weights that need finer steps than most get them, layer by layer, before any is left as it was. */
import { expect, it } from 'vitest'
import { bindSplits } from '../data/bind-splits.ts'
import type { Dataset } from '../data/dataset.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { compress } from './compress.ts'

const inputs = 64

/** Rows of x [N,64] drawn by a seed, and what class each is of. */
function samples(id: string, seed: number, length: number, row: (drawn: number[]) => number[], classOf: ClassOf) {
  const rng = random(seed)
  const rows = Array.from({ length }, () => row(Array.from({ length: inputs }, () => rng.normal())))
  const set: Dataset = {
    id,
    length,
    fields: { x: { shape: [inputs], data: Float32Array.from(rows.flat()), kind: 'values' } },
    labels: Int32Array.from(rows, classOf),
  }
  return set
}
type ClassOf = (row: number[]) => number

it('scores that are near each other and small, which hardly diverge: 16 bits are tried, and hold', async () => {
  const rng = random(3)
  const weights = Float32Array.from({ length: 8 * inputs }, () => rng.normal() / 1000)
  const [one, other] = [0, 1].map((c) => weights.subarray(c * inputs, (c + 1) * inputs))
  const apart = Array.from(one, (v, j) => v - other[j])
  const length = Math.hypot(...apart)
  // Of the first two classes, whose scores lie near each other; the other six are far below both.
  const net = model({
    nodes: [node('Gemm', ['x', 'w', 'b'], ['scores'], { transB: 1 })],
    initializers: new Map([
      ['w', floatTensor('w', [8, inputs], weights)],
      ['b', floatTensor('b', [8], [0, 0, -1, -1, -1, -1, -1, -1])],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', inputs])],
    outputs: [valueInfo('scores', 'float32', ['N', 8])],
  })
  const along = (row: readonly number[]): number => row.reduce((sum, v, j) => sum + v * apart[j], 0) / length
  const near = (row: number[]): number[] => {
    const now = along(row)
    return row.map((v, j) => v + ((Math.sign(now) * 0.01 - now) * apart[j]) / length)
  }
  const set = (id: string, seed: number) => samples(id, seed, 300, near, (row) => (along(row) > 0 ? 0 : 1))
  const result = await compress(net, {
    data: bindSplits(net, { train: set('train', 5), test: set('test', 6) }),
    seed: 1,
    preprocessCheck: false,
  })
  expect(result.holds).toBe(true)
  expect([...result.model.graph.initializers.values()].map((t) => t.dtype)).toContain('int16')
})

it('a weight so large that no grid suits its layer: that layer is in float16, the other on its grid', async () => {
  const rng = random(4)
  const drawn = (size: number): Float32Array => Float32Array.from({ length: size }, () => rng.normal() / 8)
  const [w1, w2] = [drawn(inputs * 32), drawn(32 * 16)]
  // Of an input that is always 0.
  w1[0] = 30_000
  const net = model({
    nodes: [node('MatMul', ['x', 'w1'], ['h']), node('Relu', ['h'], ['r']), node('MatMul', ['r', 'w2'], ['scores'])],
    initializers: new Map([
      ['w1', floatTensor('w1', [inputs, 32], w1)],
      ['w2', floatTensor('w2', [32, 16], w2)],
    ]),
    inputs: [valueInfo('x', 'float32', ['N', inputs])],
    outputs: [valueInfo('scores', 'float32', ['N', 16])],
  })
  const product = (row: readonly number[], w: Float32Array, columns: number): number[] =>
    Array.from({ length: columns }, (_, c) => row.reduce((sum, v, r) => sum + v * w[r * columns + c], 0))
  const classOf = (row: readonly number[]): number => {
    const scores = product(
      product(row, w1, 32).map((v) => Math.max(0, v)),
      w2,
      16,
    )
    return scores.indexOf(Math.max(...scores))
  }
  const set = (id: string, seed: number) => samples(id, seed, 600, ([_, ...row]) => [0, ...row], classOf)
  const result = await compress(net, {
    data: bindSplits(net, { train: set('train', 5), test: set('test', 6) }),
    seed: 1,
    maxLoss: '1',
    preprocessCheck: false,
  })
  expect(result.holds).toBe(true)
  const types = [...result.model.graph.initializers.values()].filter((t) => t.dims.length === 2).map((t) => t.dtype)
  expect(types[0]).toBe('float16')
  expect(types[1]).toMatch(/^int/)
})
