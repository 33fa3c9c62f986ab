/** Weights that are not simply the nearest of 8 bits: levels and scales that a layer is written with. */
import { checkFinite, type MatrixShape, type MomentBlock, type Moments } from '../calibrate/input-moments.ts'
import { type Layer, layersOf, momentsOf } from '../calibrate/layers.ts'
import { stopIfAborted } from '../errors.ts'
import { constantOf, intAttribute, nodeName } from '../graph/walk.ts'
import type { Context } from '../method.ts'
import type { Model, Node, Tensor } from '../model.ts'
import { floats, sizeOf } from '../tensor/dtype.ts'
import { adaptiveRounding } from './_adaptive-rounding.ts'
import type { Plan } from './_plan.ts'
import { checkFiniteWeight, mostInPairs, type QuantizedWeight, quantizeWeight } from './_qdq.ts'
import { blockFactor } from './_quantize-layers.ts'
import { quantizeMatrix } from './_rate-distortion.ts'
import { bestStep } from './_weight-quantisers.ts'

export interface Rounding {
  readonly weightBits: number
  readonly rounding: 'nearest' | 'feedback' | 'adaptive'
  readonly reduceRange: boolean
}

/** Input vectors per layer that second moments are taken of: twice as many as the largest block has numbers. */
const vectors = { feedback: 2048, adaptive: 8192 }
/** Numbers of second moments that are held at once. */
const mostNumbers = 2 ** 24

/** By the layer's name; empty where weights are plain int8. The model is prepared, and the context has data. */
export async function roundedWeights(
  model: Model,
  plan: Plan,
  { weightBits, rounding, reduceRange }: Rounding,
  context: Context,
): Promise<Map<string, QuantizedWeight>> {
  const made = new Map<string, QuantizedWeight>()
  if (weightBits === 8 && rounding === 'nearest') return made
  const { data, seed = 0, signal } = context
  const known = new Map(layersOf(model, 1).map((l) => [l.weight.tensor, l]))
  const tensorOf = (node: Node): Tensor => constantOf(model.graph, node.inputs[1]) as Tensor
  for (const part of inParts(plan.layers, (node) => numbersOf(known.get(tensorOf(node))))) {
    const layers = part.flatMap((node) => known.get(tensorOf(node)) ?? [])
    const moments =
      data && rounding !== 'nearest'
        ? await momentsOf(model, layers, data.calibration, {
            samples: vectors[rounding],
            seed,
            alike: data.groups !== undefined,
            signal,
          })
        : undefined
    for (const node of part) {
      stopIfAborted(signal, 'int8')
      const tensor = tensorOf(node)
      const own = plainLevels(node, tensor, { weightBits, reduceRange })
      const layer = known.get(tensor)
      const seen = layer && moments?.get(layer.weight.name)
      if (layer?.shape && seen && rounding !== 'nearest') {
        checkFinite('int8', layer.weight.name, seen)
        roundBySeen(own, layer.shape, seen, rounding)
      }
      if (weightBits === 8 && reduceRange) keepPairs(own)
      // Few levels are spread over the 8 bits: the step of a bias is that of the weights times that of the input.
      const spread = weightBits === 8 ? 1 : 2 ** Math.floor(Math.log2(64 / own.largest))
      made.set(nodeName(node), {
        values: Int8Array.from(own.levels, (q) => q * spread),
        scales: own.scales.map((s) => s / spread),
      })
      context.progress?.(made.size / plan.layers.length, 'rounding weights')
    }
  }
  return made
}

/** Numbers of a layer's second moments. */
function numbersOf(layer?: Layer): number {
  return layer?.shape ? layer.shape.groups * layer.shape.columns ** 2 : 0
}

/** The nodes in order, in parts whose moments are held together; at least one in each. */
function inParts(nodes: readonly Node[], size: (node: Node) => number): Node[][] {
  const parts: Node[][] = []
  let held = Number.POSITIVE_INFINITY
  for (const node of nodes) {
    held += size(node)
    if (held <= mostNumbers) parts[parts.length - 1].push(node)
    else {
      parts.push([node])
      held = size(node)
    }
  }
  return parts
}

interface Levels {
  readonly values: Float32Array
  /** As the values are stored. */
  readonly levels: Int32Array
  readonly scales: Float32Array
  readonly channelOf: (index: number) => number
  readonly largest: number
}

