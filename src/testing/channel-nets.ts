/** Networks whose channels are tied in many ways, for tests of removing them: made at random, and a U-Net. */
import { f, model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Model, Node, Tensor } from '../model.ts'
import { floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { netBuilder } from './small-nets.ts'

/**
 * A random network of convolutions, normalisations, residuals, concatenations (with a stored tensor too), shuffles (with
 * computed sizes too), splits, stored gates, shared weights, grouped and transposed convolutions, slices, padded channels and
 * dense layers.
 */
export function randomChannelNet(seed: number): Model {
  const rng = random(seed)
  const nodes: Node[] = []
  const weights = new Map<string, Tensor>()
  let count = 0
  const draw = (dims: number[], offset = 0): string => {
    const name = `w${count++}`
    const scale = offset ? 0.2 : 1 / Math.sqrt(Math.max(1, sizeOf(dims.slice(1))))
    const values = Float32Array.from({ length: sizeOf(dims) }, () => offset + scale * rng.normal())
    weights.set(name, floatTensor(name, dims, offset ? values.map((v) => Math.abs(v) + 0.1) : values))
    return name
  }
  const ints = (values: number[]): string => {
    const name = `i${count++}`
    weights.set(name, integerTensor(name, 'int64', [values.length], values))
    return name
  }
  const op = (kind: string, inputs: string[], attributes: Parameters<typeof node>[3] = {}, outputs = 1): string[] => {
    const names = Array.from({ length: outputs }, () => `v${count++}`)
    nodes.push(node(kind, inputs, names, attributes))
    return names
  }
  type V = { name: string; c: number; s: number }
  const conv = (x: V, c: number, kernel: number, group = 1, weight = draw([c, x.c / group, kernel, kernel])): V => {
    const padded = kernel > 1
    const p = padded ? kernel >> 1 : 0
    const inputs = [x.name, weight]
    if (rng.next() < 0.5) inputs.push(draw([c]))
    return { name: op('Conv', inputs, { pads: [p, p, p, p], group, kernel_shape: [kernel, kernel] })[0], c, s: x.s }
  }
  const unit = (x: V): V => {
    let name = x.name
    const kind = ['Add', 'Sub', 'Mul', 'Div'][rng.below(16)]
    if (kind) name = op(kind, [name, draw(rng.next() < 0.5 ? [1, x.c, 1, 1] : [x.c, 1, 1], kind === 'Div' ? 1 : 0)])[0]
    if (rng.next() < 0.6)
      name = op('BatchNormalization', [name, draw([x.c], 1), draw([x.c]), draw([x.c]), draw([x.c], 1)])[0]
    const kinds: [string, Parameters<typeof node>[3]][] = [
      ['Relu', {}],
      ['Sigmoid', {}],
      ['LeakyRelu', { alpha: f(0.1) }],
      ['Tanh', {}],
      ['Elu', {}],
      ['Softplus', {}],
      ['HardSigmoid', {}],
      ['HardSwish', {}],
    ]
    if (rng.next() < 0.8) {
      const [kind, attributes] = kinds[rng.below(kinds.length)]
      name = op(kind, [name], attributes)[0]
    }
    return { ...x, name }
  }
  /** A list of sizes whose first is that of x; computed at random. */
  const sizes = (x: V, others: number[]): string => {
    if (rng.next() < 0.5) return ints([0, ...others])
    const batch = op('Gather', [op('Shape', [x.name])[0], ints([0])], { axis: 0 })
    return op('Concat', [...batch, ints(others)], { axis: 0 })[0]
  }
  let batch: string | number = 'N'
  let x: V = { name: 'x', c: 3, s: 6 }
  x = unit(conv(x, 8, 3))
  for (let block = 0; block < 4; block++) {
    const kind = rng.below(14)
    if (kind === 0) x = { ...x, name: op('Add', [unit(conv(unit(conv(x, x.c, 1)), x.c, 3)).name, x.name])[0] }
    else if (kind === 1) {
      const [a, b] = [unit(conv(x, 4, 1)), unit(conv(x, 6, 3))]
      x = { name: op('Concat', [a.name, b.name], { axis: 1 })[0], c: 10, s: x.s }
    } else if (kind === 2) {
      const apart = op('Reshape', [x.name, sizes(x, [2, x.c / 2, x.s, x.s])])
      const turned = op('Transpose', apart, { perm: [0, 2, 1, 3, 4] })
      x = { ...x, name: op('Reshape', [turned[0], sizes(x, [-1, x.s, x.s])])[0] }
    } else if (kind === 3) {
      const [a, b] = op('Split', [x.name, ints([x.c / 2, x.c / 2])], { axis: 1 }, 2)
      const changed = unit(conv({ name: b, c: x.c / 2, s: x.s }, x.c / 2, 1))
      x = { ...x, name: op('Concat', [a, changed.name], { axis: 1 })[0] }
    } else if (kind === 4) x = unit(conv(x, x.c, 3, x.c))
    else if (kind === 5) x = { ...x, name: op('Mul', [x.name, op('Sigmoid', [draw([1, x.c, 1, 1])])[0]])[0] }
    else if (kind === 6) {
      batch = 1 // what is stored has one sample
      x = { name: op('Concat', [draw([1, 2, x.s, x.s]), x.name], { axis: 1 })[0], c: x.c + 2, s: x.s }
    } else if (kind === 7) {
      const weight = draw([x.c, x.c, 1, 1])
      x = unit(conv(unit(conv(x, x.c, 1, 1, weight)), x.c, 1, 1, weight))
    } else if (kind === 9) x = unit(conv(x, x.c, 3, 2))
    else if (kind === 10) {
      const attributes = { pads: [1, 1, 1, 1], kernel_shape: [3, 3] }
      x = unit({ name: op('ConvTranspose', [x.name, draw([x.c, 6, 3, 3]), draw([6])], attributes)[0], c: 6, s: x.s })
    } else if (kind === 11) {
      x = { name: op('Pad', [x.name, ints([0, 0, 0, 0, 0, 2, 0, 0])])[0], c: x.c + 2, s: x.s }
    } else if (kind === 12) {
      const half = { name: op('Slice', [x.name, ints([x.c / 2]), ints([x.c]), ints([1])])[0], c: x.c / 2, s: x.s }
      x = { name: op('Concat', [x.name, unit(conv(half, 4, 1)).name], { axis: 1 })[0], c: x.c + 4, s: x.s }
    } else if (kind === 13) x = unit(conv(unit(conv(x, 2 * x.c, 3, x.c)), 8, 1))
    else x = unit(conv(x, 8, 1))
  }
  const pooled = rng.next() < 0.5
  if (pooled) x = { name: op('GlobalAveragePool', [x.name])[0], c: x.c, s: 1 }
  const features = x.c * x.s * x.s
  let [flat] = rng.next() < 0.5 ? op('Flatten', [x.name]) : op('Reshape', [x.name, sizes(x, [-1])])
  flat = op('Relu', op('Gemm', [flat, draw([12, features]), draw([12])], { transB: 1 }))[0]
  const [y] = op('Gemm', [flat, draw([5, 12])], { transB: 1 })
  return makeModel({
    nodes,
    initializers: weights,
    inputs: [valueInfo('x', 'float32', [batch, 3, 6, 6])],
    outputs: [valueInfo(y, 'float32', [batch, 5])],
  })
}

/**
 * Two levels down and up again: a transposed convolution and a Resize (by factors, to sizes, or to those of another image, as
 * PyTorch exports `interpolate(x, size=y.shape[2:])`) make images larger, which are
 * concatenated with those of the way down.
 */
export function uNet({ seed = 1, resize = 'factors' as 'factors' | 'sizes' | 'computed' } = {}): Model {
  const sized = resize === 'sizes'
  const batch = 2
  const b = netBuilder(seed)
  let count = 0
  const conv = (x: string, from: number, to: number): string => {
    const k = count++
    const y = b.op('Conv', [x, b.weight(`c${k}.w`, [to, from, 3, 3]), b.weight(`c${k}.b`, [to], 50)], {
      pads: [1, 1, 1, 1],
    })
    return b.op('Relu', [y])
  }
  const pool = (x: string): string => b.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] })
  b.initializers.set('factors', floatTensor('factors', [4], [1, 1, 2, 2]))
  const a = conv(conv('x', 3, 8), 8, 8)
  const c = conv(pool(a), 8, 12)
  const bottom = conv(conv(pool(c), 12, 16), 16, 16)
  const up = b.op('ConvTranspose', [bottom, b.weight('up.w', [16, 12, 2, 2]), b.weight('up.b', [12], 50)], {
    kernel_shape: [2, 2],
    strides: [2, 2],
  })
  const d = conv(b.op('Concat', [up, c], { axis: 1 }), 24, 12)
  b.initializers.set('sizes', integerTensor('sizes', 'int64', [4], [batch, 12, 16, 16]))
  const part = (of: string, from: number, to: number): string => {
    for (const n of [from, to]) b.initializers.set(`n${n}`, integerTensor(`n${n}`, 'int64', [1], [n]))
    return b.op('Slice', [b.op('Shape', [of]), `n${from}`, `n${to}`])
  }
  const sizes = resize === 'computed' ? b.op('Concat', [part(d, 0, 2), part(a, 2, 4)], { axis: 0 }) : 'sizes'
  const larger = b.op('Resize', resize === 'factors' ? [d, '', 'factors'] : [d, '', '', sizes], { mode: 'nearest' })
  const e = conv(b.op('Concat', [larger, a], { axis: 1 }), 20, 8)
  const y = b.op('Conv', [e, b.weight('last.w', [2, 8, 1, 1])])
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', [sized ? batch : 'N', 3, 16, 16])],
    outputs: [valueInfo(y, 'float32', [sized ? batch : 'N', 2, 16, 16])],
  })
}

