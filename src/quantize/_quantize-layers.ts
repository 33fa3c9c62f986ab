/**
 * Rate-distortion quantisation of a whole model, a layer at a time: sensitivities to steps, error feedback from the
 * layers' real inputs, and biases corrected for the mean error that is left.
 *
 * The weights stay float32, on the grid q·step; `compact` turns them into integers afterwards.
 */
import { blocksOf, type MatrixShape, type MomentBlock, type Moments } from '../calibrate/input-moments.ts'
import { type Layer, layersOf, momentsOf } from '../calibrate/layers.ts'
import { describe } from '../graph/walk.ts'
import { replaceTensors } from '../graph/weights.ts'
import type { Feeds } from '../method.ts'
import type { Model, Tensor } from '../model.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { inverseCholesky } from '../tensor/linalg.ts'
import { inOrder, type Workers } from '../workers.ts'
import type { InputFactor } from './_rate-distortion.ts'
import { type FloatCosts, quantizeWeights, type WeightsToQuantize } from './quantize-weights.ts'

/** Error-feedback factors of a layer, a group (and block of columns) at a time. */
export interface LayerFactor {
  readonly blocks: readonly { readonly from: number; readonly factor: InputFactor }[][]
  /** Geometric mean over columns of 1/d²: the squared output error that a squared weight error of 1 leaves. */
  readonly gain: number
}

/** Factors of E[x xᵀ] + 1 % of its mean diagonal; without moments, weights count alike. */
export function factorOf(shape: MatrixShape, moments?: Moments): LayerFactor {
  let logSum = 0
  const blocks = Array.from({ length: shape.groups }, (_, g) =>
    (moments?.blocks[g] ?? blocksOf(shape.columns)).map((block) => {
      const factor =
        'second' in block ? blockFactor(block as MomentBlock) : { diagonal: new Float64Array(block.size).fill(1) }
      for (const d of factor.diagonal) logSum -= 2 * Math.log(d)
      return { from: block.from, factor }
    }),
  )
  return { blocks, gain: Math.exp(logSum / (shape.groups * shape.columns)) }
}

export function blockFactor({ second, size }: MomentBlock): InputFactor {
  const h = second.slice()
  let trace = 0
  for (let i = 0; i < size; i++) trace += h[i * size + i]
  // Damped relative to the mean diagonal; an absolute floor for inputs that never fire.
  const damping = Math.max(1e-8, (0.01 * trace) / size)
  for (let i = 0; i < size; i++) h[i * size + i] += damping
  // Kept for every layer until the search ends, and added to weights that are float32 themselves.
  const u = Float32Array.from(inverseCholesky(h, size))
  return { u, diagonal: Float64Array.from({ length: size }, (_, i) => u[i * size + i]) }
}

export interface LayerPlan {
  /** Distance of the levels. */
  readonly step: number
  /** Squared output error that one bit is worth. */
  readonly lambda: number
  readonly asFloats?: FloatCosts
  /** Distance of the bias's levels; undefined leaves the bias as it is. */
  readonly biasStep?: number
}

/** A layer's weights as the task `quantizeWeights` takes them. */
export function toQuantize(layer: Layer, plan: LayerPlan, factor?: LayerFactor): WeightsToQuantize {
  const { tensor } = layer.weight
  const values = floats(tensor)
  const shape = layer.shape ?? {
    groups: 1,
    rows: tensor.dims[0],
    columns: values.length / tensor.dims[0],
    transposed: false,
  }
  const { blocks } = factor ?? factorOf(shape)
  const { step, lambda, asFloats } = plan
  return { values, shape, blocks, step, lambda, asFloats }
}

/** The float32 bias that a layer's node alone reads, one element an output; undefined where there is none. */
function biasOf(model: Model, layer: Layer): Tensor | undefined {
  const { node } = layer.weight.uses[0]
  const bias = node.op === 'MatMul' ? undefined : model.graph.initializers.get(node.inputs[2] ?? '')
  const { shape } = layer
  if (!bias || !shape || bias.dtype !== 'float32' || bias.data.length !== 4 * shape.groups * shape.rows)
    return undefined
  return model.graph.nodes.some((n) => n !== node && n.inputs.includes(bias.name)) ? undefined : bias
}

