import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import { subset } from '../data/batches.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import { cutBefore, dependentsOf } from '../graph/cut.ts'
import { weightTensors } from '../graph/weights.ts'
import type { Model } from '../model.ts'
import { loadData } from '../node/data.ts'
import { lenet5 } from '../testing/small-nets.ts'
import { train } from '../train/train.ts'
import { shufflenetV2 } from '../zoo/shufflenet.ts'
import { recommend, type ScanResult, scan } from './scan.ts'

const digits = (await loadData('digits:800', { seed: 1 })).train

function bound(model: Model, data = digits) {
  const inputs = requiredInputs(model)
  return { batcher: batcherFor(inputs, data, guessPreprocess(inputs, data, {})), data }
}

/** A network that knows something, so that pruning can hurt. */
async function trained(): Promise<Model> {
  const start = lenet5(1)
  const { batcher } = bound(start)
  return (await train(start, digits, { batcher, epochs: 3, batchSize: 20, learningRate: 0.02, threads: 1 })).model
}

describe('scan', () => {
  it('gives what a loop over whole models gives, up to rounding, and goes on from what is done', async () => {
    const model = await trained()
    const on = bound(
      model,
      subset(
        digits,
        Uint32Array.from({ length: 250 }, (_, i) => i),
      ),
    )
    const options = { sparsities: [0.5, 0.9, 0.97], threads: 1, batchSize: 100 }
    const plain = await scan(model, on, { ...options, share: false })
    const seen: ScanResult[] = []
    const shared = await scan(model, on, { ...options, onCurve: (r) => void seen.push(r) })
    expect(plain.reference.accuracy).toBeGreaterThan(0.6)
    shared.curves.forEach((curve, i) => {
      curve.points.forEach((p, k) => {
        expect(p.loss).toBeCloseTo(plain.curves[i].points[k].loss, 4)
        expect(Math.abs(p.accuracy - plain.curves[i].points[k].accuracy)).toBeLessThanOrEqual(1 / 250)
      })
      expect(curve.points.length === 3 || curve.collapsed).toBe(true)
    })
    expect(seen.map((r) => r.curves.length)).toEqual([1, 2, 3, 4])
    expect(await scan(model, on, { ...options, done: seen[1] })).toEqual(shared)
  })

  it('agrees with the loop where branches run in parallel, also without room to keep values', async () => {
    const model = shufflenetV2({ classes: 10, inputShape: [1, 28, 28], stem: 'cifar', width: 0.5 })
    const on = bound(
      model,
      subset(
        digits,
        Uint32Array.from({ length: 8 }, (_, i) => i),
      ),
    )
    const names = weightTensors(model).flatMap((w, i) => (i % 5 === 3 ? [w.name] : []))
    const options = { sparsities: [0.8], threads: 1, names }
    const [plain, shared, tight] = [
      await scan(model, on, { ...options, share: false }),
      await scan(model, on, options),
      await scan(model, on, { ...options, cacheBytes: 300_000 }),
    ]
    for (const result of [shared, tight]) {
      result.curves.forEach((c, i) => {
        expect(c.points[0].loss, c.name).toBeCloseTo(plain.curves[i].points[0].loss, 4)
      })
    }
  }, 60_000)

  it('recommends the largest sparsity within the allowed loss, not the first', () => {
    const at = (sparsity: number, accuracy: number) => ({ sparsity, accuracy, loss: 0 })
    const reference = { accuracy: 0.9, loss: 0 }
    expect(recommend([at(0.1, 0.9), at(0.5, 0.896), at(0.7, 0.891), at(0.9, 0.5)], reference, 1)).toBe(0.7)
    expect(recommend([at(0.1, 0.8)], reference, 1)).toBe(0)
    expect(recommend([at(0.1, 0.89)], reference, 1)).toBe(0.1)
  })

  it('refuses data without labels and grids that do not rise', async () => {
    const model = lenet5(1)
    const { batcher } = bound(model)
    const { labels: _, ...unlabelled } = digits
    await expect(scan(model, { batcher, data: unlabelled })).rejects.toThrow('no labels')
    await expect(scan(model, { batcher, data: digits }, { sparsities: [0.5, 0.5] })).rejects.toThrow('rising')
  })
})

describe('cut', () => {
  it('lies before the layer of a weight and holds no constants', () => {
    const model = lenet5(1)
    const [conv1, conv2] = weightTensors(model)
    expect(cutBefore(model, dependentsOf(model, conv1.name))).toEqual(['x'])
    expect(cutBefore(model, dependentsOf(model, conv2.name))).toEqual([conv2.uses[0].node.inputs[0]])
  })
})
