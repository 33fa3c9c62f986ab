/** Sensitivity scans: shared work gives the curves of the plain loop, resumed ones included. */
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import { first, subset } from '../data/batches.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import { valueInfo } from '../graph/build.ts'
import { cutBefore, dependentsOf } from '../graph/cut.ts'
import { weightTensors } from '../graph/weights.ts'
import { type Model, withGraph, withWeights } from '../model.ts'
import { loadData } from '../node/data.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { lenet5 } from '../testing/small-nets.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { train } from '../train/train.ts'
import { shufflenetV2 } from '../zoo/shufflenet.ts'
import { recommend, type ScanResult, scan } from './scan.ts'

const digits = (await loadData('digits:800', { seed: 1 })).train

function bound(model: Model, data = digits) {
  const inputs = requiredInputs(model)
  return { batcher: batcherFor(inputs, data, guessPreprocess(inputs, data, {})), data }
}

/** A network that knows something, so that pruning can hurt. */
const { model } = await (() => {
  const start = lenet5(1)
  const { batcher } = bound(start)
  return train(start, digits, { batcher, epochs: 3, batchSize: 20, learningRate: 0.02, threads: 1 })
})()

describe('scan', () => {
  it('gives what a loop over whole models gives, up to rounding, and goes on from what is done', async () => {
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
    const shared = await scan(model, on, { ...options, onPoint: (r) => void seen.push(r) })
    expect(plain.reference.accuracy).toBeGreaterThan(0.6)
    shared.curves.forEach((curve, i) => {
      curve.points.forEach((p, k) => {
        expect(p.loss).toBeCloseTo(plain.curves[i].points[k].loss, 4)
        expect(Math.abs(p.accuracy - plain.curves[i].points[k].accuracy)).toBeLessThanOrEqual(1 / 250)
      })
      expect(curve.points.length === 3 || curve.collapsed).toBe(true)
    })
    expect(seen.length).toBe(shared.curves.reduce((n, c) => n + c.points.length, 0))
    // From the middle of the second curve, and from the end of one.
    const middle = seen.find((r) => r.curves.length === 2)
    const end = seen.findLast((r) => r.curves.length === 1)
    expect(middle?.curves[1].points.length).toBe(1)
    for (const done of [middle, end]) expect(await scan(model, on, { ...options, done })).toEqual(shared)
  })

  it('forgets no curve that was measured before, where one of them is gone on with', async () => {
    const on = bound(model, first(digits, 50))
    const names = ['conv1.w', 'fc2.w']
    const whole = await scan(model, on, { sparsities: [0.3, 0.5], threads: 1, names })
    const [open, closed] = whole.curves
    const done = { ...whole, curves: [{ ...open, points: open.points.slice(0, 1) }, closed] }
    const seen: ScanResult[] = []
    const options = { sparsities: [0.3, 0.5], threads: 1, names, done, onPoint: (r: ScanResult) => void seen.push(r) }
    await scan(model, on, options)
    expect(seen).toHaveLength(1)
    expect(seen[0].curves.map((c) => c.points.length)).toEqual([2, closed.points.length])
  })

  it('cuts behind an operator of another domain, whose type no rule tells', async () => {
    const words = parseModel(`ir 8
opset 17
opset "ai.onnx.ml" 2
graph g {
  in words: string[N]
  out y: float32[N, 2]
  table: float32[2, 2] = {3, 1, 1, 2}
  i = ai.onnx.ml::LabelEncoder(words) {keys_strings: ["no", "yes"], values_int64s: [0, 1]}
  y = Gather(table, i)
}
`)
    const strings = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 'no' : 'yes'))
    const labels = Int32Array.from(strings, (_, i) => i % 2)
    const field = { shape: [], data: new Uint8Array(0), strings, kind: 'values' as const }
    const data = { id: 'words', length: 40, fields: { words: field }, labels, classes: 2 }
    const { reference, curves } = await scan(words, bound(words, data), { sparsities: [0.5], threads: 1 })
    expect([reference.accuracy, curves.map((c) => c.name)]).toEqual([1, ['table']])
  })

  it('refuses a model whose scores are not finite', async () => {
    const t = model.graph.initializers.get('fc2.b')!
    const broken = withWeights(model, [
      floatTensor(
        'fc2.b',
        t.dims,
        floats(t).map(() => Number.NaN),
      ),
    ])
    await expect(scan(broken, bound(model, first(digits, 20)))).rejects.toThrow('are not all finite')
  })

  it('takes a model whose stored tensors are listed among its inputs, as all were once', async () => {
    const listed = [...model.graph.initializers.values()].map((t) => valueInfo(t.name, t.dtype, t.dims))
    const old = { ...withGraph(model, { inputs: [...model.graph.inputs, ...listed] }), irVersion: 3 }
    const on = bound(model, first(digits, 50))
    const options = { sparsities: [0.5], threads: 1 }
    expect(await scan(old, on, options)).toEqual(await scan(model, on, options))
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

  it('follows a curve no further than chance, and the loop to its end', async () => {
    const on = bound(model)
    const options = { sparsities: [0.3, 0.99999, 1], threads: 1, names: [weightTensors(model)[3].name] }
    const [curve] = (await scan(model, on, options)).curves
    expect(curve).toMatchObject({ collapsed: true })
    expect(curve.points.length).toBe(2)
    expect((await scan(model, on, { ...options, share: false })).curves[0]).toMatchObject({ collapsed: false })
  })

  it('follows a curve beyond chance where that much may be lost', async () => {
    const names = [weightTensors(model)[3].name]
    const options = { sparsities: [0.3, 0.99999, 1], threads: 1, names }
    for (const [maxLoss, points, recommended] of [
      [1, 2, 0.3],
      [100, 3, 1],
    ]) {
      const [curve] = (await scan(model, bound(model), { ...options, maxLoss })).curves
      expect(curve).toMatchObject({ collapsed: points < 3, recommended })
      expect(curve.points.length).toBe(points)
    }
  })

  it('measures after retraining, which gives some of the accuracy back', async () => {
    const on = bound(model)
    const options = { sparsities: [0.9, 0.97], threads: 1, names: [weightTensors(model)[2].name] }
    const asked: number[][] = []
    const result = await scan(model, on, {
      ...options,
      retrain: {
        epochs: 1,
        train: async (pruned) => {
          const zeros = weightTensors(pruned).map((w) => floats(w.tensor).reduce((n, v) => n + (v === 0 ? 1 : 0), 0))
          asked.push(zeros)
          const training = { batcher: on.batcher, epochs: 1, batchSize: 20, learningRate: 0.01, threads: 1 }
          return (await train(pruned, digits, { ...training, regimes: [keepZeros()] })).model
        },
      },
    })
    const [plain] = (await scan(model, on, options)).curves
    expect(result.retrainEpochs).toBe(1)
    expect(asked.length).toBe(2)
    expect(asked[1][2]).toBeGreaterThan(asked[0][2])
    expect(asked[0].filter((n) => n > 0).length).toBe(1)
    result.curves[0].points.forEach((p, i) => {
      expect(p.loss).toBeLessThan(plain.points[i].loss)
    })
  })

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

  it('refuses labels that the model has no score for, whatever the data says of its classes', async () => {
    const model = lenet5(1)
    const { batcher } = bound(model)
    const more = { ...digits, labels: digits.labels!.map((l, i) => (i === 700 ? 11 : l)) }
    for (const data of [{ ...more, classes: 12 }, more])
      await expect(scan(model, { batcher, data }, { names: [] })).rejects.toThrow('12 classes')
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
