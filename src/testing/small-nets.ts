/** Small seeded networks for tests of training. */
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Model, Node, Tensor } from '../model.ts'
import { floatTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'

/** Collects layers; weights are He-uniform from the seed. */
export function netBuilder(seed = 1) {
  const rng = random(seed)
  const nodes: Node[] = []
  const initializers = new Map<string, Tensor>()
  let count = 0
  const weight = (name: string, dims: readonly number[], fanIn = sizeOf(dims.slice(1)), offset = 0): string => {
    const bound = Math.sqrt(6 / Math.max(1, fanIn))
    const values = Float32Array.from({ length: sizeOf(dims) }, () => offset + bound * (2 * rng.next() - 1))
    initializers.set(name, floatTensor(name, dims, values))
    return name
  }
  const op = (kind: string, inputs: readonly string[], attributes: Parameters<typeof node>[3] = {}): string => {
    const name = `v${count++}`
    nodes.push(node(kind, inputs, [name], attributes))
    return name
  }
  return { nodes, initializers, weight, op }
}

/** LeNet-5 in Caffe's form, logits out. */
export function lenet5(seed = 1, softmax = false): Model {
  const b = netBuilder(seed)
  const layer = (x: string, name: string, dims: readonly number[], kind: 'Conv' | 'Gemm'): string => {
    const inputs = [x, b.weight(`${name}.w`, dims), b.weight(`${name}.b`, [dims[0]], 1e6)]
    return b.op(kind, inputs, kind === 'Gemm' ? { transB: 1 } : { kernel_shape: dims.slice(2) })
  }
  const pool = (x: string): string => b.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] })
  let x = pool(layer('x', 'conv1', [20, 1, 5, 5], 'Conv'))
  x = pool(layer(x, 'conv2', [50, 20, 5, 5], 'Conv'))
  x = b.op('Relu', [layer(b.op('Flatten', [x]), 'fc1', [500, 800], 'Gemm')])
  x = layer(x, 'fc2', [10, 500], 'Gemm')
  if (softmax) x = b.op('Softmax', [x], { axis: -1 })
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', ['N', 1, 28, 28])],
    outputs: [valueInfo(x, 'float32', ['N', 10])],
  })
}

/** A small network of today's kinds of layers for 28x28x1: strided, depthwise and pointwise convolutions, a residual. */
export function mobileNet(seed = 1, options: { readonly dropout?: boolean; readonly channels?: number } = {}): Model {
  const c = options.channels ?? 20
  const b = netBuilder(seed)
  const conv = (x: string, name: string, dims: readonly number[], stride = 1, group = 1): string => {
    const p = dims[2] >> 1
    const attributes = { kernel_shape: dims.slice(2), strides: [stride, stride], pads: [p, p, p, p], group }
    return b.op('Conv', [x, b.weight(name, dims)], attributes)
  }
  const norm = (x: string, name: string, size: number): string => {
    const vector = (part: string, value: number): string => b.weight(`${name}.${part}`, [size], 1e6, value)
    return b.op('BatchNormalization', [x, vector('scale', 1), vector('bias', 0), vector('mean', 0), vector('var', 1)])
  }
  const bound = (name: string, value: number): string => {
    b.initializers.set(name, floatTensor(name, [], [value]))
    return name
  }
  const relu6 = (x: string): string => b.op('Clip', [x, bound('lo', 0), bound('hi', 6)])
  let x = relu6(norm(conv('x', 'stem', [c, 1, 3, 3], 2), 'bn0', c))
  x = b.op('MaxPool', [x], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] })
  let h = relu6(norm(conv(x, 'expand', [2 * c, c, 1, 1]), 'bn1', 2 * c))
  h = relu6(norm(conv(h, 'depthwise', [2 * c, 1, 3, 3], 1, 2 * c), 'bn2', 2 * c))
  x = b.op('Relu', [b.op('Add', [norm(conv(h, 'project', [c, 2 * c, 1, 1]), 'bn3', c), x])])
  x = b.op('Flatten', [b.op('GlobalAveragePool', [relu6(norm(conv(x, 'down', [32, c, 3, 3], 2), 'bn4', 32))])])
  if (options.dropout) x = b.op('Dropout', [x, bound('ratio', 0.3)])
  const logits = b.op('Gemm', [x, b.weight('fc.w', [10, 32]), b.weight('fc.b', [10], 1e6)], { transB: 1 })
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', ['N', 1, 28, 28])],
    outputs: [valueInfo(logits, 'float32', ['N', 10])],
  })
}
