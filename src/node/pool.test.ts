/** What threads make is, byte for byte, what this thread makes. */
import { expect, it } from 'vitest'
import { packModelOn } from '../formats/pack.ts'
import { writeModel } from '../onnx/write.ts'
import { compact } from '../quantize/compact.ts'
import { uniform } from '../quantize/uniform.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { createPool } from './pool.ts'

it('quantised weights, packed, and what they take', async () => {
  const model = exampleModel()
  const pool = createPool(2)
  try {
    const made = []
    for (const workers of [undefined, pool]) {
      const context = { data: { calibration: () => exampleBatches() }, seed: 1, workers }
      const quantized = await compact(await uniform(model, { lambda: 1e-5 }, context))
      const tensorBytes: number[] = []
      const packed = await packModelOn(quantized, { workers, onTensor: (_, bytes) => tensorBytes.push(bytes) })
      made.push({ bytes: writeModel(quantized), packed, tensorBytes })
    }
    expect(made[0].tensorBytes.length).toBeGreaterThan(0)
    expect(made[1]).toEqual(made[0])
  } finally {
    await pool.close()
  }
})

it('threads end where there is nothing to do, and others begin with the next task', async () => {
  const threads = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'MessagePort').length
  const before = threads()
  const pool = createPool(2, 20)
  try {
    const packed = await packModelOn(exampleModel(), { workers: pool })
    expect(threads()).toBeGreaterThan(before)
    await expect.poll(threads, { timeout: 10_000 }).toBe(before)
    expect(await packModelOn(exampleModel(), { workers: pool })).toEqual(packed)
  } finally {
    await pool.close()
  }
})
