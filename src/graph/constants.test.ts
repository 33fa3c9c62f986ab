/** Which constants are weights, however they reach their layer. */
import { describe, expect, it } from 'vitest'
import type { Tensor } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { openSession } from '../runtime/session.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { weightWays } from '../testing/weight-ways.ts'
import { model, node, valueInfo } from './build.ts'
import { constantsOf } from './constants.ts'
import { tensorsOf } from './walk.ts'
import { weightTensors } from './weights.ts'

describe('weights are found', () => {
  it.each(Object.entries(weightWays))('%s', async (_, make) => {
    const { model, weights } = make()
    await (await openSession(writeModel(model))).release()
    expect(
      weightTensors(model)
        .map((w) => w.name)
        .sort(),
    ).toEqual([...weights].sort())
    const listed = constantsOf(model)
    expect(new Set(listed.map((c) => c.tensor))).toEqual(new Set([...tensorsOf(model)].map((t) => t.tensor)))
    expect(listed.filter((c) => c.role === 'unused' || c.role === 'unknown')).toEqual([])
  })
})

describe('constants that no input of the model reaches', () => {
  const matrix = (name: string) => floatTensor(name, [16, 16], new Float32Array(256).fill(0.5))
  const stored = (...tensors: Tensor[]) => new Map(tensors.map((t) => [t.name, t]))
  const roles = (m: ReturnType<typeof model>) => Object.fromEntries(constantsOf(m).map((c) => [c.name, c.role]))

  it('make an output alone, where the model has no inputs', () => {
    const m = model({
      nodes: [node('MatMul', ['a', 'w'], ['h']), node('Relu', ['h'], ['y'])],
      initializers: stored(matrix('a'), matrix('w'), matrix('idle')),
      inputs: [],
      outputs: [valueInfo('y', 'float32', [16, 16])],
    })
    expect(roles(m)).toEqual({ a: 'fixed', w: 'fixed', idle: 'unused' })
  })

  it('are given out as stored, beside what is computed', () => {
    const m = model({
      nodes: [node('MatMul', ['x', 'w'], ['y']), node('Identity', ['anchors'], ['boxes'])],
      initializers: stored(matrix('w'), matrix('anchors')),
      inputs: [valueInfo('x', 'float32', ['N', 16])],
      outputs: [valueInfo('y', 'float32', ['N', 16]), valueInfo('boxes', 'float32', [16, 16])],
    })
    expect(roles(m)).toEqual({ w: 'weight', anchors: 'fixed' })
  })
})
