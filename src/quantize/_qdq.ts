/**
 * Affine quantisation of tensors, and the QuantizeLinear / DequantizeLinear form of a graph.
 *
 * Activations: q = clamp(round(x / s) + z, 0, 255), per tensor. Weights: q = clamp(round(w / s), -127, 127), s per output
 * channel, z = 0. Biases: int32 at s_x * s_w, the scale in which an integer kernel accumulates.
 * Krishnamoorthi 2018, arXiv:1806.08342; ONNX operators QuantizeLinear and DequantizeLinear.
 */
import { node } from '../graph/build.ts'
import { editGraph, type GraphEdit } from '../graph/edit.ts'
import { constantOf, intAttribute, producersOf } from '../graph/walk.ts'
import type { Graph, Model, Node, Tensor } from '../model.ts'
import { floats, floatTensor, integerTensor, integers as integerValues, sizeOf } from '../tensor/dtype.ts'
import type { Range } from './_histogram.ts'
import type { Plan } from './_plan.ts'

export interface ActivationScale {
  readonly scale: number
  readonly zeroPoint: number
}

/** The step and zero point of a planned value, from its range or that of the value it is moved from. */
export function scaleOfValue(name: string, plan: Plan, ranges: ReadonlyMap<string, Range>): ActivationScale {
  const range = ranges.get(plan.values.get(name) ?? '')
  if (!range) throw new Error(`int8: value "${name}" has no range; expected one from calibration`)
  return activationScale(range)
}

/** Step and zero point of a uint8 value; the range must contain zero. A range of no width gets a step of 1. */
export function activationScale({ min, max }: Range): ActivationScale {
  const scale = Math.fround((max - min) / 255)
  if (!(scale > 0)) return { scale: 1, zeroPoint: 0 }
  return { scale, zeroPoint: Math.min(255, Math.max(0, Math.round(-min / scale))) }
}

export interface QuantizedWeight {
  readonly values: Int8Array
  /** One for each channel along the axis, or one in all. */
  readonly scales: Float32Array
}

export interface WeightOptions {
  /** The output-channel axis; undefined for one scale in all. */
  readonly axis?: number
  /** Whether no two weights of a channel with the same sign may add up to more than 128 (see `largestSums`). */
  readonly pairs?: boolean
  /** Scales to be no smaller than these (a bias may not fit its 32 bits otherwise). */
  readonly atLeast?: ArrayLike<number>
}

/** Throws where a weight holds NaN or infinity. */
export function checkFiniteWeight(tensor: Tensor): void {
  const bad = floats(tensor).find((v) => !Number.isFinite(v))
  if (bad !== undefined) throw new Error(`int8: weight "${tensor.name}" holds ${bad}; expected finite numbers`)
}

/** Symmetric int8 weights, each channel's scale from its largest magnitude. An all-zero channel gets `atLeast`, or 1. */
export function quantizeWeight(tensor: Tensor, { axis, pairs = false, atLeast }: WeightOptions = {}): QuantizedWeight {
  const w = floats(tensor)
  const channels = axis === undefined ? 1 : tensor.dims[axis]
  const inner = axis === undefined ? w.length : sizeOf(tensor.dims.slice(axis + 1))
  checkFiniteWeight(tensor)
  const channelOf = (i: number): number => Math.floor(i / inner) % channels
  const largest = pairs ? largestSums(w, channels, channelOf) : largestMagnitudes(w, channels, channelOf)
  const scales = Float32Array.from(largest, (m, c) => Math.max(m / 127, atLeast?.[c] ?? 0) || 1)
  const values = new Int8Array(w.length)
  for (let i = 0; i < w.length; i++) {
    values[i] = Math.max(-127, Math.min(127, Math.round(w[i] / scales[channelOf(i)])))
  }
  return { values, scales }
}

/** The most that two weights of one sign may add up to, in steps, where processors add products in pairs (`largestSums`). */
export const mostInPairs = 128

