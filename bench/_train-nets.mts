/** The networks of train-step.mts, without dropout, layer for layer those of peers/train_step.py. Weights are seeded. */
import { model as makeModel, valueInfo } from '../src/graph/build.ts'
import type { Model } from '../src/model.ts'
import { floatTensor } from '../src/tensor/dtype.ts'
import { lenet5, netBuilder } from '../src/testing/small-nets.ts'

export interface BenchNet {
  readonly batch: number
  readonly inputShape: readonly number[]
  build(): Model
}

type Net = ReturnType<typeof layers>

/** Layers on a seeded builder; every weight gets a name of its own. */
function layers() {
  const b = netBuilder(1)
  let count = 0
  const name = (): string => `p${count++}`
  const vector = (size: number, value: number): string => {
    const tensor = floatTensor(name(), [size], new Float32Array(size).fill(value))
    b.initializers.set(tensor.name, tensor)
    return tensor.name
  }
  const scalar = (value: number): string => {
    const tensor = floatTensor(name(), [], [value])
    b.initializers.set(tensor.name, tensor)
    return tensor.name
  }
  const conv = (
    x: string,
    dims: readonly number[],
    at: { s?: number; p?: number; group?: number; bias?: boolean } = {},
  ) => {
    const { s = 1, p = dims[2] >> 1, group = 1, bias = false } = at
    const attributes = { kernel_shape: dims.slice(2), strides: [s, s], pads: [p, p, p, p], group }
    return b.op('Conv', [x, b.weight(name(), dims), ...(bias ? [vector(dims[0], 0)] : [])], attributes)
  }
  const norm = (x: string, c: number): string =>
    b.op('BatchNormalization', [x, vector(c, 1), vector(c, 0), vector(c, 0), vector(c, 1)])
  const relu = (x: string): string => b.op('Relu', [x])
  const relu6 = (x: string): string => b.op('Clip', [x, scalar(0), scalar(6)])
  const maxPool = (x: string, k: number, s: number, p = 0): string =>
    b.op('MaxPool', [x], { kernel_shape: [k, k], strides: [s, s], pads: [p, p, p, p] })
  const dense = (x: string, o: number, i: number): string =>
    b.op('Gemm', [x, b.weight(name(), [o, i]), vector(o, 0)], { transB: 1 })
  const pooled = (x: string): string => b.op('Flatten', [b.op('GlobalAveragePool', [x])])
  return {
    b,
    conv,
    norm,
    relu,
    relu6,
    maxPool,
    dense,
    pooled,
    ints: (values: readonly number[]) => intsOf(b, name(), values),
  }
}

function intsOf(b: ReturnType<typeof netBuilder>, name: string, values: readonly number[]): string {
  const data = new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer)
  b.initializers.set(name, { name, dtype: 'int64', dims: [values.length], data })
  return name
}

function finish({ b }: Net, y: string, inputShape: readonly number[]): Model {
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', ['N', ...inputShape])],
    outputs: [valueInfo(y, 'float32', ['N', 10])],
  })
}

/** Sandler et al. 2018; `strides`: of the stem and of the stage of 24 channels. */
function mobileNetV2(inputShape: readonly number[], strides: readonly [number, number]): Model {
  const n = layers()
  let x = n.relu6(n.norm(n.conv('x', [32, inputShape[0], 3, 3], { s: strides[0] }), 32))
  let c = 32
  const stages = [
    [1, 16, 1, 1],
    [6, 24, 2, strides[1]],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
  ]
  for (const [widen, out, repeats, first] of stages) {
    for (let i = 0; i < repeats; i++) {
      const [s, wide, before] = [i === 0 ? first : 1, c * widen, x]
      if (widen > 1) x = n.relu6(n.norm(n.conv(x, [wide, c, 1, 1]), wide))
      x = n.relu6(n.norm(n.conv(x, [wide, 1, 3, 3], { s, group: wide }), wide))
      x = n.norm(n.conv(x, [out, wide, 1, 1]), out)
      if (s === 1 && c === out) x = n.b.op('Add', [before, x])
      c = out
    }
  }
  x = n.relu6(n.norm(n.conv(x, [1280, 320, 1, 1]), 1280))
  return finish(n, n.dense(n.pooled(x), 10, 1280), inputShape)
}

