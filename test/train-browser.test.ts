/** Training in a browser: the plain engine on onnxruntime-web in a real Chromium, step by step as on onnxruntime-node. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../src/data/batcher.ts'
import { drawDigits } from '../src/data/digits.ts'
import { plainEngine } from '../src/grad/engine.ts'
import { train } from '../src/train/train.ts'
import { lenet5 } from '../src/zoo/lenet.ts'
import { missing, withPage } from './_chromium.ts'

const folders = {
  '/ort/': join(import.meta.dirname, '../node_modules/onnxruntime-web/dist'),
  '/': join(import.meta.dirname, '../dist'),
}
const head = '<script type="importmap">{"imports": {"#ort": "/ort/ort.wasm.min.mjs"}}</script>'

/** The same run as below, in the page's words. */
const script = `(async () => {
  const { batcherFor, requiredInputs } = await import('/data/batcher.js')
  const { drawDigits } = await import('/data/digits.js')
  const { train } = await import('/train/train.js')
  const { lenet5 } = await import('/zoo/lenet.js')
  const model = lenet5({ seed: 1 })
  const data = drawDigits(320, 1)
  const batcher = batcherFor(requiredInputs(model), data, { range: [0, 1], layout: 'NCHW' })
  const losses = []
  const result = await train(model, data, {
    batcher, epochs: 2, batchSize: 32, learningRate: 0.05,
    onProgress: (p) => losses.push(p.loss),
  })
  return { losses, engine: result.engine, reason: result.engineReason }
})()`

describe.skipIf(missing)(`in Chromium${missing}`, () => {
  it('LeNet-5 trains with the losses that Node has', async () => {
    const model = lenet5({ seed: 1 })
    const data = drawDigits(320, 1)
    const batcher = batcherFor(requiredInputs(model), data, { range: [0, 1], layout: 'NCHW' })
    const expected: number[] = []
    await train(model, data, {
      batcher,
      epochs: 2,
      batchSize: 32,
      learningRate: 0.05,
      engine: plainEngine,
      threads: 1,
      onProgress: (p) => expected.push(p.loss),
    })
    const found = await withPage({ folders, head }, (page) =>
      page.evaluate<{ losses: number[]; engine: string; reason?: string }>(script),
    )
    expect(found.engine).toBe('plain')
    expect(found.reason).toMatch(/operators/) // the blocked engine was tried and its operators are not there
    expect(expected).toHaveLength(20)
    expect(expected[19]).toBeLessThan(0.9 * expected[9])
    found.losses.forEach((loss, i) => {
      expect(Math.abs(loss - expected[i]), `step ${i}`).toBeLessThan(1e-4 * expected[i])
    })
    expect(found.losses).toHaveLength(20)
  })
})