/** A convolution over time, two recurrent layers over all of its steps, and a product for each step. */
export function recurrentStack(op: 'GRU' | 'LSTM' | 'RNN', hidden = 12): Model {
  const b = netBuilder(5)
  const gates = { GRU: 3, LSTM: 4, RNN: 1 }[op]
  b.initializers.set('directions', integerTensor('directions', 'int64', [1], [1]))
  const layer = (x: string, k: number, from: number): string => {
    const weights = [
      b.weight(`w${k}`, [1, gates * hidden, from], 6 * hidden),
      b.weight(`r${k}`, [1, gates * hidden, hidden], 6 * hidden),
      b.weight(`b${k}`, [1, 2 * gates * hidden], 50),
    ]
    const start = b.weight(`h${k}`, [1, 2, hidden], 50)
    return b.op('Squeeze', [b.op(op, [x, ...weights, '', start], { hidden_size: hidden }), 'directions'])
  }
  const c = b.op('Relu', [b.op('Conv', ['x', b.weight('c', [8, 3, 3])], { pads: [1, 1] })])
  const steps = layer(layer(b.op('Transpose', [c], { perm: [2, 0, 1] }), 0, 8), 1, hidden)
  const y = b.op('MatMul', [b.op('Transpose', [steps], { perm: [1, 0, 2] }), b.weight('m', [hidden, 5])])
  return makeModel({
    nodes: b.nodes,
    initializers: b.initializers,
    inputs: [valueInfo('x', 'float32', [2, 3, 6])],
    outputs: [valueInfo(y, 'float32', [2, 6, 5])],
  })
}
