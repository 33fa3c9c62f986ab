/** Moments of what layers read: against sums made here, and which weights a grid can hold. */
import { expect, it } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { weightTensors } from '../graph/weights.ts'
import type { Feeds } from '../method.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { layerOf, momentsOf, whyNoGrid } from './layers.ts'

const rng = random(5)
const drawn = (n: number): Float32Array => Float32Array.from({ length: n }, () => rng.normal())

/** x, doubled, times w1; rectified, times w2. */
const net = makeModel({
  nodes: [
    node('Add', ['x', 'x'], ['twice']),
    node('MatMul', ['twice', 'w1'], ['h']),
    node('Relu', ['h'], ['r']),
    node('MatMul', ['r', 'w2'], ['y']),
  ],
  initializers: new Map([
    ['w1', floatTensor('w1', [4, 6], drawn(24))],
    ['w2', floatTensor('w2', [6, 3], drawn(18))],
  ]),
  inputs: [valueInfo('x', 'float32', ['N', 4])],
  outputs: [valueInfo('y', 'float32', ['N', 3])],
})
const rows = 10
const xs = [drawn(rows * 4), drawn(rows * 4)]
const batches: Feeds[] = xs.map((data) => ({ x: { dtype: 'float32', dims: [rows, 4], data } }))

it('are means and products of the inputs, over all batches', async () => {
  const layers = weightTensors(net).map(layerOf)
  const shares: number[] = []
  const found = await momentsOf(net, layers, () => batches, {
    samples: 1000,
    seed: 1,
    progress: (done) => void shares.push(done),
  })
  expect(shares).toEqual([0.5, 1])
  expect([...found.keys()]).toEqual(['w1', 'w2'])
  const read = xs.flatMap((data) => Array.from({ length: rows }, (_, i) => [...data.subarray(4 * i, 4 * i + 4)]))
  const doubled = read.map((x) => x.map((v) => 2 * v))
  const { blocks, mean } = found.get('w1')!
  for (let i = 0; i < 4; i++) {
    expect(mean[0][i]).toBeCloseTo(doubled.reduce((sum, x) => sum + x[i], 0) / doubled.length, 5)
    for (let j = 0; j < 4; j++)
      expect(blocks[0][0].second[4 * i + j]).toBeCloseTo(
        doubled.reduce((sum, x) => sum + x[i] * x[j], 0) / doubled.length,
        4,
      )
  }
})

it('stop where that is asked for', async () => {
  const options = { samples: 10, seed: 1, signal: AbortSignal.abort() }
  await expect(momentsOf(net, weightTensors(net).map(layerOf), () => batches, options)).rejects.toThrow('stopped')
})

it('says why a weight cannot be put on a grid', () => {
  const tensor = (values: readonly number[]) => floatTensor('t', [values.length], Float32Array.from(values))
  expect(whyNoGrid(tensor([1, 2, 3]), 3)).toBeUndefined()
  expect(whyNoGrid(tensor([1, 2, 3]), 4)).toBe('fewer than 4 elements')
  expect(whyNoGrid(tensor([1, Number.NaN, 3]), 3)).toBe('it holds NaN or infinity')
  expect(whyNoGrid(tensor([1, -1e35, 3]), 3)).toMatch(/^a mask/)
})
