import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import { drawDigits } from '../data/digits.ts'
import { fedBatches } from '../data/fed-batches.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { weightTensors } from '../graph/weights.ts'
import type { Feeds, LabelledFeeds } from '../method.ts'
import { type Model, type Tensor, withGraph, withWeights } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { outputsOf } from '../testing/real-models.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { validate } from '../train/validate.ts'
import { openGradients, shapesOf } from '../train/weight-gradients.ts'
import { magnitude } from './magnitude.ts'
import { fisherDiagonal, hessianSizes, obd } from './obd.ts'
import { obs } from './obs.ts'
import { taylor } from './taylor.ts'

/** The bits of float32 values that float16 holds exactly after its mantissa is cut to ten bits; no subnormals. */
function halves(tensor: Tensor): number[] {
  return Array.from(new Uint32Array(Float32Array.from(floats(tensor)).buffer), (bits) => {
    const exponent = ((bits >>> 23) & 255) - 112
    return ((bits >>> 16) & 0x8000) | (exponent <= 0 ? 0 : (exponent << 10) | ((bits >>> 13) & 0x3ff))
  })
}

/** A context with these samples and no others. */
const labelledWith = (batches: readonly LabelledFeeds[]) => ({
  data: { labelled: () => batches, calibration: () => [] },
})

const labelled = (): LabelledFeeds[] =>
  [...exampleBatches(5, 2)].map((feeds, b) => ({ feeds, labels: Int32Array.from([0, 1, 2, 3], (c) => (c + b) % 5) }))

/** The model with one tensor moved by `by` times the direction. */
function moved(model: Model, name: string, direction: Float32Array, by: number): Model {
  const t = weightTensors(model).find((w) => w.name === name)!.tensor
  return withWeights(model, [
    floatTensor(
      name,
      t.dims,
      floats(t).map((v, i) => v + by * direction[i]),
    ),
  ])
}

/** x·w with w stored in several ways, all the same to the layer. */
function product(how: 'plain' | 'transposed' | 'constant' | 'identity'): Model {
  const values = floatTensor(
    'w',
    [12, 7],
    Float32Array.from({ length: 84 }, (_, i) => Math.sin(7 * i)),
  )
  const turned = Float32Array.from({ length: 84 }, (_, i) => floats(values)[(i % 12) * 7 + Math.floor(i / 12)])
  const stored = how === 'transposed' ? floatTensor('w', [7, 12], turned) : values
  const before = {
    plain: [],
    transposed: [node('Transpose', ['w'], ['v'], { perm: [1, 0] })],
    identity: [node('Identity', ['w'], ['v'])],
    constant: [{ ...node('Constant', [], ['w']), attributes: { value: { type: 'tensor', value: stored } as const } }],
  }[how]
  const read = how === 'transposed' || how === 'identity' ? 'v' : 'w'
  return makeModel({
    nodes: [...before, node('MatMul', ['x', read], ['y'])],
    initializers: new Map(how === 'constant' ? [] : [['w', stored]]),
    inputs: [valueInfo('x', 'float32', ['n', 12])],
    outputs: [valueInfo('y', 'float32', ['n', 7])],
  })
}

