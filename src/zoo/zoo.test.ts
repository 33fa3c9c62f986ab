import { describe, expect, it } from 'vitest'
import type { Model } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import { openSession } from '../runtime/session.ts'
import { bytesOf, floats, integers, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { type ZooOptions, zoo } from './index.ts'
import { lenet5 } from './lenet.ts'

/** What training changes: floats of rank 1 or more, without running statistics and the scales of a Resize. */
function trainedParameters(model: Model): number {
  let count = 0
  for (const t of model.graph.initializers.values()) {
    const fixed = /running_(mean|var)$/.test(t.name) || t.name.startsWith('pooled.')
    if (t.dtype === 'float32' && t.dims.length > 0 && !fixed) count += sizeOf(t.dims)
  }
  return count
}

/** torchvision's documented counts; LeNets and CIFAR ResNets from the papers; DS-CNN: MLPerf Tiny's model summary. */
const counts: Record<string, number> = {
  lenet300: 266_610,
  lenet5: 431_080,
  alexnet: 61_100_840,
  vgg16: 138_357_544,
  vgg19: 143_667_240,
  googlenet: 6_624_904,
  squeezenet1_1: 1_235_496,
  resnet18: 11_689_512,
  resnet50: 25_557_032,
  resnet20: 269_722,
  resnet32: 464_154,
  resnet44: 658_586,
  resnet56: 853_018,
  resnet110: 1_727_962,
  mobilenetV2: 3_504_872,
  shufflenetV2: 2_278_604,
  dsCnn: 23_756,
  gru: 15_372,
  transformer: 71_692,
}

async function outputDims(model: Model, batch: number): Promise<readonly number[]> {
  const session = await openSession(model, { threads: 1, optimize: 'basic' })
  const shape = [batch, ...(model.graph.inputs[0].shape!.slice(1) as number[])]
  const rng = random(1)
  const data = Float32Array.from({ length: sizeOf(shape) }, () => rng.normal())
  const { logits } = await session.run({ input: { dtype: 'float32', dims: shape, data } })
  await session.release()
  expect(Array.from(logits.data as Float32Array).every(Number.isFinite)).toBe(true)
  return logits.dims
}

describe.each(Object.keys(zoo))('%s', (name) => {
  it('has the parameters of its source', () => {
    expect(trainedParameters(zoo[name].build({ initialize: false }))).toBe(counts[name])
  })

  it('runs in ONNX Runtime at its own size, for any batch', async () => {
    const model = zoo[name].build({ classes: 7, width: 0.25, seed: 3 })
    expect(await outputDims(model, 2)).toEqual([2, 7])
    expect(model.graph.outputs[0].shape).toEqual(['N', 7])
  })

  it('has a form for small images, where it says so', async () => {
    const options: ZooOptions = { classes: 10, inputShape: [1, 28, 28], width: 0.25, stem: 'cifar' }
    if (zoo[name].takes.includes('stem')) expect(await outputDims(zoo[name].build(options), 3)).toEqual([3, 10])
    else expect(() => zoo[name].build(options)).toThrow('no stem')
  })
})

describe('CIFAR ResNets of other widths', () => {
  const nets = Object.keys(zoo).filter((name) => /^resnet(20|32|44|56|110)$/.test(name))
  const widths = Array.from({ length: 20 }, (_, i) => (i + 1) / 10)

  it.each(nets)('%s is a valid graph for widths of 0.1 to 2', (name) => {
    for (const width of widths) {
      const model = zoo[name].build({ width, initialize: false })
      const { problems, values } = inferShapes(model)
      expect(problems, `width ${width}`).toEqual([])
      expect(values.get('logits')?.shape, `width ${width}`).toEqual(['N', 10])
    }
  })

  it('pads one channel more behind than before where their number is odd', async () => {
    for (const width of [0.3, 0.1, 1.3]) {
      const model = zoo.resnet20.build({ width, inputShape: [3, 8, 8] })
      expect(await outputDims(model, 2), `width ${width}`).toEqual([2, 10])
    }
    const pads = (width: number) =>
      [...zoo.resnet20.build({ width, initialize: false }).graph.initializers.values()]
        .filter((t) => t.name.startsWith('shortcut.pads'))
        .map((t) => Array.from(integers(t)))
    expect(pads(0.3)).toEqual([
      [0, 2, 0, 0, 0, 3, 0, 0],
      [0, 5, 0, 0, 0, 5, 0, 0],
    ])
    expect(pads(1)).toEqual([
      [0, 8, 0, 0, 0, 8, 0, 0],
      [0, 16, 0, 0, 0, 16, 0, 0],
    ])
  })
})

describe('small inputs of nets with dense layers', () => {
  it('repeats the last map, as torchvision does, and keeps the parameters', async () => {
    const small = zoo.alexnet.build({ classes: 10, inputShape: [3, 64, 64], initialize: false })
    const large = zoo.alexnet.build({ classes: 10, initialize: false })
    expect(trainedParameters(small)).toBe(trainedParameters(large))
    expect(await outputDims(zoo.alexnet.build({ inputShape: [1, 64, 64], width: 0.1 }), 2)).toEqual([2, 1000])
    expect(await outputDims(zoo.vgg16.build({ inputShape: [3, 32, 32], width: 0.1 }), 2)).toEqual([2, 1000])
  })

  it('leaves the last map as it is where asked to, with fewer parameters', async () => {
    const net = zoo.alexnet.build({ classes: 10, inputShape: [1, 64, 64], pooled: 1, initialize: false })
    expect(net.graph.initializers.get('classifier.1.weight')?.dims).toEqual([4096, 256])
    expect(await outputDims(zoo.vgg16.build({ inputShape: [3, 32, 32], pooled: 1, width: 0.1 }), 2)).toEqual([2, 1000])
    expect(() => zoo.resnet18.build({ pooled: 1 })).toThrow('no pooled map')
  })
})

describe('initialisation', () => {
  it('repeats for a seed and changes with it', () => {
    const bytes = (seed: number) =>
      Buffer.concat([...lenet5({ seed }).graph.initializers.values()].map((t) => bytesOf(floats(t))))
    expect(bytes(1).equals(bytes(1))).toBe(true)
    expect(bytes(1).equals(bytes(2))).toBe(false)
  })

  it.each([
    ['lenet5', 'ip1.weight', Math.sqrt(3 / 800) / Math.sqrt(3)],
    ['alexnet', 'features.3.weight', 1 / Math.sqrt(3 * 16 * 25)],
    ['vgg16', 'features.10.weight', Math.sqrt(2 / (64 * 9))],
    ['googlenet', 'inception3a.branch2.1.conv.weight', 0.01],
    ['squeezenet1_1', 'features.12.expand3x3.weight', Math.sqrt(2 / (16 * 9))],
    ['resnet18', 'layer4.1.conv2.weight', Math.sqrt(2 / (128 * 9))],
    ['mobilenetV2', 'features.1.conv.0.0.weight', Math.sqrt(2 / (8 * 9))],
    ['shufflenetV2', 'conv5.0.weight', 1 / Math.sqrt(3 * 120)],
  ])('draws %s %s with its standard deviation', (name, weight, deviation) => {
    const model = zoo[name].build({ width: name === 'lenet5' ? 1 : 0.25, seed: 5 })
    const values = floats(model.graph.initializers.get(weight)!)
    const mean = values.reduce((s, v) => s + v, 0) / values.length
    const measured = Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0) / values.length)
    const tolerance = 4 / Math.sqrt(2 * values.length) // four standard errors of a deviation
    expect(Math.abs(measured / deviation - 1)).toBeLessThan(tolerance)
    expect(Math.abs(mean)).toBeLessThan((4 * deviation) / Math.sqrt(values.length))
  })

  it('says in one sentence which input is too small, and what width must be', () => {
    expect(() => zoo.alexnet.build({ inputShape: [1, 28, 28] })).toThrow(/alexnet: the input \[1,28,28\] is too small/)
    expect(() => zoo.vgg16.build({ width: 0 })).toThrow('vgg16: width must be above 0, got 0')
  })
})
