/** Which constants are weights, however they reach their layer. */
import { describe, expect, it } from 'vitest'
import { writeModel } from '../onnx/write.ts'
import { openSession } from '../runtime/session.ts'
import { weightWays } from '../testing/weight-ways.ts'
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
