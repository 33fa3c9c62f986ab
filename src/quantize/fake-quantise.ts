/**
 * Training under quantisation, as a regime: weights and activations are rounded at every step, so that the network learns
 * to do with few bits. At the end the model has QuantizeLinear / DequantizeLinear nodes around integers, which ONNX Runtime
 * computes on; with activations in float, float weights of few values.
 *
 * BatchNormalization keeps learning behind its layer and is folded when the regime leaves: its factors join the weights' scales,
 * so that integers stay what was trained. With 8 bits for activations every value between layers that can be is an
 * integer, as with `int8`; with fewer only what layers multiply with, and sums and poolings stay in float.
 *
 * Activations of 1 bit: a value that can be negative becomes s · sign(x), as the binary activations of XNOR-Net (Rastegari et
 * al. 2016, arXiv:1603.05279, section 3.2); behind a Relu it becomes 0 or s, whichever is nearer. One s serves the whole value: that
 * paper's factor of each place gains little and needs floats. It is learnt (Bulat & Tzimiropoulos 2019, arXiv:1909.13863), or with
 * straight-through the running mean of |x|, twice that behind a Relu.
 */
import { f, node } from '../graph/build.ts'
import { editGraph, type GraphEdit } from '../graph/edit.ts'
import { constantOf } from '../graph/walk.ts'
import { type Model, type Node, opsetOf, type Tensor } from '../model.ts'
import { add, mul, reduce, reshape, scale } from '../ops/grad/emit.ts'
import { macroDomain } from '../ops/grad/rule.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import type { Projection, Regime, RegimeParts, StateTensor, Term } from '../train/regime.ts'
import type { Range } from './_histogram.ts'
import { type FakeValue, isSigns, leaveFakes } from './_leave-fakes.ts'
import { type FakeWeight, fakeWeight, type WeightQuantiser, weightQuantisers } from './_weight-quantisers.ts'
import { type Points, pointsOf } from './quantised-points.ts'

export { weightQuantisers }
export const activationQuantisers = ['lsq', 'pact', 'straight-through', 'float'] as const
export type ActivationQuantiser = (typeof activationQuantisers)[number]

export interface FakeQuantiseOptions {
  /** What values between layers span, by name (`calibrateValues`). Not read where activations stay in float. */
  readonly ranges: ReadonlyMap<string, Range>
  /** 2 to 8. */
  readonly weightBits: number
  /** Of the weights named here, instead of `weightBits` and `edgeBits`. */
  readonly bitsOf?: Readonly<Record<string, number>>
  /** 1 to 8. */
  readonly activationBits: number
  /** Bits of the first and the last layer, weights and inputs; 0: those of the others. */
  readonly edgeBits: number
  readonly weights: WeightQuantiser
  readonly activations: ActivationQuantiser
  /** One learnt step per output channel instead of one per tensor. */
  readonly perChannel: boolean
  /** See `int8`. */
  readonly reduceRange: boolean
  /** Nodes that stay in float, by name. */
  readonly excludeNodes: readonly string[]
  /** λ of λ/2 · α², for the ends α of PACT's ranges. */
  readonly clipDecay?: number
}

/** For a model that `prepareForFakes` has prepared. */
export function fakeQuantise(options: FakeQuantiseOptions): Regime {
  const { ranges, weightBits, activationBits, edgeBits, weights, activations, perChannel, reduceRange } = options
  return {
    id: 'fake-quantise',
    digest: {
      ...{ weightBits, activationBits, edgeBits, weights, activations, perChannel, reduceRange },
      excludeNodes: options.excludeNodes,
      bitsOf: options.bitsOf,
      clipDecay: options.clipDecay,
      ranges: [...ranges].map(([name, { min, max }]) => [name, min, max]),
    },
    enter: (model) => enter(model, options),
  }
}

