/** What is measured of two models side by side. */
import { expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Attribute, Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { compareModels, type Subject } from './compare.ts'

const fs = (value: number[]): Attribute => ({ type: 'floats', value })

/** A support vector machine of whose 28 numbers that many are zero. */
function machine(zeros: number): Model {
  const attributes = {
    kernel_type: 'LINEAR',
    support_vectors: fs(Array.from({ length: 20 }, (_, i) => (i < zeros ? 0 : (i + 1) / 8))),
    coefficients: fs([1, -1, 0.5, 2]),
    kernel_params: fs([0.5, 0.25, 3]),
    n_supports: 4,
    rho: fs([0.25]),
  }
  return model({
    nodes: [node('SVMRegressor', ['x'], ['y'], attributes, { domain: 'ai.onnx.ml' })],
    initializers: new Map(),
    inputs: [valueInfo('x', 'float32', ['N', 5])],
    outputs: [valueInfo('y', 'float32', ['N', 1])],
  })
}

const subject = (name: string, m: Model): Subject => ({ name, model: m, onnx: writeModel(m), packedBytes: 1 })

it('parameters that are not zero are counted in the attributes of learners too', async () => {
  const options = { seed: 1, skipLatency: true }
  const { before, after } = await compareModels(subject('a', machine(0)), subject('b', machine(13)), options)
  expect([before, after].map(({ params, nonZero }) => [params, nonZero])).toEqual([
    [28, 28],
    [28, 15],
  ])
})