/** How far the layer's mean outputs move: W·E[x] - Ŵ·E[x̂], where x̂ are the inputs after quantising what comes before. */
function meanShift(layer: Layer, quantized: Tensor, before: Moments, now: Moments): Float64Array {
  const { rows, columns, transposed, groups } = layer.shape as MatrixShape
  const w = floats(layer.weight.tensor)
  const v = floats(quantized)
  const shift = new Float64Array(groups * rows)
  for (let g = 0; g < groups; g++) {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        const i = transposed ? c * rows + r : (g * rows + r) * columns + c
        shift[g * rows + r] += w[i] * before.mean[g][c] - v[i] * now.mean[g][c]
      }
    }
  }
  return shift
}

/**
 * The bias that keeps the layer's mean output, on the plan's grid. Of a filter bank, which has no negative weight nor bias and
 * of whose products a logarithm may be taken, no bias falls below the least.
 */
function correctedBias(bias: Tensor, weights: Tensor, shift: Float64Array | undefined, step?: number): Tensor {
  const grid = step === undefined ? undefined : Math.fround(step)
  const values = floats(bias)
  const isFilterBank = [values, floats(weights)].every((numbers) => numbers.every((v) => v >= 0))
  const least = isFilterBank ? values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY) : undefined
  const corrected = values.map((b, i) => {
    const value = b + (shift?.[i] ?? 0)
    const rounded = grid ? Math.round(value / grid) * grid || 0 : value
    return least === undefined ? rounded : Math.max(least, rounded)
  })
  return floatTensor(bias.name, bias.dims, corrected)
}

export interface QuantizeModelOptions {
  readonly plan: ReadonlyMap<string, LayerPlan>
  readonly calibration?: () => Iterable<Feeds>
  /** Moments of the float model's inputs, by weight name. */
  readonly moments: ReadonlyMap<string, Moments>
  /** Factors of the moments, by weight name, where they are at hand; not with stages. */
  readonly factors?: ReadonlyMap<string, LayerFactor>
  /** How often the inputs are taken anew from the model as quantised so far; 0 keeps the float model's. */
  readonly stages: number
  readonly samples: number
  readonly seed: number
  /** Threads to quantise on; this one alone where there are none. */
  readonly workers?: Workers
  readonly progress?: (done: number, what: string) => void
}

export interface QuantizedModel {
  readonly model: Model
  /** Estimated, of all weights. */
  readonly bits: number
  /** Of each layer's output, by weight name. */
  readonly errors: ReadonlyMap<string, number>
  /** Names of the weights that are as they were. */
  readonly kept: readonly string[]
}

/** Quantises every layer that the plan names, in the graph's order. */
export async function quantizeModel(model: Model, options: QuantizeModelOptions): Promise<QuantizedModel> {
  const all = layersOf(model, 1).filter((l) => options.plan.has(l.weight.name))
  const stageCount = Math.max(1, Math.min(options.stages, all.length))
  const perStage = Math.ceil(all.length / stageCount)
  const errors = new Map<string, number>()
  const kept: string[] = []
  let current = model
  let bits = 0
  for (let from = 0; from < all.length; from += perStage) {
    const stage = all.slice(from, from + perStage)
    // Weights do not change the nodes, so the layers of the original model still name the right places.
    const fresh =
      options.stages > 0 && options.calibration
        ? await momentsOf(current, stage, options.calibration, { samples: options.samples, seed: options.seed })
        : options.moments
    const replaced = new Map<Tensor, Tensor>()
    const planOf = ({ weight }: Layer): LayerPlan => options.plan.get(weight.name) as LayerPlan
    const inputs = stage.map((layer) => () => {
      const { name } = layer.weight
      const factor = options.factors?.get(name) ?? (layer.shape && factorOf(layer.shape, fresh.get(name)))
      return toQuantize(layer, planOf(layer), factor)
    })
    let done = 0
    for await (const result of inOrder(options.workers, quantizeWeights, inputs)) {
      const layer = stage[done++]
      const { name, tensor } = layer.weight
      const now = fresh.get(name)
      const plan = planOf(layer)
      const quantized = floatTensor(tensor.name, tensor.dims, result.values)
      bits += result.bits
      options.progress?.((from + done) / all.length, describe(layer.weight.uses[0].node))
      errors.set(name, result.error)
      if (result.kept) {
        kept.push(name)
        continue
      }
      replaced.set(tensor, quantized)
      const before = options.moments.get(name)
      const bias = biasOf(current, layer)
      const shift = before && now && bias ? meanShift(layer, quantized, before, now) : undefined
      if (bias && (shift || plan.biasStep)) replaced.set(bias, correctedBias(bias, tensor, shift, plan.biasStep))
    }
    current = replaceTensors(current, replaced)
  }
  return { model: current, bits, errors, kept }
}