type ChannelOf = (index: number) => number

function largestMagnitudes(w: Float32Array, channels: number, channelOf: ChannelOf): Float64Array {
  const largest = new Float64Array(channels)
  for (let i = 0; i < w.length; i++) {
    const c = channelOf(i)
    largest[c] = Math.max(largest[c], Math.abs(w[i]))
  }
  return largest
}

/**
 * The largest sum of two weights of one sign, for each channel. x86 processors without VNNI multiply uint8 by int8 with
 * VPMADDUBSW, which adds products in pairs and saturates at 16 bits: 255 (|a| + |b|) must stay below 32,768. Which weights
 * meet depends on the kernel's packing, so every pair of the channel counts. A sum of 127 steps is 128 when rounded.
 */
function largestSums(w: Float32Array, channels: number, channelOf: ChannelOf): Float64Array {
  const [first, second] = [new Float64Array(2 * channels), new Float64Array(2 * channels)]
  for (let i = 0; i < w.length; i++) {
    const at = 2 * channelOf(i) + (w[i] < 0 ? 1 : 0)
    const magnitude = Math.abs(w[i])
    second[at] = Math.max(second[at], Math.min(first[at], magnitude))
    first[at] = Math.max(first[at], magnitude)
  }
  const sum = (at: number): number => first[at] + second[at]
  return Float64Array.from({ length: channels }, (_, c) => Math.max(sum(2 * c), sum(2 * c + 1)))
}

/** What the integers stand for, as floats. */
export function dequantizeWeight(
  tensor: Tensor,
  { values, scales }: QuantizedWeight,
  axis: number | undefined,
): Tensor {
  const inner = axis === undefined ? values.length : sizeOf(tensor.dims.slice(axis + 1))
  return floatTensor(
    tensor.name,
    tensor.dims,
    Float32Array.from(values, (q, i) => q * scales[Math.floor(i / inner) % scales.length]),
  )
}

/** A layer ready to be written: integers, scales and the axis along which they lie. */
export interface QuantizedLayer extends QuantizedWeight {
  readonly weight: Tensor
  readonly axis: number
  readonly bias?: Float32Array
}

export interface LayerOptions {
  readonly inputScale: number
  readonly pairs: boolean
  /** Added to the bias (bias correction); a layer without bias gets one. */
  readonly correction?: Float32Array
  /** Levels and scales that are found already. */
  readonly given?: QuantizedWeight
}

/** A layer's integers. The weight's scale grows where the bias would not fit 32 bits at s_x * s_w. */
export function quantizeLayer(
  graph: Graph,
  layer: Node,
  { inputScale, pairs, correction, given }: LayerOptions,
): QuantizedLayer {
  const producers = producersOf(graph)
  const weight = constantOf(graph, layer.inputs[1], producers) as Tensor
  const axis = layer.op === 'Conv' || intAttribute(layer, 'transB', 0) ? 0 : 1
  const stored = layer.op === 'MatMul' || !layer.inputs[2] ? undefined : constantOf(graph, layer.inputs[2], producers)
  const channels = weight.dims[axis]
  let bias =
    stored && Float32Array.from({ length: channels }, (_, c) => floats(stored)[sizeOf(stored.dims) === 1 ? 0 : c])
  if (correction && layer.op !== 'MatMul') bias = Float32Array.from(correction, (d, c) => (bias?.[c] ?? 0) + d)
  // 2^30 rather than 2^31 - 1: the products are added to it.
  const atLeast = bias && Float64Array.from(bias, (b) => Math.abs(b) / inputScale / 2 ** 30)
  const quantized = given
    ? withScales(given, { weight, axis, atLeast })
    : quantizeWeight(weight, { axis, pairs, atLeast })
  return { weight, axis, ...(bias ? { bias } : {}), ...quantized }
}