function enter(model: Model, options: FakeQuantiseOptions): RegimeParts {
  const points = pointsOf(model, options)
  if (points.layers.length === 0)
    throw new Error('fake-quantise: the model has no layer that can be quantised; expected a Conv, Gemm or MatMul')
  const edit = editGraph(model)
  const { weights, weightOf } = fakeWeights(model, points, { options, edit })
  const values = options.activations === 'float' ? [] : fakeValues(points, { options, edit })
  const parameters = [...weights.values()].flatMap((w) => w.parameters)
  const ends = values.map((v) => v.parameter)
  const running = options.activations === 'straight-through'
  return {
    model: entered(model, { points, weights, weightOf, values, learns: options.activations, edit }),
    parameters: [...[...weights.keys()].map((t) => t.name), ...parameters, ...ends],
    projections: [...positive(weights, values), ...(running ? [followRanges(values)] : [])],
    ...(running ? { state: Object.fromEntries(values.map(rangeState)) } : {}),
    ...(options.activations === 'pact' && options.clipDecay ? { terms: [decay(ends, options.clipDecay)] } : {}),
    leave: (trained) => leaveFakes({ model, trained }, { options, weights, values }),
  }
}

interface Entering {
  readonly options: FakeQuantiseOptions
  readonly edit: GraphEdit
}

function fakeWeights(model: Model, points: Points, { options, edit }: Entering) {
  const { weights: quantiser, weightBits, bitsOf = {}, edgeBits, perChannel, reduceRange } = options
  const weights = new Map<Tensor, FakeWeight>()
  const weightOf = new Map<Node, string>()
  for (const { layer, axis, isEdge } of points.layers) {
    const tensor = constantOf(model.graph, layer.inputs[1]) as Tensor
    const told = bitsOf[tensor.name]
    const own = told === undefined && isEdge && edgeBits > 0
    const made = weights.get(tensor) ?? {
      ...fakeWeight({
        // Ternary and binary weights would be so whatever the bits.
        quantiser: own && quantiser !== 'straight-through' ? 'lsq' : quantiser,
        bits: told ?? (own ? edgeBits : weightBits),
        ...{ axis, perChannel, reduceRange, tensor },
        opset: opsetOf(model),
        fresh: edit.fresh,
      }),
    }
    if (!weights.has(tensor)) for (const t of made.stored) edit.store(t)
    weights.set(tensor, made)
    weightOf.set(layer, made.output)
  }
  return { weights, weightOf }
}

function fakeValues(points: Points, { options, edit }: Entering): FakeValue[] {
  return [...points.values].map(([name, bits]) => {
    const range = options.ranges.get(name)
    if (!range) throw new Error(`fake-quantise: value "${name}" has no range; expected one from calibration`)
    const signed = range.min < 0
    const low = signed ? -(2 ** (bits - 1)) : 0
    const high = signed ? Math.max(1, 2 ** (bits - 1) - 1) : 2 ** bits - 1
    const step = Math.max(range.max / high, signed ? range.min / low : 0) || 1
    const factor = options.activations === 'lsq' ? 1 : 1 / high
    const parameter = edit.fresh(`${name}_${factor === 1 ? 'step' : 'end'}`)
    edit.store(floatTensor(parameter, [1], [step / factor]))
    return { name, bits, low, high, parameter, factor, start: step / factor, rounded: edit.fresh(`${name}_rounded`) }
  })
}

interface Around {
  readonly points: Points
  readonly weights: ReadonlyMap<Tensor, FakeWeight>
  readonly weightOf: ReadonlyMap<Node, string>
  readonly values: readonly FakeValue[]
  readonly learns: ActivationQuantiser
  readonly edit: GraphEdit
}

/**
 * The model with its quantisers. A value that is made on integers is read rounded by everyone, any other only by what
 * computes on integers: as `writeQdq` writes it in the end.
 */
