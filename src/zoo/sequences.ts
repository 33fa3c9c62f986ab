/**
 * Networks that read a map row by row, as a sequence: time steps of sounds, or the rows of an image. Initialisation is PyTorch's.
 */
import { f } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { type Layers, type NetOptions, netDefaults, network, scaled, torchDefault, type Val } from './_builder.ts'

const torch = { conv: torchDefault, linear: torchDefault, bias: 'torch' } as const
const keywords = { classes: 12, inputShape: [1, 49, 10] } as const

/** A gated recurrent unit (Cho et al. 2014, arXiv:1406.1078) of 64 units, and its last state to scores: 15,372 parameters. */
export function gru(options: NetOptions = {}): Model {
  const o = netDefaults(options, keywords)
  return network('gru', o, torch, (b, input) => {
    const x = rows(b, input)
    const [steps, features] = x.shape
    const units = scaled(64, o.width)
    // ONNX has time first, and all three gates in one weight. PyTorch's reset gate comes after the product.
    const inTime = b.op('Transpose', [x.name], [steps, features], { perm: [1, 0, 2] })
    const fans = [units, units] as const
    const weights = [
      b.weight('gru.weight_ih', [1, 3 * units, features], fans),
      b.weight('gru.weight_hh', [1, 3 * units, units], fans),
      b.weight('gru.bias', [1, 6 * units], fans),
    ]
    const all = b.op('GRU', [inTime.name, ...weights], [1, units], { hidden_size: units, linear_before_reset: 1 })
    const every = b.op('Transpose', [all.name], [steps, units], { perm: [2, 0, 1, 3] })
    const last = b.op('Gather', [every.name, b.ints('gru.last', [steps - 1])], [1, 1, units], { axis: 1 })
    return b.linear(b.flatten(last), 'fc', o.classes)
  })
}

/**
 * A transformer (Vaswani et al. 2017, arXiv:1706.03762) of two blocks, 64 wide, with 4 heads; normalised first, and the mean over
 * the sequence to scores: 71,692 parameters.
 */
export function transformer(options: NetOptions = {}): Model {
  const o = netDefaults(options, keywords)
  return network('transformer', o, torch, (b, input) => {
    const heads = 4
    const width = heads * scaled(16, o.width)
    let x = dense(b, rows(b, input), 'embed', width)
    const positions = { name: b.weight('positions', [1, ...x.shape], [width, width]), shape: x.shape }
    x = b.add(x, positions)
    for (let i = 0; i < 2; i++) {
      x = b.add(x, attention(b, norm(b, x, `block${i}.norm1`), { name: `block${i}.attention`, heads }))
      const wider = gelu(b, dense(b, norm(b, x, `block${i}.norm2`), `block${i}.up`, 2 * width))
      x = b.add(x, dense(b, wider, `block${i}.down`, width))
    }
    const mean = b.op('ReduceMean', [norm(b, x, 'norm').name], [1, width], { axes: [1], keepdims: 1 })
    return b.linear(b.flatten({ ...mean, shape: [width] }), 'fc', o.classes)
  })
}

/** [channels, height, width] as `height` steps of all that is in a row. */
function rows(b: Layers, x: Val): Val {
  const [channels, height, width] = x.shape
  const turned = b.op('Transpose', [x.name], [height, channels, width], { perm: [0, 2, 1, 3] })
  const shape = [height, channels * width]
  return b.op('Reshape', [turned.name, b.ints('rows', [0, ...shape])], shape)
}

/** A dense layer on the last axis. */
function dense(b: Layers, x: Val, name: string, out: number): Val {
  const [steps, width] = x.shape
  const fans = [width, out] as const
  const product = b.op('MatMul', [x.name, b.weight(`${name}.weight`, [width, out], fans)], [steps, out])
  return b.op('Add', [product.name, b.weight(`${name}.bias`, [out], fans)], [steps, out])
}

function norm(b: Layers, x: Val, name: string): Val {
  const size = [x.shape[1]]
  const weights = [b.fill(`${name}.weight`, size, 1), b.fill(`${name}.bias`, size, 0)]
  return b.op('LayerNormalization', [x.name, ...weights], x.shape, { axis: -1, epsilon: f(1e-5) })
}

/** x/2 · (1 + erf(x/√2)), as exporters write it below operator set 20. */
function gelu(b: Layers, x: Val): Val {
  const scalar = (name: string, value: number): string => b.fill(name, [], value)
  const error = b.op('Erf', [b.op('Div', [x.name, scalar('gelu.root', Math.SQRT2)], x.shape).name], x.shape)
  const shifted = b.op('Add', [error.name, scalar('gelu.one', 1)], x.shape)
  const product = b.op('Mul', [x.name, shifted.name], x.shape)
  return b.op('Mul', [product.name, scalar('gelu.half', 0.5)], x.shape)
}

function attention(b: Layers, x: Val, { name, heads }: { readonly name: string; readonly heads: number }): Val {
  const [steps, width] = x.shape
  const each = width / heads
  const byHeads = (part: string, perm: readonly number[]): Val => {
    const made = dense(b, x, `${name}.${part}`, width)
    const split = b.op('Reshape', [made.name, b.ints('heads', [0, 0, heads, each])], [steps, heads, each])
    return b.op('Transpose', [split.name], [heads, steps, each], { perm })
  }
  const products = b.op(
    'MatMul',
    [byHeads('query', [0, 2, 1, 3]).name, byHeads('key', [0, 2, 3, 1]).name],
    [heads, steps, steps],
  )
  const smaller = b.op('Mul', [products.name, b.fill('attention.scale', [], 1 / Math.sqrt(each))], products.shape)
  const shares = b.op('Softmax', [smaller.name], products.shape, { axis: -1 })
  const mixed = b.op('MatMul', [shares.name, byHeads('value', [0, 2, 1, 3]).name], [heads, steps, each])
  const turned = b.op('Transpose', [mixed.name], [steps, heads, each], { perm: [0, 2, 1, 3] })
  const whole = b.op('Reshape', [turned.name, b.ints('whole', [0, 0, width])], [steps, width])
  return dense(b, whole, `${name}.out`, width)
}
