/** Scores pooled by filter and by coupled channel, and marks spread back to weights. */
import { expect, it } from 'vitest'
import { weightTensors } from '../graph/weights.ts'
import { floats } from '../tensor/dtype.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { poolFilters } from './_units.ts'
import { lamp } from './lamp.ts'
import { magnitude } from './magnitude.ts'
import { obd } from './obd.ts'
import { obs } from './obs.ts'
import { taylor } from './taylor.ts'

it.each([magnitude, lamp, taylor, obd, obs])('$id zeroes whole filters, and no others', async (method) => {
  const context = { seed: 1, data: { calibration: () => exampleBatches() } }
  const pruned = await method(exampleModel(), { unit: 'filter', scope: 'layer', sparsity: 0.25 }, context)
  for (const w of weightTensors(pruned)) {
    const filters = poolFilters(w, floats(w.tensor), 'mean')
    const zeros = filters.filter((v) => v === 0).length
    expect(zeros, w.name).toBe(Math.round(0.25 * filters.length))
    const whole = poolFilters(
      w,
      floats(w.tensor).map((v) => (v === 0 ? 1 : 0)),
      'mean',
    )
    // Those that stay have no zeros.
    expect(whole.filter((v) => v > 0).length).toBe(zeros)
  }
})