function entered(model: Model, { points, weights, weightOf, values, learns, edit }: Around): Model {
  const by = new Map(values.map((v) => [v.name, v]))
  const exact = new Map(
    values.flatMap((v) => (points.made.has(v.name) ? [[v.name, edit.fresh(`${v.name}_exact`)]] : [])),
  )
  const fake = (value: FakeValue): Node => {
    const { name, low, high, factor, parameter, rounded } = value
    return node(
      'FakeQuantize',
      [exact.get(name) ?? name, parameter],
      [exact.has(name) ? name : rounded],
      {
        low: f(low),
        high: f(high),
        factor: f(factor),
        learns: learns === 'lsq' ? 'step' : learns === 'pact' ? 'clip' : 'none',
        samples: 1,
        ...(isSigns(value) ? { signs: 1 } : {}),
      },
      { domain: macroDomain },
    )
  }
  const nodes = model.graph.nodes.flatMap((n) => {
    const onIntegers = points.onIntegers.has(n)
    const read = (name: string, i: number): string => {
      if (i === 1 && weightOf.has(n)) return weightOf.get(n) as string
      return onIntegers && by.has(name) && !exact.has(name) ? (by.get(name) as FakeValue).rounded : name
    }
    const changed = { ...n, inputs: n.inputs.map(read), outputs: n.outputs.map((name) => exact.get(name) ?? name) }
    return [changed, ...n.outputs.flatMap((name) => (by.has(name) ? [fake(by.get(name) as FakeValue)] : []))]
  })
  const inputs = model.graph.inputs.flatMap(({ name }) => (by.has(name) ? [fake(by.get(name) as FakeValue)] : []))
  const rounding = [...weights.values()].flatMap((w) => w.nodes)
  return edit.finishWith([...inputs, ...rounding, ...nodes])
}

/** How slowly running ranges follow: range = 0.99 · range + 0.01 · largest (of 1 bit: mean) of the batch. */
const rangeMomentum = 0.99

/** The running range of a value: where it ends. */
function rangeState({ name, bits, low, start, parameter }: FakeValue): [string, StateTensor] {
  return [
    parameter,
    {
      shape: [1],
      values: Float32Array.of(start),
      next(g, { value, state }) {
        const seen = low < 0 ? g.op('Abs', [value(name)]) : value(name)
        const end = bits === 1 ? scale(g, reduce(g, 'ReduceMean', seen), low < 0 ? 1 : 2) : reduce(g, 'ReduceMax', seen)
        return add(g, scale(g, state(parameter), rangeMomentum), scale(g, reshape(g, end, [1]), 1 - rangeMomentum))
      },
    },
  ]
}

/** Quantisers take the running ranges as their own. */
function followRanges(values: readonly FakeValue[]): Projection {
  return {
    apply: ({ state }) => ({
      weights: new Map(values.map(({ parameter }) => [parameter, Float32Array.from(state.get(parameter) ?? [])])),
    }),
  }
}

/** Keeps learnt steps above zero: at least a thousandth of what they were. */
function positive(weights: ReadonlyMap<Tensor, FakeWeight>, values: readonly FakeValue[]): Projection[] {
  const least = new Map<string, Float32Array>()
  for (const { stored, parameters } of weights.values())
    for (const t of stored)
      if (parameters.includes(t.name))
        least.set(
          t.name,
          floats(t).map((v) => v / 1000),
        )
  for (const { parameter, start } of values) least.set(parameter, Float32Array.of(start / 1000))
  if (least.size === 0) return []
  return [
    {
      apply({ weights: now }) {
        const changed = new Map<string, Float32Array>()
        for (const [name, limits] of least) {
          const steps = now.get(name)
          if (steps?.some((s, i) => !(s >= limits[i])))
            changed.set(
              name,
              steps.map((s, i) => Math.max(s, limits[i])),
            )
        }
        return { weights: changed }
      },
    },
  ]
}

/** λ/2 · Σ α² */
function decay(ends: readonly string[], lambda: number): Term {
  return {
    emit(g, { value }) {
      const squares = ends.map((name) => reduce(g, 'ReduceSum', mul(g, value(name), value(name))))
      return scale(
        g,
        squares.reduce((a, b) => add(g, a, b)),
        lambda / 2,
      )
    },
  }
}
