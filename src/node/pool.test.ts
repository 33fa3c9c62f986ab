/** What threads make is, byte for byte, what this thread makes. */
import { expect, it } from 'vitest'
import { writeModel } from '../onnx/write.ts'
import { compact } from '../quantize/compact.ts'
import { uniform } from '../quantize/uniform.ts'
import { constantRows } from '../report/constant-rows.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { createPool } from './pool.ts'

it('quantised weights and what they take', async () => {
  const model = exampleModel()
  const pool = createPool(2)
  try {
    const made = []
    for (const workers of [undefined, pool]) {
      const context = { data: { calibration: () => exampleBatches() }, seed: 1, workers }
      const quantized = await compact(await uniform(model, { lambda: 1e-5 }, context))
      made.push({
        bytes: writeModel(quantized),
        rows: await constantRows(model, quantized, { otherwise: '', workers }),
      })
    }
    expect(made[0].rows.layers.length).toBeGreaterThan(0)
    expect(made[1]).toEqual(made[0])
  } finally {
    await pool.close()
  }
})
