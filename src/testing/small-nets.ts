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
