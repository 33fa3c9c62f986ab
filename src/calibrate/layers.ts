/** Layers as matrices, and the moments of their inputs on calibration data: what error feedback and saliency start from. */
import { type WeightTensor, weightTensors } from '../graph/weights.ts'
import type { Feeds } from '../method.ts'
import type { Model, Tensor } from '../model.ts'
import { floats, sizeOf } from '../tensor/dtype.ts'
import { type MatrixShape, type Moments, matrixShapeOf, sampleMoments } from './input-moments.ts'
import { watchValues } from './watch-values.ts'

/** A weight that a single kind of product uses, and what its inputs look like. */
export interface Layer {
  readonly weight: WeightTensor
  /**
   * How the stored tensor lies as a matrix. Undefined for recurrent and transposed-convolution weights, those of several
   * layers and those that reach their layer in parts: nothing is known of their inputs.
   */
  readonly shape?: MatrixShape
  /** The weight's dimensions as the layer reads it, where there is a shape. */
  readonly dims?: readonly number[]
}

/** float32 weights that a grid can hold: at least `minElements` elements, of numbers that a model computes with. */
export function layersOf(model: Model, minElements = 64): Layer[] {
  return weightTensors(model)
    .filter((w) => w.tensor.dtype === 'float32' && whyNoGrid(w.tensor, minElements) === undefined)
    .map(layerOf)
}

/** Of fewer elements the nodes that make float16 of integers take what integers save. */
export const leastOfOtherTypes = 256
/** Magnitudes beyond this are masks: they stand for infinity. */
const largestWeight = 1e30

/** Why a weight cannot be put on a grid, in words; undefined where it can. */
export function whyNoGrid(tensor: Tensor, minElements: number): string | undefined {
  const size = sizeOf(tensor.dims)
  if (size < minElements) return `fewer than ${minElements} elements`
  if (tensor.dtype !== 'float32' && size < leastOfOtherTypes)
    return `${tensor.dtype} of fewer than ${leastOfOtherTypes} elements`
  // One plain loop: searches ask this of every weight again and again.
  let largest = 0
  for (const v of floats(tensor)) {
    if (!Number.isFinite(v)) return 'it holds NaN or infinity'
    if (v > largest || -v > largest) largest = Math.abs(v)
  }
  return largest > largestWeight ? 'a mask: its largest magnitude stands for infinity' : undefined
}

export function layerOf(weight: WeightTensor): Layer {
  const [{ node, input, axes }] = weight.uses
  if (weight.uses.length > 1 || input !== 1 || !axes) return { weight }
  const dims = axes.map((axis) => weight.tensor.dims[axis])
  const shape = matrixShapeOf(node, dims)
  const turned = axes.length === 2 && axes[0] === 1
  if (!shape || (!turned && axes.some((axis, i) => axis !== i))) return { weight }
  return { weight, dims, shape: turned ? { ...shape, transposed: !shape.transposed } : shape }
}

/** Moments of the inputs of each layer that has a matrix form and lies in the main graph, by the weight's name. */
export async function momentsOf(
  model: Model,
  layers: readonly Layer[],
  calibration: () => Iterable<Feeds>,
  options: {
    readonly samples: number
    readonly seed: number
    /** Every batch counts alike, whatever range its inputs are in: their vectors are scaled, and no mean is given. */
    readonly alike?: boolean
    /** Most inputs of a block of second moments; default `maxBlock`. */
    readonly block?: number
    /** Told the share of the batches that is done. */
    readonly progress?: (done: number) => void
    readonly signal?: AbortSignal
  },
): Promise<Map<string, Moments>> {
  const result = new Map<string, Moments>()
  const visible = layers.filter((l) => l.shape && model.graph.nodes.includes(l.weight.uses[0].node))
  if (visible.length === 0) return result
  const batches = [...calibration()]
  const samplers = visible.map((l) =>
    sampleMoments(l.weight.uses[0].node, l.dims as readonly number[], {
      limit: options.samples,
      batches: batches.length,
      seed: options.seed,
      alike: options.alike,
      block: options.block,
    }),
  )
  let done = 0
  const readOf = (l: Layer): string => l.weight.uses[0].node.inputs[0]
  const add = async (values: Feeds): Promise<void> => {
    for (const [i, l] of visible.entries()) await samplers[i].add(values[readOf(l)])
    options.progress?.(++done / batches.length)
  }
  await watchValues(model, visible.map(readOf), batches, add, { subject: 'calibration', signal: options.signal })
  for (const [i, l] of visible.entries()) result.set(l.weight.name, samplers[i].finish())
  return result
}
