/** Small files: what stands beside the weights counts too. */
import { expect, it } from 'vitest'
import { packModel } from '../formats/pack.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { compress } from './compress.ts'

/** x·w + b of two layers, whose weights are all of one value, or drawn. */
function net(weights: 'alike' | 'drawn'): Model {
  const rng = random(6)
  const draw = (count: number) => Float32Array.from({ length: count }, () => rng.normal() / 8)
  const tensors = [
    floatTensor('w', [32, 64], weights === 'alike' ? new Float32Array(2048).fill(0.37) : draw(2048)),
    floatTensor('b', [64], draw(64)),
    floatTensor('v', [64, 7], weights === 'alike' ? new Float32Array(448).fill(-0.11) : draw(448)),
  ]
  return model({
    nodes: [node('Gemm', ['x', 'w', 'b'], ['h']), node('Tanh', ['h'], ['t']), node('MatMul', ['t', 'v'], ['y'])],
    initializers: new Map(tensors.map((t) => [t.name, t])),
    inputs: [valueInfo('x', 'float32', ['N', 32])],
    outputs: [valueInfo('y', 'float32', ['N', 7])],
  })
}

it('is no larger than lossless by more than what a smaller .onnx needs, where weights are alike', async () => {
  const original = net('alike')
  const { packed, holds, recipe, onnx } = await compress(original, { seed: 1 })
  expect(holds).toBe(true)
  expect(recipe.steps.map(([id]) => id)).toContain('compact')
  expect(recipe.steps.map(([id]) => id)).not.toContain('uniform')
  expect(packed.length).toBeLessThan(packModel(original).length + 64)
  expect(onnx.length).toBeLessThan(0.5 * writeModel(original).length)
})

it('is the quantised one where that packs smaller', async () => {
  const original = net('drawn')
  const { packed, recipe } = await compress(original, { seed: 1 })
  expect(recipe.steps.map(([id]) => id)).toContain('uniform')
  expect(packed.length).toBeLessThan(0.5 * packModel(original).length)
})
