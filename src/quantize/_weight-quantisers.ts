/**
 * How weights are rounded while they learn: the nodes that do it, and the integers that they mean once training is over.
 *
 * - lsq: w = s · round(clip(w / s)), s is learnt. Esser et al. 2020, arXiv:1902.08153.
 * - straight-through: the same with s = max|w| / high at every step. Krishnamoorthi 2018, arXiv:1806.08342.
 * - dorefa: w = c · (2 · round(n · u) / n - 1), u = tanh(w) / (2 max|tanh w|) + 1/2, n = 2^bits - 1. Zhou et al. 2016,
 *   arXiv:1606.06160. c, which the paper leaves to a normalisation, is the factor that suits the first weights best.
 * - ternary: w = α · t, t = sign(w) where |w| > 0.7 · mean|w|, else 0; α = mean|w| there. Li et al. 2016, arXiv:1605.04711.
 * - ttq: w = p where w > t · max|w|, -n where w < -t · max|w|, else 0; t = 0.05; p and n are learnt, and the gradient of a
 *   weight is multiplied by p, n or 1. Zhu et al. 2016, arXiv:1612.01064. p and n are rounded to 64ths of the larger one, so
 *   that both are whole steps. Their gradients are sums over all weights, which throws a large layer off at any usual rate; so they are
 *   divided by the root of the number of weights, as those of lsq are.
 * - binary: w = α · sign(w), α = mean|w| of each output channel. Rastegari et al. 2016, arXiv:1603.05279.
 *
 * Gradients go straight through the rounding; those of binary where |w| < 1.
 */