/** The same weights with scales that are no smaller than `atLeast`. */
function withScales(
  given: QuantizedWeight,
  { weight, axis, atLeast }: { weight: Tensor; axis: number; atLeast?: ArrayLike<number> },
): QuantizedWeight {
  if (!atLeast || given.scales.every((s, c) => s >= atLeast[c])) return given
  const inner = sizeOf(weight.dims.slice(axis + 1))
  const scales = given.scales.map((s, c) => Math.max(s, atLeast[c]))
  const values = given.values.map((q, i) => {
    const c = Math.floor(i / inner) % scales.length
    return Math.round((q * given.scales[c]) / scales[c])
  })
  return { values, scales }
}

export interface QdqParts {
  readonly plan: Plan
  readonly ranges: ReadonlyMap<string, Range>
  readonly layers: ReadonlyMap<Node, QuantizedLayer>
  /** The highest level of values that have fewer than 8 bits, by name; the lowest is 0. */
  readonly highest?: ReadonlyMap<string, number>
  /** Those of them of which the sign alone is kept: the levels are 0, 1 (for a value of 0) and 2. */
  readonly signs?: ReadonlySet<string>
  /** The type that values are held in; default uint8. */
  readonly activations?: 'uint8' | 'int8'
}

/** The model with the planned values and weights held as integers. Every value keeps its name. */
export function writeQdq(model: Model, parts: QdqParts): Model {
  const { graph } = model
  const writer = writerFor(model, parts)
  for (const { name } of graph.inputs) if (parts.plan.values.has(name)) quantizeValue(writer, name)
  for (const original of graph.nodes) writeNode(writer, original)
  keepFloatLayers(writer)
  return writer.finishWith(writer.nodes)
}

/** How many channels a layer reads, along axis 1 of its input. */
function inputChannels(layer: Node, dims: readonly number[]): number | undefined {
  if (layer.domain) return undefined
  if (layer.op === 'Conv') return dims[1] * intAttribute(layer, 'group', 1)
  if (layer.op === 'ConvTranspose') return dims[0]
  if (layer.op === 'Gemm' && !intAttribute(layer, 'transA', 0)) return dims[intAttribute(layer, 'transB', 0) ? 1 : 0]
  return undefined
}

/**
 * ONNX Runtime (WeightBiasQuantization, from 1.21 on) puts a float layer on integers, with one scale for its whole weight,
 * where its input comes from a DequantizeLinear with one scale. Layers that are to stay in float therefore read one with a
 * scale for each channel, all of them the same.
 */
function keepFloatLayers(writer: Writer): void {
  const { nodes, stored, store } = writer
  const producers = new Map(nodes.flatMap((n) => n.outputs.map((o) => [o, n] as const)))
  const made = new Map<string, string>()
  for (const layer of [...nodes]) {
    const weight = stored(layer.inputs[1] ?? '')
    const channels = weight?.dtype === 'float32' ? inputChannels(layer, weight.dims) : undefined
    const source = producers.get(layer.inputs[0])
    const [integers, scale, zeroPoint] = source?.op === 'DequantizeLinear' ? source.inputs : []
    const [s, z] = [stored(scale ?? ''), stored(zeroPoint ?? '')]
    if (channels === undefined || !s || !z || s.dims.length > 0) continue
    const name = made.get(integers) ?? writer.fresh(`${integers}_for_float`)
    if (!made.has(integers)) {
      const [value] = floats(s)
      const scales = store(floatTensor(writer.fresh(`${name}_scale`), [channels], Array(channels).fill(value)))
      const zeros = Array(channels).fill(Number(integerValues(z)[0]))
      const zeroPoints = store(integerTensor(writer.fresh(`${name}_zero_point`), typeOf(writer), [channels], zeros))
      const dequantize = node('DequantizeLinear', [integers, scales, zeroPoints], [name], { axis: 1 })
      nodes.splice(nodes.indexOf(source as Node) + 1, 0, dequantize)
      made.set(integers, name)
    }
    const at = nodes.indexOf(layer)
    nodes[at] = { ...layer, inputs: [name, ...layer.inputs.slice(1)] }
  }
}

