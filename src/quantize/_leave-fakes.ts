/** The end of training under quantisation: the trained model on integers, or with weights of few values. */
import { constantOf, floatAttribute, producersOf } from '../graph/walk.ts'
import { replaceTensors } from '../graph/weights.ts'
import type { Graph, Model, Node, Tensor } from '../model.ts'
import { floats, floatTensor, sizeOf } from '../tensor/dtype.ts'
import type { Range } from './_histogram.ts'
import { inputScaleOf, type QuantizedLayer, writeQdq } from './_qdq.ts'
import type { Levels } from './_signs.ts'
import type { FakeWeight } from './_weight-quantisers.ts'
import { type PointOfLayer, type PointsOptions, pointsOf } from './quantised-points.ts'

/** A value between layers and what rounds it. */
export interface FakeValue {
  readonly name: string
  /** Of 1 bit: -1 and 1 (signs) where the value can be negative, else 0 and 1. */
  readonly bits: number
  readonly low: number
  readonly high: number
  /** The stored step, or the end of the range where `factor` is not 1: step = parameter · factor. */
  readonly parameter: string
  readonly factor: number
  readonly start: number
  /** The rounded value. */
  readonly rounded: string
}

/** Whether nothing but signs is left of the value. */
export const isSigns = ({ bits, low }: FakeValue): boolean => bits === 1 && low < 0

export interface Fakes {
  readonly options: PointsOptions & { readonly activations: string }
  /** By the stored tensor. */
  readonly weights: ReadonlyMap<Tensor, FakeWeight>
  readonly values: readonly FakeValue[]
}

/** `trained` is `model` with quantisers in it and other values in what it stores. */
export function leaveFakes(
  { model, trained }: { readonly model: Model; readonly trained: Model },
  { options, weights, values }: Fakes,
): Model {
  const stored = (name: string): Float32Array => floats(trained.graph.initializers.get(name) as Tensor)
  const { initializers } = model.graph
  const levels = new Map([...weights].map(([t, w]) => [t.name, w.levels(stored(t.name), stored)]))
  const plain = replaceTensors(
    model,
    new Map([...initializers].map(([name, t]) => [t, trained.graph.initializers.get(name) ?? t])),
  )
  const points = pointsOf(plain, options)
  if (options.activations === 'float') {
    const rounded = points.layers.map(({ layer, axis }): [Tensor, Tensor] => {
      const tensor = constantOf(plain.graph, layer.inputs[1]) as Tensor
      return [tensor, roundedTensor(tensor, levels.get(tensor.name) as Levels, axis)]
    })
    return replaceTensors(plain, new Map(rounded))
  }
  const ranges = new Map<string, Range>()
  const highest = new Map<string, number>()
  const signs = new Set<string>()
  const producers = producersOf(points.folded.graph)
  for (const value of values) {
    const { name, low, high, parameter, factor } = value
    const learnt = Math.fround(Math.fround(factor) * stored(parameter)[0])
    // Beyond what a Clip lets through no level is used, and ONNX Runtime (1.30) fails on a Clip that it cannot leave out.
    const [least, most] = clippedTo(points.folded.graph, producers.get(name))
    const needed = Math.max(most / (low + 255), low < 0 ? least / low : 0)
    const step = high - low < 255 ? learnt : Math.min(learnt, needed)
    ranges.set(name, { min: low * step, max: (low + 255) * step })
    if (high - low < 255) highest.set(name, high - low)
    if (isSigns(value)) signs.add(name)
  }
  const { plan, folded } = points
  const layers = new Map(
    points.layers.map((point) => {
      const weight = constantOf(plain.graph, point.layer.inputs[1]) as Tensor
      const inputScale = inputScaleOf(point.folded, { plan, ranges })
      return [
        point.folded,
        onIntegers({ plain, folded }, point, { levels: levels.get(weight.name) as Levels, inputScale }),
      ]
    }),
  )
  return writeQdq(folded, { plan, ranges, layers, highest, signs })
}

/** What a Clip lets through; infinities where that is not known. */
function clippedTo(graph: Graph, node: Node | undefined): [least: number, most: number] {
  const limitOf = (input: number, otherwise: number): number => {
    const limit = node?.op === 'Clip' && node.inputs[input] ? constantOf(graph, node.inputs[input]) : undefined
    return limit ? floats(limit)[0] : otherwise
  }
  return [limitOf(1, Number.NEGATIVE_INFINITY), limitOf(2, Number.POSITIVE_INFINITY)]
}

/** The channel of an element, of a tensor with one step or one per channel. */
function channelsOf(tensor: Tensor, axis: number): (index: number) => number {
  const inner = sizeOf(tensor.dims.slice(axis + 1))
  return (i) => Math.floor(i / inner) % tensor.dims[axis]
}

function roundedTensor(tensor: Tensor, { levels, steps }: Levels, axis: number): Tensor {
  const channelOf = channelsOf(tensor, axis)
  const at = (i: number): number => steps[steps.length === 1 ? 0 : channelOf(i)]
  return floatTensor(
    tensor.name,
    tensor.dims,
    Float32Array.from(levels, (q, i) => q * at(i) || 0),
  )
}

/** γ / sqrt(variance + ε) per channel. */
function factorsOf(graph: Graph, norm: Node): Float64Array {
  const [gamma, , , variance] = norm.inputs.slice(1).map((name) => floats(constantOf(graph, name) as Tensor))
  const epsilon = floatAttribute(norm, 'epsilon', Math.fround(1e-5))
  return Float64Array.from(gamma, (g, c) => g / Math.sqrt(variance[c] + epsilon))
}

/**
 * A layer's integers and scales. Normalisation's factors join the scales, a negative one turns the integers round. Few
 * levels are spread over more of the 8 bits by a power of two: the bias, whose step is the product of both scales, would be
 * coarse otherwise.
 */
function onIntegers(
  { plain, folded }: { readonly plain: Model; readonly folded: Model },
  { layer, norm, folded: node, axis }: PointOfLayer,
  { levels: { levels, steps }, inputScale }: { readonly levels: Levels; readonly inputScale: number },
): QuantizedLayer {
  const weight = constantOf(plain.graph, layer.inputs[1]) as Tensor
  const channels = weight.dims[axis]
  const factors = norm ? factorsOf(plain.graph, norm) : new Float64Array(channels).fill(1)
  const stored = node.inputs[2] ? floats(constantOf(folded.graph, node.inputs[2]) as Tensor) : undefined
  const bias = stored && Float32Array.from({ length: channels }, (_, c) => stored[stored.length === 1 ? 0 : c])
  const largest = levels.reduce((m, q) => Math.max(m, Math.abs(q)), 1)
  const spread = 2 ** Math.max(0, Math.floor(Math.log2(64 / largest)))
  const ideal = Float64Array.from(
    { length: channels },
    (_, c) => (steps[steps.length === 1 ? 0 : c] * Math.abs(factors[c])) / spread,
  )
  // A bias that would not fit 32 bits: the channel's weights hardly count beside it, and a coarser scale rounds them.
  const scales = Float32Array.from(
    ideal,
    (s, c) => Math.max(s, bias ? Math.abs(bias[c]) / inputScale / 2 ** 30 : 0) || 1,
  )
  const channelOf = channelsOf(weight, axis)
  const values = Int8Array.from(levels, (q, i) => {
    const c = channelOf(i)
    return Math.sign(factors[c]) * Math.round((q * spread * ideal[c]) / scales[c])
  })
  return { weight: constantOf(folded.graph, node.inputs[1]) as Tensor, axis, values, scales, ...(bias ? { bias } : {}) }
}