import { f, node } from '../graph/build.ts'
import type { Node, Tensor } from '../model.ts'
import { macroDomain } from '../ops/grad/rule.ts'
import { isInput } from '../ops/operator-sets.ts'
import { floats, floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { roundEven } from '../tensor/round-even.ts'
import { type Levels, signsOf } from './_signs.ts'

export const weightQuantisers = ['lsq', 'straight-through', 'dorefa', 'ternary', 'ttq', 'binary'] as const
export type WeightQuantiser = (typeof weightQuantisers)[number]

export interface WeightSetting {
  readonly quantiser: WeightQuantiser
  /** 2 to 8; not read by ternary, ttq and binary. */
  readonly bits: number
  /** The axis of output channels. */
  readonly axis: number
  /** One step per output channel, of lsq; else one per tensor. */
  readonly perChannel: boolean
  /** 8 bits are -64 to 64: no sum of two weights is above 128 (see `largestSums` in _qdq.ts). */
  readonly reduceRange: boolean
}

/** What a weight is read through while it learns. */
export interface FakeWeight {
  readonly nodes: readonly Node[]
  /** The rounded weight. */
  readonly output: string
  /** Constants and parameters of the nodes. */
  readonly stored: readonly Tensor[]
  /** Those of them that are trained. */
  readonly parameters: readonly string[]
  /** The integers and steps (one, or one per channel) of trained weights. */
  levels(weights: Float32Array, stored: (name: string) => Float32Array): Levels
}

interface Made extends WeightSetting {
  readonly tensor: Tensor
  readonly opset: number
  fresh(base: string): string
}

export function fakeWeight(made: Made): FakeWeight {
  switch (made.quantiser) {
    case 'dorefa':
      return dorefa(made)
    case 'ternary':
      return ternary(made)
    case 'ttq':
      return trainedTernary(made)
    case 'binary':
      return binary(made)
    default:
      return uniform(made)
  }
}

/** The lowest and the highest level. */
function rangeOf({ bits, reduceRange }: WeightSetting): readonly [number, number] {
  if (bits === 8) return reduceRange ? [-64, 64] : [-127, 127]
  return [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
}

function uniform(made: Made): FakeWeight {
  const { tensor, quantiser, axis, fresh } = made
  const [low, high] = rangeOf(made)
  const [step, output] = [fresh(`${tensor.name}_step`), fresh(`${tensor.name}_rounded`)]
  const learns = quantiser === 'lsq'
  const channels = learns && made.perChannel ? tensor.dims[axis] : 1
  const inner = sizeOf(tensor.dims.slice(axis + 1))
  const channelOf = (i: number): number => (channels === 1 ? 0 : Math.floor(i / inner) % channels)
  const fake = (from: string, factor: number) =>
    node(
      'FakeQuantize',
      [tensor.name, from],
      [output],
      { low: f(low), high: f(high), factor: f(factor), learns: learns ? 'step' : 'none', axis },
      { domain: macroDomain },
    )
  const levelsAt = (w: Float32Array, steps: Float32Array): Levels => ({
    levels: Int8Array.from(w, (v, i) => Math.max(low, Math.min(high, roundEven(Math.fround(v / steps[channelOf(i)]))))),
    steps,
  })
  if (learns) {
    const start = Float32Array.from({ length: channels }, (_, c) =>
      bestStep(channels === 1 ? floats(tensor) : floats(tensor).filter((_v, i) => channelOf(i) === c), [low, high]),
    )
    return {
      nodes: [fake(step, 1)],
      output,
      stored: [floatTensor(step, [channels], start)],
      parameters: [step],
      levels: (w, stored) => levelsAt(w, stored(step).slice()),
    }
  }
  const magnitudes = fresh(`${tensor.name}_magnitudes`)
  return {
    nodes: [
      node('Abs', [tensor.name], [magnitudes]),
      node('ReduceMax', [magnitudes], [step], { keepdims: 0 }),
      fake(step, 1 / high),
    ],
    output,
    stored: [],
    parameters: [],
    levels(w) {
      const largest = w.reduce((m, v) => Math.max(m, Math.abs(v)), 0)
      return levelsAt(w, Float32Array.of(Math.fround(largest * Math.fround(1 / high)) || 1))
    },
  }
}

/** The step, of 100, with the least squared error. */
export function bestStep(values: Float32Array, [low, high]: readonly [number, number]): number {
  const largest = values.reduce((m, v) => Math.max(m, Math.abs(v)), 0)
  if (largest === 0) return 1
  let best = { step: 0, error: Number.POSITIVE_INFINITY }
  for (let percent = 1; percent <= 100; percent++) {
    const step = (largest / high) * (percent / 100)
    let error = 0
    for (const v of values) error += (v - step * Math.max(low, Math.min(high, Math.round(v / step)))) ** 2
    if (error < best.error) best = { step, error }
  }
  return best.step
}

function dorefa({ tensor, bits, fresh }: Made): FakeWeight {
  const count = 2 ** bits - 1
  if (bits > 7) throw new Error(`dorefa: ${bits} bits for "${tensor.name}"; expected at most 7, as its levels are odd`)
  const levelsOf = (w: Float32Array): Int8Array => {
    const largest = w.reduce((m, v) => Math.max(m, Math.abs(Math.tanh(v))), 0) || 1
    return Int8Array.from(w, (v) => 2 * roundEven((Math.tanh(v) / (2 * largest) + 0.5) * count) - count)
  }
  const start = floats(tensor)
  const first = levelsOf(start)
  const [products, squares] = first.reduce(([p, s], q, i) => [p + q * start[i], s + q * q], [0, 0])
  const step = Math.fround(products / squares)
  const { value, constants, steps } = chain(tensor.name, fresh)
  const t = value('Tanh', tensor.name)
  const half = constants(0.5)
  const share = value('Add', value('Mul', value('Div', t, value('ReduceMax', value('Abs', t))), half), half)
  const level = value('Round', value('Mul', share, constants(count)))
  const rounded = value('StraightThrough', share, value('Div', level, constants(count)))
  const centred = value('Sub', value('Mul', rounded, constants(2 * count)), constants(count))
  const output = value('Mul', centred, constants(step))
  return { ...steps(), output, parameters: [], levels: (w) => ({ levels: levelsOf(w), steps: Float32Array.of(step) }) }
}

function ternary({ tensor, fresh }: Made): FakeWeight {
  const { value, constants, steps } = chain(tensor.name, fresh)
  const size = value('Abs', tensor.name)
  const threshold = value('Mul', value('ReduceMean', size), constants(0.7))
  const large = value('Cast', value('Greater', size, threshold))
  const alpha = value('Div', value('ReduceSum', value('Mul', size, large)), value('ReduceSum', large))
  const rounded = value('Mul', value('Mul', value('Sign', tensor.name), large), alpha)
  return {
    ...steps(),
    output: value('StraightThrough', tensor.name, rounded),
    parameters: [],
    levels: (w) => signsOf(w, 'ternary'),
  }
}

/** The share of the largest magnitude from which on a weight is not 0 (Zhu et al. 2016, equation 9). */
const trainedThreshold = 0.05
/** Whole steps of the larger of the two sizes. */
const sizeSteps = 64

function trainedTernary({ tensor, fresh }: Made): FakeWeight {
  const { value, constants, stored, steps } = chain(tensor.name, fresh)
  const start = floats(tensor)
  const signs = ternarySigns(start)
  const size = (sign: number): string => {
    const own = start.filter((_v, i) => signs[i] === sign)
    const mean = own.reduce((n, v) => n + Math.abs(v), 0) / (own.length || 1)
    const made = floatTensor(fresh(`${tensor.name}_size`), [1], [mean || 1])
    stored.push(made)
    return made.name
  }
  const [p, n] = [size(1), size(-1)]
  const threshold = value('Mul', value('ReduceMax', value('Abs', tensor.name)), constants(trainedThreshold))
  const up = value('Cast', value('Greater', tensor.name, threshold))
  const down = value('Cast', value('Greater', value('Neg', tensor.name), threshold))
  const step = value('Mul', value('Max', p, n), constants(1 / sizeSteps))
  const slowness = constants(1 / Math.sqrt(start.length))
  const whole = (v: string): string =>
    value('StraightThrough', value('Mul', v, slowness), value('Mul', value('Round', value('Div', v, step)), step))
  const rounded = value('Sub', value('Mul', up, whole(p)), value('Mul', down, whole(n)))
  // 1 for weights that are 0, else the size of their side; the masks take its gradient, which ends there.
  const zero = value('Sub', value('Sub', constants(1), up), down)
  const sizes = value('Add', value('Add', value('Mul', up, p), value('Mul', down, n)), zero)
  const factor = value('StraightThrough', up, sizes)
  const latent = value('Add', value('Mul', tensor.name, factor), rounded)
  return {
    ...steps(),
    output: value('StraightThrough', latent, rounded),
    parameters: [p, n],
    levels(w, read) {
      const [above, below] = [read(p)[0], read(n)[0]]
      const step = Math.fround(Math.max(above, below) * Math.fround(1 / sizeSteps))
      const [high, low] = [above, below].map((v) => roundEven(Math.fround(v / step)))
      const levels = ternarySigns(w).map((sign) => (sign > 0 ? high : sign < 0 ? -low : 0))
      return { levels, steps: Float32Array.of(step) }
    },
  }
}

function ternarySigns(w: Float32Array): Int8Array {
  const largest = w.reduce((m, v) => Math.max(m, Math.abs(v)), 0)
  const threshold = Math.fround(largest * Math.fround(trainedThreshold))
  return Int8Array.from(w, (v) => (Math.abs(v) > threshold ? Math.sign(v) : 0))
}

function binary({ tensor, axis, opset, fresh }: Made): FakeWeight {
  const { value, stored, nodes, constants, steps } = chain(tensor.name, fresh)
  const axes = tensor.dims.flatMap((_, i) => (i === axis ? [] : [i]))
  const size = value('Abs', tensor.name)
  const alpha = fresh(`${tensor.name}_alpha`)
  if (isInput('ReduceMean', 'axes', opset)) {
    const list = integerTensor(fresh('axes'), 'int64', [axes.length], axes)
    stored.push(list)
    nodes.push(node('ReduceMean', [size, list.name], [alpha], { keepdims: 1 }))
  } else nodes.push(node('ReduceMean', [size], [alpha], { axes, keepdims: 1 }))
  const rounded = value('Mul', value('Sign', tensor.name), alpha)
  const limited = value('Clip', tensor.name, constants(-1), constants(1))
  const channels = tensor.dims[axis]
  const inner = sizeOf(tensor.dims.slice(axis + 1))
  return {
    ...steps(),
    output: value('StraightThrough', limited, rounded),
    parameters: [],
    levels: (w) => signsOf(w, 'binary', channels, (i) => Math.floor(i / inner) % channels),
  }
}

/** Collects nodes of one output each. */
function chain(base: string, fresh: (base: string) => string) {
  const nodes: Node[] = []
  const stored: Tensor[] = []
  const value = (op: string, ...inputs: string[]): string => {
    const output = fresh(`${base}_${op.toLowerCase()}`)
    const attributes = op.startsWith('Reduce') ? { keepdims: 0 } : op === 'Cast' ? { to: 1 } : {}
    nodes.push(node(op, inputs, [output], attributes, op === 'StraightThrough' ? { domain: macroDomain } : {}))
    return output
  }
  const constants = (v: number): string => {
    const tensor = floatTensor(fresh(`${base}_constant`), [], [v])
    stored.push(tensor)
    return tensor.name
  }
  return { nodes, stored, value, constants, steps: () => ({ nodes, stored }) }
}