/** Ma et al. 2018, x1.0. */
function shuffleNetV2(inputShape: readonly number[]): Model {
  const n = layers()
  let x = n.maxPool(n.relu(n.norm(n.conv('x', [24, inputShape[0], 3, 3], { s: 2 }), 24)), 3, 2, 1)
  let c = 24
  const spatial = (s: number): number => Math.floor((s - 1) / 2) + 1
  let size = spatial(spatial(inputShape[1]))
  const branch = (v: string, from: number, half: number, s: number): string => {
    const deep = n.norm(
      n.conv(n.relu(n.norm(n.conv(v, [half, from, 1, 1]), half)), [half, 1, 3, 3], { s, group: half }),
      half,
    )
    return n.relu(n.norm(n.conv(deep, [half, half, 1, 1]), half))
  }
  const shuffle = (a: string, b: string, out: number): string => {
    const joined = n.b.op('Concat', [a, b], { axis: 1 })
    const split = n.b.op('Reshape', [joined, n.ints([0, 2, out / 2, size * size])])
    return n.b.op('Reshape', [n.b.op('Transpose', [split], { perm: [0, 2, 1, 3] }), n.ints([0, out, size, size])])
  }
  for (const [out, repeats] of [
    [116, 4],
    [232, 8],
    [464, 4],
  ]) {
    const half = out / 2
    size = spatial(size)
    const side = n.norm(n.conv(x, [c, 1, 3, 3], { s: 2, group: c }), c)
    x = shuffle(n.relu(n.norm(n.conv(side, [half, c, 1, 1]), half)), branch(x, c, half, 2), out)
    c = out
    for (let i = 1; i < repeats; i++) {
      const part = (from: number): string => n.b.op('Slice', [x, n.ints([from]), n.ints([from + half]), n.ints([1])])
      x = shuffle(part(0), branch(part(half), half, half, 1), out)
    }
  }
  x = n.relu(n.norm(n.conv(x, [1024, 464, 1, 1]), 1024))
  return finish(n, n.dense(n.pooled(x), 10, 1024), inputShape)
}

/** torchvision's AlexNet; on 64x64 its adaptive pool repeats one position 36 times. */
function alexNet(inputShape: readonly number[]): Model {
  const n = layers()
  const conv = (x: string, dims: readonly number[], s: number, p: number): string =>
    n.relu(n.conv(x, dims, { s, p, bias: true }))
  let x = n.maxPool(conv('x', [64, inputShape[0], 11, 11], 4, 2), 3, 2)
  x = n.maxPool(conv(x, [192, 64, 5, 5], 1, 2), 3, 2)
  x = conv(conv(x, [384, 192, 3, 3], 1, 1), [256, 384, 3, 3], 1, 1)
  x = n.maxPool(conv(x, [256, 256, 3, 3], 1, 1), 3, 2)
  x = n.b.op('Flatten', [n.b.op('Expand', [x, n.ints([1, 1, 6, 6])])])
  x = n.relu(n.dense(n.relu(n.dense(x, 4096, 9216)), 4096, 4096))
  return finish(n, n.dense(x, 10, 4096), inputShape)
}

/** He et al. 2015 for CIFAR-10, shortcuts without weights. */
function resNet20(inputShape: readonly number[]): Model {
  const n = layers()
  let x = n.relu(n.norm(n.conv('x', [16, inputShape[0], 3, 3]), 16))
  let c = 16
  for (const out of [16, 32, 64]) {
    for (let i = 0; i < 3; i++) {
      const s = out !== c ? 2 : 1
      const y = n.norm(n.conv(n.relu(n.norm(n.conv(x, [out, c, 3, 3], { s }), out)), [out, out, 3, 3]), out)
      const far = 2 ** 31 - 1
      const thinned = (v: string): string =>
        n.b.op('Slice', [v, n.ints([0, 0]), n.ints([far, far]), n.ints([2, 3]), n.ints([2, 2])])
      const short = s === 1 ? x : n.b.op('Pad', [thinned(x), n.ints([0, c / 2, 0, 0, 0, c / 2, 0, 0])])
      x = n.relu(n.b.op('Add', [y, short]))
      c = out
    }
  }
  return finish(n, n.dense(n.pooled(x), 10, 64), inputShape)
}

export const nets: Readonly<Record<string, BenchNet>> = {
  'mobilenetv2-28': { batch: 50, inputShape: [1, 28, 28], build: () => mobileNetV2([1, 28, 28], [2, 2]) },
  'mobilenetv2-cifar': { batch: 64, inputShape: [3, 32, 32], build: () => mobileNetV2([3, 32, 32], [1, 1]) },
  'shufflenetv2-28': { batch: 50, inputShape: [1, 28, 28], build: () => shuffleNetV2([1, 28, 28]) },
  'alexnet-64': { batch: 50, inputShape: [3, 64, 64], build: () => alexNet([3, 64, 64]) },
  'resnet20-cifar': { batch: 128, inputShape: [3, 32, 32], build: () => resNet20([3, 32, 32]) },
  lenet5: { batch: 64, inputShape: [1, 28, 28], build: () => lenet5(1) },
}
