/** What is measured of two models side by side. */
import { expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Attribute, Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { floatTensor } from '../tensor/dtype.ts'
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

it('a model made by other means is compared by its outputs, though it lacks values inside the first', async () => {
  const step = (names: readonly [string, string]): Model =>
    model({
      nodes: [
        node('MatMul', ['x', 'w'], [names[0]]),
        node('Mul', [names[0], 'step'], [names[1]]),
        node('Greater', [names[1], 'step'], ['y']),
      ],
      initializers: new Map([
        [
          'w',
          floatTensor(
            'w',
            [8, 8],
            Array.from({ length: 64 }, (_, i) => Math.sin(i)),
          ),
        ],
        ['step', floatTensor('step', [], [0.1])],
      ]),
      inputs: [valueInfo('x', 'float32', ['N', 8])],
      outputs: [valueInfo('y', 'bool', ['N', 8])],
    })
  const judgedIn = async (other: Model): Promise<string[]> => {
    const options = { seed: 1, skipLatency: true }
    const { trial } = await compareModels(subject('a', step(['net', 'change'])), subject('b', other), options)
    return [...new Set(trial.judgements.map((j) => j.task.output))]
  }
  expect(await judgedIn(step(['other', 'names']))).toEqual(['y'])
  expect(await judgedIn(step(['net', 'change']))).toEqual(['y', 'change'])
})
