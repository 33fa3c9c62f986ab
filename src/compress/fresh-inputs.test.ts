/** Without data, what is promised on random inputs holds on other inputs that people feed: noise and signals in every range. */
import { describe, expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model, Tensor } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { openJudge } from '../task/judge.ts'
import { floatTensor, sizeOf } from '../tensor/dtype.ts'
import { type Random, random } from '../tensor/random.ts'
import { compress } from './compress.ts'

const rng = random(11)
/** A weight of about unit gain. */
function weight(name: string, dims: readonly number[], inputs = sizeOf(dims) / dims[0]): Tensor {
  return floatTensor(
    name,
    dims,
    Array.from({ length: sizeOf(dims) }, () => rng.normal() / Math.sqrt(inputs)),
  )
}

function made(
  nodes: Model['graph']['nodes'],
  tensors: readonly Tensor[],
  input: readonly (number | string)[],
  output: readonly (number | string)[],
) {
  return model({
    nodes,
    initializers: new Map(tensors.map((t) => [t.name, t])),
    inputs: [valueInfo('x', 'float32', input)],
    outputs: [valueInfo('y', 'float32', output)],
  })
}

const models: Readonly<Record<string, Model>> = {
  'a dense layer with a low-rank side path': made(
    [
      node('MatMul', ['x', 'w'], ['h']),
      node('MatMul', ['x', 'a'], ['xa']),
      node('MatMul', ['xa', 'b'], ['xb']),
      node('Add', ['h', 'xb'], ['y']),
    ],
    [weight('w', [64, 256], 64), weight('a', [64, 8], 64), weight('b', [8, 256], 8)],
    ['N', 64],
    ['N', 256],
  ),
  'three dense layers': made(
    [
      node('MatMul', ['x', 'w1'], ['h1']),
      node('Relu', ['h1'], ['r1']),
      node('MatMul', ['r1', 'w2'], ['h2']),
      node('Relu', ['h2'], ['r2']),
      node('MatMul', ['r2', 'w3'], ['y']),
    ],
    [weight('w1', [64, 96], 64), weight('w2', [96, 96], 48), weight('w3', [96, 20], 48)],
    ['N', 64],
    ['N', 20],
  ),
  'a convolution over a sequence': made(
    [node('Conv', ['x', 'w', 'b'], ['y'], { kernel_shape: [3], pads: [1, 1] })],
    [weight('w', [32, 16, 3]), weight('b', [32], 1)],
    ['N', 16, 50],
    ['N', 32, 50],
  ),
}

/** Samples of `size` numbers, made in another way than the search's: about within 0..1. */
const textures: Readonly<Record<string, (size: number, rng: Random) => number[]>> = {
  'flat noise': (size, rng) => Array.from({ length: size }, () => rng.next()),
  'normal noise': (size, rng) => Array.from({ length: size }, () => 0.45 + 0.23 * rng.normal()),
  waves: (size, rng) => {
    const waves = Array.from({ length: 6 }, (_, k) => ({ at: rng.next() * 7, pace: ((k + 1) * 3 * rng.next()) / size }))
    return Array.from({ length: size }, (_, i) =>
      waves.reduce((sum, { at, pace }, k) => sum + (0.3 * Math.sin(at + 6.28 * pace * i)) / (k + 1), 0.5),
    )
  },
}
const ranges: Readonly<Record<string, (x: number) => number>> = {
  '0..1': (x) => x,
  normalised: (x) => (x - 0.45) / 0.23,
  '0..255': (x) => 255 * x,
}

describe('a fresh draw holds the limit within 1 dB', () => {
  it.each(Object.entries(models))('%s', async (_, original) => {
    const result = await compress(original, { seed: 1, task: 'numbers' })
    expect(result.packed.byteLength).toBeLessThan(0.4 * writeModel(original).byteLength)
    const perSample = (original.graph.inputs[0].shape ?? []).slice(1) as number[]
    const samples = 96
    for (const [texture, draw] of Object.entries(textures)) {
      for (const [range, map] of Object.entries(ranges)) {
        const fresh = random(97)
        const data = Float32Array.from(
          Array.from({ length: samples }, () => draw(sizeOf(perSample), fresh)).flat(),
          map,
        )
        const inputs = () => [
          { feeds: { x: { dtype: 'float32' as const, dims: [samples, ...perSample], data } }, fed: samples },
        ]
        const judge = await openJudge(original, { task: result.task, inputs })
        const [{ snrDb }] = await judge.compare(result.model)
        expect.soft(snrDb, `${texture} ${range}`).toBeGreaterThan(29)
      }
    }
  })
})

it('scores behind classes, of vectors, hold their limit on features that have nothing to do with each other', async () => {
  const original = models['three dense layers']
  const result = await compress(original, { seed: 1, task: 'classes' })
  const data = Float32Array.from({ length: 1024 * 64 }, () => rng.normal())
  const inputs = () => [{ feeds: { x: { dtype: 'float32' as const, dims: [1024, 64], data } }, fed: 1024 }]
  const task = { outputs: [{ output: 'y', kind: 'numbers' as const, why: 'to measure' }] }
  const [{ snrDb }] = await (await openJudge(original, { task, inputs })).compare(result.model)
  expect(snrDb).toBeGreaterThan(26)
})

it('a step that is added to a state is kept, though nearly all that varies is the state', async () => {
  const original = made(
    [
      node('MatMul', ['x', 'w1'], ['h']),
      node('Tanh', ['h'], ['t']),
      node('MatMul', ['t', 'w2'], ['force']),
      node('Mul', ['force', 'step'], ['change']),
      node('Add', ['x', 'change'], ['y']),
    ],
    [weight('w1', [16, 64], 16), weight('w2', [64, 16], 64), floatTensor('step', [], [0.01])],
    ['N', 16],
    ['N', 16],
  )
  const result = await compress(original, { seed: 1 })
  const data = Float32Array.from({ length: 512 * 16 }, () => rng.normal())
  const inputs = () => [{ feeds: { x: { dtype: 'float32' as const, dims: [512, 16], data } }, fed: 512 }]
  const task = { outputs: [{ output: 'force', kind: 'numbers' as const, why: 'to measure' }] }
  const [{ snrDb }] = await (await openJudge(original, { task, inputs })).compare(result.model)
  expect(snrDb).toBeGreaterThan(19)
  expect(result.packed.byteLength).toBeLessThan(0.3 * writeModel(original).byteLength)
})