/** The step of a layer's input. */
export function inputScaleOf(layer: Node, { plan, ranges }: Omit<QdqParts, 'layers'>): number {
  return scaleOfValue(layer.inputs[0], plan, ranges).scale
}

interface Writer extends GraphEdit {
  readonly parts: QdqParts
  readonly nodes: Node[]
  /**
   * A value made on integers keeps its name after dequantising, so that whatever reads it needs no change and the
   * producer's float result, which gets this name, has a single reader, as fusing needs.
   */
  readonly exact: ReadonlyMap<string, string>
  /** A value made in float keeps its name and exact readers; those on integers read this name. */
  readonly rounded: ReadonlyMap<string, string>
  /** The uint8 form of each value that has one so far. */
  readonly integers: Map<string, string>
  /** Names of scale and zero point by the value whose range they are from. */
  readonly scales: Map<string, readonly [string, string]>
  /** Weights written so far, by what they were: layers that share a weight go on sharing it. */
  readonly weights: Map<Tensor, { readonly layer: QuantizedLayer; readonly name: string }>
}

function writerFor(model: Model, parts: QdqParts): Writer {
  const edit = editGraph(model)
  const made = new Set([...parts.plan.nodes].flatMap((n) => n.outputs))
  const exact = new Map<string, string>()
  const rounded = new Map<string, string>()
  for (const name of parts.plan.values.keys()) {
    if (made.has(name)) exact.set(name, edit.fresh(`${name}_float`))
    else rounded.set(name, edit.fresh(`${name}_dequantized`))
  }
  return {
    ...edit,
    parts,
    nodes: [],
    exact,
    rounded,
    integers: new Map(),
    scales: new Map(),
    weights: new Map(),
  }
}

const typeOf = ({ parts }: Writer): 'uint8' | 'int8' => parts.activations ?? 'uint8'

function scalesOf(writer: Writer, name: string): readonly [string, string] {
  const { parts, fresh, store, scales } = writer
  const root = parts.plan.values.get(name) ?? name
  const known = scales.get(root)
  if (known) return known
  const { scale, zeroPoint } = scaleOfValue(name, parts.plan, parts.ranges)
  const type = typeOf(writer)
  const made = [
    store(floatTensor(fresh(`${root}_scale`), [], [scale])),
    store(integerTensor(fresh(`${root}_zero_point`), type, [], [type === 'int8' ? zeroPoint - 128 : zeroPoint])),
  ] as const
  scales.set(root, made)
  return made
}

function quantizeValue(writer: Writer, name: string): void {
  const integers = writer.fresh(`${name}_quantized`)
  const source = writer.exact.get(name) ?? name
  // What is only moved is limited already.
  const highest = writer.parts.plan.values.get(name) === name ? writer.parts.highest?.get(name) : undefined
  if (highest === undefined) {
    writer.nodes.push(node('QuantizeLinear', [source, ...scalesOf(writer, name)], [integers]))
    dequantizeValue(writer, name, integers)
    return
  }
  // Limited as integers: a Clip before would keep the layer before it from computing on integers.
  const whole = writer.fresh(`${name}_uint8`)
  const limits = [0, highest].map((v) => writer.store(integerTensor(writer.fresh(`${name}_limit`), 'uint8', [], [v])))
  const [step, zeroPoint] = scalesOf(writer, name)
  const scale = writer.parts.signs?.has(name) ? finer(writer, step) : step
  writer.nodes.push(node('QuantizeLinear', [source, scale, zeroPoint], [whole]))
  writer.nodes.push(node('Clip', [whole, ...limits], [integers]))
  dequantizeValue(writer, name, integers)
}