/** Every weight rounded to its nearest level. */
function plainLevels(
  node: Node,
  tensor: Tensor,
  { weightBits, reduceRange }: { weightBits: number; reduceRange: boolean },
): Levels {
  checkFiniteWeight(tensor)
  const axis = node.op === 'Conv' || intAttribute(node, 'transB', 0) ? 0 : 1
  const inner = sizeOf(tensor.dims.slice(axis + 1))
  const channelOf = (at: number): number => Math.floor(at / inner) % tensor.dims[axis]
  const largest = 2 ** (weightBits - 1) - 1
  const { scales } =
    weightBits === 8 ? quantizeWeight(tensor, { axis, pairs: reduceRange }) : fewLevels(tensor, axis, largest)
  const values = floats(tensor)
  const levels = Int32Array.from(values, (w, at) =>
    Math.max(-largest, Math.min(largest, Math.round(w / scales[channelOf(at)]))),
  )
  return { values, levels, scales, channelOf, largest }
}

/** The step of each channel that rounds it best. */
function fewLevels(tensor: Tensor, axis: number, limit: number): { scales: Float32Array } {
  const channels = tensor.dims[axis]
  const inner = sizeOf(tensor.dims.slice(axis + 1))
  const values = floats(tensor)
  const own = Array.from({ length: channels }, () => [] as number[])
  values.forEach((v, i) => {
    own[Math.floor(i / inner) % channels].push(v)
  })
  return { scales: Float32Array.from(own, (part) => bestStep(Float32Array.from(part), [-limit, limit])) }
}

/** Rounds anew, so that the weights of an output together disturb it least on the inputs that were seen. */
function roundBySeen(
  { values, levels, scales, channelOf, largest }: Levels,
  shape: MatrixShape,
  moments: Moments,
  rounding: 'feedback' | 'adaptive',
): void {
  const { rows, columns, transposed } = shape
  for (const [g, blocks] of moments.blocks.entries()) {
    for (const block of blocks) {
      const { from, size } = block
      const indexOf = (r: number, c: number): number =>
        transposed ? (from + c) * rows + r : (g * rows + r) * columns + from + c
      const weights = new Float64Array(rows * size)
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < size; c++) weights[r * size + c] = values[indexOf(r, c)] / scales[channelOf(indexOf(r, c))]
      const found = roundMatrix({ weights, rows, block, largest }, rounding)
      for (let r = 0; r < rows; r++) for (let c = 0; c < size; c++) levels[indexOf(r, c)] = found[r * size + c]
    }
  }
}

function roundMatrix(
  { weights, rows, block, largest }: { weights: Float64Array; rows: number; block: MomentBlock; largest: number },
  rounding: 'feedback' | 'adaptive',
): Int32Array {
  if (rounding === 'feedback')
    return quantizeMatrix(weights, rows, blockFactor(block), { step: 1, lambda: 0, maxLevel: largest }).levels
  const { size, second } = block
  return adaptiveRounding({ weights, rows, columns: size, second, levels: [-largest, largest] })
}

/** Weights that moved by more than a step may add up to more than sums of two may: the largest give way. */
function keepPairs({ levels, scales, channelOf }: Levels): void {
  const own: number[][][] = Array.from(scales, () => [[], []])
  levels.forEach((q, at) => {
    if (q !== 0) own[channelOf(at)][q < 0 ? 1 : 0].push(at)
  })
  for (const ofOneSign of own.flat()) {
    for (;;) {
      const [first, second] = twoLargest(ofOneSign, levels)
      if (second === undefined || Math.abs(levels[first] + levels[second]) <= mostInPairs) break
      levels[first] -= Math.sign(levels[first])
    }
  }
}

/** Where the two largest magnitudes are; the second is undefined where there is one alone. */
function twoLargest(places: readonly number[], levels: Int32Array): [number, number | undefined] {
  let [first, second]: [number, number | undefined] = [places[0], undefined]
  for (const at of places.slice(1)) {
    const magnitude = Math.abs(levels[at])
    if (magnitude > Math.abs(levels[first])) [first, second] = [at, first]
    else if (second === undefined || magnitude > Math.abs(levels[second])) second = at
  }
  return [first, second]
}