describe('derivatives at the weights', () => {
  it('Hessian-vector products agree with differences of gradients', async () => {
    const model = exampleModel()
    const weights = weightTensors(model)
    const [batch] = labelled()
    const rng = random(3)
    const inputShapes = shapesOf(batch.feeds)
    const second = await openGradients(model, weights, { inputShapes, order: 2 })
    const only = weights.findIndex((w) => w.name === 'w3')
    const vectors = weights.map((w, i) => floats(w.tensor).map(() => (i === only ? rng.normal() : 0)))
    const product = await second.of(batch, vectors)
    const at = async (by: number) => {
      const m = moved(model, 'w3', vectors[only], by)
      const gradients = await openGradients(m, weightTensors(m), { inputShapes })
      const [, , g3] = await gradients.of(batch)
      await gradients.release()
      return g3
    }
    const step = 3e-3
    const [up, down] = [await at(step), await at(-step)]
    for (let k = 0; k < up.length; k++) expect(product[only][k]).toBeCloseTo((up[k] - down[k]) / (2 * step), 3)
    await second.release()
  })

  it('random signs give the size of each row of the Hessian, whose columns unit vectors give', async () => {
    const model = exampleModel()
    const weights = weightTensors(model).filter((w) => w.name === 'w3')
    const [batch] = labelled()
    const estimate = await hessianSizes(model, weights, { batches: [batch], probes: 400, context: { seed: 1 } })
    const second = await openGradients(model, weights, { inputShapes: shapesOf(batch.feeds), order: 2 })
    const exact: number[] = []
    const diagonal: number[] = []
    for (let k = 0; k < 40; k++) {
      const unit = Float32Array.from({ length: 40 }, (_, i) => (i === k ? 1 : 0))
      const row = (await second.of(batch, [unit]))[0]
      exact.push(Math.hypot(...row))
      diagonal.push(row[k])
    }
    await second.release()
    expect(Math.min(...exact)).toBeGreaterThan(0)
    for (let k = 0; k < 40; k++) {
      expect(Math.abs(estimate[0][k] / exact[k] - 1)).toBeLessThan(0.15)
      expect(estimate[0][k]).toBeGreaterThan(0.85 * Math.abs(diagonal[k]))
    }
  })

  it('squares the gradient of each example before averaging', async () => {
    const model = exampleModel()
    const weights = weightTensors(model)
    const [batch] = labelled()
    const fisher = await fisherDiagonal(model, weights, [batch])
    const whole = await openGradients(model, weights, { inputShapes: shapesOf(batch.feeds) })
    const mean = await whole.of(batch)
    await whole.release()
    // By Jensen's inequality the mean of squares is at least the square of the mean, and larger somewhere.
    let larger = 0
    fisher.forEach((f, i) => {
      f.forEach((h, k) => {
        expect(h).toBeGreaterThanOrEqual(mean[i][k] ** 2 * (1 - 1e-4) - 1e-12)
        if (h > 2 * mean[i][k] ** 2) larger++
      })
    })
    expect(larger).toBeGreaterThan(10)
  })
})

describe.each([
  ['taylor', taylor],
  ['obd', obd],
  ['obs', obs],
] as const)('%s', (_, method) => {
  it('zeroes exactly its share, and never brings a weight back', async () => {
    const model = exampleModel()
    const context = { seed: 1, data: { labelled, calibration: () => exampleBatches() } }
    const once = await method(model, { sparsity: 0.3, scope: 'global' }, context)
    const zeros = (m: Model) => weightTensors(m).flatMap((w) => Array.from(floats(w.tensor), (v) => v === 0))
    const total = zeros(model).length
    expect(zeros(once).filter(Boolean).length).toBe(Math.round(0.3 * total))
    const twice = await method(once, { sparsity: 0.5, scope: 'global' }, context)
    zeros(once).forEach((zero, i) => {
      if (zero) expect(zeros(twice)[i]).toBe(true)
    })
  })

  it('says aloud where it has no data', async () => {
    const said: string[] = []
    await method(exampleModel(), {}, { warn: (m) => said.push(m) })
    expect(said.join()).toMatch('no data was given')
  })
})

describe.each([
  ['taylor', taylor],
  ['obd', obd],
  ['obs', obs],
] as const)('%s by name', (_, method) => {
  it('zeroes its own share of each named weight and leaves the others alone', async () => {
    const model = exampleModel()
    const context = { seed: 1, data: { labelled, calibration: () => exampleBatches() } }
    const after = weightTensors(await method(model, { sparsities: { w1: 0.25, w3: 0.9 } }, context))
    const zeros = after.map((w) => floats(w.tensor).reduce((n, v) => n + (v === 0 ? 1 : 0), 0))
    expect(zeros).toEqual([Math.round(0.25 * 216), 0, Math.round(0.9 * 40)])
    expect(floats(after[1].tensor)).toEqual(floats(weightTensors(model)[1].tensor))
    await expect(method(model, { sparsities: { w9: 0.1 } }, context)).rejects.toThrow('no weight of the model')
  })
})

