/** Weights of fewer than 8 bits, or rounded adaptively: levels and scales that a layer is written with. */
import { checkFinite } from '../calibrate/input-moments.ts'
import { type Layer, layersOf, momentsOf } from '../calibrate/layers.ts'
import { stopIfAborted } from '../errors.ts'
import { constantOf, intAttribute, nodeName } from '../graph/walk.ts'
import type { Context } from '../method.ts'
import type { Model, Tensor } from '../model.ts'
import { floats, sizeOf } from '../tensor/dtype.ts'
import { adaptiveRounding } from './_adaptive-rounding.ts'
import type { Plan } from './_plan.ts'
import { checkFiniteWeight, type QuantizedWeight, quantizeWeight } from './_qdq.ts'
import { bestStep } from './_weight-quantisers.ts'

export interface FewBits {
  readonly weightBits: number
  readonly rounding: 'nearest' | 'adaptive'
  readonly reduceRange: boolean
}

/** Input vectors per layer that second moments are taken of. */
const vectors = 8192

/** By the layer's name; empty where weights are plain int8. The model is prepared, and the context has data. */
export async function fewBitWeights(
  model: Model,
  plan: Plan,
  { weightBits, rounding, reduceRange }: FewBits,
  context: Context,
): Promise<Map<string, QuantizedWeight>> {
  const made = new Map<string, QuantizedWeight>()
  if (weightBits === 8 && rounding === 'nearest') return made
  const known = new Map(layersOf(model, 1).map((l) => [l.weight.tensor, l]))
  const limit = 2 ** (weightBits - 1) - 1
  for (const [i, node] of plan.layers.entries()) {
    stopIfAborted(context.signal, 'int8')
    const tensor = constantOf(model.graph, node.inputs[1]) as Tensor
    checkFiniteWeight(tensor)
    const axis = node.op === 'Conv' || intAttribute(node, 'transB', 0) ? 0 : 1
    const inner = sizeOf(tensor.dims.slice(axis + 1))
    const channelOf = (at: number): number => Math.floor(at / inner) % tensor.dims[axis]
    const { scales } =
      weightBits === 8 ? quantizeWeight(tensor, { axis, pairs: reduceRange }) : fewLevels(tensor, axis, limit)
    const largest = weightBits === 8 ? 127 : limit
    const layer = known.get(tensor)
    let levels: Int32Array = Int32Array.from(floats(tensor), (w, at) =>
      Math.max(-largest, Math.min(largest, Math.round(w / scales[channelOf(at)]))),
    )
    if (rounding === 'adaptive' && layer?.shape)
      levels = await adapted(model, layer, { levels, scales, channelOf, largest }, context)
    // Few levels are spread over the 8 bits: the step of a bias is that of the weights times that of the input.
    const spread = weightBits === 8 ? 1 : 2 ** Math.floor(Math.log2(64 / limit))
    made.set(nodeName(node), {
      values: Int8Array.from(levels, (q) => q * spread),
      scales: scales.map((s) => s / spread),
    })
    context.progress?.((i + 1) / plan.layers.length, 'rounding weights')
  }
  return made
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

interface Plain {
  readonly levels: Int32Array
  readonly scales: Float32Array
  readonly channelOf: (index: number) => number
  readonly largest: number
}

/** The levels, rounded so that they disturb the layer's outputs least on the calibration inputs. */
async function adapted(
  model: Model,
  layer: Layer,
  { levels, scales, channelOf, largest }: Plain,
  { data, seed = 0, signal }: Context,
): Promise<Int32Array> {
  const { weight, shape } = layer
  if (!data || !shape) return levels
  const limits = { samples: vectors, seed, alike: data.groups !== undefined, signal }
  const moments = (await momentsOf(model, [layer], data.calibration, limits)).get(weight.name)
  checkFinite('int8', weight.name, moments)
  const values = floats(weight.tensor)
  const result = levels.slice()
  for (const [g, blocks] of (moments?.blocks ?? []).entries()) {
    for (const { from, size, second } of blocks) {
      const indexOf = (r: number, c: number): number =>
        shape.transposed ? (from + c) * shape.rows + r : (g * shape.rows + r) * shape.columns + from + c
      const weights = new Float64Array(shape.rows * size)
      for (let r = 0; r < shape.rows; r++)
        for (let c = 0; c < size; c++) weights[r * size + c] = values[indexOf(r, c)] / scales[channelOf(indexOf(r, c))]
      const problem = { weights, rows: shape.rows, columns: size, second, levels: [-largest, largest] as const }
      const found = adaptiveRounding(problem)
      for (let r = 0; r < shape.rows; r++) for (let c = 0; c < size; c++) result[indexOf(r, c)] = found[r * size + c]
    }
  }
  return result
}
