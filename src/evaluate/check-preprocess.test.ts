/** The check of preprocessing finds the way a model was trained, and is silent where it cannot tell. */
import { describe, expect, it } from 'vitest'
import { batcherFor } from '../data/batcher.ts'
import type { Dataset, Preprocess } from '../data/dataset.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { type Model, type ValueInfo, withWeights } from '../model.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { checkPreprocess } from './check-preprocess.ts'

const [side, count, classes] = [4, 500, 6]

/** Images whose channels differ, as photographs' do. */
function images(channels: number): Dataset {
  const rng = random(1)
  const area = side * side
  const data = Uint8Array.from({ length: count * channels * area }, (_, i) => {
    const c = Math.floor(i / area) % channels
    return Math.max(0, Math.min(255, 90 + 40 * c + 70 * rng.normal()))
  })
  return { id: 'made', length: count, fields: { x: { shape: [channels, side, side], data, kind: 'image' } } }
}

/** Two layers whose biases make the answer depend on how its input is scaled and shifted. */
function net(channels: number, input: ValueInfo, { outputs = classes, spread = 1 } = {}): Model {
  const rng = random(2)
  const size = channels * side * side
  const weights = (name: string, dims: number[], scale: number) => {
    const values = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => scale * rng.normal())
    return [name, floatTensor(name, dims, values)] as const
  }
  return makeModel({
    nodes: [
      node('Flatten', ['x'], ['f']),
      node('Gemm', ['f', 'w1', 'b1'], ['h']),
      node('Tanh', ['h'], ['t']),
      node('Gemm', ['t', 'w2', 'b2'], ['y']),
    ],
    initializers: new Map([
      weights('w1', [size, 32], spread / Math.sqrt(size)),
      weights('b1', [32], spread),
      weights('w2', [32, outputs], 1),
      weights('b2', [outputs], 0.1),
    ]),
    inputs: [input],
    outputs: [valueInfo('y', 'float32', ['N', outputs])],
  })
}

/** What the model says of all images, fed in a way. */
async function said(model: Model, dataset: Dataset, way: Preprocess): Promise<Float32Array> {
  const batcher = batcherFor(model.graph.inputs, dataset, way)
  const all = Uint32Array.from({ length: dataset.length }, (_, i) => i)
  const { y } = await withSession(
    () => openSession(model),
    (s) => s.run(batcher(dataset, all)),
  )
  return y.data as Float32Array
}

/** The model with its last biases such that all classes come up when it is fed so. */
async function balanced(model: Model, dataset: Dataset, way: Preprocess): Promise<Model> {
  const scores = await said(model, dataset, way)
  const outputs = scores.length / count
  const bias = Float32Array.from({ length: outputs }, (_, c) => {
    let sum = 0
    for (let i = 0; i < count; i++) sum += scores[i * outputs + c]
    return floats(model.graph.initializers.get('b2')!)[c] - sum / count
  })
  return withWeights(model, [floatTensor('b2', [outputs], bias)])
}

function labelled(dataset: Dataset, scores: Float32Array): Dataset {
  const labels = Int32Array.from({ length: count }, (_, i) => {
    const row = scores.subarray(i * classes, (i + 1) * classes)
    return row.indexOf(Math.max(...row))
  })
  return { ...dataset, labels, classes }
}