describe('obd', () => {
  it('by the Hessian, at its default number of random signs, keeps what a trained network knows', async () => {
    const model = readModel(readFileSync(join(import.meta.dirname, '../../models/digits-lenet5.onnx')))
    const [train, test] = [drawDigits(128, 1), drawDigits(300, 2)]
    const inputs = requiredInputs(model)
    const batcher = batcherFor(inputs, train, guessPreprocess(inputs, train, {}))
    const labelled = () =>
      Array.from(fedBatches(batcher, train, 64), ({ feeds, indices }) => ({
        feeds,
        labels: indices.map((i) => train.labels![i]),
      }))
    const context = { seed: 1, data: { labelled, calibration: () => [] } }
    const pruned = await obd(model, { sparsity: 0.5, diagonal: 'hessian', samples: 128 }, context)
    expect((await validate(pruned, test, { batcher, batchSize: 100, threads: 1 })).accuracy).toBeGreaterThan(0.9)
  })
})

describe('obs', () => {
  it('keeps the outputs nearer to the original than removing by size does, at the same sparsity', async () => {
    const model = exampleModel()
    const calibration = () => exampleBatches(2, 8)
    const [fresh] = exampleBatches(99, 1)
    const errorOf = async (m: Model) => {
      const [a, b] = [(await outputsOf(model, fresh)).y.data, (await outputsOf(m, fresh)).y.data]
      return Array.from(a as Float32Array).reduce((sum, v, i) => sum + (v - Number(b[i])) ** 2, 0)
    }
    const bySize = await errorOf(await magnitude(model, { sparsity: 0.5 }))
    expect(await errorOf(await obs(model, { sparsity: 0.5 }, { data: { calibration }, seed: 1 }))).toBeLessThan(
      0.7 * bySize,
    )
  })
})