/** A step so small that all but 0 is beyond the first level, which it is then limited to. */
function finer({ stored, store, fresh }: Writer, step: string): string {
  const [value] = floats(stored(step) as Tensor)
  return store(floatTensor(fresh(`${step}_of_sign`), [], [value * 2 ** -16]))
}

function dequantizeValue(writer: Writer, name: string, integers: string): void {
  writer.integers.set(name, integers)
  const result = writer.rounded.get(name) ?? name
  writer.nodes.push(node('DequantizeLinear', [integers, ...scalesOf(writer, name)], [result]))
}

function writeNode(writer: Writer, original: Node): void {
  const { parts, exact, rounded, nodes } = writer
  const onIntegers = parts.plan.nodes.has(original)
  if (onIntegers && original.op === 'Pad' && (original.attributes.mode?.value ?? 'constant') === 'constant') {
    writePad(writer, original)
    return
  }
  let inputs = onIntegers ? original.inputs.map((name) => rounded.get(name) ?? name) : original.inputs
  const layer = parts.layers.get(original)
  if (layer) inputs = writeLayer(writer, original, { layer, input: inputs[0] })
  nodes.push({ ...original, inputs, outputs: original.outputs.map((name) => exact.get(name) ?? name) })
  for (const name of original.outputs) if (parts.plan.values.has(name)) quantizeValue(writer, name)
}

/** Padding with zero is padding the integers with their zero point; ONNX Runtime does not make that of it by itself. */
function writePad(writer: Writer, original: Node): void {
  const [x, pads, , ...axes] = original.inputs
  const [y] = original.outputs
  const integers = writer.fresh(`${y}_quantized`)
  const inputs = [writer.integers.get(x) as string, pads, scalesOf(writer, x)[1], ...axes]
  writer.nodes.push({ ...original, inputs, outputs: [integers] })
  dequantizeValue(writer, y, integers)
}

/** Stores a layer's integers with their DequantizeLinear; gives the layer's new inputs. */
function writeLayer(
  writer: Writer,
  original: Node,
  { layer, input }: { layer: QuantizedLayer; input: string },
): readonly string[] {
  const { fresh, store, nodes, parts } = writer
  const { scales, bias } = layer
  const base = original.inputs[1]
  const w = writeWeight(writer, base, layer)
  if (!bias) return [input, w]
  const inputScale = inputScaleOf(original, parts)
  const biasScales = Float32Array.from(scales, (s) => s * inputScale)
  const biasBase = original.inputs[2] || `${base}_bias`
  const rounded = Array.from(bias, (b, c) => Math.round(b / biasScales[c]))
  const storedBias = [
    store(integerTensor(fresh(`${biasBase}_quantized`), 'int32', [bias.length], rounded), original.inputs[2]),
    store(floatTensor(fresh(`${biasBase}_scale`), [bias.length], biasScales)),
  ]
  const b = fresh(`${biasBase}_dequantized`)
  nodes.push(node('DequantizeLinear', storedBias, [b], { axis: 0 }))
  return [input, w, b]
}

/** Gives the name of the dequantised weight. */
function writeWeight(writer: Writer, base: string, layer: QuantizedLayer): string {
  const { fresh, store, nodes, weights } = writer
  const { weight, axis, values, scales } = layer
  const before = weights.get(weight)
  if (before?.layer.axis === axis && before.layer.scales.every((s, c) => s === scales[c])) return before.name
  const stored = [
    store(integerTensor(fresh(`${base}_quantized`), 'int8', weight.dims, values), base),
    store(floatTensor(fresh(`${base}_scale`), [scales.length], scales)),
    store(integerTensor(fresh(`${base}_zero_point`), 'int8', [scales.length], new Int8Array(scales.length))),
  ]
  const name = fresh(`${base}_dequantized`)
  nodes.push(node('DequantizeLinear', stored, [name], { axis }))
  weights.set(weight, { layer, name })
  return name
}