const plain: Preprocess = { range: [0, 1], layout: 'NCHW' }
const colour = valueInfo('x', 'float32', ['N', 3, side, side])
const imageNet: Preprocess = { ...plain, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
const ways: Record<string, Preprocess> = {
  '0..1': plain,
  '0..255': { ...plain, range: [0, 255] },
  '-1..1': { ...plain, range: [-1, 1] },
  ImageNet: imageNet,
  'BGR of Caffe': { range: [0, 255], mean: [103.939, 116.779, 123.68], channels: 'BGR', layout: 'NCHW' },
}

describe('a model that was trained on images fed in another way', () => {
  it.each(Object.entries(ways))('%s is found, and nothing where it is given', async (_, way) => {
    const model = await balanced(net(3, colour, { spread: way.range[1] === 255 ? 0.02 : 1 }), images(3), way)
    const data = labelled(images(3), await said(model, images(3), way))
    const check = (given: Preprocess) => checkPreprocess(model, { dataset: data, preprocess: given, seed: 0 })
    expect(await check(way)).toBeUndefined()
    const given = way === plain ? ways['0..255'] : plain
    const found = await check(given)
    expect(found).toMatchObject({ unit: 'right', found: 1, better: way })
    expect(found === undefined || found === 'too slow' ? 1 : found.given).toBeLessThan(0.97)
  })

  it('is found for grey images by their own mean and deviation', async () => {
    const grey = valueInfo('x', 'float32', ['N', 1, side, side])
    const shares = Float64Array.from(images(1).fields.x.data, (v) => v / 255)
    const mean = shares.reduce((a, b) => a + b) / shares.length
    const std = Math.sqrt(shares.reduce((a, b) => a + (b - mean) ** 2, 0) / shares.length)
    const way: Preprocess = { ...plain, mean: [mean], std: [std] }
    const model = await balanced(net(1, grey), images(1), way)
    const data = labelled(images(1), await said(model, images(1), way))
    const found = await checkPreprocess(model, { dataset: data, preprocess: ways['0..255'], seed: 0 })
    expect(found).toMatchObject({ unit: 'right' })
    expect(found === undefined || found === 'too slow' ? 0 : found.found).toBeGreaterThan(0.97)
  })

  it('is found by numbers to regress', async () => {
    const model = net(3, colour, { outputs: 2 })
    const data = await said(model, images(3), imageNet)
    const dataset: Dataset = { ...images(3), targets: { shape: [2], data, kind: 'values' } }
    const found = await checkPreprocess(model, { dataset, preprocess: plain, seed: 0 })
    expect(found).toMatchObject({ unit: 'error', better: imageNet, found: 0 })
    expect(await checkPreprocess(model, { dataset, preprocess: imageNet, seed: 0 })).toBeUndefined()
  })

  it('is suspected without labels where all outputs are alike', async () => {
    const scores = [valueInfo('scores', 'float32', ['N', classes])]
    const named = (m: Model): Model => ({
      ...m,
      graph: {
        ...m.graph,
        nodes: [...m.graph.nodes, node('Softmax', ['y'], ['scores'], { axis: 1 })],
        outputs: scores,
      },
    })
    const model = named(await balanced(net(3, colour, { spread: 0.02 }), images(3), ways['0..255']))
    const found = await checkPreprocess(model, { dataset: images(3), preprocess: plain, seed: 0 })
    expect(found).toMatchObject({ unit: 'answers', better: { range: [0, 255] } })
    expect(await checkPreprocess(model, { dataset: images(3), preprocess: ways['0..255'], seed: 0 })).toBeUndefined()
  })
})

describe('nothing is said', () => {
  it('of a model that knows nothing, of labels drawn at random', async () => {
    const rng = random(7)
    for (let i = 0; i < 3; i++) {
      const labels = Int32Array.from({ length: count }, () => rng.below(classes))
      const dataset = { ...images(3), labels, classes }
      expect(await checkPreprocess(net(3, colour), { dataset, preprocess: plain, seed: i })).toBeUndefined()
    }
  })

  it('of a way that only names one class for all, where the classes are numbered otherwise than in the training', async () => {
    const model = await balanced(net(3, colour, { spread: 2 }), images(3), imageNet)
    const { labels, ...rest } = labelled(images(3), await said(model, images(3), imageNet))
    // Fed rightly the model is never right, as no class is its own; fed wrongly it is, by chance.
    const dataset = { ...rest, labels: labels?.map((label) => (label + 1) % classes) }
    expect(await checkPreprocess(model, { dataset, preprocess: imageNet, seed: 0 })).toBeUndefined()
  })

  it('of pixels that go in as whole numbers, and of values', async () => {
    const bytes = valueInfo('x', 'uint8', ['N', 3, side, side])
    const raw: Preprocess = { ...plain, range: [0, 255] }
    const dataset = { ...images(3), labels: new Int32Array(count), classes }
    expect(await checkPreprocess(net(3, bytes), { dataset, preprocess: raw, seed: 0 })).toBeUndefined()
    const values: Dataset = { ...dataset, fields: { x: { ...dataset.fields.x, kind: 'values' } } }
    expect(await checkPreprocess(net(3, colour), { dataset: values, preprocess: plain, seed: 0 })).toBeUndefined()
  })
})