describe('weights and inputs as exporters make them', () => {
  it('obs does the same however the weight is stored', async () => {
    const rng = random(2)
    const mixed = Float32Array.from({ length: 144 }, () => rng.normal())
    const data = new Float32Array(200 * 12)
    for (let r = 0; r < 200; r++) {
      const source = Float32Array.from({ length: 12 }, () => rng.normal())
      for (let c = 0; c < 12; c++) data[12 * r + c] = source.reduce((sum, v, k) => sum + v * mixed[12 * k + c], 0)
    }
    const feeds = { x: { dtype: 'float32', dims: [200, 12], data } }
    const outputs = async (how: Parameters<typeof product>[0]) => {
      const pruned = await obs(product(how), { sparsity: 0.5 }, { data: { calibration: () => [feeds] } })
      return (await outputsOf(pruned, feeds)).y.data as Float32Array
    }
    const plain = await outputs('plain')
    for (const how of ['transposed', 'constant', 'identity'] as const) {
      const other = await outputs(how)
      expect(Math.max(...plain.map((v, i) => Math.abs(v - other[i])))).toBeLessThan(1e-4)
    }
    const gone = (await outputsOf(await magnitude(product('plain'), { sparsity: 0.5 }), feeds)).y.data as Float32Array
    const exact = (await outputsOf(product('plain'), feeds)).y.data as Float32Array
    const error = (of: Float32Array): number => of.reduce((sum, v, i) => sum + (v - exact[i]) ** 2, 0)
    expect(error(plain)).toBeLessThan(error(gone))
  })

  it('taylor and obd take gradients of weights stored as float16', async () => {
    const half = (t: Tensor): Tensor => ({
      ...t,
      dtype: 'float16',
      data: new Uint8Array(new Uint16Array(halves(t)).buffer),
    })
    const plain = product('plain')
    const stored = half(plain.graph.initializers.get('w')!)
    const cast = withGraph(plain, {
      nodes: [node('Cast', ['w'], ['w32'], { to: 1 }), node('MatMul', ['x', 'w32'], ['y'])],
      initializers: new Map([['w', stored]]),
    })
    const rounded = withWeights(plain, [floatTensor('w', [12, 7], floats(stored))])
    const x = { dtype: 'float32', dims: [4, 12], data: Float32Array.from({ length: 48 }, (_, i) => Math.cos(i)) }
    const context = labelledWith([{ feeds: { x }, labels: [0, 2, 4, 6] }])
    const zeros = (m: Model) => Array.from(floats(weightTensors(m)[0].tensor), (v) => v === 0)
    expect(zeros(await taylor(cast, {}, context))).toEqual(zeros(await taylor(rounded, {}, context)))
    expect(zeros(await obd(cast, {}, context))).toEqual(zeros(await obd(rounded, {}, context)))
  })

  it('says so where a network is sure of all samples but one, which then decides alone', async () => {
    const plain = product('plain')
    const sure = withWeights(plain, [
      floatTensor(
        'w',
        [12, 7],
        floats(weightTensors(plain)[0].tensor).map((v) => 1e4 * v),
      ),
    ])
    const x = { dtype: 'float32', dims: [20, 12], data: Float32Array.from({ length: 240 }, (_, i) => Math.cos(i)) }
    const scores = (await outputsOf(sure, { x })).y.data as Float32Array
    const right = Array.from({ length: 20 }, (_, n) => {
      const row = scores.subarray(7 * n, 7 * n + 7)
      return row.indexOf(Math.max(...row))
    })
    const said = async (m: Model, labels: number[]): Promise<string> => {
      const heard: string[] = []
      await obd(m, {}, { ...labelledWith([{ feeds: { x }, labels }]), warn: (text) => void heard.push(text) })
      return heard.join()
    }
    expect(await said(sure, [(right[0] + 1) % 7, ...right.slice(1)])).toContain(
      '19 of 20 batches have near-zero gradients',
    )
    expect(await said(plain, right)).toBe('')
  })

  it('obd takes samples that lie on axis 1, and fails, and does not hang, where no axis has as many', async () => {
    const plain = product('plain')
    const turned = withGraph(plain, {
      nodes: [node('Transpose', ['x'], ['rows'], { perm: [1, 0] }), node('MatMul', ['rows', 'w'], ['y'])],
      inputs: [valueInfo('x', 'float32', [12, 'n'])],
    })
    const rows = { dtype: 'float32', dims: [20, 12], data: Float32Array.from({ length: 240 }, (_, i) => Math.cos(i)) }
    const columns = {
      ...rows,
      dims: [12, 20],
      data: rows.data.map((_, i, all) => all[(i % 20) * 12 + Math.floor(i / 20)]),
    }
    const labels = Array.from({ length: 20 }, (_, i) => i % 7)
    const values = async (m: Model, x: Feeds[string]) =>
      floats(weightTensors(await obd(m, {}, labelledWith([{ feeds: { x }, labels }])))[0].tensor)
    expect(await values(turned, columns)).toEqual(await values(plain, rows))
    await expect(
      obd(turned, {}, labelledWith([{ feeds: { x: columns }, labels: Array(21).fill(1) }])),
    ).rejects.toThrow()
  })

  it('obd takes an input that has no batch axis', async () => {
    const plain = product('plain')
    const scaled = withGraph(plain, {
      nodes: [node('MatMul', ['x', 'w'], ['z']), node('Mul', ['z', 't'], ['y'])],
      inputs: [...plain.graph.inputs, valueInfo('t', 'float32', [])],
    })
    const x = { dtype: 'float32', dims: [4, 12], data: Float32Array.from({ length: 48 }, (_, i) => Math.cos(i)) }
    const t = { dtype: 'float32', dims: [], data: Float32Array.of(1) }
    const context = (feeds: Feeds) => labelledWith([{ feeds, labels: [0, 2, 4, 6] }])
    const values = (m: Model) => floats(weightTensors(m)[0].tensor)
    expect(values(await obd(scaled, {}, context({ x, t })))).toEqual(values(await obd(plain, {}, context({ x }))))
  })
})
