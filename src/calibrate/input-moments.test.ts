/** Methods that look at what layers read, on a model whose values overflow: each says which layer, and of what. */
import { expect, it } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Feeds, Method } from '../method.ts'
import type { Model } from '../model.ts'
import { channels } from '../prune/channels.ts'
import { obs } from '../prune/obs.ts'
import { int8 } from '../quantize/int8.ts'
import { uniform } from '../quantize/uniform.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'

const draw = (seed: number, count: number, size = 1): Float32Array => {
  const rng = random(seed)
  return Float32Array.from({ length: count }, () => size * rng.normal())
}

const batches: Feeds[] = [1, 2].map((seed) => ({ x: { dtype: 'float32', dims: [64, 16], data: draw(seed, 1024) } }))
const data = { calibration: () => batches, labelled: () => [] }

/** Two layers; the weights of the first are of that size. */
function net(size: number, spoil?: number): Model {
  const w1 = draw(3, 16 * 24, size)
  if (spoil !== undefined) w1[5] = spoil
  return makeModel({
    nodes: [node('MatMul', ['x', 'w1'], ['a']), node('Relu', ['a'], ['b']), node('MatMul', ['b', 'w2'], ['y'])],
    initializers: new Map(
      [floatTensor('w1', [16, 24], w1), floatTensor('w2', [24, 8], draw(4, 24 * 8, 0.2))].map((t) => [t.name, t]),
    ),
    inputs: [valueInfo('x', 'float32', ['n', 16])],
    outputs: [valueInfo('y', 'float32', ['n', 8])],
  })
}

it.each<[string, Method, object]>([
  ['obs', obs as Method, { sparsity: 0.5 }],
  ['uniform', uniform as Method, {}],
  ['channels', channels as Method, { sparsity: 0.5, multiple: 1 }],
])('%s names the layer whose inputs are not finite, or too large to be squared', async (id, method, options) => {
  // Infinite; and finite, but not its squares in float32.
  for (const size of [1e38, 1e25])
    await expect(method(net(size), options, { data }), `${size}`).rejects.toThrow(
      `${id}: the layer of weight "w2" reads values on the data that are not finite (NaN or infinity), or too large to be squared`,
    )
  await expect(method(net(1), options, { data })).resolves.toBeDefined()
})

it('a weight that is not finite is named', async () => {
  await expect(obs(net(1, Number.NaN), { exclude: ['w2'] }, { data })).rejects.toThrow(
    'obs: weight "w1" holds NaN or infinity; expected finite numbers',
  )
  await expect(int8(net(1, Number.NaN), { weightBits: 4 }, { data })).rejects.toThrow(/finite/)
})
