/**
 * Layer by layer to a model: each function adds a layer's nodes and weights and returns its output with its shape, so
 * that the next layer knows its input. Weights are named as torchvision names them (`features.0.weight`).
 *
 * Each weight is drawn from its own stream, of the seed and the weight's name: adding a layer changes no other.
 */
import { UnsupportedError } from '../errors.ts'
import { f, node, model as toModel, valueInfo } from '../graph/build.ts'
import type { Model, Node, Tensor } from '../model.ts'
import { floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'

export interface NetOptions {
  readonly classes?: number
  /** [channels, height, width] of one sample. */
  readonly inputShape?: readonly [channels: number, height: number, width: number]
  /** Factor on every layer's channels (and hidden units); default 1. */
  readonly width?: number
  readonly seed?: number
  /** false leaves all drawn weights 0, where only the shapes matter. */
  readonly initialize?: boolean
}

/** A value of the network and its shape without the batch axis. */
export interface Val {
  readonly name: string
  readonly shape: readonly number[]
}

/** How a layer's weights are drawn: the distribution and its scale (bound or standard deviation) by the fans. */
export interface Init {
  readonly kind: 'uniform' | 'normal'
  readonly scale: (fanIn: number, fanOut: number) => number
}

/** PyTorch's default for convolutions and dense layers: U(±1/sqrt(fanIn)). */
export const torchDefault: Init = { kind: 'uniform', scale: (fanIn) => 1 / Math.sqrt(fanIn) }
/** He et al. 2015 (arXiv:1502.01852), by what goes out. */
export const heFanOut: Init = { kind: 'normal', scale: (_, fanOut) => Math.sqrt(2 / fanOut) }
export const heFanIn: Init = { kind: 'normal', scale: (fanIn) => Math.sqrt(2 / fanIn) }
export const heUniform: Init = { kind: 'uniform', scale: (fanIn) => Math.sqrt(6 / fanIn) }
/** Caffe's `xavier` filler: U(±sqrt(3/fanIn)). */
export const caffeXavier: Init = { kind: 'uniform', scale: (fanIn) => Math.sqrt(3 / fanIn) }
export const normal001: Init = { kind: 'normal', scale: () => 0.01 }

export interface Initializers {
  readonly conv: Init
  readonly linear: Init
  /** Biases: 0, or as PyTorch draws them. */
  readonly bias: 'zero' | 'torch'
}

export interface ConvOptions {
  readonly out: number
  readonly kernel: number | readonly [number, number]
  readonly stride?: number
  /** One number for all sides, or [top, left, bottom, right]; default 0. */
  readonly pad?: number | readonly [number, number, number, number]
  readonly groups?: number
  /** Default true. */
  readonly bias?: boolean
  readonly init?: Init
}

export interface PoolOptions {
  readonly kernel: number
  readonly stride?: number
  readonly pad?: number
  /** Keeps the last, partly filled window (PyTorch's ceil_mode), by padding below and to the right. */
  readonly ceil?: boolean
}

export interface NormOptions {
  readonly epsilon?: number
  readonly momentum?: number
}

/** What a network is built with; see `network`. */
export type Layers = ReturnType<typeof layersFor>

/** Builds a model: `body` adds the layers and returns the class scores. The batch axis is the symbol N. */
export function network(
  name: string,
  options: Required<NetOptions>,
  initializers: Initializers,
  body: (layers: Layers, input: Val) => Val,
): Model {
  const { inputShape, classes, width } = options
  for (const [what, value] of Object.entries({ classes, channels: inputShape[0], height: inputShape[1] })) {
    if (!(Number.isInteger(value) && value > 0))
      throw new Error(`${name}: ${what} must be a whole number above 0, got ${value}`)
  }
  if (!(width > 0 && Number.isFinite(width))) throw new Error(`${name}: width must be above 0, got ${width}`)
  const nodes: Node[] = []
  const weights = new Map<string, Tensor>()
  const output = body(layersFor(name, { options, initializers, nodes, weights }), { name: 'input', shape: inputShape })
  const last = nodes[nodes.length - 1]
  nodes[nodes.length - 1] = { ...last, outputs: ['logits'] }
  return toModel({
    name,
    nodes,
    initializers: weights,
    inputs: [valueInfo('input', 'float32', ['N', ...inputShape])],
    outputs: [valueInfo('logits', 'float32', ['N', ...output.shape])],
  })
}

interface Under {
  readonly options: Required<NetOptions>
  readonly initializers: Initializers
  readonly nodes: Node[]
  readonly weights: Map<string, Tensor>
}

function layersFor(net: string, { options, initializers, nodes, weights }: Under) {
  const { seed, initialize } = options
  const add = (
    op: string,
    inputs: readonly string[],
    shape: readonly number[],
    more: Parameters<typeof node>[3] = {},
  ) => {
    const name = `${op.toLowerCase()}_${nodes.length}`
    nodes.push(node(op, inputs, [name], more, { name }))
    return { name, shape }
  }
  const store = (tensor: Tensor): string => {
    if (!weights.has(tensor.name)) weights.set(tensor.name, tensor)
    return tensor.name
  }
  const fill = (name: string, dims: readonly number[], value: number): string =>
    store(floatTensor(name, dims, new Float32Array(sizeOf(dims)).fill(value)))
  const drawn = (name: string, dims: readonly number[], kind: Init['kind'], scale: number): string => {
    const values = new Float32Array(sizeOf(dims))
    if (initialize) {
      const rng = random(seed ^ hashOf(name))
      if (kind === 'normal') for (let i = 0; i < values.length; i++) values[i] = scale * rng.normal()
      else for (let i = 0; i < values.length; i++) values[i] = scale * (2 * rng.next() - 1)
    }
    return store(floatTensor(name, dims, values))
  }
  const biasOf = (name: string, size: number, fanIn: number): string =>
    initializers.bias === 'zero' ? fill(name, [size], 0) : drawn(name, [size], 'uniform', 1 / Math.sqrt(fanIn))

  /** The sizes that a window leaves; throws where the image is too small. */
  const slide = (x: Val, kernel: readonly number[], stride: number, pads: readonly number[]): [number, number] => {
    const side = (i: number): number => Math.floor((x.shape[1 + i] + pads[i] + pads[2 + i] - kernel[i]) / stride) + 1
    const sides: [number, number] = [side(0), side(1)]
    if (sides[0] < 1 || sides[1] < 1) {
      throw new UnsupportedError(
        `${net}: the input [${options.inputShape.join(',')}] is too small for a layer that gets [${x.shape.join(',')}]`,
      )
    }
    return sides
  }

  const conv = (x: Val, name: string, c: ConvOptions): Val => {
    const { out, stride = 1, pad = 0, groups = 1, bias = true, init = initializers.conv } = c
    const kernel = typeof c.kernel === 'number' ? [c.kernel, c.kernel] : c.kernel
    const pads = typeof pad === 'number' ? [pad, pad, pad, pad] : pad
    const dims = [out, x.shape[0] / groups, ...kernel]
    const fanIn = dims[1] * dims[2] * dims[3]
    const weight = drawn(`${name}.weight`, dims, init.kind, init.scale(fanIn, out * dims[2] * dims[3]))
    const inputs = [x.name, weight, ...(bias ? [biasOf(`${name}.bias`, out, fanIn)] : [])]
    const shape = [out, ...slide(x, kernel, stride, pads)]
    return add('Conv', inputs, shape, { kernel_shape: kernel, strides: [stride, stride], pads, group: groups })
  }
  const batchNorm = (x: Val, name: string, { epsilon = 1e-5, momentum = 0.9 }: NormOptions = {}): Val => {
    const size = [x.shape[0]]
    const inputs = [fill(`${name}.weight`, size, 1), fill(`${name}.bias`, size, 0)]
    inputs.push(fill(`${name}.running_mean`, size, 0), fill(`${name}.running_var`, size, 1))
    return add('BatchNormalization', [x.name, ...inputs], x.shape, { epsilon: f(epsilon), momentum: f(momentum) })
  }
  const relu = (x: Val): Val => add('Relu', [x.name], x.shape)
  const relu6 = (x: Val): Val => {
    const bounds = [store(floatTensor('relu6.min', [], [0])), store(floatTensor('relu6.max', [], [6]))]
    return add('Clip', [x.name, ...bounds], x.shape)
  }
  const dropout = (x: Val, ratio: number): Val =>
    add('Dropout', [x.name, store(floatTensor(`dropout.ratio_${ratio}`, [], [ratio]))], x.shape)
  const pool = (
    op: 'MaxPool' | 'AveragePool',
    x: Val,
    { kernel, stride = kernel, pad = 0, ceil }: PoolOptions,
  ): Val => {
    const end = (side: number): number => {
      const rest = (side + 2 * pad - kernel) % stride
      return ceil && rest !== 0 && side + 2 * pad - rest + stride - kernel < side + pad ? pad + stride - rest : pad
    }
    const pads = [pad, pad, end(x.shape[1]), end(x.shape[2])]
    const shape = [x.shape[0], ...slide(x, [kernel, kernel], stride, pads)]
    return add(op, [x.name], shape, { kernel_shape: [kernel, kernel], strides: [stride, stride], pads })
  }
  const flatten = (x: Val): Val => add('Flatten', [x.name], [sizeOf(x.shape)], { axis: 1 })
  const ints = (name: string, values: readonly number[]): string =>
    store(integerTensor(name, 'int64', [values.length], values))

  /** PyTorch's AdaptiveAvgPool2d to side x side, where one side divides the other: windows, or repeated pixels. */
  const adaptivePool = (x: Val, side: number): Val => {
    const [channels, height, width] = x.shape
    if (height === side && width === side) return x
    if (height % side === 0 && width % side === 0) {
      const window = [height / side, width / side]
      return add('AveragePool', [x.name], [channels, side, side], { kernel_shape: window, strides: window })
    }
    if (side % height !== 0 || side % width !== 0) {
      throw new UnsupportedError(
        `${net}: the input [${options.inputShape.join(',')}] leaves a map of ${height}x${width}, which cannot be pooled to ${side}x${side}; expected one side to divide the other`,
      )
    }
    const scales = store(floatTensor(`pooled.scales_${nodes.length}`, [4], [1, 1, side / height, side / width]))
    const how = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' }
    return add('Resize', [x.name, '', scales], [channels, side, side], how)
  }
  return {
    /** Any operator, and tensors of one's own: drawn as `initializers.linear` says, of one value, or integers. */
    op: add,
    weight: (name: string, dims: readonly number[], [fanIn, fanOut]: readonly [number, number]): string =>
      drawn(name, dims, initializers.linear.kind, initializers.linear.scale(fanIn, fanOut)),
    fill,
    ints,
    conv,
    batchNorm,
    relu,
    relu6,
    dropout,
    flatten,
    adaptivePool,
    maxPool: (x: Val, how: PoolOptions): Val => pool('MaxPool', x, how),
    averagePool: (x: Val, how: PoolOptions): Val => pool('AveragePool', x, how),
    /** The mean over the whole image, as a vector. */
    globalPool: (x: Val): Val => flatten(add('GlobalAveragePool', [x.name], [x.shape[0], 1, 1])),
    add: (a: Val, b: Val): Val => add('Add', [a.name, b.name], a.shape),
    concat: (...parts: readonly Val[]): Val => {
      const channels = parts.reduce((sum, p) => sum + p.shape[0], 0)
      return add(
        'Concat',
        parts.map((p) => p.name),
        [channels, ...parts[0].shape.slice(1)],
        { axis: 1 },
      )
    },
    linear(x: Val, name: string, out: number, init = initializers.linear): Val {
      const [fanIn] = x.shape
      const weight = drawn(`${name}.weight`, [out, fanIn], init.kind, init.scale(fanIn, out))
      return add('Gemm', [x.name, weight, biasOf(`${name}.bias`, out, fanIn)], [out], { transB: 1 })
    },
    /** The channels in two halves. */
    split(x: Val): [Val, Val] {
      const half = x.shape[0] / 2
      const first = add('Split', [x.name, ints(`split.sizes_${half}`, [half, half])], [half, ...x.shape.slice(1)], {
        axis: 1,
      })
      const second = { name: `${first.name}_b`, shape: first.shape }
      nodes[nodes.length - 1] = { ...nodes[nodes.length - 1], outputs: [first.name, second.name] }
      return [first, second]
    },
    /** Interleaves `groups` groups of channels: channel a·n + b goes to b·groups + a. */
    shuffle(x: Val, groups: number): Val {
      const [channels, height, width] = x.shape
      const apart = [groups, channels / groups, height, width]
      const grouped = add('Reshape', [x.name, ints(`shuffle.apart_${apart.join('x')}`, [0, ...apart])], apart)
      const turned = [apart[1], apart[0], height, width]
      const swapped = add('Transpose', [grouped.name], turned, { perm: [0, 2, 1, 3, 4] })
      const together = ints(`shuffle.together_${x.shape.join('x')}`, [0, ...x.shape])
      return add('Reshape', [swapped.name, together], x.shape)
    },
    /**
     * Every second row and column, with zero channels on either side up to `out`: He et al.'s shortcut A. Of an odd
     * number, one more comes after than before.
     */
    shortcutA(x: Val, out: number): Val {
      const [channels, height, width] = x.shape
      const half = [channels, Math.ceil(height / 2), Math.ceil(width / 2)]
      const bounds = [ints('shortcut.starts', [0, 0]), ints('shortcut.ends', [2 ** 31 - 1, 2 ** 31 - 1])]
      bounds.push(ints('shortcut.axes', [2, 3]), ints('shortcut.steps', [2, 2]))
      const sliced = add('Slice', [x.name, ...bounds], half)
      const before = Math.floor((out - channels) / 2)
      const after = out - channels - before
      const name = before === after ? `shortcut.pads_${before}` : `shortcut.pads_${before}_${after}`
      const pads = ints(name, [0, before, 0, 0, 0, after, 0, 0])
      return add('Pad', [sliced.name, pads], [out, half[1], half[2]], { mode: 'constant' })
    },
  }
}

/** FNV-1a over a name's UTF-16 units. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  return hash
}

/** A channel count times the width factor, rounded, at least 1. */
export function scaled(channels: number, width: number): number {
  return Math.max(1, Math.round(channels * width))
}

/** The options with every default filled in: 1000 classes of 3x224x224 images by default. */
export function netDefaults(options: NetOptions, defaults: Partial<NetOptions> = {}): Required<NetOptions> {
  const base = { classes: 1000, inputShape: [3, 224, 224] as const, width: 1, seed: 0, initialize: true }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  return { ...base, ...defaults, ...given }
}
